import { UserError } from "../settings/user-error.ts";
import { type Answer, CloudflareApi, type CloudflareApiArgs, reasons } from "./api.ts";
import { permissions } from "./permissions.ts";

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
  /**
   * Whether service tokens are judged strictly, as in organizations made since 2026-10-05. In the older way the answer
   * to a token's headers carries a cookie, which opens the gate as long as its policy's session lasts.
   */
  strictServiceTokens: boolean;
  identityProviders: (Named & { type: string })[];
  serviceTokens: ServiceToken[];
  policies: Policy[];
  tunnels: Tunnel[];
  alerts: Named[];
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

export interface Policy extends Named {
  include: { service_token?: { token_id: string } }[];
  app_count: number;
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
  const { accountId, domain, host, apiToken } = args;
  refuseNoToken(apiToken);
  const api = new CloudflareApi(args);
  const judged = async <T>(path: string, permission: string, reading: Promise<Answer<T>>) => {
    const answer = await unchanged(reading);
    if (answer.status === 401 || answer.status === 403) await verifyToken(api, accountId);
    return resultOf(path, permission, answer);
  };
  const read = <T>(path: string, permission: string) => judged(path, permission, api.get<T>(path));
  const list = <T>(path: string, permission: string) => judged(path, permission, api.list<T>(path));
  const account = `/accounts/${accountId}`;
  // First and alone: a token that does not work is then said once.
  const zones = await read<Zone[]>(`/zones?name=${encodeURIComponent(domain)}`, permissions.zone);
  const zone = fitZone(zones, domain, accountId);
  const [organization, identityProviders, records, serviceTokens, tunnels, policies, alerts] =
    await Promise.all([
      readOrganization(api, accountId),
      list<Account["identityProviders"][number]>(
        `${account}/access/identity_providers`,
        permissions.organization,
      ),
      read<DnsRecord[]>(
        `/zones/${zone.id}/dns_records?name.exact=${encodeURIComponent(host)}`,
        permissions.record,
      ),
      list<ServiceToken>(`${account}/access/service_tokens`, permissions.serviceToken),
      read<Tunnel[]>(`${account}/cfd_tunnel?is_deleted=false&per_page=100`, permissions.tunnel),
      list<Policy>(`${account}/access/policies`, permissions.access),
      read<Named[]>(`${account}/alerting/v3/policies`, permissions.alert),
    ]);
  refuseForeignRecord(args, records);
  return {
    ...{ api, accountId, zoneId: zone.id },
    teamName: organization.auth_domain.split(".")[0]!,
    strictServiceTokens: organization.strict_service_token_auth === true,
    ...{ identityProviders, serviceTokens, policies, tunnels, alerts, records },
  };
}

function refuseForeignRecord({ host, adoptedRecord }: AccountArgs, records: DnsRecord[]): void {
  const foreign = records.find(
    ({ comment, id }) =>
      comment !== recordComment && adoptedRecord !== "any" && id !== adoptedRecord,
  );
  if (!foreign) return;
  throw new UserError(
    `The name ${host} leads elsewhere already: Cloudflare has the record ${foreign.type} ${foreign.content} for it, which the kit did not make. Take it over ("npx ouchi adopt"), delete it in Cloudflare's dashboard (DNS → Records), or choose another name by the setting hostname. Nothing was changed.`,
  );
}

/** As Cloudflare lists a zone. */
interface Zone {
  id: string;
  status: string;
  paused: boolean;
  /** "full" where Cloudflare's name servers are the domain's own. */
  type: string;
  name_servers?: string[];
  account: { id: string };
}

