// Stand-in for the Cloudflare provider: the same calls to the API, at the `baseUrl` that it is given.
import { checkInputs } from "../../schema-check.ts";
import type { Checked, CheckFailure, Difference, Log, StandIn } from "../../stand-in.ts";
import { isUnknown, type Properties, unknown } from "../../values.ts";
import { ApiClient, ApiError } from "./api-client.ts";
import { bodyOf, changedInputs, outputsOf, planned } from "./api-shape.ts";
import { functions } from "./functions.ts";
import { kinds, type ResourceKind } from "./resource-kinds.ts";

const configuration = new Set(["apiToken", "baseUrl", "version"]);
/**
 * The real provider takes a reply of 200 without a result for a success. What it made so has this id, and what it changed
 * so has lost all that the API had told, its id among it: neither can be changed, read or deleted after that.
 */
const idOfNothing = "{<nil>}";
const tokenPattern = /^[0-9A-Za-z_-]{40,80}$/;

export class Cloudflare implements StandIn {
  readonly version = "6.17.0";
  readonly #log: Log;
  #api: ApiClient | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  checkConfig(config: Properties): CheckFailure[] {
    const failures = Object.keys(config)
      .filter((key) => !configuration.has(key))
      .map((key) => ({
        property: key,
        reason: `the rehearsal engine's stand-in does not carry "${key}"`,
      }));
    const { apiToken } = config;
    if (apiToken === undefined) {
      failures.push({ property: "apiToken", reason: "it is missing: set cloudflare:apiToken" });
    } else if (!isUnknown(apiToken) && !tokenPattern.test(String(apiToken))) {
      failures.push({
        property: "apiToken",
        reason:
          "API tokens must be 40 to 80 characters long and only contain a-z, A-Z, 0-9, - and _",
      });
    }
    return failures;
  }

  configure(config: Properties): void {
    this.#api = new ApiClient(String(config.baseUrl), String(config.apiToken));
  }

  check({ type, news }: Parameters<StandIn["check"]>[0]): Checked {
    const kind = kindOf(type);
    const checked = checkInputs(kind.inputs, news);
    return {
      inputs: checked.inputs,
      failures: [...checked.failures, ...(kind.check?.(checked.inputs) ?? [])],
    };
  }

  diff({ type, olds, news }: Parameters<StandIn["diff"]>[0]): Difference {
    const kind = kindOf(type);
    const changed = changedInputs(kind, olds, planned(kind, news));
    return { changed, replaces: changed.filter((name) => kind.inputs[name]!.replaces) };
  }

  async create({ type, inputs, preview, urn }: Parameters<StandIn["create"]>[0]) {
    const kind = kindOf(type);
    const plan = planned(kind, inputs);
    if (!kind.deletable) this.#warnThatItStays(urn);
    if (preview) return { id: "", outputs: foreseen(kind, plan) };
    const body = bodyOf(kind.inputs, plan);
    const result = await this.#call(kind.create, kind.collection(plan), body);
    const id = kind.item ? String(plan.tunnelId) : String(result.id ?? idOfNothing);
    return {
      id,
      outputs: withId(outputsOf(kind, result, plan, "write"), kind.item ? id : result.id),
    };
  }

  async read({ id, type, outputs, inputs }: Parameters<StandIn["read"]>[0]) {
    const kind = kindOf(type);
    if (Object.keys(outputs).length === 0) return this.#import(kind, type, id);
    const path = address(kind, outputs, held(outputs));
    try {
      const result = await this.#call("GET", path);
      // The inputs stay what was asked for: the next diff compares them with what is there.
      return { id, outputs: withId(outputsOf(kind, result, outputs, "read"), id), inputs };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** By the id that the real provider wants for an import, which names the account or zone too. */
  async #import(kind: ResourceKind, type: string, importId: string) {
    const [, scope, owner, id] = /^(?:(accounts|zones)\/)?([^/]+)\/([^/]+)$/.exec(importId) ?? [];
    if (
      owner === undefined ||
      id === undefined ||
      (scope === undefined) === (kind.importsByScope ?? false)
    ) {
      const form = kind.importsByScope
        ? "<accounts|zones>/<account_id|zone_id>/<id>"
        : "<owner>/<id>";
      throw new Error(`invalid ID: expected "${form}" for ${type}, got "${importId}"`);
    }
    const known: Properties = { [kind.inputs.accountId ? "accountId" : "zoneId"]: owner };
    if (kind.item) known.tunnelId = id;
    try {
      const result = await this.#call("GET", address(kind, known, id));
      const outputs = outputsOf(kind, result, known, "read");
      const inputs = Object.fromEntries(
        Object.entries(outputs).filter(([name]) => name in kind.inputs),
      );
      return { id, outputs: withId(outputs, id), inputs };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  async update({ id, type, olds, news, preview }: Parameters<StandIn["update"]>[0]) {
    const kind = kindOf(type);
    const plan = planned(kind, news);
    const changed = changedInputs(kind, olds, plan);
    // A new version is a new secret.
    const renewed = changed.includes("clientSecretVersion") ? ["clientSecret"] : [];
    if (preview) return foreseen(kind, plan, olds, renewed);
    const whole = bodyOf(kind.inputs, plan, olds);
    const body = kind.update === "PATCH" ? onlyChanged(kind, whole, changed) : whole;
    const result = await this.#call(kind.update, address(kind, plan, held(olds)), body);
    if (Object.keys(result).length === 0) return { ...keptAlways(kind, olds), ...plan };
    const known = { ...computedOf(kind, olds), ...plan };
    return withId(outputsOf(kind, result, known, "write"), id);
  }

  async delete({ type, outputs, urn }: Parameters<StandIn["delete"]>[0]) {
    const kind = kindOf(type);
    if (!kind.deletable) {
      this.#log(
        "warning",
        "Applying this resource destruction will remove the resource from the state but will not change it in the API.",
        urn,
      );
      return;
    }
    await this.#call("DELETE", address(kind, outputs, held(outputs)));
  }

  async invoke({ token, args }: Parameters<StandIn["invoke"]>[0]): Promise<Properties> {
    const call = functions[token];
    if (call === undefined) {
      throw new Error(`The rehearsal engine's cloudflare does not carry "${token}".`);
    }
    return call(this.#client(), args);
  }

  cancel(): void {
    this.#api?.cancel();
  }

  #client(): ApiClient {
    if (this.#api === undefined) throw new Error("The Cloudflare provider was not configured.");
    return this.#api;
  }

  async #call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    return ((await this.#client().call(method, path, body)) ?? {}) as Record<string, unknown>;
  }

  #warnThatItStays(urn: string): void {
    this.#log(
      "warning",
      "This resource cannot be destroyed from Terraform. If you create this resource, it will be present in the API until manually deleted.",
      urn,
    );
  }
}

