import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import {
  findAdoptable,
  type ImportedResource,
  importFile,
} from "../../infra/cloudflare/adoption.ts";
import { productionApi } from "../../infra/cloudflare/api.ts";
import { type EngineArgs, readEngine, runEngine } from "../engine.ts";
import { readSettings, readStackConfig } from "../stack-file.ts";

/**
 * `ouchi adopt`: takes what the setting `adopt` names, and the state does not hold, into the state. Where there is
 * nothing of the kind, it prints the lines for what serves the host already. Changes nothing at Cloudflare.
 */
export async function adopt(args: EngineArgs): Promise<void> {
  const settings = readSettings(args.folder, args.stack, args.configFile);
  const { domain, hostname, accountId } = settings;
  const config = readStackConfig(args.folder, args.stack, args.configFile);
  const apiToken =
    process.env.CLOUDFLARE_API_TOKEN ??
    (await readEngine(args, ["config", "get", "cloudflare:apiToken"])).trim();
  const state = await readState(args);
  const found = await findAdoptable(
    {
      ...{ apiToken, accountId, domain, host: `${hostname}.${domain}` },
      baseUrl: String(config["cloudflare:baseUrl"] ?? productionApi),
    },
    settings,
    args.stack,
    new Set(state.flatMap(({ id }) => id ?? [])),
  );
  const { zoneId } = found;
  const file = importFile(settings.adopt, { accountId, zoneId, version: providerVersion() }, state);
  if (file.resources.length > 0) return importInto(args, file);

  for (const remark of found.remarks) console.error(`Note: ${remark}`);
  if (Object.keys(found.adopt).length === 0) {
    console.error("There is nothing more at Cloudflare to be taken over for this host.");
    return;
  }
  console.error(
    `Put these lines into Pulumi.${args.stack}.yaml, below "config:", look at them, and type once more: cli/ouchi adopt`,
  );
  const lines = stringify({ "ouchi-photos:adopt": found.adopt }, { lineWidth: 0 });
  console.log(lines.trimEnd().replaceAll(/^/gm, "  "));
}

async function importInto(
  args: EngineArgs,
  file: { nameTable: Record<string, string>; resources: ImportedResource[] },
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-adopt-"));
  try {
    const path = join(folder, "import.json");
    writeFileSync(path, JSON.stringify(file));
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

async function readState(args: EngineArgs): Promise<{ urn: string; id?: string }[]> {
  const { deployment } = JSON.parse(await readEngine(args, ["stack", "export"])) as {
    deployment?: { resources?: { urn: string; id?: string }[] };
  };
  return deployment?.resources ?? [];
}

function providerVersion(): string {
  const file = createRequire(import.meta.url).resolve("@pulumi/cloudflare/package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
