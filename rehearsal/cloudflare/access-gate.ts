import { timingSafeEqual } from "node:crypto";
import {
  applicationFor,
  matchIdentity,
  matchWithoutIdentity,
  policiesInOrder,
} from "./access-rules.ts";
import type { AccessClaims, AccessTokens } from "./access-tokens.ts";
import { durationMs } from "./duration.ts";
import { readTokenHeaders } from "./service-token-headers.ts";
import type { AccessApplication, AccessPolicy, CloudflareState, ServiceToken } from "./state.ts";

export interface AccessRequest {
  host: string;
  /** Without the query. */
  path: string;
  method: string;
  ip: string;
  /** As they came, so that one that comes twice is seen. */
  headers: readonly (readonly [string, string])[];
}

interface Told {
  reason: string;
  application?: AccessApplication;
  policy?: AccessPolicy;
  who?: string;
}

export type Verdict = Told &
  (
    | {
        outcome: "pass";
        /** For the origin; missing where Access did not look. */
        jwt?: string;
        email?: string;
        /** A cookie for the client, with its name. */
        cookie?: string;
      }
    | { outcome: "sign-in" }
    | { outcome: "refuse"; status: 401 | 403 }
  );

export const cookieName = "CF_Authorization";

/** Access in front of a host: decides about one request. */
export class AccessGate {
  readonly #state: CloudflareState;
  readonly #tokens: AccessTokens;

  constructor(state: CloudflareState, tokens: AccessTokens) {
    this.#state = state;
    this.#tokens = tokens;
  }

  async decide(request: AccessRequest): Promise<Verdict> {
    const { data } = this.#state;
    const application = applicationFor(data.applications, request.host, request.path);
    if (!application) {
      return { outcome: "pass", reason: "no Access application guards this host" };
    }
    const policies = policiesInOrder(application, data.policies);
    const header = (name: string) =>
      request.headers.find(([one]) => one.toLowerCase() === name)?.[1];
    if (
      application.options_preflight_bypass &&
      request.method === "OPTIONS" &&
      header("origin") &&
      header("access-control-request-method")
    ) {
      return { outcome: "pass", reason: "a preflight, which the application lets by", application };
    }
    const credentials = readTokenHeaders(
      request.headers,
      application.read_service_tokens_from_header,
    );
    const strict = data.organization?.strict_service_token_auth ?? false;
    if (credentials.kind !== "none" && strict) {
      return this.#strictly(credentials, application, policies, request.ip);
    }
    const proven =
      credentials.kind === "whole"
        ? this.#prove(credentials.clientId, credentials.clientSecret)
        : undefined;
    const found = proven && "token" in proven ? proven.token : undefined;
    const open = matchWithoutIdentity(policies, { ip: request.ip, serviceToken: found });
    if (open) {
      if (open.decision === "bypass") {
        return { outcome: "pass", reason: "a bypass policy", application, policy: open };
      }
      const jwt = await this.#tokenFor(application, open, found);
      return {
        outcome: "pass",
        reason: "a Service Auth policy",
        application,
        policy: open,
        who: found?.name,
        jwt,
        cookie: found ? cookieFor(application, jwt) : undefined,
      };
    }
    const session = await this.#session(application, header("cookie"), header("cf-access-token"));
    if ("jwt" in session) return { outcome: "pass", application, ...session };
    const tokenTrouble =
      credentials.kind === "malformed"
        ? credentials.reason
        : proven && "trouble" in proven
          ? proven.trouble
          : found
            ? `the service token "${found.name}" is in no Service Auth policy of the application`
            : undefined;
    const reason = tokenTrouble ?? session.trouble;
    const who = proven?.name;
    if (
      application.service_auth_401_redirect &&
      policies.some(({ decision }) => decision === "non_identity")
    ) {
      return { outcome: "refuse", status: 401, reason, application, who };
    }
    if (header("x-requested-with")?.toLowerCase() === "xmlhttprequest") {
      return { outcome: "refuse", status: 401, reason: `${reason} (AJAX)`, application, who };
    }
    return { outcome: "sign-in", reason, application, who };
  }

