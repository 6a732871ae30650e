import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * The stack of a command that names none: `home`, whose file is the owner's own and unknown to git (docs/newer-kit.md), and
 * `prod` where there is no such file: the example, filled in.
 */
export function usualStack(folder: string): string {
  return existsSync(join(folder, "Pulumi.home.yaml")) ? "home" : "prod";
}
