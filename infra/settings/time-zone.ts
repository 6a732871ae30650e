import zones from "./time-zones.json" with { type: "json" };
import { quoted } from "./text.ts";

// Node's own list differs from version to version, and from the Pi's.
export const timeZoneNames: string[] = zones.names;
const legacy: Record<string, string> = zones.legacy;
const known = new Set(timeZoneNames);

/** What is wrong with a time zone, by the names that Debian 13 installs; undefined when the Pi knows it. */
export function timeZoneProblem(value: string): string | undefined {
  if (known.has(value)) return undefined;
  const modern = legacy[value];
  if (modern) return `is "${value}", an old name that the Pi does not know: give ${modern}`;
  const meant = meantZone(value);
  const shown = quoted(value);
  return meant
    ? `is ${shown}: give ${meant}`
    : `is ${shown}: give a time zone of the tz database, such as Asia/Tokyo`;
}

/** The zone of another spelling, or of a city alone. */
function meantZone(value: string): string | undefined {
  const wanted = value
    .normalize("NFKC")
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, "_");
  const same = (name: string) => name.toLowerCase().replaceAll("-", "_") === wanted;
  const old = Object.keys(legacy).find(same);
  return (
    timeZoneNames.find(same) ??
    (old && legacy[old]) ??
    timeZoneNames.find((name) => name.toLowerCase().endsWith(`/${wanted}`))
  );
}
