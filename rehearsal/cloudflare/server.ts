import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { Clock } from "../clock.ts";
import { createApi, type LoggedCall } from "./api.ts";
import { createControl } from "./control.ts";
import { Faults } from "./faults.ts";
import { hexId } from "./ids.ts";
import { listen } from "./listen.ts";
import { kitPermissions, type Permission } from "./permissions.ts";
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
  /** @default free ones */
  ports?: { api?: number; control?: number };
  log?: (line: string) => void;
}

export interface PretendCloudflare {
  /** Base URL of the API, without a slash at the end. */
  apiUrl: string;
  /** Base URL of the control API, without a slash at the end. */
  controlUrl: string;
  state: CloudflareState;
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
  const tunnels = new TunnelServer();

  const api = serve(createApi({ state, tunnels, faults, calls, log }));
  const control = serve(createControl({ state, faults, calls }));
  const apiPort = await listen(api, options.ports?.api);
  const controlPort = await listen(control, options.ports?.control);

  return {
    apiUrl: `http://127.0.0.1:${apiPort}/client/v4`,
    controlUrl: `http://127.0.0.1:${controlPort}`,
    state,
    faults,
    calls,
    async close() {
      state.save();
      await Promise.all([close(api), close(control)]);
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
