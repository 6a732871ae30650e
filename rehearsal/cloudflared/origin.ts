import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import type { IngressRule } from "./ingress.ts";
import {
  headerPairs,
  responseHeaders,
  responseMeta,
  serializeHeaders,
  upgradeHeader,
} from "./tunnel-protocol.ts";

/** Seconds that cloudflared keeps an idle connection to the origin when the settings name none. */
const defaultKeepAlive = 90;

/** The connections that are kept, by protocol and by how long. */
const agents = new Map<string, HttpAgent>();

function agentFor(secure: boolean, keepAlive: number): HttpAgent {
  const key = `${secure} ${keepAlive}`;
  const known = agents.get(key);
  if (known) return known;
  const settings = { keepAlive: true, maxSockets: 100, timeout: keepAlive * 1000 };
  const agent = secure
    ? new HttpsAgent({ ...settings, rejectUnauthorized: true })
    : new HttpAgent(settings);
  agents.set(key, agent);
  return agent;
}

/** Passes a request on to the rule's origin, and its answer back, byte by byte as they come. */
export function proxyToOrigin(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rule: IngressRule,
  webSocket: boolean,
): Promise<void> {
  const service = new URL(rule.service);
  const secure = service.protocol === "https:";
  const outgoing: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || name === upgradeHeader || value === undefined) continue;
    outgoing[name] = value;
  }
  outgoing.host = rule.originRequest?.httpHostHeader ?? headers[":authority"]!;
  if (webSocket) {
    Object.assign(outgoing, {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
    });
  }
  return new Promise<void>((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)({
      // "localhost" is tried on both of its addresses.
      host: service.hostname.replace(/^\[|\]$/g, ""),
      port: service.port || (secure ? 443 : 80),
      autoSelectFamily: true,
      method: headers[":method"],
      path: headers[":path"],
      headers: outgoing,
      agent: webSocket
        ? false
        : agentFor(secure, rule.originRequest?.keepAliveTimeout ?? defaultKeepAlive),
    } as RequestOptions);
    request.on("error", (error) => (stream.headersSent ? giveUp(stream) : reject(error)));
    request.on("response", (response) => {
      answer(stream, response, response.statusCode ?? 502);
      response.on("error", () => giveUp(stream));
      response.on("end", resolve);
      response.pipe(stream);
    });
    request.on("upgrade", (response, socket, head) => {
      // HTTP/2 has no 101: 200 says that the upgrade went through.
      answer(stream, response, 200);
      join(stream, socket, head);
      resolve();
    });
    stream.on("close", () => {
      if (stream.rstCode !== 0 || stream.destroyed) request.destroy();
      resolve();
    });
    sendBody(stream, request, webSocket);
  });
}

function sendBody(stream: ServerHttp2Stream, request: ClientRequest, webSocket: boolean): void {
  // The client's side of a websocket stays open: it is what comes after the upgrade.
  if (webSocket || stream.endAfterHeaders) request.end();
  else stream.pipe(request);
}

function answer(stream: ServerHttp2Stream, response: IncomingMessage, status: number): void {
  if (stream.destroyed) return;
  const length = response.headers["content-length"];
  stream.respond({
    ":status": status,
    [responseHeaders]: serializeHeaders(headerPairs(response.rawHeaders)),
    [responseMeta]: JSON.stringify({ src: "origin" }),
    ...(length === undefined ? {} : { "content-length": length }),
  });
}

function join(stream: ServerHttp2Stream, socket: Duplex, head: Buffer): void {
  if (head.length > 0) stream.write(head);
  socket.on("error", () => giveUp(stream));
  stream.on("error", () => socket.destroy());
  stream.on("close", () => socket.destroy());
  socket.pipe(stream);
  stream.pipe(socket);
}

function giveUp(stream: ServerHttp2Stream): void {
  stream.destroy();
}
