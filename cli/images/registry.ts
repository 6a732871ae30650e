import { createHash } from "node:crypto";
import { UserError } from "../../infra/settings/user-error.ts";
import { registryAddress } from "./image-reference.ts";

/** More pages than any of the kit's images has: a registry that never ends its list. */
const mostPages = 200;

/** Indexes for several processors first: their digest is the one that is pinned. */
const manifests = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/**
 * What anybody may ask a registry of images, without an account: the OCI distribution API, and the token by which
 * registries such as ghcr.io and Docker Hub let anybody read (https://distribution.github.io/distribution/spec/auth/token/).
 */
export class Registry {
  readonly #name: string;
  readonly #address: string;
  readonly #patience: number;
  /** By repository. */
  readonly #tokens = new Map<string, Promise<string>>();

  /** @param patience How long it may take for one answer, in milliseconds. */
  constructor(name: string, patience = 30_000) {
    this.#name = name;
    this.#patience = patience;
    this.#address = registryAddress(name);
  }

  /** The digest that the tag stands for now; `undefined` where there is no such tag. */
  async digest(repository: string, tag: string): Promise<string | undefined> {
    const path = `/v2/${repository}/manifests/${tag}`;
    // HEAD counts as no pull where pulls are counted.
    const head = await this.#ask(repository, path, "HEAD");
    if (head.status === 404) return undefined;
    const told = head.headers.get("docker-content-digest");
    const digest = told ?? sha256(await (await this.#ask(repository, path, "GET")).arrayBuffer());
    if (/^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
    throw this.#cannot(`answered with the digest "${digest.slice(0, 100)}", which is none`);
  }

  async tags(repository: string): Promise<string[]> {
    const tags: string[] = [];
    let path: string | undefined = `/v2/${repository}/tags/list?n=1000`;
    for (let page = 0; path; page++) {
      if (page === mostPages) throw this.#cannot(`gave ${mostPages} pages of tags, and more`);
      const answer: Response = await this.#ask(repository, path, "GET");
      if (answer.status === 404) throw this.#cannot(`knows no "${repository}"`);
      const body = await this.#json(answer);
      const listed = (body as { tags?: unknown }).tags ?? [];
      if (!Array.isArray(listed)) throw this.#cannot("answered with no list of tags");
      tags.push(...listed.filter((tag) => typeof tag === "string"));
      path = this.#next(answer);
    }
    return tags;
  }

  /** The next page's path by the header `Link`; another host is never followed. */
  #next(answer: Response): string | undefined {
    const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.get("link") ?? "")?.[1];
    if (!link) return undefined;
    const { origin, pathname, search } = new URL(link, this.#address);
    if (origin !== new URL(this.#address).origin) throw this.#cannot(`sent on to "${origin}"`);
    return pathname + search;
  }

  async #ask(repository: string, path: string, method: "GET" | "HEAD"): Promise<Response> {
    const ask = async () => {
      const token = await this.#tokens.get(repository);
      return this.#fetch(this.#address + path, {
        method,
        headers: { accept: manifests, ...(token && { authorization: `Bearer ${token}` }) },
      });
    };
    let answer = await ask();
    if (answer.status === 401) {
      await answer.body?.cancel();
      // Kept as a promise: who asks at the same time waits for the same token.
      this.#tokens.set(repository, this.#token(repository, answer));
      answer = await ask();
    }
    if (answer.ok || answer.status === 404) return answer;
    throw this.#refused(answer, repository);
  }

  async #token(repository: string, { headers }: Response): Promise<string> {
    const challenge = headers.get("www-authenticate") ?? "";
    const given = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
    );
    if (!/^bearer /i.test(challenge) || !URL.canParse(given.realm ?? "")) {
      throw this.#cannot("lets nobody read without an account");
    }
    const realm = new URL(given.realm!);
    if (realm.protocol !== "https:" && !this.#address.startsWith("http:")) {
      throw this.#cannot(`wants a token that is fetched without TLS, from "${realm.origin}"`);
    }
    if (given.service) realm.searchParams.set("service", given.service);
    realm.searchParams.set("scope", given.scope ?? `repository:${repository}:pull`);
    const answer = await this.#fetch(realm.href, {});
    if (!answer.ok) throw this.#refused(answer, repository);
    const { token, access_token } = (await this.#json(answer)) as Record<string, unknown>;
    const found = token ?? access_token;
    // Into a header: nothing that could end one.
    if (typeof found === "string" && /^[!-~]+$/.test(found)) return found;
    throw this.#cannot("gave no token");
  }

  async #fetch(url: string, options: RequestInit): Promise<Response> {
    try {
      return await fetch(url, { ...options, signal: AbortSignal.timeout(this.#patience) });
    } catch (error) {
      throw this.#unreachable(error as Error);
    }
  }

  async #json(answer: Response): Promise<object> {
    let text: string;
    try {
      text = await answer.text();
    } catch (error) {
      throw this.#unreachable(error as Error);
    }
    try {
      const body: unknown = JSON.parse(text);
      if (typeof body === "object" && body !== null) return body;
    } catch {
      // Said below.
    }
    throw this.#cannot("answered with something that is no JSON: a sign-in page may be in between");
  }

  #refused({ status, headers }: Response, repository: string): UserError {
    if (status === 429) {
      const wait = headers.get("retry-after");
      return this.#cannot(
        `was asked too often from this address (429)${wait && /^\d+$/.test(wait) ? `: try again in ${wait} seconds` : ": try again in some hours"}`,
      );
    }
    if (status === 401 || status === 403) {
      return this.#cannot(
        `lets nobody read "${repository}" without an account (${status})`,
        " Is it spelt right?",
      );
    }
    return this.#cannot(`answered with status ${status}`);
  }

  #unreachable(error: Error): UserError {
    if (error.name === "TimeoutError") {
      return this.#cannot(`did not answer within ${this.#patience / 1000} seconds`);
    }
    const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException;
    return this.#cannot(`could not be reached (${code ?? message})`, " Is this laptop online?");
  }

  #cannot(why: string, cure = ""): UserError {
    return new UserError(`The registry ${this.#name} ${why}.${cure}`);
  }
}

function sha256(bytes: ArrayBuffer): string {
  return `sha256:${createHash("sha256").update(new Uint8Array(bytes)).digest("hex")}`;
}
