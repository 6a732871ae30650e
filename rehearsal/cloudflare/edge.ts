/** The edge: HTTPS for every host with a proxied record, Access in front, the tunnel behind. */
import { randomBytes } from "node:crypto";
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { IncomingHttpHeaders } from "node:http2";
import { createServer, type Server } from "node:https";
import type { Duplex } from "node:stream";
import {
  deserializeHeaders,
  headerPairs,
  responseHeaders,
  responseMeta,
  upgradeHeader,
  upgrades,
} from "../cloudflared/tunnel-protocol.ts";
import type { AccessGate, Verdict } from "./access-gate.ts";
import type { EdgeCertificate } from "./certificates.ts";
import type { Decision, Decisions } from "./decisions.ts";
import { listen } from "./listen.ts";
import { errorPage, forbiddenPage, tooLargePage } from "./pages.ts";
import type { SignInPages } from "./sign-in.ts";
import type { CloudflareState } from "./state.ts";
import type { TunnelServer } from "./tunnel-server.ts";

/**
 * The free plan's 100 MB. Whether Cloudflare counts them by 1000 or by 1024 is not documented: what passes
 * here passes either way.
 */
const bodyLimit = 100_000_000;
/** Cloudflare waits so long for an origin's answer, then says 524. */
const originPatienceMs = 100_000;
/** A client that is refused may go on sending for so long, so that it sees the answer. */
const drainMs = 20_000;

export interface EdgeOptions {
  state: CloudflareState;
  certificate: EdgeCertificate;
  tunnels: TunnelServer;
  gate: AccessGate;
  pages: SignInPages;
  decisions: Decisions;
  log: (line: string) => void;
}

/** Headers that belong to one connection, not to the request. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "http2-settings",
]);

/** Nobody but the edge says these. */
const edgeOnly = new Set([
  "cf-access-jwt-assertion",
  "cf-access-authenticated-user-email",
  "cf-connecting-ip",
  "cf-ipcountry",
  "cf-ray",
  "cf-visitor",
  "cf-warp-tag-id",
  "cf-worker",
  "true-client-ip",
  "x-forwarded-proto",
  "expect",
  "host",
]);

/** They have done their work at the edge; the origin has no use for a secret. */
const accessCredentials = new Set([
  "cf-access-client-id",
  "cf-access-client-secret",
  "cf-access-token",
]);

export class Edge {
  readonly #options: EdgeOptions;
  readonly #server: Server;

