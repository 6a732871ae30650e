/** The connector: dials the edge, registers with the tunnel's token, and serves what the edge sends. */
import { randomUUID } from "node:crypto";
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type Socket } from "node:net";
import { AccessCheck } from "./access-check.ts";
import { type IngressRule, matchRule, noRules, readConfiguration } from "./ingress.ts";
import { proxyToOrigin } from "./origin.ts";
import {
  type ConfigurationApplied,
  type ConfigurationUpdate,
  onFirstLine,
  type Registered,
  responseMeta,
  upgradeHeader,
  upgrades,
} from "./tunnel-protocol.ts";

export const version = "2026.10.0-rehearsal";

/** cloudflared keeps as many, to two data centres. */
const connectionCount = 4;
/** Longest pause between two attempts; cloudflared's grows further. */
const longestPauseMs = 16_000;
/** Without a word from the edge for so long a connection is given up. */
const silenceMs = 20_000;

export interface ConnectorOptions {
  /** The tunnel's token. */
  token: string;
  /** host:port of the edge's tunnel port. */
  edge: string;
  /** Base URL under which the edge serves `/cdn-cgi/access/certs`. */
  certsUrl: string;
  now?: () => Date;
  log?: (level: "INF" | "WRN" | "ERR", text: string) => void;
}

export class Connector {
  readonly id = randomUUID();
  /** Resolves with the reason when the edge refused the token for good. */
  readonly refused: Promise<string>;

  readonly #options: Required<ConnectorOptions>;
  readonly #access: AccessCheck;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #refuse: (reason: string) => void = () => undefined;
  #rules: readonly IngressRule[] = noRules;
  #version = -1;
  #ready = 0;
  #stopped = false;

  constructor(options: ConnectorOptions) {
    this.#options = { now: () => new Date(), log: () => undefined, ...options };
    this.#access = new AccessCheck({ certsUrl: options.certsUrl, now: this.#options.now });
    this.refused = new Promise((resolve) => {
      this.#refuse = resolve;
    });
  }

  get readyConnections(): number {
    return this.#ready;
  }

