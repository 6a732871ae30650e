import { z } from "zod";

const placeholder = /^<.*>$/s;

/**
 * Cloudflare's tokens of both forms (with a prefix; 40 signs without one), a client secret of Google's, and a header with a token:
 * what is pasted at the wrong place.
 */
const secretForm =
  /\b(?:cfut|cfat|cfk|cfast)_[\w-]+|GOCSPX-[\w-]+|\bBearer\s+[^\s"]+|(?<![\w-])[\w-]{40}(?![\w-])/gi;

export function looksSecret(value: string): boolean {
  return value.search(secretForm) >= 0;
}

/** A value as it stands in a sentence: whole, unless nobody could read the sentence then, and without what looks like a secret. */
export function quoted(value: unknown): string {
  // What nobody would see, or what would turn the rest of the sentence round, by its number.
  const shown = JSON.stringify(value)
    .replaceAll(secretForm, "[not shown]")
    .replaceAll(
      /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
      (sign) => `\\u${sign.codePointAt(0)!.toString(16).padStart(4, "0")}`,
    );
  return shown.length > 200 ? `${shown.slice(0, 100)}…" (${shown.length - 2} characters)` : shown;
}

const around = "\\s\"'“”‘’「」『』<>";
const atBothEnds = new RegExp(`^[${around}]+|[${around};,、。]+$`, "g");

/** What was meant, in half width: without the quotes, spaces and closing signs that a copy or an input method puts around it. */
export function bare(value: string): string {
  return value
    .normalize("NFKC")
    .replaceAll(/\p{Cf}/gu, "")
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .replaceAll(atBothEnds, "");
}

/** Text that is no placeholder. `what` is the cure: "give …". */
export const text = (what: string) =>
  z
    .string({ error: ({ input }) => notText(input, what) })
    .refine((value) => !placeholder.test(value.trim()), {
      error: (issue) => `is still the placeholder ${quoted(issue.input)}: ${what}`,
      abort: true,
    });

function notText(input: unknown, what: string): string {
  if (input === undefined) return `is missing: ${what}`;
  if (input === null) return `is empty: ${what}`;
  // YAML takes 2026 and true for other things than letters, and 007 for 7: what was typed is lost.
  if (typeof input !== "object")
    return `is a ${typeof input}, not text: put what you typed in quotes`;
  return `is not text: ${what}`;
}

/** Go's text for a day or a time, which YAML knows where no quotes are. */
const rewritten = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} (?:UTC|[+-]\d{4})$/;

/** A setting for a day says itself which one to put in quotes. */
function notQuoted(problem: string | undefined): string {
  return problem && /^was not quoted|day/.test(problem)
    ? problem
    : "was not quoted, so Pulumi has taken it for a time and rewritten it: put what you typed in quotes";
}

/** Text that has a form of its own; `pattern` is what a JSON Schema can say of it. */
export const checked = (
  what: string,
  problem: (value: string) => string | undefined,
  pattern?: RegExp,
) =>
  text(what)
    .superRefine((value, context) => {
      const message = rewritten.test(value) ? notQuoted(problem(value)) : problem(value);
      if (message) context.addIssue({ code: "custom", message });
    })
    .meta(pattern ? { pattern: pattern.source } : {});

export const matching = (pattern: RegExp, what: string) =>
  checked(
    what,
    (value) => (pattern.test(value) ? undefined : `is ${quoted(value)}: ${what}`),
    pattern,
  );

/** Hexadecimal digits, which other programs print in capitals. */
export const lowerCase = (pattern: RegExp, what: string) =>
  checked(
    what,
    (value) => {
      if (pattern.test(value)) return undefined;
      const plain = bare(value).toLowerCase();
      return `is ${quoted(value)}: ${pattern.test(plain) ? `give ${plain}` : what}`;
    },
    pattern,
  );

const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** A name that others are made of. `beside` says where another name goes. */
export const name = (what: string, beside: (value: string) => string = () => "") =>
  checked(
    what,
    (value) => {
      if (namePattern.test(value)) return undefined;
      const text = bare(value);
      const plain = text
        .toLowerCase()
        .replaceAll(/[ _.]+/g, "-")
        .replaceAll(/^-|-$/g, "");
      if (namePattern.test(plain)) return `is ${quoted(value)}: give ${plain}`;
      const other = /^[\p{L}\p{M} ]*\P{ASCII}[\p{L}\p{M} ]*$/u.test(text) ? beside(text) : "";
      return `is ${quoted(value)}: ${what}, in lower-case letters, digits and hyphens, 32 at most${other}`;
    },
    namePattern,
  );

export const count = (what: string, least: number, most = Number.MAX_SAFE_INTEGER) =>
  z
    .int({ error: ({ input }) => noCount(input, what) })
    .min(least, { error: ({ input }) => `is ${input}: give ${least} or more: ${what}` })
    .max(most, { error: ({ input }) => `is ${input}: give ${most} at most: ${what}` });

function noCount(input: unknown, what: string): string {
  const quotes = typeof input === "string" && /^\d+$/.test(input) ? " without quotes" : "";
  return `is ${quoted(input)}: give a whole number${quotes}: ${what}`;
}

/** Settings below a setting. `form` is what to write, where something else stands there. */
export const fields = <Shape extends z.core.$ZodLooseShape>(shape: Shape, form: string) =>
  z.strictObject(shape, { error: (issue) => notOfTheKind(issue, form) });

/** `nothing` is the cure where the name stands alone. */
export const list = <Item extends z.ZodType>(item: Item, form: string, nothing = form) =>
  z.array(item, {
    error: (issue) => notOfTheKind(issue, issue.input === null ? nothing : form),
  });

export function notOfTheKind(
  { code, input }: z.core.$ZodRawIssue,
  form: string,
): string | undefined {
  if (code !== "invalid_type") return undefined;
  if (input === undefined || input === null) return `is missing: ${form}`;
  if (Array.isArray(input)) return `is a list: ${form}`;
  return typeof input === "object" ? `is no list: ${form}` : `is ${quoted(input)}: ${form}`;
}

/** The indices and values that stand in a list before. */
export function repeated(values: string[]): [index: number, value: string][] {
  return values
    .map((value, index): [number, string] => [index, value])
    .filter(([index, value]) => values.indexOf(value) !== index);
}
