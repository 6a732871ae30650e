import type { IncomingHttpHeaders } from "node:http";
import { request } from "node:https";

export interface EdgeAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  json<T>(): T;
}

export interface EdgeRequest {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  /** Sent as JSON unless it is bytes or a form. */
  body?: unknown;
}

/**
 * Anyone on the internet, as far as the pretend edge is concerned: speaks HTTPS to a host name, whose
 * address stands in for DNS, and believes the edge's own certificate authority only.
 */
export class EdgeClient {
  readonly host: string;
  readonly #port: number;
  readonly #authority: string;
  readonly #headers: Record<string, string>;
  /** By name; undefined for a client that keeps none. */
  readonly #cookies: Map<string, string> | undefined;

  constructor(
    host: string,
    port: number,
    authority: string,
    headers: Record<string, string> = {},
    cookies?: Map<string, string>,
  ) {
    this.host = host;
    this.#port = port;
    this.#authority = authority;
    this.#headers = headers;
    this.#cookies = cookies;
  }

  /** The same client, and the same cookies, with more headers on every request. */
  with(headers: Record<string, string>): EdgeClient {
    return this.#copy({ ...this.#headers, ...headers }, this.#cookies);
  }

  /** One that keeps what cookies it is given, as an app does; it has those of this one so far. */
  keepingCookies(): EdgeClient {
    return this.#copy(this.#headers, new Map(this.#cookies));
  }

  /** Who has copied the cookies, and has no headers. */
  cookiesAlone(): EdgeClient {
    return this.#copy({}, new Map(this.#cookies));
  }

  #copy(headers: Record<string, string>, cookies: Map<string, string> | undefined): EdgeClient {
    return new EdgeClient(this.host, this.#port, this.#authority, headers, cookies);
  }

  /** @throws when the connection fails or nothing is answered within two minutes. */
  async send({ method = "GET", path, headers = {}, body }: EdgeRequest): Promise<EdgeAnswer> {
    const { bytes, type } = await encode(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: "127.0.0.1",
          port: this.#port,
          servername: this.host,
          ca: this.#authority,
          method,
          path,
          agent: false,
          headers: {
            host: this.host,
            ...this.#headers,
            ...(this.#cookies?.size && {
              cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; "),
            }),
            ...(type ? { "content-type": type } : {}),
            ...(bytes ? { "content-length": String(bytes.length) } : {}),
            ...headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          for (const cookie of incoming.headers["set-cookie"] ?? []) {
            const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
            if (name) this.#cookies?.set(name, value!);
          }
          incoming.on("end", () => {
            answered = true;
            const whole = Buffer.concat(chunks);
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: whole,
              json: <T>() => JSON.parse(whole.toString()) as T,
            });
          });
        },
      );
      let answered = false;
      // An edge that refuses a body early answers and closes; the write error that follows says nothing new.
      outgoing.on(
        "error",
        (error) => answered || setTimeout(() => answered || reject(error), 1000),
      );
      outgoing.setTimeout(120_000, () =>
        outgoing.destroy(new Error(`No answer to ${method} ${path} in 120 s.`)),
      );
      outgoing.end(bytes);
    });
  }
}

async function encode(body: unknown): Promise<{ bytes?: Buffer; type?: string }> {
  if (body === undefined) return {};
  if (Buffer.isBuffer(body)) return { bytes: body, type: "application/octet-stream" };
  if (body instanceof FormData) {
    const form = new Response(body);
    return {
      bytes: Buffer.from(await form.arrayBuffer()),
      type: form.headers.get("content-type")!,
    };
  }
  return { bytes: Buffer.from(JSON.stringify(body)), type: "application/json" };
}
