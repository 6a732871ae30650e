/** Who may pass: Access' policies in Cloudflare's documented order. Pure. */
import { BlockList, isIP, isIPv6 } from "node:net";
import type {
  AccessApplication,
  AccessGroup,
  AccessPolicy,
  AccessRule,
  ServiceToken,
} from "./state.ts";

/** What is known of whoever asks. */
export interface Subject {
  ip: string;
  /** By an identity provider. */
  email?: string;
  identityProviderId?: string;
  /** One that proved itself. */
  serviceToken?: Pick<ServiceToken, "id">;
}

/** The application's policies, the lowest precedence first, with the groups' own rules in them. */
export function policiesInOrder(
  application: AccessApplication,
  policies: readonly AccessPolicy[],
  groups: readonly AccessGroup[] = [],
): AccessPolicy[] {
  const filled = (rules: AccessRule[]) =>
    rules.map((rule) => {
      const group = groups.find(({ id }) => id === rule.group?.id);
      const { include, exclude, require } = group ?? {};
      return group ? { group: { include, exclude, require } } : rule;
    });
  return [...application.policies]
    .sort((a, b) => a.precedence - b.precedence)
    .flatMap(({ id }) => policies.find((policy) => policy.id === id) ?? [])
    .map(({ include, exclude, require, ...rest }) => ({
      ...rest,
      ...{ include: filled(include), exclude: filled(exclude), require: filled(require) },
    }));
}

/** Service Auth and Bypass come before all others, whatever their precedence. */
export function matchWithoutIdentity(
  policies: readonly AccessPolicy[],
  subject: Subject,
): AccessPolicy | undefined {
  return policies.find(
    (policy) =>
      (policy.decision === "non_identity" || policy.decision === "bypass") &&
      matches(policy, subject),
  );
}

/** Then Allow and Block in their order, the first that matches; none is a denial. */
export function matchIdentity(
  policies: readonly AccessPolicy[],
  subject: Subject,
): AccessPolicy | undefined {
  return policies.find(
    (policy) =>
      (policy.decision === "allow" || policy.decision === "deny") && matches(policy, subject),
  );
}

/** Include is an OR, Require an AND, Exclude a NOT. */
function matches(
  { include, exclude, require }: Pick<AccessPolicy, "include" | "exclude" | "require">,
  subject: Subject,
): boolean {
  return (
    include.some((rule) => holds(rule, subject)) &&
    require.every((rule) => holds(rule, subject)) &&
    !exclude.some((rule) => holds(rule, subject))
  );
}

function holds(rule: AccessRule, subject: Subject): boolean {
  const [selector, value] = Object.entries(rule)[0] as [string, Record<string, string>];
  const email = subject.email?.toLowerCase();
  switch (selector) {
    case "everyone":
      return true;
    case "email":
      return email !== undefined && email === value.email!.toLowerCase();
    case "email_domain":
      return email?.endsWith(`@${value.domain!.toLowerCase()}`) ?? false;
    case "login_method":
      return subject.identityProviderId === value.id;
    case "group":
      return matches(value as unknown as AccessGroup, subject);
    case "service_token":
      return subject.serviceToken?.id === value.token_id;
    case "any_valid_service_token":
      return subject.serviceToken !== undefined;
    case "ip":
      return inRange(subject.ip, value.ip!);
    default:
      // The API lets no other in.
      throw new Error(`The pretend edge cannot judge the selector "${selector}".`);
  }
}

function inRange(ip: string, range: string): boolean {
  const [network, prefix] = range.split("/");
  if (!isIP(ip) || !isIP(network!)) return false;
  const list = new BlockList();
  const family = isIPv6(network!) ? "ipv6" : "ipv4";
  list.addSubnet(network!, Number(prefix ?? (family === "ipv6" ? 128 : 32)), family);
  return list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
}

/** The application that guards a host and path: the longest matching path, an exact host before a wildcard. */
export function applicationFor(
  applications: readonly AccessApplication[],
  host: string,
  path: string,
): AccessApplication | undefined {
  const found = applications.flatMap((application) =>
    application.self_hosted_domains
      .map((domain) => score(domain.toLowerCase(), host, path))
      .filter((points) => points > 0)
      .map((points) => ({ application, points })),
  );
  return found.sort((a, b) => b.points - a.points)[0]?.application;
}

function score(domain: string, host: string, path: string): number {
  const slash = domain.indexOf("/");
  const domainHost = slash < 0 ? domain : domain.slice(0, slash);
  const domainPath = slash < 0 ? "" : domain.slice(slash).replace(/[/*]+$/, "");
  const exact = domainHost === host;
  const wildcard = domainHost.startsWith("*.") && host.endsWith(domainHost.slice(1));
  if (!exact && !wildcard) return 0;
  const below = path === domainPath || path.startsWith(`${domainPath}/`);
  return below ? 1 + domainPath.length * 2 + (exact ? 1 : 0) : 0;
}
