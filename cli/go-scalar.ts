/**
 * A plain word of a stack file as Pulumi takes it: its reader is gopkg.in/yaml.v3, which knows timestamps, and numbers by Go's
 * rules, where the file's own standard, YAML 1.2, has text or another number (0123 is 83). A time becomes Go's text for it.
 * Source: resolve.go of yaml.v3, object.go of Pulumi's package config.
 */
export function goScalar(source: string): string | number | boolean | null {
  const word = words.get(source);
  if (word !== undefined) return word;
  if (/^[-+]?\.?\d/.test(source)) return timestamp(source) ?? number(source) ?? source;
  return source;
}

const words = new Map<string, boolean | null | string>([
  ...["true", "True", "TRUE"].map((word) => [word, true] as const),
  ...["false", "False", "FALSE"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
]);

function number(source: string): number | string | undefined {
  const plain = source.replaceAll("_", "");
  const match = /^([-+]?)(0x[0-9a-f]+|0b[01]+|0o?[0-7]+|0|[1-9]\d*)$/i.exec(plain);
  if (match) {
    const [, sign, digits] = match as unknown as [string, string, string];
    const octal = /^0([0-7]+)$/.exec(digits);
    const whole = BigInt(octal ? `0o${octal[1]}` : digits) * (sign === "-" ? -1n : 1n);
    // Beyond 64 bits it is a float to Go; below that it is exact, which a number is not here.
    if (-(2n ** 63n) <= whole && whole < 2n ** 64n) {
      return Number.isSafeInteger(Number(whole)) ? Number(whole) : String(whole);
    }
  }
  if (!/^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:e[-+]?\d+)?$/i.test(plain)) return undefined;
  const float = Number(plain);
  return Number.isFinite(float) ? float : undefined;
}

/** Go's "2006-01-02 15:04:05.999999999 -0700 MST". */
function timestamp(source: string): string | undefined {
  const match =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?(Z|[+-]\d\d:\d\d))| +(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?)?$/.exec(
      source,
    );
  if (!match) return undefined;
  const [, year, month, day] = match as unknown as [string, string, string, string];
  const [hour = "0", minute = "0", second = "0", fraction = ""] =
    match[4] === undefined ? match.slice(9) : match.slice(4);
  if (!isDay(Number(year), Number(month), Number(day))) return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const two = (digits: string) => digits.padStart(2, "0");
  const offset = match[8] === undefined || match[8] === "Z" ? undefined : match[8].replace(":", "");
  const zone =
    offset === undefined || /^[+-]0000$/.test(offset) ? "+0000 UTC" : `${offset} ${offset}`;
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}${fraction.replace(/\.?0+$/, "")} ${zone}`;
}

function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
