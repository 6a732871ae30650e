import { randomUUID } from "node:crypto";
import type { HostnameRoute } from "cloudflare/resources/zero-trust/networks/hostname-routes";
import type { Teamnet } from "cloudflare/resources/zero-trust/networks/routes";
import { z } from "zod";
import { refuse } from "../errors.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { CloudflareState, TunnelRoute } from "../state.ts";

const networkBody = z.strictObject({
  network: z.string().regex(/^[0-9a-f.:]+\/\d{1,3}$/, "must be a network such as 192.168.1.0/24"),
  tunnel_id: z.string(),
  comment: z.string().max(100).default(""),
});

const hostnameBody = z.strictObject({
  hostname: z.string().min(1),
  tunnel_id: z.string(),
  comment: z.string().max(100).default(""),
});

const networks = "/accounts/:account/teamnet/routes";
const hostnames = "/accounts/:account/zerotrust/routes/hostname";
const read = "Cloudflare Tunnel Read";
const write = "Cloudflare Tunnel Edit";
const query = [...pagination, "tunnel_id", "is_deleted"];

/** What a tunnel serves to devices inside: the kit makes none, and must not take one away. */
export const tunnelRoutes = [
  route("GET", networks, read, (call) => list(call, "network"), { query }),
  route("POST", networks, write, (call) => make(call), { body: networkBody }),
  route("GET", hostnames, read, (call) => list(call, "hostname"), { query }),
  route("POST", hostnames, write, (call) => make(call), { body: hostnameBody }),
];

function list({ state, query }: Call<undefined>, kind: "network" | "hostname"): Reply {
  return page(
    state.data.tunnelRoutes
      .filter((each) => each[kind] !== undefined)
      .filter(({ tunnelId }) => query.tunnel_id === undefined || query.tunnel_id === tunnelId)
      .filter(() => query.is_deleted !== "true")
      .map((each) => present(each, state)),
    query,
  );
}

function make({
  state,
  body: { tunnel_id: tunnelId, ...body },
}: Call<{ tunnel_id: string; comment: string; network?: string; hostname?: string }>): Reply {
  if (!state.data.tunnels.some(({ id, deletedAt }) => id === tunnelId && !deletedAt)) {
    throw refuse(404, 1003, "Tunnel not found");
  }
  const made: TunnelRoute = {
    ...{ id: randomUUID(), tunnelId, createdAt: state.timestamp() },
    ...body,
  };
  state.data.tunnelRoutes.push(made);
  state.save();
  return { result: present(made, state) };
}

function present(
  { tunnelId, createdAt, ...rest }: TunnelRoute,
  state: CloudflareState,
): Teamnet | HostnameRoute {
  return {
    ...rest,
    tunnel_id: tunnelId,
    tunnel_name: state.data.tunnels.find(({ id }) => id === tunnelId)?.name ?? "",
    created_at: createdAt,
    deleted_at: null as unknown as string,
  };
}
