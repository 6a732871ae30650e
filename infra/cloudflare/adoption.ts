import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import { type Account, leadsSomewhere, type Named, recordComment } from "./account.ts";
import {
  type Judgement,
  judgeAlert,
  judgeApplication,
  judgeGoogle,
  judgePolicy,
  judgeRecord,
  judgeToken,
  judgeTunnel,
  phonesOf,
  type Surroundings,
} from "./adoption-losses.ts";
import {
  type AlertRole,
  type ComponentName,
  childNames,
  components,
  logicalNames,
} from "./logical-names.ts";
import { hostInName, names } from "./names.ts";
import { refuseLastPhoneToStay } from "./shared-things.ts";
import { readTunnelUse } from "./tunnel-use.ts";
import {
  type Application,
  applicationOf,
  isOwnApplication,
  placesOf,
  readGroups,
  usersOfToken,
} from "./uses.ts";

/** What `adopt` in the stack file may say, and what the owner has to decide. */
export interface Adoptable {
  adopt: Partial<Settings["adopt"]>;
  /** Another hostname for the house, where it cannot have this one without taking it from something else. */
  hostname: string | undefined;
  /** Sentences about what cannot be taken over, or not without a word from the owner. */
  remarks: string[];
}

type Adopt = Partial<Settings["adopt"]>;

/**
 * Looks for what serves the host already, made by hand or by a stack whose state was lost. What others use as well is
 * named and left out: the house gets one of its own beside it.
 *
 * @param held ids at Cloudflare that the stack's state has: they are its own and not to be adopted.
 * @throws {UserError} when Cloudflare does not answer.
 */
export async function findAdoptable(
  account: Account,
  settings: Settings,
  host: string,
  held: ReadonlySet<string>,
): Promise<Adoptable> {
  const groups = await readGroups(account);
  const candidates = candidatesOf(account, settings, host);
  const around = { account, groups, host, settings };
  const { adopt, judgements } = await judged(candidates, around);
  const refusedName = judgements.find(
    ({ key, refused }) => (key === "application" || key === "record") && refused.length > 0,
  );
  if (refusedName) {
    const remarks = judgements
      .filter(({ key }) => ["application", "record", "tunnel"].includes(key))
      .flatMap(({ refused }) => refused);
    return { adopt: {}, hostname: freeHostname(settings.hostname), remarks };
  }
  const remarks = judgements.flatMap(({ refused, notes }) => [...refused, ...notes]);
  return {
    adopt: withoutEmpty(withoutHeld(adopt, held)),
    hostname: undefined,
    remarks: [
      ...remarks,
      ...legacyPolicies(candidates, account),
      ...tokensToAssign({ ...around, adopt }, candidates, held),
    ],
  };
}

/**
 * Refuses what the setting `adopt` names, where somebody else uses it: at the import, and before an `up` would write
 * into it, since what is typed was not proposed, and since others may have come in between.
 *
 * @param held ids that the state has. The program, which cannot see its state, goes by the kit's names instead.
 * @throws {UserError} that names each, with what would be lost.
 */
export async function refuseStrangersLoss(
  account: Account,
  settings: Settings,
  host: string,
  held?: ReadonlySet<string>,
): Promise<string[]> {
  const { adopt } = settings;
  const guarding = applicationOf(account.applications, host);
  if (!held && guarding && !isOwnApplication(guarding, host) && guarding.id !== adopt.application) {
    throw new UserError(
      `The application "${guarding.name}" (${guarding.id}) guards ${host} already, and Cloudflare has one for a name. Take it over, if it is for the photos alone ("cli/ouchi adopt" says whether it is), or choose another hostname. If it is this house's own, and was only renamed, give it its name back in the dashboard: "${names.application(host)}". Nothing was changed.`,
    );
  }
  if (!held) refuseLastPhoneToStay(account, host, settings.family);
  // Without the state nobody knows whether what is not there was taken over once, and went.
  const missing = held ? unknownIds(withoutHeld(adopt, held), account) : [];
  if (missing.length > 0) {
    throw new UserError(
      `The setting adopt names what Cloudflare does not have: ${missing.join(", ")}. Take these lines out, or let "cli/ouchi adopt" print the right ones. Nothing was changed.`,
    );
  }
  const open = held ? withoutHeld(adopt, held) : withoutKitNamed(adopt, account, settings, host);
  if (Object.keys(withoutEmpty(open)).length === 0) return [];
  const groups = await readGroups(account);
  const around = { account, groups, host, settings };
  // Judged together with what is the kit's already: a policy of the kit's own is no stranger's use of a token.
  const { judgements } = await judged(open, around, adopt);
  const refused = judgements.flatMap((each) => each.refused);
  if (refused.length > 0) {
    throw new UserError(
      `What the setting adopt names is not this house's alone:\n${refused.map((each) => `- ${each}`).join("\n")}\nTake its line out of the setting adopt, or mend it in the dashboard, and run this again. Nothing was changed.`,
    );
  }
  return judgements.flatMap((each) => each.notes);
}

