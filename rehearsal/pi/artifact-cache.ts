/**
 * Things that take minutes to build are kept by the hash of what they are built from. A build
 * happens in a folder of its own and is renamed into place when it is whole, so that an
 * interrupted one leaves nothing that looks finished.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Where built things are kept: `$OUCHI_REHEARSAL_CACHE`, else `.rehearsal/cache` in the project. */
export function cacheFolder(): string {
  const chosen = process.env.OUCHI_REHEARSAL_CACHE;
  return chosen ? resolve(chosen) : resolve(import.meta.dirname, "../../.rehearsal/cache");
}

/** A hash of texts and of whole folders or files (names, modes and bytes). */
export async function recipeHash(recipe: { texts?: string[]; paths?: string[] }): Promise<string> {
  const hash = createHash("sha256");
  for (const text of recipe.texts ?? []) hash.update(`text ${text.length}\n${text}`);
  for (const path of recipe.paths ?? []) {
    for (const file of await filesUnder(path)) {
      const bytes = await readFile(file);
      const mode = (await stat(file)).mode & 0o111;
      hash.update(`file ${relative(path, file)} ${mode} ${bytes.length}\n`).update(bytes);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

async function filesUnder(path: string): Promise<string[]> {
  if ((await stat(path)).isFile()) return [path];
  const found: string[] = [];
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) found.push(join(entry.parentPath, entry.name));
  }
  return found.sort();
}

export interface CachedArtifact {
  /** The finished folder. */
  folder: string;
  /** False when it was built just now. */
  cached: boolean;
}

/**
 * The folder `<name>-<hash>` of the cache, built by `build` when it is not there. Two runs at the
 * same time build it once: the second waits.
 */
export async function cachedArtifact(
  name: string,
  hash: string,
  build: (folder: string) => Promise<void>,
  options: { timeoutMs?: number } = {},
): Promise<CachedArtifact> {
  const root = cacheFolder();
  const folder = join(root, `${name}-${hash}`);
  if (existsSync(folder)) {
    const now = new Date();
    await utimes(folder, now, now);
    return { folder, cached: true };
  }
  await mkdir(root, { recursive: true });
  const release = await takeLock(
    join(root, `${name}-${hash}.lock`),
    options.timeoutMs ?? 1_800_000,
  );
  try {
    if (existsSync(folder)) return { folder, cached: true };
    const unfinished = join(root, `${name}-${hash}.unfinished`);
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true });
    try {
      await build(unfinished);
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      throw error;
    }
    await rename(unfinished, folder);
    await forgetOld(root, name);
    return { folder, cached: false };
  } finally {
    await release();
  }
}

/** How many versions of a thing are kept: who switches between two states of the project keeps both. */
const versionsKept = 3;

async function forgetOld(root: string, name: string): Promise<void> {
  const versions: { path: string; used: number }[] = [];
  for (const entry of await readdir(root)) {
    if (!entry.startsWith(`${name}-`) || !/^[0-9a-f]{16}$/.test(entry.slice(name.length + 1)))
      continue;
    const path = join(root, entry);
    versions.push({ path, used: (await stat(path)).mtimeMs });
  }
  versions.sort((one, other) => other.used - one.used);
  for (const { path } of versions.slice(versionsKept))
    await rm(path, { recursive: true, force: true });
}

/** A lock file that holds its owner's process id: one whose owner is gone is taken over. */
async function takeLock(path: string, timeoutMs: number): Promise<() => Promise<void>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(String(process.pid));
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const owner = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
    // Another worker of this very process may hold it, so only a process that is gone loses it.
    if (Number.isInteger(owner) && !existsSync(`/proc/${owner}`)) await rm(path, { force: true });
    else if (Date.now() > deadline) {
      throw new Error(
        `The rehearsal waited ${Math.round(timeoutMs / 1000)} s for "${path}", which process ${owner} holds. End that run, or remove the file when no rehearsal is running.`,
      );
    } else await sleep(300);
  }
}

/** Writes a file so that a reader finds the old text or the new one, never a part. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}`;
  await writeFile(beside, text);
  await rename(beside, path);
}
