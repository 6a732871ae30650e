import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import {
  findAdoptable,
  type ImportedResource,
  importFile,
  refuseStrangersLoss,
} from "../../infra/cloudflare/adoption.ts";
import { readHouseAtCloudflare } from "../cloudflare-account.ts";
import { type EngineArgs, runEngine } from "../engine.ts";

/**
 * `ouchi adopt`: takes what the setting `adopt` names, and the state does not hold, into the state. Where there is
 * nothing of the kind, it prints the lines for what serves the host already, and nothing else. What others use too is
 * named and left to them. Changes nothing at Cloudflare.
 */
export async function adopt(args: EngineArgs): Promise<void> {
  const { settings, host, account, state } = await readHouseAtCloudflare(args);
  const held = new Set(state.flatMap(({ id }) => id ?? []));
  const { accountId, zoneId } = account;
  const file = importFile(settings.adopt, { accountId, zoneId, version: providerVersion() }, state);
  if (file.resources.length > 0) {
    say(await refuseStrangersLoss(account, settings, host, held));
    return importInto(args, file);
  }
  const { adopt, hostname, remarks } = await findAdoptable(account, settings, host, held);
  say(remarks);
  if (hostname !== undefined) {
    console.error(
      `Nothing is taken over. With this line in Pulumi.${args.stack}.yaml, below "config:", in place of the hostname there, "cli/ouchi up" makes the house a name, a gate and a tunnel of its own, and leaves ${host} as it is: when everybody uses the new name, take the old one away in the dashboard.`,
    );
    return print({ "ouchi-photos:hostname": hostname });
  }
  if (Object.keys(adopt).length === 0) {
    console.error("There is nothing more at Cloudflare to be taken over for this host.");
    return;
  }
  console.error(
    `Put these lines into Pulumi.${args.stack}.yaml, below "config:", look at them, and type once more: cli/ouchi adopt. What they do not name, the house gets one of its own.`,
  );
  print({ "ouchi-photos:adopt": adopt });
}

function say(remarks: string[]): void {
  for (const remark of remarks) console.error(`Note: ${remark}`);
}

function print(lines: Record<string, unknown>): void {
  console.log(stringify(lines, { lineWidth: 0 }).trimEnd().replaceAll(/^/gm, "  "));
}

async function importInto(
  args: EngineArgs,
  file: { nameTable: Record<string, string>; resources: ImportedResource[] },
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-adopt-"));
  try {
    const path = join(folder, "import.json");
    writeFileSync(path, JSON.stringify(file));
    // The provider reads one thing under two names, and Pulumi takes that for its fault.
    console.error(
      'Pulumi may say of "gate-application" that inputs "failed to validate" and that code has to be edited. There is nothing to do: Cloudflare tells the host under two names.',
    );
    process.exitCode = await runEngine(args, [
      ...["import", "--file", path, "--yes", "--protect=false", "--generate-code=false"],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (process.exitCode !== 0) return;
  console.error(
    'Taken over. Look at "cli/ouchi preview": it updates, and neither replaces nor deletes. Then type: cli/ouchi up',
  );
}

function providerVersion(): string {
  const file = createRequire(import.meta.url).resolve("@pulumi/cloudflare/package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
