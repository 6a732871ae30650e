import { randomBytes, randomUUID } from "node:crypto";
import type { CloudflareTunnel } from "cloudflare/resources/shared";
import type { ConfigurationUpdateResponse } from "cloudflare/resources/zero-trust/tunnels/cloudflared/configurations";
import { z } from "zod";
import { refuse } from "../errors.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { Tunnel, TunnelConfiguration } from "../state.ts";

const secret = z
  .base64()
  .refine((text) => Buffer.from(text, "base64").length >= 32, "must be at least 32 bytes");

const create = z.strictObject({
  name: z.string().min(1).max(100),
  config_src: z.enum(["cloudflare", "local"]).default("local"),
  tunnel_secret: secret.optional(),
});

const edit = z.strictObject({
  name: z.string().min(1).max(100).optional(),
  tunnel_secret: secret.optional(),
});

const access = z.strictObject({
  required: z.boolean().optional(),
  teamName: z.string().optional(),
  audTag: z.array(z.string()).optional(),
});

const originRequest = z.strictObject({
  access: access.optional(),
  caPool: z.string().optional(),
  connectTimeout: z.number().int().optional(),
  disableChunkedEncoding: z.boolean().optional(),
  http2Origin: z.boolean().optional(),
  httpHostHeader: z.string().optional(),
  keepAliveConnections: z.number().int().optional(),
  keepAliveTimeout: z.number().int().optional(),
  matchSNItoHost: z.boolean().optional(),
  noHappyEyeballs: z.boolean().optional(),
  noTLSVerify: z.boolean().optional(),
  originServerName: z.string().optional(),
  proxyType: z.string().optional(),
  tcpKeepAlive: z.number().int().optional(),
  tlsTimeout: z.number().int().optional(),
});

const configuration = z.strictObject({
  config: z.strictObject({
    ingress: z
      .array(
        z.strictObject({
          hostname: z.string().optional(),
          path: z.string().optional(),
          service: z.string(),
          originRequest: originRequest.optional(),
        }),
      )
      .optional(),
    originRequest: originRequest.optional(),
    "warp-routing": z.strictObject({ enabled: z.boolean().optional() }).optional(),
  }),
});

const path = "/accounts/:account/cfd_tunnel";

export const tunnels = [
  route("GET", path, "Cloudflare Tunnel Read", list, {
    query: [...pagination, "name", "is_deleted", "uuid", "status", "include_prefix"],
  }),
  route("POST", path, "Cloudflare Tunnel Edit", make, { body: create }),
  route("GET", `${path}/:tunnel`, "Cloudflare Tunnel Read", (call) => ({
    result: present(find(call), call),
  })),
  route("PATCH", `${path}/:tunnel`, "Cloudflare Tunnel Edit", change, { body: edit }),
  route("DELETE", `${path}/:tunnel`, "Cloudflare Tunnel Edit", remove, { query: ["cascade"] }),
  route("GET", `${path}/:tunnel/token`, "Cloudflare Tunnel Edit", (call) => ({
    result: connectorToken(call.state.data.accountId, find(call)),
  })),
  route("GET", `${path}/:tunnel/configurations`, "Cloudflare Tunnel Read", (call) => ({
    result: presentConfiguration(find(call), call),
  })),
  route("PUT", `${path}/:tunnel/configurations`, "Cloudflare Tunnel Edit", configure, {
    body: configuration,
  }),
  route("GET", `${path}/:tunnel/connections`, "Cloudflare Tunnel Read", connectors),
  route(
    "DELETE",
    `${path}/:tunnel/connections`,
    "Cloudflare Tunnel Edit",
    (call) => {
      call.tunnels.disconnect(find(call).id, call.query.client_id);
      return { result: null };
    },
    { query: ["client_id"] },
  ),
];

/** What a connector is given to run the tunnel. */
function connectorToken(accountId: string, tunnel: Tunnel): string {
  return Buffer.from(JSON.stringify({ a: accountId, t: tunnel.id, s: tunnel.secret })).toString(
    "base64",
  );
}

