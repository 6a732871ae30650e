import { checked, quoted } from "./text.ts";

const form = /^[1-9][0-9]{0,4}h$/;

/** A duration that Go reads, as Cloudflare wants it, in whole hours; `withinLimit` says the limit once more, for the JSON Schema. */
export const hours = (
  what: string,
  limit: (hours: number) => string | undefined,
  withinLimit: RegExp,
) =>
  checked(
    `${what}, in hours such as "730h"`,
    (value) => {
      const shown = quoted(value);
      if (form.test(value)) {
        const reason = limit(Number.parseInt(value, 10));
        return reason && `is ${shown}: ${reason}`;
      }
      const meant = meantHours(value);
      return meant
        ? `is ${shown}: ${what}, in hours, "${meant}"`
        : `is ${shown}: ${what}, in hours such as "730h"`;
    },
    withinLimit,
  );

const units: Record<string, number> = { "": 1, h: 1, d: 24, w: 168, y: 8760 };

function meantHours(value: string): string | undefined {
  const [, number, unit] =
    /^(\d{1,5}) ?([a-z]?)[a-z]*$/.exec(value.normalize("NFKC").trim().toLowerCase()) ?? [];
  const meant = `${Number(number) * (units[unit!] ?? Number.NaN)}h`;
  return form.test(meant) ? meant : undefined;
}
