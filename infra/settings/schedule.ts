import { bare, quoted } from "./text.ts";

const example = '"0 1 * * 6" (Saturdays at 01:00)';

const field = (low: number, high: number) => (text: string) =>
  text.split(",").every((part) => {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) return false;
    const from = match[1] === undefined ? low : Number(match[1]);
    const to = match[2] === undefined ? from : Number(match[2]);
    return from >= low && to <= high && from <= to && Number(match[3] ?? 1) !== 0;
  });

const fields = [field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)];

/**
 * One minute of one hour: a backup reads the whole library, wakes the second disk and holds the newest photos back while it dumps
 * the database, so once a day is the most that a Pi at home can bear, and what the counts of archives to keep are made for.
 */
export const schedulePattern = /^\d{1,2} \d{1,2} [\d*,/-]+ [\d*,/-]+ [\d*,/-]+$/;

/** What is wrong with a time of cron's, and the cure; undefined when it comes each month, and at most once a day. */
export function scheduleProblem(value: string): string | undefined {
  const shown = quoted(value);
  const plain = bare(value);
  if (plain !== value && scheduleProblem(plain) === undefined) {
    return `is ${shown}: give "${plain}"`;
  }
  const parts = value.split(" ");
  if (parts.length !== 5 || !parts.every((part, index) => fields[index]!(part))) {
    return `is ${shown}: give five cron fields in digits, such as ${example}`;
  }
  if (!schedulePattern.test(value)) {
    return `is ${shown}, which starts a backup more often than once a day: give one minute and one hour, such as "0 1 * * *" (each day at 01:00) or ${example}`;
  }
  // Each of the two that begins with * holds for the other, too.
  const [, , days, , weekdays] = parts;
  if (!days!.startsWith("*") && !weekdays!.startsWith("*")) {
    return `is ${shown}, which names days of the month and of the week, and cron starts it on either, not on what is both: give * for one of them, such as ${example}`;
  }
  if (!comes(parts)) {
    return `is ${shown}, a day that never comes: give five cron fields in digits, such as ${example}`;
  }
  if (!comesEachMonth(parts)) {
    return `is ${shown}, which starts no backup in some months: give a time that comes in each, such as "0 1 1 * *" (the 1st at 01:00) or ${example}`;
  }
  return undefined;
}

/** Days of the longest February and so on: the 31st of February never comes. */
const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** Every year has a February of so many. */
const shortest = longest.with(1, 28);

/** Whether a run comes in one month at least. */
function comes(parts: string[]): boolean {
  return longest.some((length, index) => comesIn(parts, index + 1, length));
}

function comesEachMonth(parts: string[]): boolean {
  return shortest.every((length, index) => comesIn(parts, index + 1, length));
}

function comesIn(parts: string[], month: number, length: number): boolean {
  const [, , days, months, weekday] = parts as [string, string, string, string, string];
  if (!inField(months, month)) return false;
  if (weekday !== "*") return true;
  const least = Math.min(...days.split(",").map((part) => Number.parseInt(part, 10) || 1));
  return least <= length;
}

/** Whether a month is in the field. */
function inField(text: string, value: number): boolean {
  return text.split(",").some((part) => {
    const [range, step = "1"] = part.split("/") as [string, string?];
    const [from, to] = range === "*" ? [1, 12] : range.split("-").map(Number);
    return value >= from! && value <= (to ?? from!) && (value - from!) % Number(step) === 0;
  });
}
