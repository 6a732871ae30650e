import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Document, parseDocument } from "yaml";
import type { Settings } from "../infra/settings/schema.ts";
import { parseSettings } from "../infra/settings/settings.ts";
import { decodeStackFile, stackFileConfig } from "../infra/settings/stack-file.ts";
import { UserError } from "../infra/settings/user-error.ts";

/** The stack file's configuration as it stands: text, lists and objects by their keys. */
export function readStackConfig(
  folder: string,
  stack: string,
  configFile?: string,
): Record<string, unknown> {
  const { config } = (readDocument(folder, stack, configFile).toJS() ?? {}) as {
    config?: Record<string, unknown>;
  };
  return config ?? {};
}

/** Settings of a stack, read from its file in `folder` as the program will see them, but for secrets. */
export function readSettings(folder: string, stack: string, configFile?: string): Settings {
  const { values, secretKeys } = stackFileConfig(readDocument(folder, stack, configFile));
  return parseSettings(values, stack, (key) => secretKeys.has(key));
}

function readDocument(folder: string, stack: string, configFile?: string): Document {
  const file = configFile ?? join(folder, `Pulumi.${stack}.yaml`);
  if (!existsSync(file)) {
    throw new UserError(
      `There is no stack file "${file}". Copy Pulumi.prod.yaml and fill it in, or name another stack by --stack.`,
    );
  }
  const document = parseDocument(decodeStackFile(readFileSync(file), file));
  if (document.errors[0]) throw document.errors[0];
  return document;
}
