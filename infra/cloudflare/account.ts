import { UserError } from "../settings/user-error.ts";

export const productionApi = "https://api.cloudflare.com/client/v4";

export interface AccountArgs {
  /** Base URL of Cloudflare's API v4, without a slash at the end. */
  baseUrl: string;
  apiToken: string;
  accountId: string;
  /** The zone's name, such as yamada.jp. */
  domain: string;
  /** The whole name that the photos get, such as photos.yamada.jp. */
  host: string;
}

/** What the program reads at Cloudflare before it changes anything there. */
export interface Account {
  /** `<teamName>.cloudflareaccess.com` is where people sign in. */
  teamName: string;
  /** A one-time PIN that somebody else set up; undefined where the kit makes, or made, its own. */
  oneTimePinId: string | undefined;
  /** Every service token of the account. */
  serviceTokens: ServiceToken[];
}

export interface ServiceToken {
  name: string;
  /** ISO 8601 in UTC. */
  expiresAt: string;
}

/** The name tells the kit's own one-time PIN from one that was there before. */
export const oneTimePinName = "ouchi-photos one-time PIN";

/** Tells the kit's own record from one that was there before. */
export const recordComment = "ouchi-photos";

interface DnsRecord {
  type: string;
  content: string;
  comment: string | null;
}

interface Envelope<T> {
  success: boolean;
  errors?: { code: number; message: string }[];
  result: T;
}

const tries = 4;

/**
 * Verifies the API token and reads, once for each permission, what the kit will need.
 *
 * @throws {UserError} when Cloudflare refuses the token, a permission is missing, there is no zone or Zero Trust organization,
 *   or the host's name already leads elsewhere.
 */
export async function readAccount(args: AccountArgs): Promise<Account> {
  await verifyToken(args);
  const account = `/accounts/${args.accountId}`;
  const zones = await read<{ id: string }[]>(
    args,
    `/zones?name=${encodeURIComponent(args.domain)}`,
    "Zone Read",
  );
  const zone = zones[0];
  if (!zone) {
    throw new UserError(
      `Cloudflare knows no zone "${args.domain}" that this API token may see. Open the domain at Cloudflare and include it in the token's zone resources, or mend the setting domain. Nothing was changed.`,
    );
  }
  const [organization, identityProviders, records, tokens] = await Promise.all([
    readOrganization(args),
    read<{ id: string; type: string; name: string }[]>(
      args,
      `${account}/access/identity_providers`,
      "Access: Organizations, Identity Providers, and Groups Edit",
    ),
    read<DnsRecord[]>(
      args,
      `/zones/${zone.id}/dns_records?name.exact=${encodeURIComponent(args.host)}`,
      "DNS Edit",
    ),
    read<{ name: string; expires_at: string }[]>(
      args,
      `${account}/access/service_tokens?per_page=50`,
      "Access: Service Tokens Edit",
    ),
    read(args, `${account}/cfd_tunnel?per_page=1`, "Cloudflare Tunnel Edit"),
    read(args, `${account}/access/apps?per_page=1`, "Access: Apps and Policies Edit"),
    read(args, `${account}/alerting/v3/policies`, "Notifications Edit"),
  ]);
  refuseForeignRecord(args.host, records);
  return {
    serviceTokens: tokens.map(({ name, expires_at }) => ({ name, expiresAt: expires_at })),
    teamName: organization.auth_domain.split(".")[0]!,
    oneTimePinId: identityProviders.find(
      ({ type, name }) => type === "onetimepin" && name !== oneTimePinName,
    )?.id,
  };
}

function refuseForeignRecord(host: string, records: DnsRecord[]): void {
  const foreign = records.find(({ comment }) => comment !== recordComment);
  if (!foreign) return;
  throw new UserError(
    `The name ${host} leads elsewhere already: Cloudflare has the record ${foreign.type} ${foreign.content} for it, which the kit did not make. Delete it in Cloudflare's dashboard (DNS → Records), or choose another name by the setting hostname. Nothing was changed.`,
  );
}

async function verifyToken(args: AccountArgs): Promise<void> {
  // A user-owned and an account-owned token are each verified at their own address.
  for (const path of ["/user/tokens/verify", `/accounts/${args.accountId}/tokens/verify`]) {
    const { status, body } = await get<{ status: string }>(args, path);
    if (status === 200 && body?.success && body.result.status === "active") return;
  }
  throw new UserError(
    "Cloudflare refuses the API token in cloudflare:apiToken: it is wrong, disabled or expired. Make one as the README's list of permissions says and set it by: pulumi config set --secret cloudflare:apiToken. Nothing was changed.",
  );
}

async function readOrganization(args: AccountArgs): Promise<{ auth_domain: string }> {
  const path = `/accounts/${args.accountId}/access/organizations`;
  const { status, body } = await get<{ auth_domain: string } | null>(args, path);
  if (status === 404 || (status === 200 && !body?.result?.auth_domain)) {
    throw new UserError(
      `The Cloudflare account ${args.accountId} has no Zero Trust organization yet. Open https://one.dash.cloudflare.com once, choose a team name and the free plan, then run this again. Nothing was changed.`,
    );
  }
  return expectResult(
    path,
    "Access: Organizations, Identity Providers, and Groups Edit",
    status,
    body,
  ) as { auth_domain: string };
}

async function read<T>(args: AccountArgs, path: string, permission: string): Promise<T> {
  const { status, body } = await get<T>(args, path);
  return expectResult(path, permission, status, body);
}

function expectResult<T>(
  path: string,
  permission: string,
  status: number,
  body: Envelope<T> | undefined,
): T {
  if (status === 200 && body?.success) return body.result;
  const reasons = (body?.errors ?? [])
    .map(({ code, message }) => `${message} (${code})`)
    .join("; ");
  if (status === 401 || status === 403) {
    throw new UserError(
      `The API token in cloudflare:apiToken lacks the permission "${permission}", or the account or zone in its resources: Cloudflare answered ${status} to GET ${path}${reasons ? `: ${reasons}` : ""}. Add it to the token in Cloudflare's dashboard. Nothing was changed.`,
    );
  }
  throw new UserError(
    `Cloudflare could not answer GET ${path}: status ${status}${reasons ? `, ${reasons}` : ""}. Check the setting accountId, or try again in some minutes. Nothing was changed.`,
  );
}

async function get<T>(
  { baseUrl, apiToken }: AccountArgs,
  path: string,
): Promise<{ status: number; body: Envelope<T> | undefined }> {
  for (let attempt = 1; ; attempt++) {
    let response: Response | undefined;
    let cause = "";
    try {
      response = await fetch(baseUrl + path, {
        headers: { authorization: `Bearer ${apiToken}` },
        signal: AbortSignal.timeout(30_000),
      });
    } catch (error) {
      cause = String((error as Error).cause ?? (error as Error).message);
    }
    const passing = !response || response.status === 429 || response.status >= 500;
    if (!passing) {
      const body = (await response!.json().catch(() => undefined)) as Envelope<T> | undefined;
      return { status: response!.status, body };
    }
    if (attempt === tries) {
      throw new UserError(
        `Cloudflare's API could not be reached: GET ${path} ${response ? `answered ${response.status}` : `failed, ${cause}`}, ${tries} times. Check the laptop's network, or try again in some minutes. Nothing was changed.`,
      );
    }
    const retryAfter = Number(response?.headers.get("retry-after") ?? Number.NaN);
    const seconds = Number.isFinite(retryAfter) ? Math.min(retryAfter, 60) : 2 ** attempt / 2;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}
