import type { Properties } from "../../values.ts";
import type { ApiClient } from "./api-client.ts";
import { camelCased } from "./api-shape.ts";

/** The provider's functions, by token. */
export const functions: Record<string, (api: ApiClient, args: Properties) => Promise<Properties>> =
  {
    "cloudflare:index/getZone:getZone": getZone,
    "cloudflare:index/getZeroTrustTunnelCloudflaredToken:getZeroTrustTunnelCloudflaredToken":
      getTunnelToken,
    "cloudflare:index/getZeroTrustAccessIdentityProviders:getZeroTrustAccessIdentityProviders":
      getIdentityProviders,
  };

async function getZone(api: ApiClient, args: Properties): Promise<Properties> {
  refuseOthers("getZone", args, ["filter", "zoneId"]);
  let zoneId = args.zoneId;
  if (args.filter !== undefined) {
    const filter = args.filter as Properties;
    refuseOthers("getZone's filter", filter, ["name"]);
    const query =
      filter.name === undefined ? "" : `?name=${encodeURIComponent(String(filter.name))}`;
    const zones = (await api.call("GET", `/zones${query}`)) as { id: string }[];
    if (zones.length !== 1) {
      throw new Error(`failed to find exactly one result: ${zones.length} found`);
    }
    zoneId = zones[0]!.id;
  }
  if (zoneId === undefined || zoneId === "") {
    throw new Error("Invalid zone configuration: empty or null zone ID");
  }
  const zone = camelCased(await api.call("GET", `/zones/${String(zoneId)}`)) as Properties;
  return { ...zone, ...(args.filter !== undefined && { filter: args.filter }), zoneId };
}

// The real provider does not mark the token secret.
async function getTunnelToken(api: ApiClient, args: Properties): Promise<Properties> {
  refuseOthers("getZeroTrustTunnelCloudflaredToken", args, ["accountId", "tunnelId"]);
  const { accountId, tunnelId } = args;
  const token = await api.call(
    "GET",
    `/accounts/${String(accountId)}/cfd_tunnel/${String(tunnelId)}/token`,
  );
  return { ...args, id: String(tunnelId), token: String(token) };
}

async function getIdentityProviders(api: ApiClient, args: Properties): Promise<Properties> {
  refuseOthers("getZeroTrustAccessIdentityProviders", args, ["accountId"]);
  const { accountId } = args;
  const path = `/accounts/${String(accountId)}/access/identity_providers`;
  const results = camelCased(await api.call("GET", path));
  return { ...args, id: String(accountId), results };
}

function refuseOthers(what: string, args: Properties, known: string[]): void {
  for (const name of Object.keys(args)) {
    if (!known.includes(name)) {
      throw new Error(`The rehearsal engine's stand-in for ${what} does not carry "${name}".`);
    }
  }
}
