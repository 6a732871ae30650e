// Compiles the commands: main.ts and the packages that each start needs into one file, and each command into one beside it.
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isAbsolute, join, relative, sep } from "node:path";

/** Packages that are compiled in. The others are large, and loaded by the few commands that need them. */
const compiledIn = new Set(["commander", "execa", "tldts", "yaml", "zod"]);

/** What a package's own files are known by: npm writes it whenever it changes one. */
const packages = "node_modules/.package-lock.json";

/**
 * Returns the new folder inside `cache`. Starts at the same time may each make one; what they find later is whole,
 * since a rename puts it in place.
 */
export async function compile(repository, cache) {
  const name = `${Date.now()}-${process.pid}`;
  const folder = join(cache, name);
  // First, so that a clone that cannot be written to costs nothing more.
  mkdirSync(folder, { recursive: true });
  const sources = new Map();
  // Before it is read: what is changed in between is then compiled again by the next start.
  const note = (path) => {
    const { size, mtimeMs } = statSync(join(repository, path));
    sources.set(path, [path, size, mtimeMs]);
  };
  try {
    for (const path of [packages, "cli/start.mjs", "cli/compile.mjs"]) note(path);
    const { build } = await import("esbuild");
    await build({
      absWorkingDir: repository,
      entryPoints: ["cli/main.ts"],
      outdir: folder,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20.19",
      // An error then names the functions that it came through.
      keepNames: true,
      logLevel: "silent",
      // For those packages that are not ES modules.
      banner: {
        js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
      },
      plugins: [{ name: "ouchi", setup: (step) => own(step, repository, note) }],
    });
    const manifest = join(folder, "manifest.json");
    writeFileSync(manifest, JSON.stringify({ folder: name, sources: [...sources.values()] }));
    renameSync(manifest, join(cache, "current.json"));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  removeOld(cache, name);
  return folder;
}

function own(step, repository, note) {
  step.onResolve({ filter: /^[^./]/ }, ({ path, importer }) => {
    if (isAbsolute(path) || importer.includes(`${sep}node_modules${sep}`)) return undefined;
    const [scope, rest] = path.split("/");
    const package_ = scope.startsWith("@") ? `${scope}/${rest}` : scope;
    return compiledIn.has(package_) ? undefined : { path, external: true };
  });
  step.onLoad({ filter: /./, namespace: "file" }, async ({ path }) => {
    const name = relative(repository, path).split(sep).join("/");
    if (name.startsWith("node_modules/")) return undefined;
    note(name);
    if (!name.endsWith(".ts")) return undefined;
    const text = await readFile(path, "utf8");
    if (/import\.meta\.(?!url\b)/.test(text))
      throw new Error(`"${name}" uses more than import.meta.url`);
    // A source looks for its files beside itself: in the clone that start.mjs is of, wherever its node_modules may lead.
    return {
      loader: "ts",
      contents: text.replaceAll(
        "import.meta.url",
        `new URL(${JSON.stringify(name)}, globalThis[Symbol.for("ouchi.clone")]).href`,
      ),
    };
  });
}

/** What earlier starts made. One of the last hour may still be at work. */
function removeOld(cache, kept) {
  for (const name of readdirSync(cache)) {
    if (!/^\d+-\d+$/.test(name) || name === kept) continue;
    if (Number.parseInt(name, 10) > Date.now() - 3_600_000) continue;
    rmSync(join(cache, name), { recursive: true, force: true });
  }
}
