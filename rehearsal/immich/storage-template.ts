/** Where a photo lies: Immich's storage template, for the tokens that its settings page offers. */

/** A moment on the clock of the place where the photo was taken. */
export interface LocalTime {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

/** The wall clock of `zone` (an IANA name or `UTC+9`, as EXIF offsets are kept) at `instant`. */
export function localTime(instant: Date, zone: string): LocalTime {
  const offset = /^UTC([+-]\d{1,2})(?::(\d{2}))?$/.exec(zone);
  let shifted: Date;
  if (offset) {
    const hours = Number(offset[1]);
    const minutes = hours * 60 + (offset[1]!.startsWith("-") ? -1 : 1) * Number(offset[2] ?? 0);
    shifted = new Date(instant.getTime() + minutes * 60_000);
  } else {
    shifted = new Date(instant.getTime() + zoneOffsetMinutes(instant, zone) * 60_000);
  }
  return {
    year: shifted.getUTCFullYear(),
    month: shifted.getUTCMonth() + 1,
    day: shifted.getUTCDate(),
    hour: shifted.getUTCHours(),
    minute: shifted.getUTCMinutes(),
    second: shifted.getUTCSeconds(),
  };
}

/** The instant at which the clock of `zone` shows `local`. */
export function instantOf(local: LocalTime, zone: string): Date {
  const naive = Date.UTC(
    local.year,
    local.month - 1,
    local.day,
    local.hour,
    local.minute,
    local.second,
  );
  // Twice: the first guess may fall on the other side of a change of the clocks.
  const first = naive - zoneOffsetMinutes(new Date(naive), zone) * 60_000;
  return new Date(naive - zoneOffsetMinutes(new Date(first), zone) * 60_000);
}

function zoneOffsetMinutes(instant: Date, zone: string): number {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(instant);
  const get = (type: string) => Number(parts.find((part) => part.type === type)!.value);
  const shown = Date.UTC(
    get("year"),
    get("month") - 1,
    get("day"),
    get("hour"),
    get("minute"),
    get("second"),
  );
  return Math.round((shown - Math.floor(instant.getTime() / 1000) * 1000) / 60_000);
}

export const templateOptions = {
  yearOptions: ["y", "yy"],
  monthOptions: ["MMM", "MMMM", "M", "MM"],
  weekOptions: ["W", "WW"],
  dayOptions: ["d", "dd"],
  hourOptions: ["h", "hh", "H", "HH"],
  minuteOptions: ["m", "mm"],
  secondOptions: ["s", "ss", "SSS"],
  presetOptions: [
    "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MMMM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MM}}/{{filename}}",
    "{{y}}/{{MM}}/{{dd}}/{{filename}}",
    "{{y}}/{{y}}-{{MM}}/{{filename}}",
    "{{album}}/{{filename}}",
  ],
};

export const templateTokens = new Set([
  ...Object.entries(templateOptions).flatMap(([name, list]) =>
    name === "presetOptions" ? [] : list,
  ),
  "filename",
  "ext",
  "filetype",
  "filetypefull",
  "assetId",
  "assetIdShort",
  "album",
]);

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

export function render(
  template: string,
  values: { filename: string; extension: string; id: string; isVideo: boolean; time: LocalTime },
): string {
  const { time } = values;
  const two = (value: number) => String(value).padStart(2, "0");
  const hour12 = time.hour % 12 === 0 ? 12 : time.hour % 12;
  const tokens: Record<string, string> = {
    y: String(time.year),
    yy: two(time.year % 100),
    M: String(time.month),
    MM: two(time.month),
    MMM: months[time.month - 1]!.slice(0, 3),
    MMMM: months[time.month - 1]!,
    d: String(time.day),
    dd: two(time.day),
    H: String(time.hour),
    HH: two(time.hour),
    h: String(hour12),
    hh: two(hour12),
    m: String(time.minute),
    mm: two(time.minute),
    s: String(time.second),
    ss: two(time.second),
    SSS: "000",
    filename: values.filename,
    ext: values.extension,
    filetype: values.isVideo ? "VID" : "IMG",
    filetypefull: values.isVideo ? "VIDEO" : "IMAGE",
    assetId: values.id,
    assetIdShort: values.id.slice(-12),
    album: ".",
  };
  return template.replaceAll(/\{\{\s*([^}]*?)\s*\}\}/g, (_, token: string) => tokens[token] ?? "");
}

/** A name that no file system trips over, as the sanitize-filename package makes it. */
export function sanitize(name: string): string {
  return (
    name
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the point
      .replaceAll(/[/?<>\\:*|"\u0000-\u001f\u0080-\u009f]/g, "")
      .replace(/^\.+$/, "")
      .replace(/[. ]+$/, "")
      .slice(0, 255)
  );
}
