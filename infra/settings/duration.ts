import { bare, checked, quoted } from "./text.ts";

const form = /^[1-9][0-9]{0,4}h$/;

/**
 * A duration that Go reads, as Cloudflare wants it, in whole hours; `withinLimit` says the limit once more, for the JSON Schema.
 *
 * @param example what may be copied as it stands.
 */
export const hours = (
  what: string,
  example: string,
  limit: (hours: number) => string | undefined,
  withinLimit: RegExp,
) =>
  checked(
    `${what}, in hours such as "${example}"`,
    (value) => {
      const shown = quoted(value);
      if (form.test(value)) {
        const reason = limit(Number.parseInt(value, 10));
        return reason && `is ${shown}: ${reason}`;
      }
      const meant = meantHours(value).filter((length) => form.test(`${length}h`));
      if (meant.length === 0) return `is ${shown}: ${what}, in hours such as "${example}"`;
      const good = meant.find((length) => limit(length) === undefined);
      return good === undefined
        ? `is ${shown}: ${limit(meant[0]!)}`
        : `is ${shown}: ${what}, in hours, "${good}h"`;
    },
    withinLimit,
  );

const units: Record<string, number> = { h: 1, d: 24, w: 168, mo: 730, y: 8760 };

/** What it can mean, the likelier first: a number alone is of hours, or of days. */
function meantHours(value: string): number[] {
  const [, number, unit] = /^(\d{1,5}) ?(mo|[a-z]?)[a-z]*$/.exec(bare(value).toLowerCase()) ?? [];
  if (unit === "") return [Number(number), Number(number) * 24];
  return unit !== undefined && unit in units ? [Number(number) * units[unit]!] : [];
}