/** A domain may be a zone of several accounts at once, and serves in one of them. */
function fitZone(zones: Zone[], domain: string, accountId: string): Zone {
  const zone = zones.find(({ account }) => account.id === accountId);
  const [elsewhere] = zones;
  if (!zone) {
    throw new UserError(
      elsewhere
        ? `The domain "${domain}" is in another Cloudflare account, ${elsewhere.account.id}, than the setting accountId names: give the one that holds the domain. Nothing was changed.`
        : `Cloudflare knows no zone "${domain}" that this API token may see. Open the domain at Cloudflare and include it in the token's zone resources, or mend the setting domain. Nothing was changed.`,
    );
  }
  const refuse = (why: string, cure: string) =>
    new UserError(
      `The domain "${domain}" does not serve by Cloudflare yet: ${why}. ${cure} Nothing was changed.`,
    );
  if (zone.status !== "active") {
    const servers = (zone.name_servers ?? []).join(" and ");
    throw refuse(
      `its zone is "${zone.status}" there`,
      zone.status === "pending" || zone.status === "moved"
        ? `Set its name servers${servers ? ` to ${servers}` : ""} where you bought it, wait for Cloudflare's mail that it is active, and run this again.`
        : "Look at it in Cloudflare's dashboard, and run this again once it is active.",
    );
  }
  if (zone.paused) {
    throw refuse(
      "its zone is paused, and without Cloudflare in front there is no gate",
      `Enable it in Cloudflare's dashboard (${domain} → Overview), and run this again.`,
    );
  }
  if (zone.type !== "full") {
    throw refuse(
      `its zone is of the type "${zone.type}", whose records Cloudflare does not answer for by itself`,
      "Change it to a full setup in Cloudflare's dashboard, or use another domain.",
    );
  }
  return zone;
}

/** Cloudflare would answer 400 to what is no token at all, and say nothing of it. */
function refuseNoToken(apiToken: string): void {
  if (/^(?!cfk_)[A-Za-z0-9_-]{40,}$/.test(apiToken)) return;
  const what = /^(?:cfk_.*|[0-9a-f]{37})$/.test(apiToken)
    ? "the account's Global API Key, which is not one"
    : /^\s|\s$/.test(apiToken)
      ? "with a space or a line's end around it"
      : /\s/.test(apiToken)
        ? "with a space in it, perhaps its label"
        : /[^\x20-\x7e]/.test(apiToken)
          ? "with a letter in it that no token has, perhaps a full-width one"
          : apiToken.length < 40
            ? `of ${apiToken.length} characters, and a token has 40 or more`
            : "with a character in it that no token has";
  throw new UserError(
    `What cloudflare:apiToken holds is no API token: it is ${what}. Copy the token alone from Cloudflare's dashboard, and set it by: pulumi config set --secret cloudflare:apiToken. Nothing was changed.`,
  );
}

async function verifyToken(api: CloudflareApi, accountId: string): Promise<void> {
  // A user-owned and an account-owned token are each verified at their own address.
  for (const path of ["/user/tokens/verify", `/accounts/${accountId}/tokens/verify`]) {
    const { status, body } = await unchanged(api.get<{ status: string }>(path));
    if (status === 200 && body?.success && body.result.status === "active") return;
  }
  throw new UserError(
    "Cloudflare refuses the API token in cloudflare:apiToken: it is wrong, disabled or expired. Make one as the README's list of permissions says and set it by: pulumi config set --secret cloudflare:apiToken. Nothing was changed.",
  );
}

interface Organization {
  auth_domain: string;
  strict_service_token_auth?: boolean;
}

async function readOrganization(api: CloudflareApi, accountId: string): Promise<Organization> {
  const path = `/accounts/${accountId}/access/organizations`;
  const answer = await unchanged(api.get<Organization | null>(path));
  const { status, body } = answer;
  if (status === 404 || (status === 200 && body?.success && !body.result?.auth_domain)) {
    throw new UserError(
      `The Cloudflare account ${accountId} has no Zero Trust organization yet. Open https://one.dash.cloudflare.com once, choose a team name and the free plan, then run this again. Nothing was changed.`,
    );
  }
  return resultOf(path, permissions.organization, answer)!;
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

async function unchanged<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${error.message} Nothing was changed.`);
    throw error;
  }
}
