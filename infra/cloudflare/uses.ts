import type { Account, Named, Policy, ServiceToken } from "./account.ts";
import { names } from "./names.ts";
import { permissions } from "./permissions.ts";

/** One condition of a policy or group, such as `{email: {email: "ken@yamada.jp"}}`. */
export type Rule = Record<string, Record<string, unknown>>;

/** Who matches: one of `include`, all of `require`, none of `exclude`. */
export interface Rules {
  include?: Rule[];
  exclude?: Rule[];
  require?: Rule[];
}

/** A policy as an application shows it. */
export interface BoundPolicy extends Named, Rules {
  decision: string;
  /** False: the application's own, which no other can use. */
  reusable?: boolean;
  [setting: string]: unknown;
}

/** An Access application, as its API lists it. */
export interface Application extends Named {
  type?: string;
  domain?: string;
  self_hosted_domains?: string[];
  destinations?: { type?: string; uri?: string; hostname?: string; cidr?: string }[];
  /** None: every way to sign in that the account has. */
  allowed_idps?: string[];
  policies?: BoundPolicy[];
  [setting: string]: unknown;
}

export interface Group extends Named, Rules {}

/** Everything that an application guards: hosts, with a path or a wildcard where it has one, and private places. */
export function placesOf({ domain, self_hosted_domains, destinations }: Application): string[] {
  const places = [
    ...(domain ? [domain] : []),
    ...(self_hosted_domains ?? []),
    ...(destinations ?? []).map(
      ({ uri, hostname, cidr, ...other }) => uri ?? hostname ?? cidr ?? JSON.stringify(other),
    ),
  ];
  return [...new Set(places.map((place) => place.toLowerCase().replace(/\/$/, "")))];
}

/** Whether a thing that is not the kit's may bear this name of an application's. */
export function isOfTheKit({ name }: Named): boolean {
  return /^ouchi-photos \(.+\)$/.test(name);
}

/** The application that guards the host and nothing narrower: at most one, since Cloudflare refuses a second. */
export function applicationOf(applications: Application[], host: string): Application | undefined {
  return applications.find((each) => placesOf(each).includes(host));
}

/** By its name; or, where that was changed in the dashboard, by the kit's policies, bound to it at the kit's host. */
export function isOwnApplication(application: Application, host: string): boolean {
  if (application.name === names.application(host)) return true;
  const bound = (application.policies ?? []).map(({ name }) => name);
  const roles = (["family", "phones"] as const).map((role) => names.policy(role, host));
  return (
    placesOf(application).includes(host) &&
    bound.includes(roles[0]!) &&
    bound.every((name) => roles.includes(name))
  );
}

/** The applications that refer to a reusable policy, with one entry more where Cloudflare counts some that it did not list. */
export function applicationsWith(
  { id, app_count }: Pick<Policy, "id" | "app_count">,
  applications: Application[],
): { listed: Application[]; more: number } {
  const listed = applications.filter(({ policies = [] }) =>
    policies.some((each) => each.id === id),
  );
  return { listed, more: Math.max(0, (app_count ?? 0) - listed.length) };
}

/** The applications that let people sign in by a provider, and the policies and groups that ask for it. */
export function usersOfProvider(
  id: string,
  { applications, policies }: Pick<Account, "applications" | "policies">,
  groups: Group[],
): { allowing: Application[]; byDefault: Application[]; rules: Named[] } {
  return {
    allowing: applications.filter(({ allowed_idps }) => allowed_idps?.includes(id)),
    byDefault: applications.filter(({ allowed_idps = [] }) => allowed_idps.length === 0),
    rules: [...policies, ...groups].filter((each) => mentions(rulesOf(each), id)),
  };
}

/** What names a service token: reusable policies, applications' own policies and settings, groups. */
export function usersOfToken(
  { id }: Pick<ServiceToken, "id">,
  { applications, policies }: Pick<Account, "applications" | "policies">,
  groups: Group[],
): { policies: Policy[]; applications: Application[]; groups: Group[] } {
  return {
    policies: policies.filter((each) => mentions(rulesOf(each), id)),
    applications: applications.filter(
      ({ policies: bound = [], scim_config }) =>
        mentions(scim_config, id) ||
        bound.some((each) => each.reusable !== true && mentions(rulesOf(each), id)),
    ),
    groups: groups.filter((each) => mentions(rulesOf(each), id)),
  };
}

export function rulesOf({ include, exclude, require }: Rules): Rules {
  return { include, exclude, require };
}

function mentions(thing: unknown, id: string): boolean {
  return (JSON.stringify(thing) ?? "").includes(`"${id}"`);
}

/** A rule in words, such as `aunt@yamada.jp` or `the service token "backup"`. */
export function described(rule: Rule, tokens: Named[], groups: Group[] = []): string {
  const [selector = "", value = {}] = Object.entries(rule)[0] ?? [];
  switch (selector) {
    case "everyone":
      return "everybody";
    case "email":
      return String(value.email);
    case "email_domain":
      return `every address of ${String(value.domain)}`;
    case "any_valid_service_token":
      return "every service token of the account";
    case "service_token": {
      const token = tokens.find(({ id }) => id === value.token_id);
      return `the service token "${token?.name ?? String(value.token_id)}"`;
    }
    case "group": {
      const group = groups.find(({ id }) => id === value.id);
      return `the group "${group?.name ?? String(value.id)}"`;
    }
    default:
      return [selector.replaceAll("_", " "), ...Object.values(value).map(String)].join(" ");
  }
}

/** Names in a sentence: `"a", "b" and 2 more`. */
export function quoted(things: Named[], more = 0): string {
  const listed = things.map(({ name }) => `"${name}"`);
  return [...listed, ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

/** @throws {UserError} when Cloudflare does not answer. */
export function readGroups({ api, accountId }: Account): Promise<Group[]> {
  return api.all<Group>(`/accounts/${accountId}/access/groups`, permissions.organization);
}