/** Whatever looks as if it served the host, in the form of the setting. */
function candidatesOf(account: Account, settings: Settings, host: string): Adopt {
  const record = account.records.find(({ type }) => leadsSomewhere.has(type));
  const target = /^([0-9a-f-]{36})\.cfargotunnel\.com$/.exec(record?.content ?? "")?.[1];
  const tunnel =
    account.tunnels.find(({ id }) => id === target) ??
    account.tunnels.find(({ name }) => name === names.tunnel(host));
  const application = applicationOf(account.applications, host);
  const policy = (role: "family" | "phones", decision: string) => {
    const bound = application?.policies?.filter((each) => each.decision === decision) ?? [];
    return (
      bound.find(({ reusable }) => reusable)?.id ??
      byName(account.policies, names.policy(role, host))
    );
  };
  const alert = (role: AlertRole) => byName(account.alerts, names.alert(role, host));
  return {
    tunnel: tunnel?.id,
    record: record?.id,
    application: application?.id,
    policies: { family: policy("family", "allow"), phones: policy("phones", "non_identity") },
    google: settings.googleClientId
      ? (byName(account.identityProviders, names.google(host)) ??
        account.identityProviders.find(({ type }) => type === "google")?.id)
      : undefined,
    alerts: { tokenExpiry: alert("token-expiry"), tunnelHealth: alert("tunnel-health") },
    phones: {
      ...phonesByName(account, settings, host),
      ...settings.adopt.phones,
    },
  };
}

/** Tokens that bear the kit's names are their phones'; the others wait for the owner's word. */
function phonesByName(account: Account, settings: Settings, host: string): Record<string, string> {
  return Object.fromEntries(
    phonesOf(settings).flatMap(({ key, person, phone }) => {
      const id = byName(account.serviceTokens, names.serviceToken(person, phone.name, host));
      return id === undefined ? [] : [[key, id]];
    }),
  );
}

interface Judged extends Judgement {
  key: string;
}

/** Each thing's judgement, and what remains when the refused ones are left out. */
async function judged(
  candidates: Adopt,
  around: Omit<Surroundings, "adopt">,
  all: Adopt = candidates,
): Promise<{ adopt: Adopt; judgements: Judged[] }> {
  const { account } = around;
  const adopt = structuredClone(candidates);
  // A thing that was refused is no longer the house's: what it uses is used by a stranger.
  const together = structuredClone(all);
  const judgements: Judged[] = [];
  const judge = <T extends Named>(
    key: string,
    list: T[],
    id: string | undefined,
    by: (thing: T, around: Surroundings) => Judgement,
    leaveOut: (from: Adopt) => void,
  ) => {
    const thing = list.find((each) => each.id === id);
    if (thing === undefined) return;
    const judgement = by(thing, { ...around, adopt: together });
    judgements.push({ key, ...judgement });
    if (judgement.refused.length === 0) return;
    leaveOut(adopt);
    leaveOut(together);
  };
  judge("application", account.applications, adopt.application, judgeApplication, (from) => {
    delete from.application;
  });
  for (const role of ["family", "phones"] as const) {
    judge(
      `policies.${role}`,
      account.policies,
      adopt.policies?.[role],
      (policy, around) => judgePolicy(policy, role, around),
      (from) => {
        delete from.policies?.[role];
      },
    );
  }
  for (const [phone, id] of Object.entries(adopt.phones ?? {})) {
    judge(`phones.${phone}`, account.serviceTokens, id, judgeToken, (from) => {
      delete from.phones?.[phone];
    });
  }
  judge("google", account.identityProviders, adopt.google, judgeGoogle, (from) => {
    delete from.google;
  });
  for (const [key, role] of Object.entries(alertRoles) as [keyof typeof alertRoles, AlertRole][]) {
    judge(
      `alerts.${key}`,
      account.alerts,
      adopt.alerts?.[key],
      (alert, around) => judgeAlert(alert, role, around),
      (from) => {
        delete from.alerts?.[key];
      },
    );
  }
  judge("record", account.records, adopt.record, judgeRecord, (from) => {
    delete from.record;
  });
  const tunnel = account.tunnels.find(({ id }) => id === adopt.tunnel);
  if (tunnel) {
    const use = await readTunnelUse(account, tunnel);
    judge(
      "tunnel",
      account.tunnels,
      tunnel.id,
      (each, around) => judgeTunnel(each, use, around),
      (from) => {
        delete from.tunnel;
      },
    );
  }
  return { adopt, judgements };
}