function withId(outputs: Properties, id: unknown): Properties {
  return id === undefined || id === null ? outputs : { ...outputs, id: String(id) };
}

/** The id by which the provider itself addresses a thing. */
function held({ id }: Properties): string {
  if (id === undefined) {
    throw new Error("failed to make http request: missing required id parameter");
  }
  return String(id);
}

/** What outlasts a reply that tells nothing. */
function keptAlways(kind: ResourceKind, olds: Properties): Properties {
  return Object.fromEntries(
    Object.entries(olds).filter(([name]) => kind.computed[name]?.noRefresh),
  );
}

function kindOf(type: string): ResourceKind {
  const kind = kinds[type];
  if (kind === undefined) {
    throw new Error(`The rehearsal engine's cloudflare does not carry "${type}".`);
  }
  return kind;
}

function address(kind: ResourceKind, properties: Properties, id: string): string {
  return kind.item?.(properties) ?? `${kind.collection(properties)}/${id}`;
}

/** What a preview can say: the plan, and of the rest only what an update leaves alone. */
function foreseen(
  kind: ResourceKind,
  plan: Properties,
  olds: Properties = {},
  renewed: string[] = [],
): Properties {
  const outputs: Properties = { ...plan };
  for (const [name, { stable }] of Object.entries(kind.computed)) {
    const kept = stable && !renewed.includes(name) ? olds[name] : undefined;
    outputs[name] = kept ?? unknown;
  }
  for (const [name, { computed }] of Object.entries(kind.inputs)) {
    if (computed && outputs[name] === undefined) outputs[name] = unknown;
  }
  return outputs;
}

function computedOf(kind: ResourceKind, olds: Properties): Properties {
  return Object.fromEntries(Object.entries(olds).filter(([name]) => name in kind.computed));
}

function onlyChanged(kind: ResourceKind, body: Record<string, unknown>, changed: string[]) {
  const names = new Set(Object.keys(bodyOf(kind.inputs, pick(changed))));
  return Object.fromEntries(Object.entries(body).filter(([name]) => names.has(name)));
}

function pick(names: string[]): Properties {
  return Object.fromEntries(names.map((name) => [name, ""]));
}