  constructor(options: EdgeOptions) {
    this.#options = options;
    const { key, certificate } = options.certificate;
    this.#server = createServer({ key, cert: certificate });
    this.#server.keepAliveTimeout = 60_000;
    // A phone's upload may take its time.
    this.#server.requestTimeout = 0;
    const answer =
      (expectsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) =>
        void this.#answer(request, response, expectsContinue).catch((error: Error) => {
          options.log(`The pretend edge failed: ${error.stack}`);
          response.destroy();
        });
    this.#server.on("request", answer(false));
    this.#server.on("checkContinue", answer(true));
    this.#server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#upgrade(request, socket, head).catch((error: Error) => {
        options.log(`The pretend edge failed: ${error.stack}`);
        socket.destroy();
      });
    });
  }

  listen(port?: number): Promise<number> {
    return listen(this.#server, port);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
  ): Promise<void> {
    const ray = rayId();
    response.setHeader("server", "cloudflare");
    response.setHeader("cf-ray", ray);
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const host = hostOf(request);
    const url = new URL(request.url ?? "/", `https://${host || "unknown.invalid"}`);
    const { state, pages, gate } = this.#options;

    if (host === state.teamDomain) {
      if (expectsContinue) response.writeContinue();
      return pages.answerAtTeam(request, response, url);
    }
    const target = this.#target(host);
    if (!target) {
      return refuse(request, response, 409, errorPage(409, 1001, "DNS resolution error", host));
    }
    const length = Number(request.headers["content-length"] ?? 0);
    if (length > bodyLimit) {
      this.#decide(request, host, url, {
        outcome: "refuse",
        status: 403,
        reason: `a body of ${length} bytes, more than ${bodyLimit}`,
      }).status = 413;
      return refuse(request, response, 413, tooLargePage());
    }
    const verdict = await gate.decide({
      host,
      path: url.pathname,
      method: request.method ?? "GET",
      ip: ip(request),
      headers: headerPairs(request.rawHeaders),
    });
    if (verdict.application && (await pages.answerAtHost(request, response, host, url))) return;
    const decision = this.#decide(request, host, url, verdict);
    response.once("finish", () => {
      decision.status = response.statusCode;
    });
    if (verdict.outcome === "sign-in") {
      request.resume();
      return pages.redirect(response, verdict.application!, host, request.url ?? "/");
    }
    if (verdict.outcome === "refuse") {
      return refuse(request, response, verdict.status, forbiddenPage());
    }
    if (verdict.cookie) response.appendHeader("set-cookie", verdict.cookie);
    if (expectsContinue) response.writeContinue();

    let body: Buffer | undefined;
    if (request.headers["transfer-encoding"] !== undefined) {
      // Its size is known at its end only, and nothing of it may reach the origin before.
      body = await readWhole(request, bodyLimit);
      if (!body) {
        decision.reason = `a chunked body of more than ${bodyLimit} bytes`;
        return refuse(request, response, 413, tooLargePage());
      }
    }
    if (request.destroyed && !request.complete) return;
    this.#forward(request, response, { host, target, ray, verdict, body });
  }

  #forward(
    request: IncomingMessage,
    response: ServerResponse,
    { host, target, ray, verdict, body }: Forward & { body: Buffer | undefined },
  ): void {
    const stream = this.#open(target, {
      ...this.#headers(request, { host, target, ray, verdict }),
      ...(body === undefined ? {} : { "content-length": String(body.length) }),
    });
    if (!stream) {
      notConnected(request, response, host, target);
      return;
    }
    const patience = setTimeout(() => {
      if (response.headersSent) return;
      stream.close();
      refuse(request, response, 524, errorPage(524, undefined, "A timeout occurred", host));
    }, originPatienceMs);
    const over = () => clearTimeout(patience);
    response.once("close", () => {
      over();
      // A client that went away needs no answer.
      if (!response.writableFinished) stream.close();
    });
    stream.on("error", () => {
      over();
      if (response.headersSent) response.destroy();
      else notConnected(request, response, host, target);
    });
    stream.on("response", (headers) => {
      over();
      if (response.headersSent) return stream.close();
      const status = Number(headers[":status"]);
      if (status === 502 && sourceOf(headers) === "cloudflared") {
        stream.resume();
        return refuse(request, response, 502, errorPage(502, undefined, "Bad gateway", host));
      }
      copyHeaders(headers, response);
      response.writeHead(status);
      stream.pipe(response);
      return undefined;
    });
    stream.on("aborted", () => response.destroy());
    if (body !== undefined) stream.end(body);
    else {
      request.on("aborted", () => stream.close());
      request.pipe(stream);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    const ray = rayId();
    const host = hostOf(request);
    const url = new URL(request.url ?? "/", `https://${host || "unknown.invalid"}`);
    const target = this.#target(host);
    if (!target) return answerSocket(socket, 409, ray);
    const verdict = await this.#options.gate.decide({
      host,
      path: url.pathname,
      method: "GET",
      ip: ip(request),
      headers: headerPairs(request.rawHeaders),
    });
    const decision = this.#decide(request, host, url, verdict);
    const answer = (status: number, headers: [string, string][] = []) => {
      decision.status = status;
      answerSocket(socket, status, ray, headers);
    };
    if (verdict.outcome !== "pass") {
      // A websocket follows no redirect: without a session it is refused.
      return answer(verdict.outcome === "refuse" ? verdict.status : 401);
    }
    const stream = this.#open(
      target,
      {
        ...this.#headers(request, { host, target, ray, verdict }),
        [upgradeHeader]: upgrades.webSocket,
      },
      false,
    );
    if (!stream) return answer(530);
    let up = false;
    stream.on("error", () => (up ? socket.destroy() : answer(530)));
    stream.on("response", (headers) => {
      const status = Number(headers[":status"]);
      const origin = originHeaders(headers);
      const accepted = origin.find(([name]) => name.toLowerCase() === "sec-websocket-accept");
      if (status !== 200 || !accepted) {
        stream.close();
        return answer(status);
      }
      up = true;
      decision.status = 101;
      socket.write(
        [
          "HTTP/1.1 101 Switching Protocols",
          "Connection: Upgrade",
          "Upgrade: websocket",
          `Sec-WebSocket-Accept: ${accepted[1]}`,
          ...origin
            .filter(([name]) => /^sec-websocket-(protocol|extensions)$/i.test(name))
            .map(([name, value]) => `${name}: ${value}`),
          "Server: cloudflare",
          `CF-RAY: ${ray}`,
          "",
          "",
        ].join("\r\n"),
      );
      if (head.length > 0) stream.write(head);
      socket.pipe(stream);
      stream.pipe(socket);
      return undefined;
    });
    stream.on("close", () => socket.destroy());
    socket.on("close", () => stream.close());
  }

  #open(target: Target, headers: Record<string, string | string[]>, endStream?: boolean) {
    if (target.tunnelId === undefined) return undefined;
    return this.#options.tunnels.request(target.tunnelId, headers, {
      endStream: endStream ?? false,
    });
  }

  /** What the origin gets to see. */
  #headers(
    request: IncomingMessage,
    { host, target, ray, verdict }: Forward,
  ): Record<string, string | string[]> {
    const headers: Record<string, string | string[]> = {
      ":method": request.method ?? "GET",
      ":path": request.url ?? "/",
      ":scheme": "https",
      ":authority": host,
    };
    const guarded = verdict.application !== undefined;
    for (const [name, value] of Object.entries(request.headers)) {
      if (value === undefined || hopByHop.has(name) || edgeOnly.has(name)) continue;
      if (name.startsWith("cf-cloudflared-") || name.startsWith("cf-int-")) continue;
      if (guarded && accessCredentials.has(name)) continue;
      headers[name] = value;
    }
    const address = ip(request);
    const forwarded = request.headers["x-forwarded-for"];
    Object.assign(headers, {
      "accept-encoding": "gzip, br",
      "cdn-loop": "cloudflare; loops=1",
      "cf-connecting-ip": address,
      "cf-ipcountry": "JP",
      "cf-ray": ray,
      "cf-visitor": '{"scheme":"https"}',
      "cf-warp-tag-id": target.tunnelId,
      "x-forwarded-for": forwarded ? `${forwarded},${address}` : address,
      "x-forwarded-proto": "https",
    });
    if (verdict.outcome === "pass" && verdict.jwt) {
      headers["cf-access-jwt-assertion"] = verdict.jwt;
      if (verdict.email) headers["cf-access-authenticated-user-email"] = verdict.email;
    }
    return headers;
  }

  /** Where a host's proxied record leads; undefined for a host that has none. */
  #target(host: string): Target | undefined {
    const { dnsRecords } = this.#options.state.data;
    const proxied = dnsRecords.filter((record) => record.proxied && record.type !== "TXT");
    const wildcard = host.replace(/^[^.]+/, "*");
    const record =
      proxied.find(({ name }) => name === host) ?? proxied.find(({ name }) => name === wildcard);
    if (!record) return undefined;
    const tunnelId = /^([0-9a-f-]{36})\.cfargotunnel\.com$/.exec(record.content)?.[1];
    return { tunnelId, content: record.content };
  }

  #decide(request: IncomingMessage, host: string, url: URL, verdict: Verdict): Decision {
    return this.#options.decisions.add({
      host,
      method: request.method ?? "GET",
      path: url.pathname,
      allowed: verdict.outcome === "pass",
      reason: verdict.reason,
      application: verdict.application?.name,
      policy: verdict.policy?.name,
      who: verdict.who,
    });
  }
}

