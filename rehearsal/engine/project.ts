import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { EngineError } from "./engine-error.ts";

/** What the engine takes from Pulumi.yaml. */
export interface Project {
  name: string;
  root: string;
  /** The folder that the program runs in: the one of `main`. */
  programDirectory: string;
  entryPoint: string;
  nodeArguments: string[];
  /** Folders of provider plugins, by package. */
  plugins: Map<string, string>;
  config: Record<string, unknown>;
}

const knownKeys = new Set([
  ...["name", "description", "author", "website", "license", "main", "runtime", "plugins"],
  // Of Pulumi's own command line, which this is not.
  "requiredPulumiVersion",
  ...["config", "stackConfigDir", "template"],
]);
const knownRuntimeOptions = new Set(["typescript", "nodeargs", "packagemanager"]);

export function readProject(directory: string): Project {
  const root = resolve(directory);
  const file = join(root, "Pulumi.yaml");
  if (!existsSync(file)) {
    throw new EngineError(
      `Could not find a Pulumi project: there is no "${file}". Name its folder by --cwd.`,
    );
  }
  const project = parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  for (const key of Object.keys(project)) {
    if (!knownKeys.has(key)) throw unsupported(file, key);
  }
  if (typeof project.name !== "string")
    throw new EngineError(`"${file}" gives the project no name.`);

  const runtime = project.runtime as
    | string
    | { name: string; options?: Record<string, unknown> }
    | undefined;
  const runtimeName = typeof runtime === "string" ? runtime : runtime?.name;
  const options = (typeof runtime === "object" && runtime.options) || {};
  if (runtimeName !== "nodejs") throw unsupported(file, `runtime: ${String(runtimeName)}`);
  for (const key of Object.keys(options)) {
    if (!knownRuntimeOptions.has(key)) throw unsupported(file, `runtime.options.${key}`);
  }
  if (options.typescript !== false) {
    throw unsupported(file, "runtime.options.typescript: true (run the program by nodeargs)");
  }

  const plugins = new Map<string, string>();
  for (const [kind, list] of Object.entries((project.plugins ?? {}) as Record<string, unknown>)) {
    if (kind !== "providers") throw unsupported(file, `plugins.${kind}`);
    for (const { name, path } of list as { name: string; path: string }[]) {
      plugins.set(name, resolve(root, path));
    }
  }

  const main = resolve(root, typeof project.main === "string" ? project.main : ".");
  if (!existsSync(main)) {
    throw new EngineError(`Could not find the program "${main}", which "${file}" names as main.`);
  }
  const isFolder = statSync(main).isDirectory();
  return {
    name: project.name,
    root,
    programDirectory: isFolder ? main : dirname(main),
    entryPoint: isFolder ? "." : basename(main),
    nodeArguments: splitWords(String(options.nodeargs ?? "")),
    plugins,
    config: (project.config ?? {}) as Record<string, unknown>,
  };
}

function unsupported(file: string, what: string): EngineError {
  return new EngineError(`"${file}" sets ${what}, which the rehearsal engine does not know.`);
}

/** Words as a shell would split them, with quotes and without expansion. */
export function splitWords(line: string): string[] {
  const words = line.match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}
