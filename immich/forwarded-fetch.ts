/**
 * `fetch` through the SSH connection to a port on the Pi's own loopback. Each request is a channel of
 * its own; nothing listens on the laptop that other programs there could use.
 */
import { Agent, type ClientRequestArgs, request } from "node:http";
import type { Duplex } from "node:stream";
import type { Client } from "ssh2";

const requestTimeout = 60_000;

class ForwardAgent extends Agent {
  readonly #client: Client;
  readonly #port: number;

  constructor(client: Client, port: number) {
    super({ keepAlive: false });
    this.#client = client;
    this.#port = port;
  }

  override createConnection(
    _options: ClientRequestArgs,
    done?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | undefined {
    this.#client.forwardOut("127.0.0.1", 0, "127.0.0.1", this.#port, (error, channel) =>
      done?.(error ?? null, channel),
    );
    return undefined;
  }
}

export function forwardedFetch(client: Client, port: number): typeof fetch {
  return async (input, options = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = Object.fromEntries(new Headers(options.headers));
    const body = options.body === undefined || options.body === null ? "" : String(options.body);
    if (body) headers["content-length"] = String(Buffer.byteLength(body));
    return new Promise<Response>((resolve, reject) => {
      const outgoing = request(
        {
          agent: new ForwardAgent(client, port),
          host: "127.0.0.1",
          port,
          path: url.pathname + url.search,
          method: options.method ?? "GET",
          headers,
          signal: AbortSignal.timeout(requestTimeout),
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const status = incoming.statusCode ?? 502;
            const empty = status === 204 || status === 304;
            resolve(
              new Response(empty ? null : Buffer.concat(chunks), {
                status,
                headers: incoming.headers as Record<string, string>,
              }),
            );
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  };
}
