export const stackType = "pulumi:pulumi:Stack";
export const providerTypePrefix = "pulumi:providers:";

export interface UrnParts {
  stack: string;
  project: string;
  /** The types of the parents and its own, joined by "$". */
  qualifiedType: string;
  name: string;
}

export function makeUrn(parts: UrnParts): string {
  return `urn:pulumi:${parts.stack}::${parts.project}::${parts.qualifiedType}::${parts.name}`;
}

export function parseUrn(urn: string): UrnParts {
  const [head = "", project = "", qualifiedType = "", ...name] = urn.split("::");
  return { stack: head.split(":")[2] ?? "", project, qualifiedType, name: name.join("::") };
}

export function typeOf(urn: string): string {
  return parseUrn(urn).qualifiedType.split("$").at(-1)!;
}

export function nameOf(urn: string): string {
  return parseUrn(urn).name;
}

/** The stack's own type is no part of its children's. */
export function qualifiedType(type: string, parent: string | undefined): string {
  if (parent === undefined || typeOf(parent) === stackType) return type;
  return `${parseUrn(parent).qualifiedType}$${type}`;
}

/** "cloudflare:index/dnsRecord:DnsRecord" and "pulumi:providers:cloudflare" are both cloudflare's. */
export function packageOf(type: string): string {
  return type.startsWith(providerTypePrefix)
    ? type.slice(providerTypePrefix.length)
    : type.split(":")[0]!;
}

export function isProviderType(type: string): boolean {
  return type.startsWith(providerTypePrefix);
}
