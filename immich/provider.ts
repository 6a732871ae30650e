/** The provider as Pulumi's SDK serves it: picks the kind of resource, unwraps and wraps secrets. */
import type * as provider from "@pulumi/pulumi/provider/index.js";
import { admission, revocation } from "./access/admission.ts";
import { strictServiceTokens } from "./access/strict-service-tokens.ts";
import { admin } from "./admin.ts";
import { ImmichApi } from "./api.ts";
import type { Connection } from "./connection.ts";
import type { Log } from "./engine-log.ts";
import { deployed, preflight } from "./preflight/preflight.ts";
import { type Context, changedKeys, type ResourceKind } from "./resource-kind.ts";
import { restarted } from "./restarted.ts";
import { systemSettings } from "./system-settings.ts";
import { user } from "./user.ts";
import { UserError } from "./user-error.ts";
import { version } from "./version.ts";
import { asSecret, hasUnknown, plain, secretLike, type Wire } from "./wire.ts";

type AnyKind = ResourceKind<Wire, Wire>;

const kinds: Record<string, AnyKind> = {
  "immich:index:Admin": admin as unknown as AnyKind,
  "immich:index:Admission": admission as unknown as AnyKind,
  "immich:index:Deployed": deployed as unknown as AnyKind,
  "immich:index:Preflight": preflight as unknown as AnyKind,
  "immich:index:Restarted": restarted as unknown as AnyKind,
  "immich:index:Revocation": revocation as unknown as AnyKind,
  "immich:index:StrictServiceTokens": strictServiceTokens as unknown as AnyKind,
  "immich:index:SystemSettings": systemSettings as unknown as AnyKind,
  "immich:index:User": user as unknown as AnyKind,
};

export interface ProviderOptions {
  log: Log;
  /** How long a server may take until it answers, in milliseconds. @default 10 minutes */
  readyTime?: number;
}

export class ImmichProvider implements provider.Provider {
  readonly version = version;
  readonly schema = JSON.stringify({
    name: "immich",
    version,
    resources: Object.fromEntries(Object.keys(kinds).map((type) => [type, {}])),
  });
  readonly #options: ProviderOptions;
  /** One per Pi: what shares the SSH connection. */
  readonly #apis = new Map<string, ImmichApi>();

  constructor(options: ProviderOptions) {
    this.#options = options;
  }

  async check(urn: string, olds: Wire, news: Wire): Promise<provider.CheckResult> {
    const kind = kindOf(urn);
    const inputs = plain(news) as Wire;
    const before = structuredClone(inputs);
    const previous = olds && Object.keys(olds).length > 0 ? (plain(olds) as Wire) : undefined;
    const failures =
      (await kind.check?.(this.#context(urn), previous, inputs, (value) => !hasUnknown(value))) ??
      [];
    // Only what the check changed is replaced, so that secrets stay wrapped and unknowns unknown.
    const checked = { ...news };
    for (const key of changedKeys(Object.keys(inputs), before, inputs)) {
      checked[key] = secretLike(inputs[key], news[key]);
    }
    // The settings are the stack file's, not this resource's: named as a property, Pulumi would look
    // for its value here and print that there is none.
    return {
      inputs: checked,
      failures: failures.map(({ property, reason }) => ({
        property: "",
        reason: `${property}: ${reason}`,
      })),
    };
  }

  /** Compares state and program only: nothing is asked of the Pi, and nothing is ever replaced. */
  async diff(_id: string, urn: string, olds: Wire, news: Wire): Promise<provider.DiffResult> {
    const kind = kindOf(urn);
    const changed = changedKeys(kind.compared, plain(olds) as Wire, plain(news) as Wire);
    return { changes: changed.length > 0, replaces: [] };
  }

  async create(urn: string, inputs: Wire): Promise<provider.CreateResult> {
    const kind = kindOf(urn);
    const { id, outputs } = await kind.create(this.#context(urn), plain(inputs) as Wire);
    return { id, outs: wrap(kind, outputs, inputs) };
  }

  async read(id: string, urn: string, state: Wire = {}): Promise<provider.ReadResult> {
    const kind = kindOf(urn);
    if (!state.connection && !state.cloudflare) {
      throw new UserError(
        `"${urn.split("::").at(-1)}" cannot be imported by its id alone. It need not be: "pulumi up" adopts who and what is in Immich already.`,
      );
    }
    const known = plain(state) as Wire;
    const outputs = await kind.read(this.#context(urn), id, known);
    if (!outputs) return { id: "", props: {}, inputs: {} };
    const props = wrap(kind, outputs, state);
    const inputs = Object.fromEntries(
      Object.entries(props).filter(([key]) => !kind.computed.includes(key)),
    );
    return { id, props, inputs };
  }

  async update(id: string, urn: string, olds: Wire, news: Wire): Promise<provider.UpdateResult> {
    const kind = kindOf(urn);
    const outputs = await kind.update(
      this.#context(urn),
      id,
      plain(olds) as Wire,
      plain(news) as Wire,
    );
    return { outs: wrap(kind, outputs, news) };
  }

  async delete(id: string, urn: string, state: Wire): Promise<void> {
    await kindOf(urn).delete(this.#context(urn), id, plain(state) as Wire);
  }

  /** The engine is about to end the process. */
  async cancel(): Promise<void> {
    const open = [...this.#apis.values()];
    this.#apis.clear();
    await Promise.all(open.map((api) => api.close()));
  }

  #context(urn: string): Context {
    return {
      urn,
      log: (severity, message) => this.#options.log(severity, message, urn),
      api: (connection: Connection) => {
        const key = JSON.stringify(connection, Object.keys(connection).sort());
        let api = this.#apis.get(key);
        if (!api) {
          api = new ImmichApi(connection, {
            ...(this.#options.readyTime && { readyTime: this.#options.readyTime }),
          });
          this.#apis.set(key, api);
        }
        return api;
      },
    };
  }
}

function kindOf(urn: string): AnyKind {
  const type = urn.split("::")[2]?.split("$").pop() ?? "";
  const kind = kinds[type];
  if (!kind) throw new UserError(`The Immich provider has no resource "${type}".`);
  return kind;
}

/** Secret is what was secret in the inputs, and what is so by its nature. */
function wrap(kind: AnyKind, outputs: Wire, inputs: Wire): Wire {
  const wrapped = secretLike(outputs, inputs) as Wire;
  for (const path of kind.secrets) {
    const keys = path.split(".");
    const last = keys.pop()!;
    const holder = keys.reduce<unknown>(
      (value, key) => (value as Wire | undefined)?.[key],
      wrapped,
    );
    // A wrapped holder keeps all that is in it.
    if (holder !== null && typeof holder === "object" && last in holder) {
      (holder as Wire)[last] = asSecret((holder as Wire)[last]);
    }
  }
  return wrapped;
}
