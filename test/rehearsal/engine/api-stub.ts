import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Call {
  method: string;
  path: string;
  body?: Record<string, unknown>;
}

type Item = Record<string, unknown>;

/** As little of Cloudflare's API as the stand-in's calls need: it keeps what it is sent and writes down the calls. */
export class ApiStub {
  readonly calls: Call[] = [];
  readonly items = new Map<string, Item>();
  /** Answered before anything else, each once. */
  readonly faults: { status: number; retryAfter?: string }[] = [];
  readonly #server: Server;
  #made = 0;
  #secrets = 0;

  static async start(): Promise<ApiStub> {
    const stub = new ApiStub();
    await new Promise<void>((resolve) => stub.#server.listen(0, "127.0.0.1", resolve));
    return stub;
  }

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const { method = "", url: path = "" } = request;
      const body = await read(request);
      this.calls.push({ method, path, ...(body && { body }) });
      const fault = this.faults.shift();
      const result = fault ? undefined : this.#answer(method, path, body);
      const status = fault?.status ?? (result === undefined ? 404 : 200);
      response.writeHead(status, {
        "content-type": "application/json",
        ...(fault?.retryAfter && { "retry-after": fault.retryAfter }),
      });
      const errors = status === 200 ? [] : [{ code: 1000, message: "no" }];
      response.end(JSON.stringify({ success: status === 200, errors, messages: [], result }));
    });
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/client/v4`;
  }

  /** As "POST /accounts/A/access/apps". */
  lines(): string[] {
    return this.calls.map(({ method, path }) => `${method} ${path.replace("/client/v4", "")}`);
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(method: string, address: string, body: Item | undefined): unknown {
    const path = address.replace("/client/v4", "");
    if (path.startsWith("/zones?name=")) return [{ id: "ZONE", name: path.split("=")[1] }];
    if (path === "/zones/ZONE") return { id: "ZONE", name: "example.com", name_servers: ["a"] };
    if (path.endsWith("/token")) return "connector-token";
    if (method === "POST") {
      this.#made += 1;
      const id = `${path.split("/").at(-1)}-${this.#made}`;
      const item = { ...body, id, ...this.#computed(path) };
      this.items.set(`${path}/${id}`, item);
      return item;
    }
    if (method === "PUT" || method === "PATCH") {
      const before = this.items.get(path) ?? { version: 0 };
      const renewed =
        path.includes("service_tokens") &&
        before.client_secret_version !== body?.client_secret_version;
      const item = { ...before, ...body, ...(renewed && { client_secret: this.#secret() }) };
      this.items.set(path, item);
      return renewed ? item : { ...item, client_secret: undefined };
    }
    const item = this.items.get(path);
    if (item === undefined) return undefined;
    if (method === "DELETE") this.items.delete(path);
    // Asked again, Cloudflare does not tell a secret twice.
    return { ...item, client_secret: undefined, tunnel_secret: undefined };
  }

  #computed(path: string): Item {
    if (path.endsWith("/service_tokens")) {
      return {
        client_id: "id.access",
        client_secret: this.#secret(),
        expires_at: "2027-11-22T00:00:00Z",
      };
    }
    if (path.endsWith("/apps")) return { aud: "audience" };
    return {};
  }

  #secret(): string {
    this.#secrets += 1;
    return `client-secret-${this.#secrets}`;
  }
}

async function read(request: IncomingMessage): Promise<Item | undefined> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text === "" ? undefined : (JSON.parse(text) as Item);
}
