import { z } from "zod";
import { type Settings, settingsSchema } from "./schema.ts";
import { UserError } from "./user-error.ts";

export const namespace = "ouchi-photos";

/**
 * The settings of a stack, from its configuration as Pulumi hands it to the program:
 * `ouchi-photos:<setting>` → text, with lists and objects as JSON.
 *
 * @throws {UserError} that lists every problem with its path and what would be right.
 */
export function parseSettings(config: Record<string, string>, stack: string): Settings {
  return judged(settingsSchema, config, stack);
}

/** `pi` alone: who wants to reach the Pi is not stopped by another setting. */
export function parsePi(config: Record<string, string>, stack: string): Settings["pi"] {
  return judged(z.object({ pi: settingsSchema.shape.pi }), config, stack).pi;
}

function judged<T>(schema: z.ZodType<T>, config: Record<string, string>, stack: string): T {
  const raw: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (key.startsWith(`${namespace}:`)) raw[key.slice(namespace.length + 1)] = decode(value);
  }
  const result = schema.safeParse(raw, { reportInput: true });
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap(sentences);
  throw new UserError(
    [
      `Pulumi.${stack}.yaml has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}; nothing was changed:`,
      ...problems.map((problem) => `  - ${problem}`),
    ].join("\n"),
    "settings",
  );
}

function decode(value: string): unknown {
  if (!/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function sentences(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.reduce<string>(
    (text, part) =>
      typeof part === "number"
        ? `${text}[${part}]`
        : text
          ? `${text}.${String(part)}`
          : String(part),
    "",
  );
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map(
      (key) =>
        `${path ? `${path}.` : ""}${key} is not a setting: remove it, or see Pulumi.prod.yaml for how it is spelt.`,
    );
  }
  const message =
    issue.message.startsWith("Invalid input") && issue.code === "invalid_type"
      ? `is not of the right kind: ${issue.expected} is expected`
      : issue.message;
  return [`${path} ${message}.`];
}