const alertRoles = {
  tokenExpiry: "token-expiry",
  tunnelHealth: "tunnel-health",
} as const satisfies Record<string, AlertRole>;

/** The application's own policies, which no import can take. */
function legacyPolicies({ application: id }: Adopt, { applications }: Account): string[] {
  const application = applications.find((each) => each.id === id);
  return (application?.policies ?? [])
    .filter(({ reusable }) => reusable === false)
    .map(
      ({ name }) =>
        `The application's own policy "${name}" is not reusable: the kit makes its own in its place, in the same up.`,
    );
}

/** Tokens that a phone of the family may have: only the owner knows. */
function tokensToAssign(
  around: Surroundings,
  { application, phones = {} }: Adopt,
  held: ReadonlySet<string>,
): string[] {
  const { account, groups, host } = around;
  const known = new Set(Object.values(phones));
  const bound = account.applications.find(({ id }) => id === application)?.policies ?? [];
  return account.serviceTokens
    .filter(({ id }) => !known.has(id) && !held.has(id))
    .filter((token) => judgeToken(token, around).refused.length === 0)
    .map((token) => {
      const { id, name } = token;
      const used = usersOfToken(token, account, groups);
      const letIn = [...used.policies, ...bound].some(
        (policy) =>
          bound.some((each) => each.id === policy.id) &&
          JSON.stringify(policy.include ?? []).includes(id),
      );
      return `The service token "${name}" is ${id}${letIn ? `, and lets in to ${host} today` : ""}. If a phone of the family uses it, add to adopt.phones: <person>-<phone>: ${id}. Else that phone needs its new headers after the up.`;
    });
}

/** A name that stands beside the one that is taken. */
function freeHostname(hostname: string): string {
  return `${hostname.slice(0, 58)}-home`;
}

/** Lines of the setting whose thing is not there, such as `tunnel: f70ff985-…`. */
function unknownIds(adopt: Adopt, account: Account): string[] {
  return eachId(adopt).flatMap(({ key, id }) =>
    listFor(key, account).some((each) => each.id === id) ? [] : [`${key}: ${id}`],
  );
}

function listFor(key: string, account: Account): Named[] {
  const lists: Record<string, Named[]> = {
    tunnel: account.tunnels,
    record: account.records,
    application: account.applications,
    policies: account.policies,
    google: account.identityProviders,
    alerts: account.alerts,
    phones: account.serviceTokens,
  };
  return lists[key.split(".")[0]!] ?? [];
}

/** Every id of the setting with its place in it, such as `policies.family`. */
function eachId(adopt: Adopt): { key: string; id: string }[] {
  return Object.entries(adopt).flatMap(([key, value]) =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([inner, id]) => (id ? [{ key: `${key}.${inner}`, id }] : []))
      : value
        ? [{ key, id: value }]
        : [],
  );
}

/** The setting without the ids that a condition takes out. */
function without(adopt: Adopt, out: (each: { key: string; id: string }) => boolean): Adopt {
  const kept = structuredClone(adopt);
  for (const each of eachId(adopt).filter(out)) {
    const [key, inner] = each.key.split(".") as [keyof Adopt, string?];
    if (inner === undefined) delete kept[key];
    else delete (kept[key] as Record<string, string>)[inner];
  }
  return kept;
}

const withoutHeld = (adopt: Adopt, held: ReadonlySet<string>) =>
  without(adopt, ({ id }) => held.has(id));

/**
 * What bears the kit's name was taken over before, and written to: its name is the first thing that an `up` gives it.
 * It bears a former host's until the `up` that moves the house.
 */
function withoutKitNamed(adopt: Adopt, account: Account, settings: Settings, host: string): Adopt {
  return without(adopt, ({ key, id }) => {
    if (key === "record") {
      return account.records.find((each) => each.id === id)?.comment === recordComment;
    }
    if (key === "application") {
      const application = account.applications.find((each) => each.id === id);
      if (application && ownHostOf(application, settings.domain) !== undefined) return true;
    }
    const name = listFor(key, account).find((each) => each.id === id)?.name;
    const named = hostInName(name);
    return (
      name !== undefined &&
      named !== undefined &&
      (named === host || named.endsWith(`.${settings.domain}`)) &&
      kitNames(settings, named).has(name)
    );
  });
}

