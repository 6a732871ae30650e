/** Debian's packages through one cache on this machine: fetched once, then served from disk. */

import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, utimes } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as WebStream } from "node:stream/web";
import { execa } from "execa";
import { cacheFolder } from "./artifact-cache.ts";

export interface DebianSources {
  /** The mirror of the main archive, e.g. "http://…/debian/". */
  main: string;
  /** The mirror of the security archive, where this machine uses one. */
  security?: string;
}

/** Debian's mirrors as this machine's own apt uses them. */
export async function debianSources(): Promise<DebianSources> {
  const { stdout } = await execa(
    "apt-get",
    ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
    { timeout: 30_000 },
  );
  const sources = sourcesFrom(stdout);
  if (!sources) {
    throw new Error(
      "The rehearsal cannot tell which Debian mirror to use: this machine's apt sources name none for bookworm, trixie, oldstable or stable. Add one below /etc/apt/sources.list.d/.",
    );
  }
  return sources;
}

/** Reads lines of "<release> <address>". */
export function sourcesFrom(lines: string): DebianSources | undefined {
  let main: string | undefined;
  let security: string | undefined;
  for (const line of lines.split("\n")) {
    const [release = "", address = ""] = line.trim().split(" ");
    if (!/^https?:/.test(address)) continue;
    if (/^(bookworm|trixie|oldstable|stable)$/.test(release)) main ??= address;
    if (/^(bookworm|trixie|oldstable|stable)-security$/.test(release)) security ??= address;
  }
  if (!main) return undefined;
  return { main, ...(security ? { security } : {}) };
}

/** The lines of a sources list for trixie; the cache turns http into what the mirror speaks. */
export function trixieSourceLines(sources: DebianSources): string[] {
  const cachable = (address: string) => address.replace(/^https:/, "http:");
  return [
    `deb ${cachable(sources.main)} trixie main`,
    `deb ${cachable(sources.main)} trixie-updates main`,
    ...(sources.security ? [`deb ${cachable(sources.security)} trixie-security main`] : []),
  ];
}

/** The name under which the cache serves the package archives that the rehearsal itself made. */
export const packagesHost = "packages.rehearsal.test";

export interface PackageCache {
  port: number;
  stop(): Promise<void>;
}

/**
 * An HTTP proxy on a free loopback port for Debian's mirrors and the rehearsal's own archive, and for
 * nothing else. What the archive
 * never changes (`pool/`, `by-hash/`) is fetched once; the rest is asked for again each time, and
 * served as it was when the mirror is out of reach.
 */
export async function startPackageCache(): Promise<PackageCache> {
  const sources = await debianSources();
  const schemes = new Map<string, string>();
  for (const address of [sources.main, sources.security]) {
    if (address) schemes.set(new URL(address).host, new URL(address).protocol);
  }
  const store = join(cacheFolder(), "packages");
  await mkdir(store, { recursive: true });
  const fetching = new Map<string, Promise<Stored>>();
  const server = createServer((request, response) => {
    void serve(request, response).catch((error: Error) => {
      if (!response.headersSent) response.writeHead(502, { "content-type": "text/plain" });
      response.end(`The package cache could not answer ${request.url}: ${error.message}\n`);
    });
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "");
    if (url.host === packagesHost && request.method === "GET") {
      await serveArchive(url.pathname, response);
      return;
    }
    const protocol = schemes.get(url.host);
    if (!protocol || request.method !== "GET") {
      response.writeHead(403, { "content-type": "text/plain" });
      response.end("The rehearsal's package cache serves this machine's Debian mirrors only.\n");
      return;
    }
    url.protocol = protocol;
    const file = join(store, url.host.replaceAll(":", "_"), storedName(url.pathname));
    const inFlight = fetching.get(file) ?? stored(url, file);
    fetching.set(file, inFlight);
    const found = await inFlight.finally(() => fetching.delete(file));
    if (found.status !== 200) {
      response.writeHead(found.status, { "content-length": 0 });
      response.end();
      return;
    }
    const headers = found.modified ? { "last-modified": found.modified } : {};
    const since = request.headers["if-modified-since"];
    if (since && found.modified && Date.parse(since) >= Date.parse(found.modified)) {
      response.writeHead(304, headers);
      response.end();
      return;
    }
    const { size } = await stat(file);
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
    const start = from && !request.headers["if-range"] && Number(from) < size ? Number(from) : 0;
    response.writeHead(start > 0 ? 206 : 200, {
      ...headers,
      "content-length": size - start,
      ...(start > 0 ? { "content-range": `bytes ${start}-${size - 1}/${size}` } : {}),
    });
    await pipeline(createReadStream(file, { start }), response);
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  // The rehearsal may end without a word to the cache: it holds nothing that must be closed.
  server.unref();
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("No port could be found.");
  return {
    port: address.port,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A file of `<cache>/card-<hash>/packages/`. */
async function serveArchive(pathname: string, response: ServerResponse): Promise<void> {
  const file = /^\/card-[0-9a-f]+\/packages\/(?:\.\/)?[A-Za-z0-9_.+~%-]+$/.test(pathname)
    ? join(cacheFolder(), decodeURIComponent(pathname))
    : undefined;
  const found = file ? await stat(file).catch(() => undefined) : undefined;
  if (!file || !found?.isFile()) {
    response.writeHead(404, { "content-length": 0 });
    response.end();
    return;
  }
  response.writeHead(200, {
    "content-length": found.size,
    "last-modified": found.mtime.toUTCString(),
  });
  await pipeline(createReadStream(file), response);
}

interface Stored {
  status: number;
  modified?: string;
}

/** Brings a file of the archive into the store, unless it is there and can be trusted to be current. */
async function stored(url: URL, file: string): Promise<Stored> {
  const have = await stat(file).catch(() => undefined);
  const known = have ? { status: 200, modified: have.mtime.toUTCString() } : undefined;
  if (known && /\/(pool|by-hash)\//.test(url.pathname)) return known;
  let answer: Response;
  try {
    answer = await fetch(url, {
      headers: known ? { "if-modified-since": known.modified } : {},
      signal: AbortSignal.timeout(120_000),
    });
  } catch (error) {
    if (known) return known;
    throw error;
  }
  if (answer.status === 304 && known) return known;
  if (answer.status !== 200 || !answer.body) {
    await answer.body?.cancel();
    return known && answer.status >= 500 ? known : { status: answer.status };
  }
  await mkdir(dirname(file), { recursive: true });
  const unfinished = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    await pipeline(Readable.fromWeb(answer.body as WebStream), createWriteStream(unfinished));
    const length = answer.headers.get("content-length");
    if (length && (await stat(unfinished)).size !== Number(length)) {
      throw new Error("the mirror's answer broke off");
    }
    const modified = new Date(answer.headers.get("last-modified") ?? Date.now());
    await utimes(unfinished, modified, modified);
    await rename(unfinished, file);
    return { status: 200, modified: modified.toUTCString() };
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** A file's name in the store: the path, with what is not plain escaped so that none leaves it. */
export function storedName(pathname: string): string {
  return pathname
    .split("/")
    .filter((part) => part !== "")
    .map((part) => part.replace(/^\.+$/, "_").replace(/[^A-Za-z0-9._+~%-]/g, "_"))
    .join("/");
}
