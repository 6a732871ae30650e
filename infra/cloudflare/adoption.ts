import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import { type Account, type AccountArgs, type Named, readAccount } from "./account.ts";
import { names } from "./names.ts";

/** What `adopt` in the stack file may say, and what the owner has to decide. */
export interface Adoptable {
  zoneId: string;
  adopt: Partial<Settings["adopt"]>;
  /** Sentences about what cannot be taken over, or not without a word from the owner. */
  remarks: string[];
}

interface Application extends Named {
  domain: string;
  policies: (Named & { decision: string; reusable: boolean })[];
}

/**
 * Looks for what serves the host already, made by hand or by a stack whose state was lost.
 *
 * @param held ids at Cloudflare that the stack's state has: they are its own and not to be adopted.
 * @throws {UserError} when the API token is refused or lacks a permission.
 */
export async function findAdoptable(
  args: AccountArgs,
  settings: Settings,
  stack: string,
  held: ReadonlySet<string>,
): Promise<Adoptable> {
  const account = await readAccount({ ...args, adoptedRecord: "any" });
  const remarks: string[] = [];
  const record = account.records[0];
  const tunnel = await findTunnel(account, args.host, record?.content, remarks);
  const application = await findApplication(account, args.host);
  const policy = (role: "family" | "phones", decision: string) => {
    const bound = application?.policies.filter((each) => each.decision === decision) ?? [];
    if (bound.some(({ reusable }) => !reusable)) {
      remarks.push(
        `The application's own policy "${bound[0]!.name}" is not reusable: the kit makes its own in its place, in the same up.`,
      );
    }
    const found = bound.find(({ reusable }) => reusable);
    return found?.id ?? byName(account.policies, names.policy(role, args.host));
  };
  const own = (id: string | undefined) => (id === undefined || held.has(id) ? undefined : id);
  const policies = {
    family: own(policy("family", "allow")),
    phones: own(policy("phones", "non_identity")),
  };
  const adopt = {
    tunnel: own(tunnel),
    record: own(record?.id),
    application: own(application?.id),
    policies,
    google: settings.googleClientId
      ? own(account.identityProviders.find(({ type }) => type === "google")?.id)
      : undefined,
    alerts: {
      tokenExpiry: own(byName(account.alerts, names.alert("token-expiry", args.host))),
      tunnelHealth: own(byName(account.alerts, names.alert("tunnel-health", args.host))),
    },
    phones: findTokens(account, settings, args.host, held, remarks),
  };
  return { zoneId: account.zoneId, adopt: withoutEmpty(adopt), remarks };
}

async function findTunnel(
  account: Account,
  host: string,
  target: string | undefined,
  remarks: string[],
): Promise<string | undefined> {
  const id = /^([0-9a-f-]{36})\.cfargotunnel\.com$/.exec(target ?? "")?.[1];
  const found = account.tunnels.find((each) => each.id === id || each.name === names.tunnel(host));
  if (found === undefined) return undefined;
  if (found.config_src === "cloudflare") return found.id;
  remarks.push(
    `The tunnel "${found.name}" has its ingress in a file on the Pi, which the kit cannot keep: it makes a tunnel of its own. Stop the old connector after the up, and delete the old tunnel in the dashboard.`,
  );
  return undefined;
}

async function findApplication(
  { api, accountId }: Account,
  host: string,
): Promise<Application | undefined> {
  const path = `/accounts/${accountId}/access/apps?per_page=100`;
  const { status, body } = await api.get<Application[]>(path);
  if (status !== 200 || !body?.success) {
    throw new UserError(`Cloudflare could not answer GET ${path}: status ${status}.`);
  }
  return body.result.find(({ domain }) => domain === host);
}

/** Tokens that bear the kit's names are given to their phones; the others wait for the owner's word. */
function findTokens(
  { serviceTokens }: Account,
  { family, adopt }: Settings,
  host: string,
  held: ReadonlySet<string>,
  remarks: string[],
): Record<string, string> {
  const found: Record<string, string> = {};
  const known = new Set<string | undefined>(Object.values(adopt.phones));
  for (const person of family) {
    for (const phone of person.phones) {
      const id = byName(serviceTokens, names.serviceToken(person.name, phone.name, host));
      if (id === undefined) continue;
      known.add(id);
      if (!held.has(id)) found[`${person.name}-${phone.name}`] = id;
    }
  }
  for (const { id, name } of serviceTokens) {
    if (known.has(id) || held.has(id)) continue;
    remarks.push(
      `The service token "${name}" is ${id}. If a phone of the family uses it, add to adopt.phones: <person>-<phone>: ${id}. Else that phone needs its new headers after the up.`,
    );
  }
  return found;
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

/** The components of the edge that hold its resources, each below the one before it or below the edge. */
const components: Record<string, { type: string; parent?: string }> = {
  edge: { type: "ouchi:cloudflare:Edge" },
  gate: { type: "ouchi:cloudflare:AccessGate", parent: "edge" },
  tunnel: { type: "ouchi:cloudflare:Tunnel", parent: "edge" },
  alerts: { type: "ouchi:cloudflare:Alerts", parent: "edge" },
  hostname: { type: "ouchi:cloudflare:Hostname", parent: "edge" },
};

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
    parent: string,
    id: string | undefined,
    scope: string,
  ): ImportedResource[] =>
    id === undefined || held.has(id)
      ? []
      : [{ type: resourceType(type), name, parent, id: `${scope}/${id}`, version }];
  const account = `accounts/${accountId}`;
  const { policies = {}, alerts = {}, phones = {} } = adopt;
  const identityProvider = "ZeroTrustAccessIdentityProvider";
  const things = [
    ...resource("ZeroTrustTunnelCloudflared", "tunnel-tunnel", "tunnel", adopt.tunnel, accountId),
    ...resource(identityProvider, "gate-google", "gate", adopt.google, account),
    ...Object.entries(phones).flatMap(([phone, id]) =>
      resource("ZeroTrustAccessServiceToken", `gate-token-${phone}`, "gate", id, account),
    ),
    ...Object.entries(policies).flatMap(([role, id]) =>
      resource("ZeroTrustAccessPolicy", `gate-policy-${role}`, "gate", id, accountId),
    ),
    ...resource(
      "ZeroTrustAccessApplication",
      "gate-application",
      "gate",
      adopt.application,
      account,
    ),
    ...resource(
      "NotificationPolicy",
      "alerts-token-expiry",
      "alerts",
      alerts.tokenExpiry,
      accountId,
    ),
    ...resource(
      "NotificationPolicy",
      "alerts-tunnel-health",
      "alerts",
      alerts.tunnelHealth,
      accountId,
    ),
    ...resource("DnsRecord", "hostname-record", "hostname", adopt.record, zoneId),
  ];
  const nameTable: Record<string, string> = {};
  const parents: ImportedResource[] = [];
  const needed = new Set(things.flatMap(({ parent }) => ["edge", parent]));
  for (const [name, { type, parent }] of Object.entries(components)) {
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