/** The host in the zone whose gate of the kit's this is, renamed in the dashboard or not. */
function ownHostOf(application: Application, domain: string): string | undefined {
  return placesOf(application).find(
    (place) => place.endsWith(`.${domain}`) && isOwnApplication(application, place),
  );
}

function kitNames(settings: Settings, host: string): Set<string> {
  return new Set([
    names.tunnel(host),
    names.application(host),
    names.google(host),
    ...(["family", "phones"] as const).map((role) => names.policy(role, host)),
    ...Object.values(alertRoles).map((role) => names.alert(role, host)),
    ...phonesOf(settings).map(({ person, phone }) => names.serviceToken(person, phone.name, host)),
  ]);
}

function byName(list: Named[], name: string): string | undefined {
  return list.find((each) => each.name === name)?.id;
}

function withoutEmpty<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(object)
      .map(([key, value]) => [
        key,
        typeof value === "object" && value !== null ? withoutEmpty(value) : value,
      ])
      .filter(
        ([, value]) =>
          value !== undefined && !(typeof value === "object" && Object.keys(value).length === 0),
      ),
  ) as Partial<T>;
}

/** One line of the file that `pulumi import` takes. */
export interface ImportedResource {
  type: string;
  name: string;
  id?: string;
  parent?: string;
  component?: true;
  version?: string;
}

/**
 * What `pulumi import --file` takes to bring these things under the program's names. Not by the resource option `import`:
 * with it the second `up` would delete what the first has both taken over and changed.
 *
 * @param state the stack's resources: what it holds is left out, and its components are named in the table.
 */
export function importFile(
  adopt: Partial<Settings["adopt"]>,
  { accountId, zoneId, version }: { accountId: string; zoneId: string; version: string },
  state: { urn: string; id?: string }[],
): { nameTable: Record<string, string>; resources: ImportedResource[] } {
  const held = new Set(state.map(({ id }) => id));
  const resource = (
    type: string,
    name: string,
    parent: ComponentName,
    id: string | undefined,
    scope: string,
  ): ImportedResource[] =>
    id === undefined || held.has(id)
      ? []
      : [
          {
            type: resourceType(type),
            name,
            parent: logicalNames[parent],
            id: `${scope}/${id}`,
            version,
          },
        ];
  const account = `accounts/${accountId}`;
  const { policies = {}, alerts = {}, phones = {} } = adopt;
  const { gate, tunnel, hostname } = logicalNames;
  const things = [
    ...resource(
      "ZeroTrustTunnelCloudflared",
      childNames.tunnel(tunnel),
      "tunnel",
      adopt.tunnel,
      accountId,
    ),
    ...resource(
      "ZeroTrustAccessIdentityProvider",
      childNames.google(gate),
      "gate",
      adopt.google,
      account,
    ),
    ...Object.entries(phones).flatMap(([phone, id]) =>
      resource("ZeroTrustAccessServiceToken", childNames.token(gate, phone), "gate", id, account),
    ),
    ...(Object.entries(policies) as ["family" | "phones", string | undefined][]).flatMap(
      ([role, id]) =>
        resource("ZeroTrustAccessPolicy", childNames.policy(gate, role), "gate", id, accountId),
    ),
    ...resource(
      "ZeroTrustAccessApplication",
      childNames.application(gate),
      "gate",
      adopt.application,
      account,
    ),
    ...(Object.entries(alertRoles) as [keyof typeof alertRoles, AlertRole][]).flatMap(
      ([key, role]) =>
        resource(
          "NotificationPolicy",
          childNames.alert(logicalNames.alerts, role),
          "alerts",
          alerts[key],
          accountId,
        ),
    ),
    ...resource("DnsRecord", childNames.record(hostname), "hostname", adopt.record, zoneId),
  ];
  const nameTable: Record<string, string> = {};
  const parents: ImportedResource[] = [];
  const needed = new Set(things.flatMap(({ parent }) => [logicalNames.edge, parent]));
  for (const [component, { type, parent: above }] of Object.entries(components)) {
    const name = logicalNames[component as ComponentName];
    const parent = above && logicalNames[above];
    if (!needed.has(name)) continue;
    const known = state.find(({ urn }) => urn.endsWith(`${type}::${name}`));
    if (known) nameTable[name] = known.urn;
    else parents.push({ type, name, component: true, ...(parent && { parent }) });
  }
  return { nameTable, resources: things.length > 0 ? [...parents, ...things] : [] };
}

function resourceType(name: string): string {
  return `cloudflare:index/${name[0]!.toLowerCase()}${name.slice(1)}:${name}`;
}
