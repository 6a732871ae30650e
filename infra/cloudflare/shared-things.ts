import type { Person } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import type { Account, Named } from "./account.ts";
import { othersTold } from "./adoption-losses.ts";
import { names } from "./names.ts";
import { othersThroughOwn } from "./tunnel-use.ts";
import {
  type Application,
  applicationsWith,
  type Group,
  isOfTheKit as isKitApplication,
  isOwnApplication,
  placesOf,
  quoted,
  usersOfProvider,
  usersOfToken,
} from "./uses.ts";

/** A thing of the house's own that others use by now, or that such a thing needs. */
export interface SharedThing {
  kind: "tunnel" | "identity provider" | "service token" | "policy" | "application" | "alert";
  id: string;
  name: string;
  /** Who uses it, as a clause; missing where it is kept for another thing's sake. */
  use?: string;
}

/** What is read beyond the program's own readings. */
export interface MoreRead {
  groups?: Group[];
  /** By the tunnel's id: what leads through it for others. */
  tunnelOthers?: ReadonlyMap<string, string[]>;
  /**
   * Ids that the state has: these are the house's own, whatever they are called. The program, which cannot see its
   * state, goes by the kit's names instead.
   */
  held?: ReadonlySet<string>;
}

/**
 * What of the house's own others use by now: it stays where it is when the house goes, or moves, or gives it up.
 * Deleting it would leave a stranger's host without its gate, or its people without their way in.
 */
export function sharedThings(account: Account, host: string, more: MoreRead = {}): SharedThing[] {
  const { applications, policies, serviceTokens, identityProviders, alerts, tunnels } = account;
  const { groups = [], held } = more;
  const shared: SharedThing[] = [];
  const keep = (thing: SharedThing) => {
    if (!shared.some(({ id }) => id === thing.id)) shared.push(thing);
  };
  const ownOf = <T extends Named>(list: T[], named: (thing: T) => boolean): T[] =>
    list.filter((each) => (held ? held.has(each.id) : named(each)));
  const own = ownOf(applications, (each) => isOwnApplication(each, host));
  // Another house of the kit's, or this one under its former name, is no stranger: unless it stayed for another's sake.
  const strangers = applications.filter(
    (each) => !own.includes(each) && (!isKitApplication(each) || strangePlaces(each).length > 0),
  );

  for (const tunnel of ownOf(tunnels, ({ name }) => name === names.tunnel(host))) {
    const others =
      more.tunnelOthers?.get(tunnel.id) ??
      othersThroughOwn({ configuration: account.ownTunnel ?? {} }, host);
    if (others.length > 0) keep({ ...tunnel, kind: "tunnel", use: others.join("; ") });
  }

  let anyStays = false;
  for (const application of own) {
    const places = strangePlaces(application).filter((place) => place !== host);
    if (places.length === 0) continue;
    anyStays = true;
    keep({ ...application, kind: "application", use: `it guards ${places.join(", ")} too` });
  }
  for (const policy of ownOf(policies, ({ name }) => isOwnPolicy(name, host))) {
    const { listed, more } = applicationsWith(policy, applications);
    const others = listed.filter((each) => strangers.includes(each));
    if (others.length > 0 || more > 0) {
      keep({ ...policy, kind: "policy", use: `${quoted(others, more)} let people in by it too` });
    } else if (anyStays) keep({ ...policy, kind: "policy" });
  }
  const keptPolicies = shared.filter(({ kind }) => kind === "policy").map(({ id }) => id);
  for (const token of ownOf(serviceTokens, ({ name }) => isOwnToken(name, host))) {
    const used = usersOfToken(token, account, groups);
    const others = [
      ...used.policies.filter(
        ({ id, name }) => !held?.has(id) && !name.startsWith("ouchi-photos "),
      ),
      ...used.applications.filter((each) => strangers.includes(each)),
      ...used.groups,
    ];
    if (others.length > 0) {
      keep({
        ...token,
        kind: "service token",
        use: `${quoted(others)} ${others.length === 1 ? "names" : "name"} it too`,
      });
    } else if (used.policies.some(({ id }) => keptPolicies.includes(id))) {
      keep({ ...token, kind: "service token" });
    }
  }
  for (const google of ownOf(identityProviders, ({ name }) => name === names.google(host))) {
    const users = usersOfProvider(google.id, account, groups);
    const rules = users.rules.filter(({ id }) => !held?.has(id));
    const others = [...users.allowing.filter((each) => strangers.includes(each)), ...rules];
    if (others.length > 0) {
      keep({
        ...google,
        kind: "identity provider",
        use: `people sign in by it for ${quoted(others)} too`,
      });
    } else if (anyStays) keep({ ...google, kind: "identity provider" });
  }
  for (const alert of ownOf(alerts, ({ name }) => isOwnAlert(name, host))) {
    const told = othersTold(alert, alert.mechanisms.email?.[0]?.id);
    if (told.length > 0) keep({ ...alert, kind: "alert", use: told.join("; ") });
  }
  return shared.map(({ kind, id, name, use }) => ({ kind, id, name, ...(use && { use }) }));
}