interface Target {
  /** undefined: the record leads somewhere else, where there is nothing in the rehearsal. */
  tunnelId: string | undefined;
  content: string;
}

interface Forward {
  host: string;
  target: Target;
  ray: string;
  verdict: Verdict;
}

function notConnected(
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
  target: Target,
): void {
  const html =
    target.tunnelId === undefined
      ? errorPage(530, 1016, "Origin DNS error", host)
      : errorPage(530, 1033, "Cloudflare Tunnel error", host);
  refuse(request, response, 530, html);
}

/**
 * Answers before the body is read, then reads on for a while: a client that is still sending would
 * otherwise find a broken connection instead of the answer.
 */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  html: string,
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    "content-type": "text/html; charset=UTF-8",
    "content-length": Buffer.byteLength(html),
    "cache-control": "private, no-store",
    ...(request.complete ? {} : { connection: "close" }),
  });
  if (request.complete) {
    response.end(request.method === "HEAD" ? undefined : html);
    return;
  }
  if (request.method !== "HEAD") response.write(html);
  request.unpipe();
  request.resume();
  const end = () => {
    clearTimeout(deadline);
    response.end();
  };
  const deadline = setTimeout(end, drainMs);
  request.once("end", end);
  request.once("close", end);
}

/** undefined when it is longer than the limit. */
async function readWhole(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) {
        request.off("data", onData);
        chunks.length = 0;
        resolve(undefined);
      } else chunks.push(chunk);
    };
    request.on("data", onData);
    request.once("end", () => resolve(Buffer.concat(chunks)));
    request.once("close", () => reject(new Error("The client went away in the middle of a body.")));
  });
}

function originHeaders(headers: IncomingHttpHeaders): [string, string][] {
  const text = headers[responseHeaders];
  return typeof text === "string" ? deserializeHeaders(text) : [];
}

function sourceOf(headers: IncomingHttpHeaders): string | undefined {
  const meta = headers[responseMeta];
  return typeof meta === "string" ? (JSON.parse(meta) as { src: string }).src : undefined;
}

function copyHeaders(headers: IncomingHttpHeaders, response: ServerResponse): void {
  for (const [name, value] of originHeaders(headers)) {
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || lower === "server" || lower === "cf-ray") continue;
    response.appendHeader(name, value);
  }
}

function answerSocket(
  socket: Duplex,
  status: number,
  ray: string,
  headers: [string, string][] = [],
): void {
  if (socket.destroyed) return;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`,
    "Server: cloudflare",
    `CF-RAY: ${ray}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    "Content-Length: 0",
    "Connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n`);
}

function hostOf(request: IncomingMessage): string {
  return (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
}

function ip(request: IncomingMessage): string {
  return (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
}

function rayId(): string {
  return `${randomBytes(8).toString("hex")}-NRT`;
}