  /** As organizations since 2026-10-05: headers are judged alone, cookies and Allow policies are not looked at. */
  async #strictly(
    credentials: Exclude<ReturnType<typeof readTokenHeaders>, { kind: "none" }>,
    application: AccessApplication,
    policies: readonly AccessPolicy[],
    ip: string,
  ): Promise<Verdict> {
    if (credentials.kind === "malformed") {
      return { outcome: "refuse", status: 401, reason: credentials.reason, application };
    }
    const proven = this.#prove(credentials.clientId, credentials.clientSecret);
    if ("trouble" in proven) {
      return {
        outcome: "refuse",
        status: 401,
        reason: proven.trouble,
        application,
        who: proven.name,
      };
    }
    const { token } = proven;
    const policy = matchWithoutIdentity(policies, { ip, serviceToken: token });
    if (!policy) {
      return {
        outcome: "refuse",
        status: 403,
        reason: `the service token "${token.name}" is in no Service Auth policy of the application`,
        application,
        who: token.name,
      };
    }
    return {
      outcome: "pass",
      reason: policy.decision === "bypass" ? "a bypass policy" : "a Service Auth policy",
      application,
      policy,
      who: token.name,
      jwt:
        policy.decision === "bypass" ? undefined : await this.#tokenFor(application, policy, token),
    };
  }

  #prove(
    clientId: string,
    clientSecret: string,
  ): { token: ServiceToken; name: string } | { trouble: string; name?: string } {
    const token = this.#state.data.serviceTokens.find((one) => one.clientId === clientId);
    if (!token) return { trouble: "an unknown client id" };
    const { name } = token;
    const now = this.#state.clock.now();
    const current = equal(clientSecret, token.clientSecret);
    const previous =
      token.previousClientSecret !== null && equal(clientSecret, token.previousClientSecret);
    if (!current && !previous) return { trouble: `a wrong secret of "${name}"`, name };
    if (!token.enabled) return { trouble: `the service token "${name}" is disabled`, name };
    if (token.expiresAt !== null && new Date(token.expiresAt) <= now) {
      return { trouble: `the service token "${name}" expired at ${token.expiresAt}`, name };
    }
    const until = token.previousClientSecretExpiresAt;
    if (!current && (until === null || new Date(until) <= now)) {
      return { trouble: `the previous secret of "${name}" ended at ${until}`, name };
    }
    token.lastSeenAt = this.#state.timestamp();
    return { token, name };
  }

  #tokenFor(
    application: AccessApplication,
    policy: AccessPolicy,
    token: ServiceToken | undefined,
  ): Promise<string> {
    return this.#tokens.sign(
      { type: "app", aud: [application.aud], common_name: token?.clientId ?? "", sub: "" },
      sessionMs(application, policy),
    );
  }

  /** A person's or, in an older organization, a token's session. */
  async #session(
    application: AccessApplication,
    cookies: string | undefined,
    bearer: string | undefined,
  ): Promise<{ jwt: string; reason: string; who?: string; email?: string } | { trouble: string }> {
    const jwt = bearer ?? readCookie(cookies, cookieName);
    if (!jwt) return { trouble: "no session" };
    const claims = await this.#tokens.read(jwt, "app");
    if (!claims) return { trouble: "a session that has ended or was never one" };
    if (![claims.aud ?? []].flat().includes(application.aud)) {
      return { trouble: "a session of another application" };
    }
    if (isRevoked(claims, application.revokedAt)) return { trouble: "a revoked session" };
    if (claims.email) {
      if (isRevoked(claims, this.#state.person(claims.email).revokedAt)) {
        return { trouble: `a revoked session of ${claims.email}` };
      }
      return { jwt, reason: "a session", who: claims.email, email: claims.email };
    }
    // It lasts as long as it was given, whatever becomes of the token.
    const token = this.#state.data.serviceTokens.find((one) => one.clientId === claims.common_name);
    return { jwt, reason: "a service token's session", who: token?.name ?? "a token that is gone" };
  }

  /** What a person who has proven an address may have: a token for the application, or a reason why not. */
  async admit(
    application: AccessApplication,
    email: string,
    identityProviderId: string,
    ip: string,
  ): Promise<{ jwt: string; policy: AccessPolicy } | { trouble: string; policy?: AccessPolicy }> {
    const { policy, trouble } = this.wouldAdmit(application, email, identityProviderId, ip);
    if (trouble !== undefined) return { trouble, policy };
    const person = this.#state.person(email);
    const sinceRevoked = person.revokedAt
      ? this.#state.clock.now().getTime() - new Date(person.revokedAt).getTime()
      : Number.POSITIVE_INFINITY;
    if (sinceRevoked < 60_000) return { trouble: "revoked less than a minute ago", policy };
    const jwt = await this.#tokens.sign(
      { type: "app", aud: [application.aud], email: person.email, sub: person.id, country: "JP" },
      sessionMs(application, policy!),
    );
    this.#state.save();
    return { jwt, policy: policy! };
  }

  /** Changes nothing: it also decides whether a mail is sent. */
  wouldAdmit(
    application: AccessApplication,
    email: string,
    identityProviderId: string,
    ip: string,
  ): { policy?: AccessPolicy; trouble?: string } {
    const policies = policiesInOrder(application, this.#state.data.policies);
    const policy = matchIdentity(policies, { ip, email, identityProviderId });
    if (!policy) return { trouble: `no policy names ${email}` };
    if (policy.decision === "deny") return { trouble: `a policy blocks ${email}`, policy };
    return { policy };
  }
}

export function isRevoked(claims: AccessClaims, revokedAt: string | null): boolean {
  return revokedAt !== null && (claims.iat ?? 0) * 1000 <= new Date(revokedAt).getTime();
}

function sessionMs(application: AccessApplication, policy: AccessPolicy): number {
  return durationMs(policy.session_duration ?? application.session_duration) ?? 24 * 3_600_000;
}

/** The application's session cookie. */
export function cookieFor(application: AccessApplication, jwt: string): string {
  const sameSite = application.same_site_cookie_attribute;
  return [
    `${cookieName}=${jwt}`,
    "Path=/",
    "Secure",
    ...(application.http_only_cookie_attribute ? ["HttpOnly"] : []),
    `SameSite=${sameSite ? sameSite[0]!.toUpperCase() + sameSite.slice(1) : "None"}`,
  ].join("; ");
}

export function readCookie(header: string | undefined, name: string): string | undefined {
  for (const part of header?.split(";") ?? []) {
    const [key, ...value] = part.trim().split("=");
    if (key === name) return value.join("=");
  }
  return undefined;
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
