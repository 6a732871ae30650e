import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import type { Clock } from "../clock.ts";
import { AccessGate } from "./access-gate.ts";
import { AccessTokens } from "./access-tokens.ts";
import { createApi, type LoggedCall } from "./api.ts";
import { edgeCertificate } from "./certificates.ts";
import { createControl } from "./control.ts";
import { Decisions } from "./decisions.ts";
import { Edge } from "./edge.ts";
import { Faults } from "./faults.ts";
import { hexId } from "./ids.ts";
import { listen } from "./listen.ts";
import { kitPermissions, type Permission } from "./permissions.ts";
import { SignInPages } from "./sign-in.ts";
import { CloudflareState } from "./state.ts";
import { TunnelServer } from "./tunnel-server.ts";

export interface CloudflareOptions {
  clock: Clock;
  /** 32 hexadecimal digits. */
  accountId: string;
  zoneName: string;
  /** People sign in at `<teamName>.cloudflareaccess.com`. */
  teamName: string;
  /**
   * As organizations made since 2026-10-05 treat service tokens.
   * @default true
   */
  strictServiceTokens?: boolean;
  /** API tokens that work, of 40 characters or more. */
  apiTokens?: {
    value: string;
    /** @default what the README tells the owner to tick */
    permissions?: readonly Permission[];
    /** @default "user" */
    owner?: "user" | "account";
  }[];
  /** Where the world is kept, and loaded from when it exists. */
  stateFile?: string;
  /** Where the edge's certificate and its authority are kept. @default a new temporary folder */
  certificateFolder?: string;
  /** @default free ones */
  ports?: { api?: number; control?: number; edge?: number; tunnel?: number; certs?: number };
  log?: (line: string) => void;
}

export interface PretendCloudflare {
  /** Base URL of the API, without a slash at the end. */
  apiUrl: string;
  /** Base URL of the control API, without a slash at the end. */
  controlUrl: string;
  /** HTTPS, for every host of the pretend DNS and for the team's domain. */
  edgePort: number;
  /** Where connectors dial. */
  tunnelPort: number;
  /**
   * Access' public keys by plain HTTP, for the connector on the virtual Pi: it does not know the
   * authority of this run.
   */
  certsPort: number;
  /** PEM of the authority that the edge's certificate is from. */
  caFile: string;
  state: CloudflareState;
  tokens: AccessTokens;
  faults: Faults;
  /** The API's call log. */
  calls: LoggedCall[];
  close(): Promise<void>;
}

/** Starts the pretend Cloudflare on loopback. */
export async function startCloudflare(options: CloudflareOptions): Promise<PretendCloudflare> {
  if (!/^[0-9a-f]{32}$/.test(options.accountId)) {
    throw new Error(`"${options.accountId}" is no account id: 32 hexadecimal digits are wanted.`);
  }
  const log = options.log ?? (() => undefined);
  const state = new CloudflareState({
    clock: options.clock,
    accountId: options.accountId,
    zoneName: options.zoneName,
    teamName: options.teamName,
    strictServiceTokens: options.strictServiceTokens ?? true,
    apiTokens: (options.apiTokens ?? []).map((token) => ({
      id: hexId(),
      value: token.value,
      owner: token.owner ?? "user",
      permissions: [...(token.permissions ?? kitPermissions)],
      status: "active",
    })),
    file: options.stateFile,
  });
  const faults = new Faults();
  const calls: LoggedCall[] = [];
  const tunnels = new TunnelServer(state, log);
  const tokens = new AccessTokens(state);
  await tokens.prepare();
  const decisions = new Decisions(state);
  const gate = new AccessGate(state, tokens);
  const pages = new SignInPages(state, gate, tokens, decisions);
  const madeFolder = options.certificateFolder
    ? undefined
    : await mkdtemp(join(tmpdir(), "ouchi-edge-"));
  const certificate = await edgeCertificate(
    options.certificateFolder ?? madeFolder!,
    state.data.zones.map(({ name }) => name),
    state.teamDomain,
  );
  const edge = new Edge({ state, certificate, tunnels, gate, pages, decisions, log });

  const api = serve(createApi({ state, tunnels, faults, calls, log }));
  const control = serve(createControl({ state, faults, calls, decisions, tunnels }));
  const certs = createServer((request, response) => {
    const known = request.url === "/cdn-cgi/access/certs";
    response.writeHead(known && request.headers.host === state.teamDomain ? 200 : 404, {
      "content-type": "application/json",
    });
    response.end(JSON.stringify(known ? tokens.keys() : {}));
  });
  const apiPort = await listen(api, options.ports?.api);
  const controlPort = await listen(control, options.ports?.control);
  const certsPort = await listen(certs, options.ports?.certs);
  const tunnelPort = await tunnels.listen(options.ports?.tunnel);
  const edgePort = await edge.listen(options.ports?.edge);

  return {
    apiUrl: `http://127.0.0.1:${apiPort}/client/v4`,
    controlUrl: `http://127.0.0.1:${controlPort}`,
    edgePort,
    tunnelPort,
    certsPort,
    caFile: certificate.caFile,
    state,
    tokens,
    faults,
    calls,
    async close() {
      state.save();
      await Promise.all([close(api), close(control), close(certs), edge.close(), tunnels.close()]);
      if (madeFolder) await rm(madeFolder, { recursive: true, force: true });
    },
  };
}

type Fetch = Parameters<typeof getRequestListener>[0];

function serve(app: { fetch: unknown }): Server {
  return createServer(getRequestListener(app.fetch as Fetch));
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
