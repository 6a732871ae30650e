import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import Cloudflare from "cloudflare";
import { Clock } from "../../../rehearsal/clock.ts";
import { ControlClient } from "../../../rehearsal/cloudflare/control-client.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import { Connector } from "../../../rehearsal/cloudflared/connector.ts";

export const account_id = "0123456789abcdef0123456789abcdef";
export const host = "photos.example.com";
export const teamHost = "family.cloudflareaccess.com";
const apiToken = "T".repeat(40);

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** What reached the origin. */
export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  bytes: number;
  /** Of the connection that it came on. */
  port: number;
}

/** A deployed house: gate, tunnel, record, connector and an origin that writes down what it sees. */
export class House {
  readonly clock: Clock;
  readonly world: PretendCloudflare;
  readonly api: Cloudflare;
  readonly control: ControlClient;
  readonly ca: string;
  readonly seen: Seen[] = [];
  readonly ends: (() => unknown)[] = [];
  connector!: Connector;
  tunnelId = "";
  tunnelToken = "";
  recordId = "";
  zone_id = "";
  aud = "";
  applicationId = "";
  familyPolicyId = "";
  phonesPolicyId = "";
  pinId = "";
  phone = { id: "", clientId: "", clientSecret: "" };
  originPort = 0;

  private constructor(clock: Clock, world: PretendCloudflare) {
    this.clock = clock;
    this.world = world;
    this.control = new ControlClient(world.controlUrl);
    this.api = new Cloudflare({ apiToken, baseURL: world.apiUrl, maxRetries: 0 });
    this.ca = readFileSync(world.caFile, "utf8");
  }

  static async build(options: { strict: boolean }): Promise<House> {
    const clock = new Clock();
    const world = await startCloudflare({
      clock,
      accountId: account_id,
      zoneName: "example.com",
      teamName: "family",
      strictServiceTokens: options.strict,
      apiTokens: [{ value: apiToken }],
    });
    const house = new House(clock, world);
    house.ends.push(() => world.close());
    await house.#startOrigin();
    await house.#deploy();
    house.connect();
    await house.untilConnected();
    return house;
  }

  async close(): Promise<void> {
    for (const end of this.ends.reverse()) await end();
  }

  connect(certsUrl = `http://127.0.0.1:${this.world.certsPort}`): void {
    this.connector?.stop();
    this.connector = new Connector({
      token: this.tunnelToken,
      edge: `127.0.0.1:${this.world.tunnelPort}`,
      certsUrl,
      now: () => this.clock.now(),
    });
    const connector = this.connector;
    connector.start();
    this.ends.push(() => connector.stop());
  }

  /** All four connections, with the newest configuration. */
  async untilConnected(): Promise<void> {
    await until("the connector", async () => {
      const { configuration } = this.world.state.data.tunnels.find(
        ({ id }) => id === this.tunnelId,
      )!;
      const connectors = await this.api.zeroTrust.tunnels.cloudflared.connections.get(
        this.tunnelId,
        { account_id },
      );
      const client = connectors.result?.find(({ id }) => id === this.connector.id);
      return client?.conns?.length === 4 && client.config_version === configuration?.version;
    });
  }

  async untilDisconnected(): Promise<void> {
    await until("the connector's end", async () => {
      const { connections } = await this.api.zeroTrust.tunnels.cloudflared.get(this.tunnelId, {
        account_id,
      });
      return connections?.length === 0;
    });
  }

  /** Anybody on the internet. */
  send(path: string, options: SendOptions = {}): Promise<Answer> {
    return send(this, path, options);
  }

  phoneHeaders(clientSecret = this.phone.clientSecret): Record<string, string> {
    return {
      "CF-Access-Client-Id": this.phone.clientId,
      "CF-Access-Client-Secret": clientSecret,
    };
  }

  async lastReason(): Promise<string> {
    return (await this.control.decisions()).at(-1)!.reason;
  }