  start(): void {
    for (let index = 0; index < connectionCount; index++) this.#dial(index, 0);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #dial(index: number, attempt: number): void {
    if (this.#stopped) return;
    const { edge, log } = this.#options;
    const colon = edge.lastIndexOf(":");
    const socket = connect(Number(edge.slice(colon + 1)), edge.slice(0, colon));
    let registered = false;
    let failure: string | undefined;
    this.#sockets.add(socket);
    socket.setNoDelay();
    socket.setTimeout(silenceMs, () => socket.destroy(new Error("the edge fell silent")));
    socket.on("error", (error) => {
      failure = error.message || String((error as NodeJS.ErrnoException).code);
    });
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (registered) this.#ready--;
      if (this.#stopped) return;
      const next = registered ? 0 : attempt + 1;
      const longest = Math.min(longestPauseMs, 1000 * 2 ** next);
      log(
        registered ? "WRN" : "ERR",
        `${registered ? "Lost connection with the edge" : "Unable to establish connection with Cloudflare edge"} error="${failure ?? "closed"}" connIndex=${index}`,
      );
      log("INF", `Retrying connection in up to ${longest / 1000}s connIndex=${index}`);
      const timer = setTimeout(
        () => {
          this.#timers.delete(timer);
          this.#dial(index, next);
        },
        longest / 2 + (Math.random() * longest) / 2,
      );
      this.#timers.add(timer);
    });
    socket.on("connect", () => {
      // From here on the session keeps the time: the edge pings it.
      socket.setTimeout(0);
      const session = performServerHandshake(socket, {
        settings: { initialWindowSize: 1 << 20, maxConcurrentStreams: 1000 },
      });
      session.setLocalWindowSize?.(1 << 24);
      // Without a listener Node answers a ping by itself, and does not count it as a sign of life.
      session.on("ping", () => undefined);
      session.setTimeout(silenceMs, () => {
        failure ??= "the edge fell silent";
        session.destroy();
      });
      session.on("error", (error) => {
        failure ??= error.message;
        socket.destroy();
      });
      session.on("close", () => socket.destroy());
      session.on("stream", (stream, headers) => {
        // A stream that breaks off is the client's affair.
        stream.on("error", () => undefined);
        if (headers[upgradeHeader] === upgrades.control) {
          this.#register(session, stream, index, () => {
            registered = true;
            this.#ready++;
          });
        } else void this.#serve(stream, headers);
      });
    });
  }

  #register(
    session: ServerHttp2Session,
    stream: ServerHttp2Stream,
    index: number,
    done: () => void,
  ): void {
    const { token, log } = this.#options;
    stream.respond({ ":status": 200 });
    stream.write(`${JSON.stringify({ token, connectorId: this.id, version, index })}\n`);
    onFirstLine(stream, (line) => {
      const reply = JSON.parse(line) as Registered;
      if ("error" in reply) {
        log("ERR", `Register tunnel error from server side error="${reply.error}"`);
        if (reply.permanent) this.#refuse(reply.error);
        session.destroy();
        return;
      }
      log(
        "INF",
        `Registered tunnel connection connIndex=${index} connection=${reply.connectionId} location=${reply.location} protocol=http2`,
      );
      done();
    });
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    try {
      if (headers[upgradeHeader] === upgrades.configuration) await this.#configure(stream);
      else await this.#proxy(stream, headers);
    } catch (error) {
      this.#options.log("ERR", `failed to serve incoming request error="${message(error)}"`);
      if (stream.headersSent || stream.destroyed) stream.destroy();
      else refuse(stream, 502, "cloudflared");
    }
  }

  async #proxy(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const host = headers[":authority"] ?? "";
    const path = (headers[":path"] ?? "/").split("?")[0]!;
    const rule = matchRule(this.#rules, host, path);
    const access = rule.originRequest?.access;
    if (access?.required) {
      const jwt = headers["cf-access-jwt-assertion"];
      const refusal = await this.#access.refusal(access, Array.isArray(jwt) ? jwt[0] : jwt);
      if (refusal) {
        this.#options.log(
          "ERR",
          `request filtered by middleware handler (AccessJWTValidator) due to: ${refusal.reason}`,
        );
        return refuse(stream, refusal.status, "origin");
      }
    }
    const status = /^http_status:(\d+)$/.exec(rule.service)?.[1];
    if (status !== undefined) return refuse(stream, Number(status), "origin");
    const webSocket = headers[upgradeHeader] === upgrades.webSocket;
    await proxyToOrigin(stream, headers, rule, webSocket);
  }

  async #configure(stream: ServerHttp2Stream): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const update = JSON.parse(Buffer.concat(chunks).toString()) as ConfigurationUpdate;
    const reply: ConfigurationApplied = { lastAppliedVersion: this.#version };
    if (update.version > this.#version) {
      try {
        this.#rules = readConfiguration(update.config);
        this.#version = update.version;
        reply.lastAppliedVersion = update.version;
        this.#options.log(
          "INF",
          `Updated to new configuration config=${JSON.stringify(update.config)} version=${update.version}`,
        );
      } catch (error) {
        // The rules before stay in force.
        reply.error = message(error);
        this.#options.log("ERR", `Failed to update ingress error="${reply.error}"`);
      }
    }
    stream.respond({ ":status": 200 });
    stream.end(JSON.stringify(reply));
  }
}

function refuse(stream: ServerHttp2Stream, status: number, source: "cloudflared" | "origin"): void {
  stream.respond({ ":status": status, [responseMeta]: JSON.stringify({ src: source }) });
  stream.end();
}

function message(error: unknown): string {
  const { message: text, code } = error as NodeJS.ErrnoException;
  return text || code || String(error);
}
