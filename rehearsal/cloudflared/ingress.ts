/** The ingress rules as cloudflared reads them: pure. */

export interface IngressRule {
  hostname?: string;
  /** A regular expression. */
  path?: string;
  service: string;
  originRequest?: {
    access?: AccessSettings;
    httpHostHeader?: string;
    /** Seconds that an idle connection to the origin is kept. */
    keepAliveTimeout?: number;
    [setting: string]: unknown;
  };
}

export interface AccessSettings {
  required?: boolean;
  teamName?: string;
  audTag?: string[];
}

interface Configuration {
  ingress?: IngressRule[];
  originRequest?: IngressRule["originRequest"];
}

/** What a connector without rules does: every request is answered 503. */
export const noRules: readonly IngressRule[] = [{ service: "http_status:503" }];

/** @throws when cloudflared would refuse the configuration; the one before stays in force. */
export function readConfiguration(configuration: unknown): readonly IngressRule[] {
  const { ingress = [], originRequest } = (configuration ?? {}) as Configuration;
  if (ingress.length === 0) return noRules;
  return ingress.map((rule, index) => {
    const catchAll = isCatchAll(rule);
    const last = index === ingress.length - 1;
    if (last && !catchAll) {
      throw new Error(
        "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)",
      );
    }
    if (!last && catchAll) {
      throw new Error(`Rule #${index + 1} matches every hostname: the rules after it never match.`);
    }
    const access = rule.originRequest?.access ?? originRequest?.access;
    if (access?.required && access.audTag?.length && !access.teamName) {
      throw new Error("access.TeamName cannot be blank when access.audTags are present");
    }
    return { ...rule, originRequest: { ...originRequest, ...rule.originRequest } };
  });
}

/** The first rule that matches; the last one always does. */
export function matchRule(rules: readonly IngressRule[], host: string, path: string): IngressRule {
  const hostname = host.replace(/:\d+$/, "").toLowerCase();
  return (
    rules.find(
      (rule) =>
        matchesHost(rule.hostname, hostname) && (!rule.path || new RegExp(rule.path).test(path)),
    ) ?? rules.at(-1)!
  );
}

function matchesHost(pattern: string | undefined, hostname: string): boolean {
  if (!pattern || pattern === "*") return true;
  if (pattern.startsWith("*.")) return hostname.endsWith(pattern.slice(1).toLowerCase());
  return pattern.toLowerCase() === hostname;
}

function isCatchAll({ hostname, path }: IngressRule): boolean {
  return (!hostname || hostname === "*") && !path;
}