function list(call: Call<undefined>): Reply {
  const { state, query } = call;
  return page(
    state.data.tunnels
      .filter(({ name }) => query.name === undefined || query.name === name)
      .filter(({ name }) => !query.include_prefix || name.startsWith(query.include_prefix))
      .filter(({ id }) => query.uuid === undefined || query.uuid === id)
      .filter(
        ({ deletedAt }) =>
          query.is_deleted === undefined || (deletedAt !== null) === (query.is_deleted === "true"),
      )
      .map((tunnel) => present(tunnel, call))
      .filter(({ status }) => query.status === undefined || query.status === status),
    query,
  );
}

function make(call: Call<z.infer<typeof create>>): Reply {
  const { state, body } = call;
  refuseTaken(call, body.name);
  const tunnel: Tunnel = {
    id: randomUUID(),
    name: body.name,
    configSrc: body.config_src,
    secret: body.tunnel_secret ?? randomBytes(32).toString("base64"),
    createdAt: state.timestamp(),
    deletedAt: null,
    activeAt: null,
    inactiveAt: null,
    everConnected: false,
    configuration: null,
  };
  state.data.tunnels.push(tunnel);
  state.save();
  return { result: present(tunnel, call) };
}

function change(call: Call<z.infer<typeof edit>>): Reply {
  const tunnel = find(call);
  const { name, tunnel_secret } = call.body;
  if (name !== undefined) {
    refuseTaken(call, name, tunnel);
    tunnel.name = name;
  }
  // Connections that are up stay up; the old token opens no new one.
  if (tunnel_secret !== undefined) tunnel.secret = tunnel_secret;
  call.state.save();
  return { result: present(tunnel, call) };
}

function remove(call: Call<undefined>): Reply {
  const tunnel = find(call);
  if (call.tunnels.connections(tunnel.id).length > 0) {
    throw refuse(
      400,
      1022,
      "Cannot delete tunnel because it has active connections. You can clean up connections by running the command 'cloudflared tunnel cleanup', or via the API, then try again.",
    );
  }
  tunnel.deletedAt = call.state.timestamp();
  // Its private routes go with it, without a word.
  const { data } = call.state;
  data.tunnelRoutes = data.tunnelRoutes.filter(({ tunnelId }) => tunnelId !== tunnel.id);
  call.state.save();
  return { result: present(tunnel, call) };
}

function refuseTaken({ state }: Call<unknown>, name: string, self?: Tunnel): void {
  if (state.data.tunnels.some((one) => one !== self && !one.deletedAt && one.name === name)) {
    throw refuse(
      409,
      1013,
      "You already have a tunnel with this name. Delete the existing tunnel, or choose a different name for your new tunnel",
    );
  }
}

function configure(call: Call<z.infer<typeof configuration>>): Reply {
  const tunnel = find(call);
  if (tunnel.configSrc !== "cloudflare") {
    throw refuse(400, 1055, "The tunnel is configured locally (config_src: local)");
  }
  const { config } = call.body;
  checkIngress(config);
  tunnel.configuration = {
    version: (tunnel.configuration?.version ?? 0) + 1,
    config: { ...config, "warp-routing": { enabled: false, ...config["warp-routing"] } },
    createdAt: call.state.timestamp(),
  };
  call.state.save();
  call.tunnels.pushConfiguration(tunnel.id);
  return { result: presentConfiguration(tunnel, call) };
}

/** The rules that cloudflared has; the API checks them before it takes them. */
function checkIngress({ ingress = [], originRequest: defaults }: TunnelConfiguration): void {
  const bad = (reason: string) =>
    refuse(400, 1056, `Bad Configuration: Validation failed: ${reason}`);
  for (const [index, rule] of ingress.entries()) {
    const last = index === ingress.length - 1;
    const catchAll = (!rule.hostname || rule.hostname === "*") && !rule.path;
    if (/:\d+$/.test(rule.hostname ?? "")) throw bad("Hostname cannot contain a port");
    if ((rule.hostname ?? "").lastIndexOf("*") > 0) {
      throw bad(
        'Hostname patterns can have at most one wildcard character ("*") and it can only be used for subdomains, e.g. "*.example.com"',
      );
    }
    if (last && !catchAll) {
      throw bad(
        "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)",
      );
    }
    if (!last && catchAll) {
      throw bad(
        `Rule #${index + 1} is matching the hostname '${rule.hostname ?? ""}', but this will match every hostname, meaning the rules which follow it will never be triggered.`,
      );
    }
    checkService(rule.service, bad);
    const required = rule.originRequest?.access ?? defaults?.access;
    if (required?.required && required.audTag?.length && !required.teamName) {
      throw bad("access.TeamName cannot be blank when access.audTags are present");
    }
  }
}

