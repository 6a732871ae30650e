import { type Account, readAccount } from "../infra/cloudflare/account.ts";
import { productionApi } from "../infra/cloudflare/api.ts";
import type { Settings } from "../infra/settings/schema.ts";
import { type EngineArgs, readEngine } from "./engine.ts";
import { readStackConfig, settingsOf } from "./stack-file.ts";

/** A resource of the stack's state, as `pulumi stack export` shows it. */
export interface StateEntry {
  urn: string;
  id?: string;
  retainOnDelete?: boolean;
}

/** What is at Cloudflare, beside what the stack's state knows of it. */
export interface HouseAtCloudflare {
  settings: Settings;
  host: string;
  account: Account;
  state: StateEntry[];
}

/** Reads, and changes nothing. */
export async function readHouseAtCloudflare(args: EngineArgs): Promise<HouseAtCloudflare> {
  const config = readStackConfig(args.folder, args.stack, args.configFile);
  const settings = settingsOf(config, args.stack);
  const { domain, hostname, accountId } = settings;
  // As the program and the provider have it: the environment's where the stack has none.
  const apiToken =
    config["cloudflare:apiToken"] === undefined && process.env.CLOUDFLARE_API_TOKEN
      ? process.env.CLOUDFLARE_API_TOKEN
      : (await readEngine(args, ["config", "get", "cloudflare:apiToken"])).trim();
  const host = `${hostname}.${domain}`;
  const state = await readState(args);
  const account = await readAccount({
    ...{ apiToken, accountId, domain, host, adoptedRecord: "any" },
    baseUrl: String(config["cloudflare:baseUrl"] ?? productionApi),
  });
  return { settings, host, account, state };
}

async function readState(args: EngineArgs): Promise<StateEntry[]> {
  const { deployment } = JSON.parse(await readEngine(args, ["stack", "export"])) as {
    deployment?: { resources?: StateEntry[] };
  };
  return deployment?.resources ?? [];
}
