// Starts the commands from what compile.mjs made of their sources, as long as no source has changed since. Plain
// JavaScript, since Node runs it before anything is compiled.
import { readFileSync, statSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(repository, "node_modules/.cache/ouchi");

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `ouchi needs Node 20.19 or newer, and this is ${process.versions.node}: install a newer one from https://nodejs.org.`,
  );
  process.exit(78);
}

const folder = current() ?? (await compiled());
if (folder) {
  // What is compiled lies elsewhere, and looks for the clone's files by this.
  globalThis[Symbol.for("ouchi.clone")] = pathToFileURL(join(repository, "/")).href;
  // Newer than Node 20: it keeps what it made of the code, too.
  module.enableCompileCache?.(join(cache, "node"));
  await import(pathToFileURL(join(folder, "main.mjs")).href);
} else {
  await asWritten();
}

/** The folder of what was compiled last, if that was compiled from the files as they are now. */
function current() {
  try {
    const { folder, sources } = JSON.parse(readFileSync(join(cache, "current.json"), "utf8"));
    const same = sources.every(([path, size, changed]) => {
      const now = statSync(join(repository, path));
      return now.size === size && now.mtimeMs === changed;
    });
    return same ? join(cache, folder) : undefined;
  } catch {
    return undefined;
  }
}

async function compiled() {
  try {
    const { compile } = await import("./compile.mjs");
    return await compile(repository, cache);
  } catch {
    // A clone that cannot be written to, or a source that does not compile: Node runs the first and explains the second.
    return undefined;
  }
}

async function asWritten() {
  try {
    await import("../infra/typescript.mjs");
    await import("commander");
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    console.error(`The packages of ouchi-photos are not there: run "npm ci" in ${repository}.`);
    process.exit(78);
  }
  await import("./main.ts");
}