function checkService(service: string, bad: (reason: string) => Error): void {
  const status = /^http_status:(.*)$/.exec(service)?.[1];
  if (status !== undefined) {
    if (!/^\d{3}$/.test(status) || Number(status) < 100) {
      throw bad(`invalid HTTP status code: ${status}`);
    }
    return;
  }
  const url = URL.canParse(service) ? new URL(service) : undefined;
  if (!url?.hostname) {
    throw bad(`${service} is an invalid address, please make sure it has a scheme and a hostname`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw bad(`the rehearsal knows no service "${service}", only http, https and http_status`);
  }
  if (!/^https?:\/\/[^/]+$/.test(service)) {
    throw bad(
      `${service} is an invalid address, ingress rules don't support proxying to a different path on the origin service. The path will be the same as the eyeball request's path`,
    );
  }
}

function connectors(call: Call<undefined>): Reply {
  const connections = call.tunnels.connections(find(call).id);
  const clients = byClient(connections);
  return page(
    [...clients].map(([id, conns]) => ({
      id,
      version: conns[0]!.clientVersion,
      arch: "linux_amd64",
      features: [],
      run_at: conns[0]!.openedAt,
      config_version: conns[0]!.configurationVersion,
      conns: conns.map(presentConnection),
    })),
    call.query,
  );
}

function byClient<T extends { clientId: string }>(items: T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    groups.set(item.clientId, [...(groups.get(item.clientId) ?? []), item]);
  }
  return groups;
}

function find({ state, id }: Call<unknown>): Tunnel {
  const tunnel = state.data.tunnels.find((one) => one.id === id("tunnel"));
  if (!tunnel) throw refuse(404, 1003, "Tunnel not found");
  return tunnel;
}

function presentConnection(connection: {
  id: string;
  clientId: string;
  clientVersion: string;
  location: string;
  openedAt: string;
  originIp: string;
}): CloudflareTunnel.Connection {
  return {
    id: connection.id,
    uuid: connection.id,
    client_id: connection.clientId,
    client_version: connection.clientVersion,
    colo_name: connection.location,
    is_pending_reconnect: false,
    opened_at: connection.openedAt,
    origin_ip: connection.originIp,
  };
}

function present(tunnel: Tunnel, { state, tunnels }: Call<unknown>): CloudflareTunnel {
  const connections = tunnels.connections(tunnel.id);
  return {
    id: tunnel.id,
    account_tag: state.data.accountId,
    name: tunnel.name,
    config_src: tunnel.configSrc,
    remote_config: tunnel.configSrc === "cloudflare",
    tun_type: "cfd_tunnel",
    created_at: tunnel.createdAt,
    deleted_at: tunnel.deletedAt as string,
    conns_active_at: tunnel.activeAt as string,
    conns_inactive_at: tunnel.inactiveAt as string,
    status: connections.length > 0 ? "healthy" : tunnel.everConnected ? "down" : "inactive",
    connections: connections.map(presentConnection),
    metadata: {},
  };
}

function presentConfiguration(
  tunnel: Tunnel,
  { state }: Call<unknown>,
): ConfigurationUpdateResponse {
  return {
    account_id: state.data.accountId,
    tunnel_id: tunnel.id,
    version: tunnel.configuration?.version ?? 0,
    config: tunnel.configuration?.config as ConfigurationUpdateResponse.Config,
    source: tunnel.configSrc,
    created_at: tunnel.configuration?.createdAt ?? tunnel.createdAt,
  };
}
