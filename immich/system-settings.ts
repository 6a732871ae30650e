/**
 * `immich:index:SystemSettings`: the keys of Immich's settings that the kit owns. Immich takes only the
 * whole object, so it is read, merged and written; all other keys stay the owner's.
 */
import type { ImmichApi } from "./api.ts";
import { type Credentials, showSettings, writeSettings } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { mergeOwned, ownedPart, type SettingsTree, unknownKeys } from "./owned-settings.ts";
import type { ResourceKind } from "./resource-kind.ts";
import { UserError } from "./user-error.ts";
import { sameValue } from "./wire.ts";

export interface SystemSettingsInputs {
  connection: Connection;
  admin: Credentials;
  settings: SettingsTree;
}

async function writeOwned(api: ImmichApi, inputs: SystemSettingsInputs): Promise<void> {
  const current = await api.admin(inputs.admin, "show its settings", showSettings());
  const unknown = unknownKeys(current, inputs.settings);
  if (unknown.length > 0) {
    throw new UserError(
      `Immich knows no setting ${unknown.map((path) => `"${path}"`).join(", ")}: look at the names in its page under Administration > Settings (export as JSON). No setting was changed.`,
    );
  }
  const merged = mergeOwned(current, inputs.settings);
  if (sameValue(current, merged)) return;
  await api.admin(
    inputs.admin,
    "take its settings",
    writeSettings(merged),
    texts(inputs.settings).filter((text) => text.length >= 8),
  );
}

/** Every text in the settings: an SMTP password among them must not come back in an error. */
function texts(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(texts) : [];
}

export const systemSettings: ResourceKind<SystemSettingsInputs, SystemSettingsInputs> = {
  secrets: ["connection.privateKey", "admin.password"],
  computed: [],
  compared: ["connection", "admin", "settings"],

  async create(context, inputs) {
    await writeOwned(context.api(inputs.connection), inputs);
    return { id: "system-settings", outputs: inputs };
  },

  async read(context, _id, state) {
    const current = await context
      .api(state.connection)
      .admin(state.admin, "show its settings", showSettings());
    return { ...state, settings: ownedPart(current, state.settings) };
  },

  async update(context, _id, olds, news) {
    if (!sameValue(olds.settings, news.settings)) {
      await writeOwned(context.api(news.connection), news);
    }
    return news;
  },

  async delete(context) {
    await context.log("info", "Immich's settings stay as they are.");
  },
};
