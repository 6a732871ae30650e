/**
 * A pretend registry of container images, as strict as ghcr.io and Docker Hub are to somebody without an account: the part
 * of the OCI distribution API that reads (https://github.com/opencontainers/distribution-spec/blob/main/spec.md), and the
 * token without which nothing is read (https://distribution.github.io/distribution/spec/auth/token/). Debian's
 * docker-registry, which is the real one here, gives neither tokens to anybody nor its tags in pages.
 *
 * It differs in this: it holds manifests alone, no layers, and takes no uploads.
 */

import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { listen } from "../cloudflare/listen.ts";

const index = "application/vnd.oci.image.index.v1+json";
const service = "pretend-registry.test";
/** ghcr.io's. */
const mostTagsOfAPage = 1000;

interface Image {
  /** By tag, the digest. */
  tags: Map<string, string>;
  /** By digest, the bytes of an index. */
  manifests: Map<string, string>;
}

export interface Fault {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export class PretendRegistry {
  readonly #server: Server;
  readonly #images = new Map<string, Image>();
  /** By token, the one repository that it opens, and how often. */
  readonly #tokens = new Map<string, { repository: string; left: number }>();
  #port = 0;
  /** What the next requests for tags and manifests get instead of an answer. */
  readonly faults: Fault[] = [];
  /** How many requests a token lives for; the real ones live for five minutes. */
  tokenLife = Number.POSITIVE_INFINITY;
  /** Each request's method and path, and whether it brought a token. */
  readonly requests: string[] = [];

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<PretendRegistry> {
    const registry = new PretendRegistry();
    registry.#port = await listen(registry.#server);
    return registry;
  }

  /** Its name in an image's reference. */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** An index for two processors under a tag; other `content` makes another digest. Gives the digest. */
  publish(repository: string, tag: string, content = tag): string {
    const image = this.#images.get(repository) ?? { tags: new Map(), manifests: new Map() };
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: index,
      manifests: ["amd64", "arm64"].map((architecture) => ({
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: digestOf(`${repository} ${content} ${architecture}`),
        size: 500,
        platform: { architecture, os: "linux" },
      })),
    });
    image.manifests.set(digestOf(manifest), manifest);
    image.tags.set(tag, digestOf(manifest));
    this.#images.set(repository, image);
    return digestOf(manifest);
  }

  withdraw(repository: string, tag: string): void {
    this.#images.get(repository)?.tags.delete(tag);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, `http://${this.host}`);
    const { authorization } = request.headers;
    this.requests.push(`${request.method} ${url.pathname}${authorization ? " with a token" : ""}`);
    response.setHeader("Docker-Distribution-Api-Version", "registry/2.0");
    if (url.pathname === "/token") this.#giveToken(url, response);
    else this.#read(url, request, response);
  }

  #read(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const { authorization } = request.headers;
    const asked = /^\/v2\/(.+)\/(tags|manifests)\/([^/]+)$/.exec(url.pathname);
    if (!asked || !/^(GET|HEAD)$/.test(request.method!)) {
      fail(response, 404, "NAME_UNKNOWN", "not a route of the pretend registry");
      return;
    }
    const [, repository, what, name] = asked as unknown as [string, string, string, string];
    const fault = this.faults.shift();
    if (fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    const error = this.#refusal(authorization, repository);
    if (error !== undefined) {
      response.setHeader(
        "WWW-Authenticate",
        `Bearer realm="http://${this.host}/token",service="${service}",scope="repository:${repository}:pull"${error}`,
      );
      fail(response, 401, "UNAUTHORIZED", "authentication required");
      return;
    }
    const image = this.#images.get(repository)!;
    if (what === "manifests") giveManifest(image, name, request, response);
    else if (name === "list") giveTags(repository, image, url, response);
    else fail(response, 404, "NAME_UNKNOWN", `no route "${name}"`);
  }

  /** Why a request is not let in, as the challenge says it; `undefined` where it is. */
  #refusal(authorization: string | undefined, repository: string): string | undefined {
    if (authorization === undefined) return "";
    const token = this.#tokens.get(/^Bearer (\S+)$/.exec(authorization)?.[1] ?? "");
    if (!token || token.left-- <= 0) return ',error="invalid_token"';
    return token.repository === repository ? undefined : ',error="insufficient_scope"';
  }

  #giveToken({ searchParams }: URL, response: ServerResponse): void {
    if (searchParams.get("service") !== service) {
      fail(response, 400, "UNSUPPORTED", "the service is another one");
      return;
    }
    const repository = /^repository:(.+):pull$/.exec(searchParams.get("scope") ?? "")?.[1];
    // As ghcr.io: what is not there and what is private look the same.
    if (!repository || !this.#images.has(repository)) {
      fail(response, 403, "DENIED", "requested access to the resource is denied");
      return;
    }
    const token = randomBytes(24).toString("base64url");
    this.#tokens.set(token, { repository, left: this.tokenLife });
    response.setHeader("Content-Type", "application/json").end(JSON.stringify({ token }));
  }
}

function giveManifest(
  { tags, manifests }: Image,
  reference: string,
  { method, headers }: IncomingMessage,
  response: ServerResponse,
): void {
  const digest = tags.get(reference) ?? reference;
  const manifest = manifests.get(digest);
  if (manifest === undefined) {
    fail(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    return;
  }
  // As the real ones: who cannot read an index is not given one.
  if (!(headers.accept ?? "").split(/\s*,\s*/).includes(index)) {
    fail(
      response,
      404,
      "MANIFEST_UNKNOWN",
      "OCI index found, but accept header does not support OCI indexes",
    );
    return;
  }
  response.writeHead(200, {
    "Content-Type": index,
    "Content-Length": Buffer.byteLength(manifest),
    "Docker-Content-Digest": digest,
  });
  response.end(method === "HEAD" ? undefined : manifest);
}

function giveTags(
  name: string,
  image: Image,
  { searchParams }: URL,
  response: ServerResponse,
): void {
  const size = Number(searchParams.get("n") ?? 100);
  if (!Number.isInteger(size) || size < 1 || size > mostTagsOfAPage) {
    fail(response, 400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested");
    return;
  }
  const last = searchParams.get("last");
  const rest = [...image.tags.keys()].sort().filter((tag) => last === null || tag > last);
  const tags = rest.slice(0, size);
  if (rest.length > size) {
    const next = new URLSearchParams({ last: tags.at(-1)!, n: String(size) });
    response.setHeader("Link", `</v2/${name}/tags/list?${next}>; rel="next"`);
  }
  response.setHeader("Content-Type", "application/json").end(JSON.stringify({ name, tags }));
}

function fail(response: ServerResponse, status: number, code: string, message: string): void {
  response
    .writeHead(status, { "Content-Type": "application/json" })
    .end(JSON.stringify({ errors: [{ code, message }] }));
}

function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
