import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { Settings } from "../infra/settings/schema.ts";
import { parseSettings } from "../infra/settings/settings.ts";
import { UserError } from "../infra/settings/user-error.ts";

/** Settings of a stack, read from its file in `folder` as the program will see them; secrets are left out. */
export function readSettings(folder: string, stack: string, configFile?: string): Settings {
  const file = configFile ?? join(folder, `Pulumi.${stack}.yaml`);
  if (!existsSync(file)) {
    throw new UserError(
      `There is no stack file "${file}". Copy Pulumi.prod.yaml and fill it in, or name another stack by --stack.`,
    );
  }
  const { config = {} } = (parse(readFileSync(file, "utf8")) ?? {}) as {
    config?: Record<string, unknown>;
  };
  const asPulumiHandsItOver = Object.entries(config).flatMap(([key, value]) => {
    if (typeof value === "object" && value !== null) {
      return "secure" in value ? [] : [[key, JSON.stringify(value)]];
    }
    return [[key, String(value)]];
  });
  return parseSettings(Object.fromEntries(asPulumiHandsItOver), stack);
}
