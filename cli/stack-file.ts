import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Settings } from "../infra/settings/schema.ts";
import { namespace, parsePi, parseSettings } from "../infra/settings/settings.ts";
import { stackFileConfig, wholeKey } from "../infra/settings/stack-file.ts";
import { UserError } from "../infra/settings/user-error.ts";
import type { EngineArgs } from "./engine.ts";
import { readYaml } from "./stack-yaml.ts";

/** What Pulumi reads at the top of a stack file. */
const pulumisOwn = ["config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment"];

/** The stack file's configuration: text, lists and objects by their whole keys, as Pulumi reads them. */
export function readStackConfig(
  folder: string,
  stack: string,
  configFile?: string,
): Record<string, unknown> {
  const file = configFile ?? join(folder, `Pulumi.${stack}.yaml`);
  const content = readYaml(read(file), basename(file)) ?? {};
  const wrong = (what: string) =>
    new UserError(
      `${basename(file)}: ${what}: write "config:" on a line of its own, and each setting indented below it, such as "  ${namespace}:timeZone: Asia/Tokyo". Nothing was changed.`,
      "settings",
    );
  if (!isMap(content)) throw wrong("it holds no settings that have a name");
  const config = content.config ?? {};
  if (!isMap(config)) throw wrong(`"config" holds ${kind(config)} in place of settings`);
  const outside = Object.keys(content).find((key) => key.startsWith(`${namespace}:`));
  if (outside) throw wrong(`the setting "${outside}" stands beside "config", not below it`);
  const foreign = Object.keys(content).find((key) => !pulumisOwn.includes(key));
  if (foreign !== undefined) {
    throw wrong(`"${shown(foreign)}" stands at the beginning of a line, where nothing reads it`);
  }
  const entries = Object.entries(config).map(([key, value]) => [wholeKey(key), value] as const);
  const twice = entries.find(([key], index) => entries.findIndex(([each]) => each === key) < index);
  if (twice) {
    throw new UserError(
      `${basename(file)}: "${twice[0]}" is set twice, once without "${namespace}:": remove one of the two. Nothing was changed.`,
      "settings",
    );
  }
  return Object.fromEntries(entries);
}

/** Settings of a stack, read from its file in `folder` as the program will see them, but for secrets. */
export function readSettings(folder: string, stack: string, configFile?: string): Settings {
  return settingsOf(readStackConfig(folder, stack, configFile), stack);
}

/** The same of a stack file that was read already. */
export function settingsOf(config: Record<string, unknown>, stack: string): Settings {
  const { values, isSecret } = stackFileConfig(config);
  return parseSettings(values, stack, isSecret);
}

/** The way to the Pi alone: a slip in another setting keeps nobody from their backups. */
export function readPi({ folder, stack, configFile }: EngineArgs): Settings["pi"] {
  return parsePi(stackFileConfig(readStackConfig(folder, stack, configFile)).values, stack);
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new UserError(
        `There is no stack file "${file}". Copy Pulumi.prod.yaml and fill it in, or name another stack by --stack.`,
        "settings",
      );
    }
    throw new UserError(
      code === "EISDIR"
        ? `The stack file "${file}" is a folder: name a file. Nothing was changed.`
        : `The stack file "${file}" could not be read: ${message}. Nothing was changed.`,
      "settings",
    );
  }
}

/** A name; what was typed in its place may be anything. */
function shown(key: string): string {
  return /^[\w:.-]{1,39}$/.test(key) ? key : `${key.slice(0, 12)}…`;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  return Array.isArray(value) ? "a list" : "one value";
}
