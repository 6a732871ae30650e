import type { Settings } from "../settings/schema.ts";

/** The administrator of an Immich that was set up by hand, while the stack file names one. */
export function adminBeforeTheKit({ immichAdminEmail, immichAdminPassword }: Settings) {
  if (immichAdminEmail === undefined || immichAdminPassword === undefined) return undefined;
  return { email: immichAdminEmail, password: immichAdminPassword };
}