/** What an application of the kit's guards besides the host in its name. */
function strangePlaces(application: Application): string[] {
  return placesOf(application).filter((place) => names.application(place) !== application.name);
}

const isOwnPolicy = (name: string, host: string) =>
  name === names.policy("family", host) || name === names.policy("phones", host);

const isOwnAlert = (name: string, host: string) =>
  name === names.alert("token-expiry", host) || name === names.alert("tunnel-health", host);

/** Also of a phone that is no longer in the family: it goes with this up. */
const isOwnToken = (name: string, host: string) =>
  name.startsWith("ouchi-photos ") && name.endsWith(` (${host})`);

/** What the owner is told before each up, of things that it keeps, and of others that it cannot see to. */
export function sharedWarnings(account: Account, host: string): string[] {
  const kept = sharedThings(account, host).flatMap(({ kind, name, use }) =>
    use ? [`Others use the ${kind} "${name}" of this house: ${use}. ${consequences[kind]}`] : [],
  );
  const formerly = account.applications
    .filter((each) => isKitApplication(each) && !isOwnApplication(each, host))
    .flatMap((each) => {
      const places = strangePlaces(each);
      return places.length > 0
        ? [
            `The application "${each.name}" guards ${places.join(", ")} too. If this house bore that name, and moves, the application goes, and these are left without their gate: give them an application of their own first.`,
          ]
        : [];
    });
  return [...kept, ...formerly, ...narrower(account.applications, host)];
}

const consequences: Record<SharedThing["kind"], string> = {
  tunnel:
    "The kit writes the whole of its configuration: an up that has to is refused until they have a tunnel of their own. It stays when the house goes, but nothing runs it then.",
  application:
    "The kit knows its own host alone: an up that has to change it is refused until the others have an application of their own. It stays when the house goes, with its policies and tokens.",
  policy:
    "Whoever comes into the family gets in there too, and whoever leaves it is out there. It stays when the house goes.",
  "service token": "A rotation changes its secret there too. It stays when the house goes.",
  "identity provider": "It stays when the house goes.",
  alert: "It stays when the house goes.",
};

/**
 * The last phone takes the phones' policy out of the application. Where others use the application, that is refused in
 * the middle of the up; where they use the policy, it and the token stay, and let the phone in there.
 *
 * @throws {UserError} that says that the phone is still in, and how it is locked out at once.
 */
export function refuseLastPhoneToStay(account: Account, host: string, family: Person[]): void {
  if (family.some(({ phones }) => phones.length > 0)) return;
  const application = account.applications.find((each) => isOwnApplication(each, host));
  const policy = application?.policies?.find(({ name }) => name === names.policy("phones", host));
  if (!policy) return;
  const tie = sharedThings(account, host).find(
    ({ id, use }) => use && (id === application?.id || id === policy.id),
  );
  if (!tie) return;
  throw new UserError(
    `The last phone cannot be taken out of the family now, and is still in: others use the ${tie.kind} "${tie.name}" of this house (${tie.use}). To lock it out at once, put it back into the family with its secretVersion raised by one and an overlapUntil in the past, and run this again: its old headers work nowhere after that. To take it out, give the others one of their own first, in Cloudflare's dashboard. Nothing was changed.`,
  );
}

/** A way past the gate that the kit did not make. */
function narrower(applications: Application[], host: string): string[] {
  return applications.flatMap((application) => {
    const places = placesOf(application).filter((place) => place.startsWith(`${host}/`));
    const open = application.policies?.some(
      ({ decision, include = [] }) =>
        decision === "bypass" || include.some((rule) => "everyone" in rule),
    );
    return places.length > 0 && open
      ? [
          `The application "${application.name}" lets everybody in to ${places.join(", ")}, past the family's gate. The kit leaves it as it is: if nobody meant that, delete it in the dashboard.`,
        ]
      : [];
  });
}
