import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Locked {
  integrity?: string;
  resolved?: string;
  license?: string;
  dev?: boolean;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (name: string) => readFileSync(join(root, name), "utf8");
const { packages } = JSON.parse(read("package-lock.json")) as {
  packages: Record<string, Locked>;
};
const locked = Object.entries(packages).filter(([path]) => path !== "");
const { dependencies } = JSON.parse(read("package.json")) as Required<Locked>;

/** What an owner runs. */
const production = ["cli", "immich", "infra", "pi"];
/** Licences that a kit under MIT may be passed on beside: none asks for the sources of what uses it. */
const permissive =
  /^\(?(0BSD|Apache-2\.0|BSD-[23]-Clause|BlueOak-1\.0\.0|CC0-1\.0|CC-BY-3\.0|ISC|MIT|Python-2\.0|Unlicense)( AND (Apache-2\.0|MIT)\))?$/;
/** MIT too, told in another place than the lock file reads. */
const mit = ["@logdna/tail-file", "buildcheck", "cpu-features", "ssh2"];

/** Names of packages that a source imports, without its comments' and texts' own. */
const imported = (source: string) =>
  [
    ...source.matchAll(
      /^(?:import|export)\b[^;]*?from "([^"]+)"|\bimport\("([^"]+)"\)|^import "([^"]+)"/gm,
    ),
  ]
    .map(([, from, dynamic, bare]) => (from ?? dynamic ?? bare)!)
    // A word "from" in a sentence may be followed by a value.
    .filter((name) => !/^(?:\.|node:|\$\{)/.test(name))
    .map((name) =>
      name
        .split("/")
        .slice(0, name.startsWith("@") ? 2 : 1)
        .join("/"),
    );

describe("The packages that are installed", () => {
  test("are each the bytes that the lock file names, from whatever registry npm is set to", () => {
    const open = locked.filter(
      ([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ""),
    );
    expect(open.map(([path]) => path)).toEqual([]);
    const elsewhere = locked.filter(([, { resolved }]) => resolved !== undefined);
    expect(elsewhere.map(([path]) => path)).toEqual([]);
    expect(locked.length).toBeGreaterThan(400);
  });

  test("are those that production imports, without what only tests have", () => {
    const sources = production.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts"))
        .map((name) => join(folder, name)),
    );
    const missing = sources.flatMap((file) =>
      imported(read(file))
        .filter((name) => !(name in dependencies) && !builtinModules.includes(name))
        .map((name) => `${file}: ${name}`),
    );
    expect(missing).toEqual([]);
    expect(sources.flatMap((file) => imported(read(file)))).toContain("@grpc/grpc-js");
  });

  test("may be passed on with a kit under MIT, all that an owner runs", () => {
    const others = locked.filter(
      ([path, { dev, license }]) =>
        !dev &&
        !permissive.test(license ?? "") &&
        !mit.includes(path.replace(/^.*node_modules\//, "")),
    );
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
    // Immich's client is under the AGPL: the judge in rehearsal/ and test/ has it alone.
    expect(packages["node_modules/@immich/sdk"]).toMatchObject({ dev: true });
  });
});
