/**
 * Writes time-zones.json: the time zones that Debian 13 knows by its package tzdata, and the old names that lie in the package
 * tzdata-legacy, which a Raspberry Pi OS does not have, each with the name that took its place. Debian's own split counts, not
 * the tz database's: it keeps some old names in tzdata. On a machine with Debian 13's package lists:
 *
 *   apt-get download tzdata tzdata-legacy
 *   npm run time-zones -- tzdata_*.deb tzdata-legacy_*.deb
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { posix } from "node:path";

const folder = "./usr/share/zoneinfo/";
/** Files beside the zones, and zones that are none: no place, the machine's own, and a default for rules. */
const noZones = /\.(tab|list|zi)$|^(leapseconds|Factory|localtime|posixrules)$|^(right|posix)\//;

/** Each name with the name that it links to, or with itself. */
function zonesOf(packageFile: string): [name: string, modern: string][] {
  const archive = execFileSync("dpkg-deb", ["--fsys-tarfile", packageFile], {
    maxBuffer: 64 * 1024 * 1024,
  });
  const listing = execFileSync("tar", ["-tv"], { input: archive, encoding: "utf8" });
  return listing.split("\n").flatMap((line): [string, string][] => {
    const [, path, link] = /\s(\.\/\S+)(?: (?:->|link to) (\S+))?$/.exec(line) ?? [];
    const name = path?.startsWith(folder) ? path.slice(folder.length) : "";
    if (name === "" || name.endsWith("/") || noZones.test(name)) return [];
    if (link?.startsWith(folder)) return [[name, link.slice(folder.length)]];
    return [[name, link ? posix.join(posix.dirname(name), link) : name]];
  });
}

const [tzdata, tzdataLegacy] = process.argv.slice(2);
const zones = new Map(zonesOf(tzdata!));
const legacy = new Map(zonesOf(tzdataLegacy!));
const modernOf = (name: string): string => {
  const next = legacy.get(name) ?? zones.get(name);
  if (next === undefined) throw new Error(`"${name}" is in neither package.`);
  return next === name || zones.has(name) ? name : modernOf(next);
};
const sorted = (names: Iterable<string>) => [...names].sort();
writeFileSync(
  new URL("time-zones.json", import.meta.url),
  `${JSON.stringify(
    {
      source: "Debian 13, written by write-time-zones.ts",
      names: sorted(zones.keys()),
      legacy: Object.fromEntries(sorted(legacy.keys()).map((name) => [name, modernOf(name)])),
    },
    null,
    2,
  )}\n`,
);