  #note({ url, headers, socket }: IncomingMessage, method: string): Seen {
    const seen = { method, url: url!, headers, bytes: 0, port: socket.remotePort! };
    this.seen.push(seen);
    return seen;
  }

  async #startOrigin(): Promise<void> {
    const film = Buffer.alloc(1_000_000, "film");
    const server = createServer((request, response) => {
      const seen = this.#note(request, request.method!);
      const hash = createHash("sha1");
      request.on("data", (chunk: Buffer) => {
        seen.bytes += chunk.length;
        hash.update(chunk);
      });
      request.on("end", () => {
        if (request.url === "/film") {
          const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
          if (from === undefined) return void response.end(film);
          const part = film.subarray(Number(from), Number(to) + 1);
          response.writeHead(206, {
            "content-range": `bytes ${from}-${to}/${film.length}`,
            "content-length": part.length,
          });
          return void response.end(part);
        }
        if (request.url === "/drip") {
          response.writeHead(200, { "content-type": "text/plain" });
          response.write("first");
          this.ends.push(() => response.end());
          return undefined;
        }
        response.writeHead(request.method === "POST" ? 201 : 200, {
          "content-type": "application/json",
          "set-cookie": ["a=1", "b=2"],
          "x-origin": "yes",
        });
        response.end(JSON.stringify({ res: "pong", sha1: hash.digest("hex") }));
        return undefined;
      });
    });
    server.on("upgrade", (request, socket) => {
      const accept = createHash("sha1")
        .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest("base64");
      this.#note(request, "UPGRADE");
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      // Says back what it hears: frames are none of the tunnel's business.
      socket.pipe(socket);
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.originPort = (server.address() as AddressInfo).port;
    this.ends.push(() => {
      server.closeAllConnections();
      server.close();
    });
  }

  async #deploy(): Promise<void> {
    const { zeroTrust } = this.api;
    for await (const zone of this.api.zones.list({ name: "example.com" })) this.zone_id = zone.id;
    const pin = await zeroTrust.identityProviders.create({
      account_id,
      name: "One-time PIN",
      type: "onetimepin",
      config: {},
    });
    this.pinId = pin.id!;
    const token = await zeroTrust.access.serviceTokens.create({
      account_id,
      name: "ken iphone",
      duration: "8760h",
      client_secret_version: 1,
    });
    this.phone = {
      id: token.id!,
      clientId: token.client_id!,
      clientSecret: token.client_secret!,
    };
    const phones = await zeroTrust.access.policies.create({
      account_id,
      name: "phones",
      decision: "non_identity",
      include: [{ service_token: { token_id: token.id! } }],
      session_duration: "730h",
    });
    const family = await zeroTrust.access.policies.create({
      account_id,
      name: "family",
      decision: "allow",
      include: [{ email: { email: "ken@example.com" } }],
      session_duration: "730h",
    });
    this.familyPolicyId = family.id!;
    this.phonesPolicyId = phones.id!;
    const application = await zeroTrust.access.applications.create({
      account_id,
      type: "self_hosted",
      name: "photos",
      domain: host,
      session_duration: "730h",
      allowed_idps: [pin.id!],
      policies: [
        { id: phones.id!, precedence: 1 },
        { id: family.id!, precedence: 2 },
      ],
    });
    this.applicationId = application.id!;
    this.aud = (application as { aud: string }).aud;
    const tunnel = await zeroTrust.tunnels.cloudflared.create({
      account_id,
      name: "photos",
      config_src: "cloudflare",
    });
    this.tunnelId = tunnel.id!;
    await this.configure();
    this.tunnelToken = await zeroTrust.tunnels.cloudflared.token.get(tunnel.id!, { account_id });
    const record = await this.api.dns.records.create({
      zone_id: this.zone_id,
      type: "CNAME",
      name: host,
      content: `${tunnel.id}.cfargotunnel.com`,
      proxied: true,
      ttl: 1,
    });
    this.recordId = record.id;
  }

  async configure(
    access: object = { required: true, teamName: "family", audTag: [this.aud] },
    others: { keepAliveTimeout?: number } = {},
  ): Promise<void> {
    await this.api.zeroTrust.tunnels.cloudflared.configurations.update(this.tunnelId, {
      account_id,
      config: {
        ingress: [
          {
            hostname: host,
            service: `http://localhost:${this.originPort}`,
            originRequest: { access: access as never, ...others },
          },
          { service: "http_status:404" } as never,
        ],
      },
    });
  }
}

export interface SendOptions {
  method?: string;
  host?: string;
  headers?: Record<string, string | string[]>;
  body?: Buffer;
  chunked?: boolean;
}

