// Lets Node run TypeScript as it is written, from a folder of any name. Node 22.18 and newer do so by themselves; for an
// older one esbuild takes the types away, and nothing else: files are named in full. (tsx takes a "?" in a folder's name for
// the beginning of a query.)
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

// Node loads this file once more into the thread that asks `load`.
if (isMainThread && !process.features.typescript) register(import.meta.url);

export async function load(url, context, next) {
  const { protocol, pathname } = new URL(url);
  if (protocol !== "file:" || pathname.includes("/node_modules/")) return next(url, context);
  const path = fileURLToPath(url);
  // Node 20 would warn of an experiment on each start.
  if (pathname.endsWith(".json") && context.importAttributes?.type === "json") {
    const source = `export default ${await readFile(path, "utf8")};`;
    return { format: "module", source, shortCircuit: true };
  }
  if (!pathname.endsWith(".ts")) return next(url, context);
  const { transform } = await import("esbuild");
  const { code } = await transform(await readFile(path, "utf8"), {
    loader: "ts",
    format: "esm",
    target: "node20.19",
    sourcefile: path,
    sourcemap: "inline",
  });
  return { format: "module", source: code, shortCircuit: true };
}
