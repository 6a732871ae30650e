import { UserError } from "../settings/user-error.ts";
import { type Answer, CloudflareApi, type CloudflareApiArgs, reasons } from "./api.ts";
import { names } from "./names.ts";
import { permissions } from "./permissions.ts";
import { readConfiguration, type TunnelConfiguration } from "./tunnel-use.ts";
import type { Application, Rules } from "./uses.ts";

export interface AccountArgs extends CloudflareApiArgs {
  accountId: string;
  /** The zone's name, such as yamada.jp. */
  domain: string;
  /** The whole name that the photos get, such as photos.yamada.jp. */
  host: string;
  /** The id of a DNS record of that name that was taken over, and is not yet the kit's by its comment; "any" to look only. */
  adoptedRecord?: string | undefined;
}

/** What the program reads at Cloudflare before it changes anything there. */
export interface Account {
  api: CloudflareApi;
  accountId: string;
  zoneId: string;
  /** `<teamName>.cloudflareaccess.com` is where people sign in. */
  teamName: string;
  identityProviders: (Named & { type: string })[];
  serviceTokens: ServiceToken[];
  policies: Policy[];
  tunnels: Tunnel[];
  /** Of the tunnel that bears the host's name. */
  ownTunnel: TunnelConfiguration | undefined;
  applications: Application[];
  alerts: Alert[];
  /** Of the host's name. */
  records: DnsRecord[];
}

/** A thing at Cloudflare, as its API lists it. */
export interface Named {
  id: string;
  name: string;
}

export interface ServiceToken extends Named {
  /** ISO 8601 in UTC; missing where the token never ends. */
  expires_at?: string;
  last_seen_at?: string | null;
}

export interface Policy extends Named, Rules {
  decision: string;
  app_count: number;
  [setting: string]: unknown;
}

export interface Alert extends Named {
  alert_type: string;
  mechanisms: Record<string, { id: string }[] | undefined>;
  filters?: Record<string, unknown> | null;
}

export interface Tunnel extends Named {
  status: string;
  /** Where its ingress is kept: "cloudflare", or "local" in a file beside the connector. */
  config_src: string;
  /** When a connector was there last. */
  conns_active_at: string | null;
}

export interface DnsRecord extends Named {
  type: string;
  content: string;
  comment: string | null;
}

/** Tells the kit's own record from one that was there before. */
export const recordComment = "ouchi-photos";

/**
 * Reads, once for each permission, what the kit will need. Where a reading is refused, the API token itself is verified.
 *
 * @throws {UserError} when Cloudflare refuses the token, a permission is missing, there is no zone or Zero Trust organization,
 *   or the host's name already leads elsewhere.
 */
export async function readAccount(args: AccountArgs): Promise<Account> {
  const { accountId, domain, host } = args;
  const api = new CloudflareApi(args);
  const read = async <T>(path: string, permission: string): Promise<T> => {
    const answer = await get<T>(api, path);
    if (answer.status === 401 || answer.status === 403) await verifyToken(api, accountId);
    return resultOf(path, permission, answer);
  };
  const account = `/accounts/${accountId}`;
  // First and alone: a token that does not work is then said once.
  const [zone] = await read<{ id: string }[]>(
    `/zones?name=${encodeURIComponent(domain)}`,
    permissions.zone,
  );
  if (!zone) {
    throw new UserError(
      `Cloudflare knows no zone "${domain}" that this API token may see. Open the domain at Cloudflare and include it in the token's zone resources, or mend the setting domain. Nothing was changed.`,
    );
  }
  const [
    teamName,
    identityProviders,
    records,
    serviceTokens,
    tunnels,
    policies,
    applications,
    alerts,
  ] = await Promise.all([
    readTeamName(api, accountId),
    read<Account["identityProviders"]>(
      `${account}/access/identity_providers?per_page=100`,
      permissions.organization,
    ),
    read<DnsRecord[]>(
      `/zones/${zone.id}/dns_records?name.exact=${encodeURIComponent(host)}`,
      permissions.record,
    ),
    read<ServiceToken[]>(`${account}/access/service_tokens?per_page=100`, permissions.serviceToken),
    read<Tunnel[]>(`${account}/cfd_tunnel?is_deleted=false&per_page=100`, permissions.tunnel),
    read<Policy[]>(`${account}/access/policies?per_page=100`, permissions.access),
    read<Application[]>(`${account}/access/apps?per_page=100`, permissions.access),
    read<Alert[]>(`${account}/alerting/v3/policies`, permissions.alert),
  ]);
  refuseForeignRecord(args, records);
  const own = tunnels.find(({ name }) => name === names.tunnel(host));
  return {
    ...{ api, accountId, zoneId: zone.id, teamName },
    ...{ identityProviders, serviceTokens, policies, tunnels, applications, alerts, records },
    ownTunnel: own && (await readConfiguration({ api, accountId }, own)),
  };
}