/** A request to the edge, as from anywhere. */
export function send(
  { world, ca }: { world: PretendCloudflare; ca: string },
  path: string,
  options: SendOptions = {},
): Promise<Answer> {
  const name = options.host ?? host;
  const { body, chunked } = options;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port: world.edgePort,
        servername: name,
        ca: ca,
        agent: false,
        method: options.method ?? "GET",
        path,
        headers: {
          host: name,
          ...(body && !chunked ? { "content-length": String(body.length) } : {}),
          ...(body && chunked ? { "transfer-encoding": "chunked" } : {}),
          ...options.headers,
        },
      },
      (response) => void readAnswer(response).then(resolve, reject),
    );
    let answered = false;
    request.on("response", () => {
      answered = true;
    });
    request.on("error", (error) => answered || reject(error));
    request.end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  const length = Number(response.headers["content-length"] ?? Number.NaN);
  let got = 0;
  // An early refusal is whole by its length, although the connection is still draining our body.
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    got += (chunk as Buffer).length;
    if (got >= length) break;
  }
  return { status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) };
}

/** Waits with a deadline. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Waited 30 s in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Cookies as a browser keeps them, by host; an app with headers of its own keeps them in the same way. */
export class Browser {
  readonly #house: Pick<House, "send" | "control">;
  readonly #headers: Record<string, string>;
  readonly #jar = new Map<string, Map<string, string>>();

  constructor(house: Pick<House, "send" | "control">, headers: Record<string, string> = {}) {
    this.#house = house;
    this.#headers = headers;
  }

  /** With the same cookies and no headers: a thief who has copied them. */
  withoutHeaders(): Browser {
    const browser = new Browser(this.#house);
    for (const [host, jar] of this.#jar) browser.#jar.set(host, new Map(jar));
    return browser;
  }

  cookie(name: string, at = host): string | undefined {
    return this.#jar.get(at)?.get(name);
  }

  /** One request, without following. */
  async visit(url: string, form?: Record<string, string>): Promise<Answer & { url: URL }> {
    const target = new URL(url);
    const jar = this.#jar.get(target.hostname) ?? new Map<string, string>();
    this.#jar.set(target.hostname, jar);
    const answer = await this.#house.send(target.pathname + target.search, {
      host: target.hostname,
      method: form ? "POST" : "GET",
      headers: {
        ...this.#headers,
        ...(jar.size ? { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; ") } : {}),
        ...(form ? { "content-type": "application/x-www-form-urlencoded" } : {}),
      },
      ...(form ? { body: Buffer.from(new URLSearchParams(form).toString()) } : {}),
    });
    for (const cookie of answer.headers["set-cookie"] ?? []) {
      const [pair] = cookie.split(";");
      const [name, ...value] = pair!.split("=");
      if (/max-age=0/i.test(cookie)) jar.delete(name!);
      else jar.set(name!, value.join("="));
    }
    return { ...answer, url: target };
  }

  /** As far as redirects lead. */
  async open(url: string): Promise<Answer & { url: URL }> {
    let answer = await this.visit(url);
    for (let count = 0; answer.headers.location && count < 10; count++) {
      answer = await this.visit(new URL(answer.headers.location, answer.url).href);
    }
    return answer;
  }

  /** Asks for a code on the sign-in page. */
  async askForCode(email: string, path = "/"): Promise<{ page: Answer; state: string }> {
    const signIn = await this.open(`https://${host}${path}`);
    const state = /name="state" value="([0-9a-f]+)"/.exec(signIn.body.toString())![1]!;
    const page = await this.visit(`https://${teamHost}/cdn-cgi/access/onetimepin/login`, {
      state,
      email,
    });
    return { page, state };
  }

  async enterCode(state: string, code: string): Promise<Answer & { url: URL }> {
    const first = await this.visit(`https://${teamHost}/cdn-cgi/access/onetimepin/callback`, {
      state,
      code,
    });
    return first.headers.location ? this.open(first.headers.location) : first;
  }

  async signIn(email: string, path = "/"): Promise<Answer & { url: URL }> {
    const { state } = await this.askForCode(email, path);
    const mails = await this.#house.control.mails(email);
    return this.enterCode(state, mails.at(-1)?.code ?? "000000");
  }
}
