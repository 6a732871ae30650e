import { quoted } from "./text.ts";

/** Quoted, since Pulumi rewrites a bare one: 2026-12-01T00:00:00Z becomes "2026-12-01 00:00:00 +0000 UTC". */
const form = 'give a time in UTC, quoted: "2026-12-01T00:00:00Z"';

export const momentPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** Longer than any owner needs to change two headers in one phone, and shorter than a slip of the year. */
const longestOverlap = 366 * 24 * 60 * 60 * 1000;

/** What is wrong with the time until which an old secret works, and the cure; undefined when it is a good one. */
export function overlapProblem(value: string, now: Date): string | undefined {
  const bare = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\S* ([+-]\d\d)(\d\d) /.exec(value);
  if (bare) {
    const [, day, time, hour, minute] = bare;
    const meant = Date.parse(`${day}T${time}${hour}:${minute}`);
    return `was not quoted, so Pulumi has rewritten it: put it in quotes${Number.isNaN(meant) ? "" : `, "${inUtc(meant)}"`}`;
  }
  const shown = quoted(value);
  if (!momentPattern.test(value)) {
    const meant = meantMoment(value);
    return `is ${shown}: ${meant ? `give a time in UTC, quoted: "${meant}"` : form}`;
  }
  const time = Date.parse(value);
  if (Number.isNaN(time) || inUtc(time) !== value) {
    return `is ${shown}, a day or an hour that does not exist: ${form}`;
  }
  if (time - now.getTime() > longestOverlap) {
    return `is ${shown}: the old secret would still open the gate in more than a year; give a time some days from now, and mind the year`;
  }
  return undefined;
}

export const dayPattern = /^20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/;

/** What is wrong with the day of a renewal, and the cure; undefined when it is a day since 2026. */
export function renewalDayProblem(value: string): string | undefined {
  const [, rewritten] = /^(\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d\S* .*$/.exec(value) ?? [];
  if (rewritten) {
    return `was not quoted, so Pulumi has rewritten it: put it in quotes, "${rewritten}"`;
  }
  const isDay =
    dayPattern.test(value) &&
    value >= "2026-01-01" &&
    inUtc(Date.parse(`${value}T00:00:00Z`)).startsWith(value);
  return isDay ? undefined : `is ${quoted(value)}: give a day since 2026, quoted: "2027-10-01"`;
}

function inUtc(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/** The same time in UTC, where another form says which time is meant. */
function meantMoment(value: string): string | undefined {
  if (!/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(value)) {
    return undefined;
  }
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : inUtc(time);
}
