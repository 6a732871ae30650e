import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { Settings } from "../infra/settings/schema.ts";
import { parseSettings } from "../infra/settings/settings.ts";
import { stackFileConfig } from "../infra/settings/stack-file.ts";
import { UserError } from "../infra/settings/user-error.ts";

/** The stack file's configuration as it stands: text, lists and objects by their keys. */
export function readStackConfig(
  folder: string,
  stack: string,
  configFile?: string,
): Record<string, unknown> {
  const file = configFile ?? join(folder, `Pulumi.${stack}.yaml`);
  if (!existsSync(file)) {
    throw new UserError(
      `There is no stack file "${file}". Copy Pulumi.prod.yaml and fill it in, or name another stack by --stack.`,
    );
  }
  const { config } = (parse(readFileSync(file, "utf8")) ?? {}) as {
    config?: Record<string, unknown>;
  };
  return config ?? {};
}

/** Settings of a stack, read from its file in `folder` as the program will see them, but for secrets. */
export function readSettings(folder: string, stack: string, configFile?: string): Settings {
  const config = readStackConfig(folder, stack, configFile);
  const { values, isSecret } = stackFileConfig(config);
  return parseSettings(values, stack, isSecret);
}
