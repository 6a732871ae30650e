import { bare, quoted } from "./text.ts";

/** Quoted, since Pulumi rewrites a bare one: 2026-12-01T00:00:00Z becomes "2026-12-01 00:00:00 +0000 UTC". */
const form = 'give a time in UTC, quoted: "2026-12-01T00:00:00Z"';

export const momentPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** Longer than any owner needs to change two headers in one phone, and shorter than a slip of the year. */
const longestOverlap = 366 * 24 * 60 * 60 * 1000;

/** What is wrong with the time until which an old secret works, and the cure; undefined when it is a good one. */
export function overlapProblem(value: string, now: Date): string | undefined {
  const rewritten = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\S* ([+-]\d\d)(\d\d) /.exec(value);
  if (rewritten) {
    const [, day, time, hour, minute] = rewritten;
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

/** Time zones are up to 14 hours apart, and somebody may prepare the file on the evening before. */
const longestAhead = 2 * 24 * 60 * 60 * 1000;

/** What is wrong with the day of a renewal, and the cure; undefined when it is a day since 2026 that has come. */
export function renewalDayProblem(value: string, now: Date): string | undefined {
  const [, rewritten] = /^(\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d\S* .*$/.exec(value) ?? [];
  if (rewritten && renewalDayProblem(rewritten, now) === undefined) {
    return `was not quoted, so Pulumi has rewritten it: put it in quotes, "${rewritten}"`;
  }
  const today = inUtc(now.getTime()).slice(0, 10);
  const day = rewritten ?? value;
  if (!isDay(day)) {
    const meant = bare(day).replaceAll("/", "-");
    return meant !== day && renewalDayProblem(meant, now) === undefined
      ? `is ${quoted(day)}: give "${meant}"`
      : `is ${quoted(day)}: give a day since 2026, quoted: "${today}"`;
  }
  if (Date.parse(`${day}T00:00:00Z`) - now.getTime() > longestAhead) {
    return `is ${quoted(day)}, a day that has not come, and the next up would renew the tokens all the same: give the day on which you renew them, quoted: "${today}"`;
  }
  return undefined;
}

function isDay(value: string): boolean {
  return (
    dayPattern.test(value) &&
    value >= "2026-01-01" &&
    inUtc(Date.parse(`${value}T00:00:00Z`)).startsWith(value)
  );
}

function inUtc(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/** The same time in UTC, where another form says which time is meant. */
function meantMoment(value: string): string | undefined {
  const match =
    /^(\d{4})[-/](\d\d)[-/](\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(?:(Z)|([+-]\d\d):?(\d\d)))?$/i.exec(
      bare(value),
    );
  if (!match) return undefined;
  const [, year, month, day, clock = "00:00", , hours = "+00", minutes = "00"] = match;
  const time = Date.parse(`${year}-${month}-${day}T${clock}${hours}:${minutes}`);
  return Number.isNaN(time) ? undefined : inUtc(time);
}
