import { type Account, recordComment, type Tunnel } from "./account.ts";
import { notSeen } from "./api.ts";
import { immichOnPi } from "./ingress-rules.ts";
import { permissions } from "./permissions.ts";

interface IngressRule {
  hostname?: string;
  path?: string;
  service: string;
  originRequest?: { access?: { required?: boolean }; [setting: string]: unknown };
}

/** A tunnel's configuration, as its API shows it. */
export interface TunnelConfiguration {
  ingress?: IngressRule[];
  originRequest?: Record<string, unknown>;
  "warp-routing"?: { enabled?: boolean };
}

/** All that is known to lead through a tunnel. */
export interface TunnelUse {
  configuration: TunnelConfiguration;
  /** Private networks and private names. */
  routes: string[];
  /** Names in the zones that the API token may see. */
  records: { name: string; comment?: string | null }[];
}

/**
 * What leads through a tunnel for others than the host: clauses such as `ha.yamada.jp leads to http://localhost:8123`.
 * A name that a record alone leads here is in it too: somebody means to serve it.
 */
export function othersThrough(
  { configuration, routes = [], records = [] }: Partial<TunnelUse>,
  host: string,
): string[] {
  const rules = configuration?.ingress ?? [];
  const clauses = rules.flatMap(({ hostname, path, service }) => {
    if (hostname === undefined || hostname === "" || hostname === "*") {
      const nothing = service === "http_status:404" && !path;
      return nothing ? [] : [`every other name${path ? ` below ${path}` : ""} leads to ${service}`];
    }
    if (hostname.toLowerCase() === host && !path) return [];
    return [`${hostname}${path ? ` (${path})` : ""} leads to ${service}`];
  });
  const served = new Set(rules.map(({ hostname }) => hostname?.toLowerCase()));
  return [
    ...clauses,
    ...records
      .filter(({ name }) => name !== host && !served.has(name))
      .map(({ name }) => `the name ${name} leads to it`),
    ...(configuration?.["warp-routing"]?.enabled ? ["devices reach private networks by it"] : []),
    ...routes.map((route) => `devices reach ${route} by it`),
  ];
}

/** The same of a tunnel of the house's own: what the kit itself made, for whatever host, a move may have left there. */
export function othersThroughOwn(use: Partial<TunnelUse>, host: string): string[] {
  const { configuration = {}, records = [] } = use;
  return othersThrough(
    {
      ...use,
      configuration: {
        ...configuration,
        ingress: (configuration.ingress ?? []).filter((rule) => !isOfTheKit(rule)),
      },
      records: records.filter(({ comment }) => comment !== recordComment),
    },
    host,
  );
}

/** A rule of the kit's own making. */
function isOfTheKit({ service, originRequest }: IngressRule): boolean {
  return service === immichOnPi && originRequest?.access?.required === true;
}

/** What would be lost of the way to the host itself, if the kit wrote the tunnel's configuration. */
export function lostOfHost({ ingress = [], originRequest }: TunnelConfiguration, host: string) {
  const own = ingress.find(({ hostname, path }) => hostname?.toLowerCase() === host && !path);
  const lost: string[] = [];
  if (own && !onTheSameMachine(own.service)) {
    lost.push(
      `it leads ${host} to ${own.service}, where its connector would look for Immich at ${immichOnPi}`,
    );
  }
  if (Object.keys(originRequest ?? {}).length > 0) {
    lost.push(`its settings for all names (${Object.keys(originRequest!).join(", ")}) would go`);
  }
  return lost;
}

function onTheSameMachine(service: string): boolean {
  return (
    URL.canParse(service) && ["localhost", "127.0.0.1", "[::1]"].includes(new URL(service).hostname)
  );
}

/** @throws {UserError} when Cloudflare does not answer: what cannot be seen is not taken for unused. */
export async function readTunnelUse(account: Account, tunnel: Tunnel): Promise<TunnelUse> {
  const { accountId } = account;
  const { tunnel: permission } = permissions;
  const [configuration, networks, hostnames, records] = await Promise.all([
    readConfiguration(account, tunnel),
    account.api.all<{ network: string }>(
      `/accounts/${accountId}/teamnet/routes?tunnel_id=${tunnel.id}&is_deleted=false`,
      permission,
    ),
    account.api.all<{ hostname: string }>(
      `/accounts/${accountId}/zerotrust/routes/hostname?tunnel_id=${tunnel.id}&is_deleted=false`,
      permission,
    ),
    recordsTo(account, tunnel),
  ]);
  return {
    configuration,
    routes: [...networks.map(({ network }) => network), ...hostnames.map((each) => each.hostname)],
    records,
  };
}

export async function readConfiguration(
  { api, accountId }: Pick<Account, "api" | "accountId">,
  { id }: Pick<Tunnel, "id">,
): Promise<TunnelConfiguration> {
  const path = `/accounts/${accountId}/cfd_tunnel/${id}/configurations`;
  const { status, body } = await api.get<{ config?: TunnelConfiguration | null }>(path);
  // A tunnel that never had a configuration may have none to show.
  if (status === 404) return {};
  if (status === 200 && body?.success) return body.result?.config ?? {};
  throw notSeen(path, status, permissions.tunnel);
}

/** Records that lead to a tunnel, in every zone that the API token may see. */
async function recordsTo(account: Account, { id }: Tunnel): Promise<TunnelUse["records"]> {
  const zones = await account.api.all<{ id: string }>("/zones", permissions.zone, 50);
  const found = await Promise.all(
    zones.map((zone) =>
      account.api.all<TunnelUse["records"][number]>(
        `/zones/${zone.id}/dns_records?content.exact=${id}.cfargotunnel.com`,
        permissions.record,
      ),
    ),
  );
  return found.flat().map(({ name, comment }) => ({
    name: name.toLowerCase(),
    ...(comment && { comment }),
  }));
}
