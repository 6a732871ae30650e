import { UserError } from "../../infra/settings/user-error.ts";
import { type EngineArgs, runEngine } from "../engine.ts";

/**
 * `ouchi destroy`: what is at Cloudflare goes, and what the kit runs on the Pi; photos, backups, disks and
 * the protected secrets stay.
 */
export async function destroy(
  args: EngineArgs,
  excludeProtected: boolean,
  options: string[],
): Promise<void> {
  if (!excludeProtected) {
    throw new UserError(
      "A plain destroy is refused: the keys of the backups, the database and Immich's administrator are protected, because without them the photos' backups cannot be opened. To take the photos off the internet and keep those keys, the photos, the disks and the backups, type: cli/ouchi destroy --exclude-protected (nothing was changed)",
    );
  }
  process.exitCode = await runEngine(args, ["destroy", "--exclude-protected", ...options]);
}