/** The types of record that a CNAME cannot stand beside. */
export const leadsSomewhere: ReadonlySet<string> = new Set(["A", "AAAA", "CNAME", "NS"]);

function refuseForeignRecord({ host, adoptedRecord }: AccountArgs, records: DnsRecord[]): void {
  const foreign = records.find(
    ({ comment, id, type }) =>
      leadsSomewhere.has(type) &&
      comment !== recordComment &&
      adoptedRecord !== "any" &&
      id !== adoptedRecord,
  );
  if (!foreign) return;
  throw new UserError(
    `The name ${host} leads elsewhere already: Cloudflare has the record ${foreign.type} ${foreign.content} for it, which the kit did not make. Take it over ("npx ouchi adopt"), delete it in Cloudflare's dashboard (DNS → Records), or choose another name by the setting hostname. Nothing was changed.`,
  );
}

async function verifyToken(api: CloudflareApi, accountId: string): Promise<void> {
  // A user-owned and an account-owned token are each verified at their own address.
  for (const path of ["/user/tokens/verify", `/accounts/${accountId}/tokens/verify`]) {
    const { status, body } = await get<{ status: string }>(api, path);
    if (status === 200 && body?.success && body.result.status === "active") return;
  }
  throw new UserError(
    "Cloudflare refuses the API token in cloudflare:apiToken: it is wrong, disabled or expired. Make one as the README's list of permissions says and set it by: pulumi config set --secret cloudflare:apiToken. Nothing was changed.",
  );
}

async function readTeamName(api: CloudflareApi, accountId: string): Promise<string> {
  const path = `/accounts/${accountId}/access/organizations`;
  const answer = await get<{ auth_domain: string } | null>(api, path);
  const { status, body } = answer;
  if (status === 404 || (status === 200 && body?.success && !body.result?.auth_domain)) {
    throw new UserError(
      `The Cloudflare account ${accountId} has no Zero Trust organization yet. Open https://one.dash.cloudflare.com once, choose a team name and the free plan, then run this again. Nothing was changed.`,
    );
  }
  return resultOf(path, permissions.organization, answer)!.auth_domain.split(".")[0]!;
}

function resultOf<T>(path: string, permission: string, { status, body }: Answer<T>): T {
  if (status === 200 && body?.success) return body.result;
  const words = reasons(body);
  if (status === 401 || status === 403) {
    throw new UserError(
      `The API token in cloudflare:apiToken lacks the permission "${permission}", or the account or zone in its resources: Cloudflare answered ${status} to GET ${path}${words ? `: ${words}` : ""}. Add it to the token in Cloudflare's dashboard. Nothing was changed.`,
    );
  }
  throw new UserError(
    `Cloudflare could not answer GET ${path}: status ${status}${words ? `, ${words}` : ""}. Check the setting accountId, or try again in some minutes. Nothing was changed.`,
  );
}

async function get<T>(api: CloudflareApi, path: string): Promise<Answer<T>> {
  try {
    // A list comes in pages: what is on the second one is there, too.
    return (await api.list(path)) as unknown as Answer<T>;
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${error.message} Nothing was changed.`);
    throw error;
  }
}
