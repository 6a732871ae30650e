import { UserError } from "../../infra/settings/user-error.ts";
import { type SharedThing, sharedThings } from "../../infra/cloudflare/shared-things.ts";
import { othersThroughOwn, readTunnelUse } from "../../infra/cloudflare/tunnel-use.ts";
import { readGroups } from "../../infra/cloudflare/uses.ts";
import { readHouseAtCloudflare } from "../cloudflare-account.ts";
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
      "A plain destroy is refused. Pulumi itself would then advise \"pulumi state unprotect\": never type that, it is how the backups are lost. The keys of the backups, the database and Immich's administrator are protected, because without them the photos' backups cannot be opened. To take the photos off the internet and keep those keys, the photos, the disks and the backups, type: cli/ouchi destroy --exclude-protected (nothing was changed)",
    );
  }
  await refuseStrangersLoss(args);
  process.exitCode = await runEngine(args, ["destroy", "--exclude-protected", ...options]);
}

/**
 * Pulumi deletes by the state alone and asks nobody. So it is looked here whether others have come to use what is in
 * it since the last `up`, which marks such things as kept.
 */
async function refuseStrangersLoss(args: EngineArgs): Promise<void> {
  const { here, seen } = await look(args).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `It could not be seen whether others use what would go: ${error.message} To take the photos off the internet without that look, type: pulumi destroy --exclude-protected`,
      error.kind,
    );
  });
  const lost = here.filter(({ kept }) => !kept);
  if (lost.length > 0) {
    // An up sees what its own readings show, and keeps it; the rest is the owner's to move.
    const cure = lost.every(({ id }) => seen.has(id))
      ? 'Type "cli/ouchi up" once, which marks it as kept, and then this again; or give the others one of their own in Cloudflare\'s dashboard.'
      : "Give the others one of their own in Cloudflare's dashboard first, and type this again.";
    throw new UserError(
      `Others use what would go: ${lost.map(({ kind, name, use }) => `the ${kind} "${name}"${use ? ` (${use})` : ""}`).join("; ")}. ${cure} Nothing was changed.`,
    );
  }
  for (const { kind, name, use } of here) {
    console.error(
      `Note: the ${kind} "${name}" stays at Cloudflare${use ? `, since ${use}` : ""}. It is yours by hand from now on.`,
    );
  }
  console.error(
    "Note: the one-time PIN stays at Cloudflare: it is the account's, and others may sign in by it.",
  );
}

/**
 * What of the state's own others use too, by the ids that would be deleted: the names in the stack file may be newer
 * than what is at Cloudflare. `seen` are the ids of what an `up` would see.
 */
async function look(
  args: EngineArgs,
): Promise<{ here: (SharedThing & { kept: boolean })[]; seen: Set<string> }> {
  const { account, host, state } = await readHouseAtCloudflare(args);
  const held = new Set(state.flatMap(({ id }) => id ?? []));
  const tunnels = account.tunnels.filter(({ id }) => held.has(id));
  const tunnelOthers = await Promise.all(
    tunnels.map(async (tunnel) => {
      const others = othersThroughOwn(await readTunnelUse(account, tunnel), host);
      return [tunnel.id, others] as const;
    }),
  );
  const shared = sharedThings(account, host, {
    held,
    groups: await readGroups(account),
    tunnelOthers: new Map(tunnelOthers),
  });
  const here = shared.map((thing) => ({
    ...thing,
    kept: state.some(({ id, retainOnDelete }) => id === thing.id && retainOnDelete === true),
  }));
  return { here, seen: new Set(sharedThings(account, host).map(({ id }) => id)) };
}
