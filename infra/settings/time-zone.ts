import zones from "./time-zones.json" with { type: "json" };
import { bare, quoted } from "./text.ts";

/** So many hours from UTC, with the sign turned round: Etc/GMT+9 is nine hours behind. */
const shifted = /^Etc\/GMT([+-])([1-9]\d?)$/;

// Node's own list differs from version to version, and from the Pi's.
export const timeZoneNames: string[] = zones.names.filter((name) => !shifted.test(name));
const legacy: Record<string, string> = zones.legacy;
const known = new Set(timeZoneNames);

const place = "give the place, such as Asia/Tokyo";
/** A shift from UTC, or what Japan's clocks call theirs: neither says where the summer time is from. */
const noPlace = /^(?:(?:etc\/)?(?:gmt|utc|jst)? ?[+-] ?\d{1,2}(?::?\d\d)?|jst)$/i;

/** Japan has one zone, and more than one city. */
const inJapan =
  /^(?:(?:asia\/)?(?:osaka|kyoto|nagoya|sapporo|yokohama|kobe|fukuoka|sendai|hiroshima|japan)|日本(?:標準時|時間)?|東京都?|大阪府?|京都府?|名古屋|札幌|横浜|神戸|福岡|仙台|広島|とうきょう|トウキョウ)$/i;

/** What is wrong with a time zone, by the names that Debian 13 installs; undefined when the Pi knows it. */
export function timeZoneProblem(value: string): string | undefined {
  if (known.has(value)) return undefined;
  const shown = quoted(value);
  const modern = legacy[value];
  if (modern) return `is ${shown}, an old name that the Pi does not know: give ${modern}`;
  const [, sign, hours] = shifted.exec(value) ?? [];
  if (hours) {
    const where = sign === "+" ? "behind" : "ahead of";
    return `is ${shown}, which is ${hours} ${hours === "1" ? "hour" : "hours"} ${where} UTC, whatever its sign says: ${place}`;
  }
  if (noPlace.test(bare(value))) return `is ${shown}: ${place}`;
  const meant = meantZone(value);
  return meant
    ? `is ${shown}: give ${meant}`
    : `is ${shown}: give a time zone of the tz database, such as Asia/Tokyo`;
}

/** The zone of another spelling, or of a city alone. */
function meantZone(value: string): string | undefined {
  const text = bare(value).replaceAll(/ ?\/ ?/g, "/");
  if (inJapan.test(text)) return "Asia/Tokyo";
  const plain = (name: string) => name.toLowerCase().replaceAll(/[\s_/-]+/g, "_");
  const same = (name: string) => plain(name) === plain(text);
  const old = Object.keys(legacy).find(same);
  return (
    timeZoneNames.find(same) ??
    (old && legacy[old]) ??
    timeZoneNames.find(
      (name) => !name.startsWith("Etc/") && plain(name).endsWith(`_${plain(text)}`),
    )
  );
}
