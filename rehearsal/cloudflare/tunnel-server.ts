import { randomUUID } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import {
  type ConfigurationApplied,
  type ConfigurationUpdate,
  onFirstLine,
  type Register,
  type Registered,
  upgradeHeader,
  upgrades,
} from "../cloudflared/tunnel-protocol.ts";
import { listen } from "./listen.ts";
import type { CloudflareState, Tunnel } from "./state.ts";

/** A connection of a connector, as the API shows it. */
export interface TunnelConnection {
  id: string;
  tunnelId: string;
  clientId: string;
  clientVersion: string;
  location: string;
  openedAt: string;
  originIp: string;
  /** The last one that the connector applied; -1 is none. */
  configurationVersion: number;
}

interface Live extends TunnelConnection {
  session: ClientHttp2Session;
}

/** Whoever dials must register within this. */
const registrationMs = 10_000;
const pingEveryMs = 5_000;
/** A connection that answered no ping for so long is dead: a Pi without power says no goodbye. */
const silenceMs = 15_000;

const locations = ["nrt01", "kix01", "nrt04", "kix02"];

/** The edge's end of the tunnels: connectors dial in, and the edge sends requests down. */
export class TunnelServer {
  readonly #state: CloudflareState;
  readonly #log: (line: string) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #live: Live[] = [];
  #turn = 0;

  constructor(state: CloudflareState, log: (line: string) => void) {
    this.#state = state;
    this.#log = log;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  listen(port?: number): Promise<number> {
    return listen(this.#server, port);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  connections(tunnelId: string): TunnelConnection[] {
    return this.#live
      .filter((live) => live.tunnelId === tunnelId)
      .map(({ session: _, ...connection }) => connection);
  }

  /** Ends the connections of a tunnel, or of one connector of it; a connector that may, comes back. */
  disconnect(tunnelId: string, clientId?: string): void {
    for (const live of this.#live) {
      if (live.tunnelId !== tunnelId) continue;
      if (clientId !== undefined && live.clientId !== clientId) continue;
      live.session.destroy();
    }
  }

  /** Sends the tunnel's configuration to its connectors. */
  pushConfiguration(tunnelId: string): void {
    for (const live of this.#live) {
      if (live.tunnelId === tunnelId) this.#push(live);
    }
  }

  /** A stream down the tunnel; undefined when no connector is there. */
  request(
    tunnelId: string,
    headers: Record<string, string | string[]>,
    options: { endStream: boolean },
  ): ClientHttp2Stream | undefined {
    const open = this.#live.filter(
      ({ session, ...live }) => live.tunnelId === tunnelId && !session.closed && !session.destroyed,
    );
    const live = open[this.#turn++ % open.length];
    return live?.session.request(headers, options);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay();
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const session = connect("http://tunnel.internal", {
      createConnection: () => socket,
      settings: { initialWindowSize: 1 << 20, enablePush: false },
    });
    session.on("error", () => session.destroy());
    const deadline = setTimeout(() => session.destroy(), registrationMs);
    session.on("close", () => {
      clearTimeout(deadline);
      this.#lose(session);
      socket.destroy();
    });
    session.on("connect", () => session.setLocalWindowSize?.(1 << 24));
    const control = session.request(
      { ":method": "GET", ":path": "/", [upgradeHeader]: upgrades.control },
      { endStream: false },
    );
    control.on("error", () => session.destroy());
    onFirstLine(control, (line) => {
      clearTimeout(deadline);
      const reply = this.#register(line, session, socket);
      control.write(`${JSON.stringify(reply)}\n`);
      // The connector hangs up; one that does not is hung up on.
      if ("error" in reply) setTimeout(() => session.destroy(), 1000).unref();
    });
  }

  #register(line: string, session: ClientHttp2Session, socket: Socket): Registered {
    const refuse = (error: string): Registered => {
      this.#log(`A connector was refused: ${error}.`);
      return { error, permanent: true };
    };
    let hello: Register;
    let token: { a?: string; t?: string; s?: string };
    try {
      hello = JSON.parse(line) as Register;
      token = JSON.parse(Buffer.from(hello.token, "base64").toString()) as typeof token;
    } catch {
      return refuse("Unauthorized: the tunnel token cannot be read");
    }
    const tunnel = this.#state.data.tunnels.find(({ id }) => id === token.t);
    if (token.a !== this.#state.data.accountId || !tunnel || tunnel.deletedAt) {
      return refuse("Unauthorized: Tunnel not found");
    }
    if (token.s !== tunnel.secret) return refuse("Unauthorized: Invalid tunnel secret");
    const live: Live = {
      id: randomUUID(),
      tunnelId: tunnel.id,
      clientId: hello.connectorId,
      clientVersion: hello.version,
      location: locations[hello.index % locations.length]!,
      openedAt: this.#state.timestamp(),
      originIp: socket.remoteAddress ?? "",
      configurationVersion: -1,
      session,
    };
    this.#live.push(live);
    this.#health(tunnel);
    this.#keepAlive(session);
    if (tunnel.configuration) setImmediate(() => this.#push(live));
    return {
      connectionId: live.id,
      location: live.location,
      remotelyManaged: tunnel.configSrc === "cloudflare",
    };
  }

  #keepAlive(session: ClientHttp2Session): void {
    let answered = Date.now();
    const timer = setInterval(() => {
      if (Date.now() - answered > silenceMs) session.destroy();
      else if (!session.destroyed) {
        session.ping((error) => {
          if (!error) answered = Date.now();
        });
      }
    }, pingEveryMs);
    timer.unref();
    session.on("close", () => clearInterval(timer));
  }

  #push(live: Live): void {
    const tunnel = this.#state.data.tunnels.find(({ id }) => id === live.tunnelId);
    if (!tunnel?.configuration || live.session.destroyed) return;
    const { version, config } = tunnel.configuration;
    const stream = live.session.request({
      ":method": "PUT",
      ":path": "/",
      [upgradeHeader]: upgrades.configuration,
    });
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      text += chunk;
    });
    stream.on("error", (error) =>
      this.#log(`A configuration was not delivered: ${error.message}.`),
    );
    stream.on("end", () => {
      if (!text) return;
      const reply = JSON.parse(text) as ConfigurationApplied;
      live.configurationVersion = reply.lastAppliedVersion;
      if (reply.error) this.#log(`A connector refused configuration ${version}: ${reply.error}.`);
    });
    stream.end(JSON.stringify({ version, config } satisfies ConfigurationUpdate));
  }

  #lose(session: ClientHttp2Session): void {
    const lost = this.#live.find((live) => live.session === session);
    if (!lost) return;
    this.#live = this.#live.filter((live) => live !== lost);
    const tunnel = this.#state.data.tunnels.find(({ id }) => id === lost.tunnelId);
    if (tunnel) this.#health(tunnel);
  }

  /** What the API tells of a tunnel's health. */
  #health(tunnel: Tunnel): void {
    const up = this.#live.some(({ tunnelId }) => tunnelId === tunnel.id);
    if (up && tunnel.activeAt) return;
    const now = this.#state.timestamp();
    tunnel.everConnected ||= up;
    tunnel.activeAt = up ? now : null;
    tunnel.inactiveAt = up ? null : now;
    this.#state.save();
  }
}
