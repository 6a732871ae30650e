// One pass over a stack: what the program registers is compared with the state and brought about, or in a
// preview only told. The order of work is Pulumi's: check, diff, step; deletions last, dependents first.
import { randomUUID } from "node:crypto";
import { EngineError } from "./engine-error.ts";
import { type HookNames, type HookRequest, Hooks, noHooks } from "./hooks.ts";
import { covers, parsePath, valueAt, withValueAt } from "./property-path.ts";
import { type Diff, type LaunchOptions, Provider, ResourceInitFailed } from "./provider.ts";
import type { Diagnostic, Operation, Step } from "./result.ts";
import type { ImportFile } from "./import-file.ts";
import type { CheckFailure, LogSeverity } from "./stand-in.ts";
import {
  type PendingOperation,
  type ResourceState,
  type Snapshot,
  sameState,
} from "./state-file.ts";
import {
  isProviderType,
  makeUrn,
  nameOf,
  packageOf,
  providerTypePrefix,
  qualifiedType,
  stackType,
  typeOf,
} from "./urn.ts";
import {
  containsUnknown,
  differingKeys,
  equal,
  markSecret,
  type Properties,
  Secret,
  unknown,
  unknownSentinel,
} from "./values.ts";

export interface AliasSpec {
  urn?: string;
  name?: string;
  type?: string;
  stack?: string;
  project?: string;
  parent?: string;
  noParent?: boolean;
}

/** What the program wants of one resource. */
export interface Goal {
  type: string;
  name: string;
  custom: boolean;
  inputs: Properties;
  parent?: string;
  provider?: string;
  version: string;
  dependencies: string[];
  propertyDependencies: Record<string, string[]>;
  protect?: boolean;
  retainOnDelete?: boolean;
  deleteBeforeReplace?: boolean;
  deletedWith?: string;
  ignoreChanges: string[];
  replaceOnChanges: string[];
  additionalSecretOutputs: string[];
  aliases: AliasSpec[];
  hooks?: HookNames;
}

export interface DeploymentOptions {
  project: string;
  stack: string;
  config: Map<string, string>;
  secretKeys: Set<string>;
  dryRun: boolean;
  base: Snapshot;
  /** Called after every step that changed something; never in a preview. */
  save(snapshot: Snapshot): void;
  launch: Omit<LaunchOptions, "package">;
  onStep(step: Step): void;
}

/** The deployment has stopped; whoever asks hears no more of it. */
export class Stopped extends Error {
  override name = "Stopped";
}

const parallelSteps = 8;
const mostRetries = 100;

export class Deployment {
  readonly steps: Step[] = [];
  readonly diagnostics: Diagnostic[] = [];
  /** The program's own functions, called around its resources' steps. */
  readonly hooks = new Hooks((severity, message, urn) => this.log(severity, message, urn));
  failed = false;
  /** Settles when no further step will start. */
  readonly whenStopped: Promise<void>;
  #onStop: () => void = () => undefined;

  readonly #options: DeploymentOptions;
  readonly #olds = new Map<string, ResourceState>();
  readonly #registered = new Map<string, ResourceState>();
  readonly #claimed = new Set<string>();
  /** States of the last deployment that this one has taken over. */
  readonly #seen = new Set<ResourceState>();
  /** States of the last deployment that the next state file leaves out. */
  readonly #done = new Set<ResourceState>();
  readonly #pending = new Set<PendingOperation>();
  #pendingOfBase: PendingOperation[];
  readonly #awaitingReplacement = new Map<string, ResourceState>();
  readonly #aliasesByUrn = new Map<string, string[]>();
  readonly #goalParents = new Map<string, Goal>();
  readonly #providers = new Map<string, Promise<Provider>>();
  readonly #defaultProviders = new Map<string, Promise<string>>();
  readonly #warm = new Map<string, Promise<Provider>>();
  readonly #launched: Promise<Provider>[] = [];
  readonly #inFlight = new Set<Promise<unknown>>();
  #slots = parallelSteps;
  readonly #queue: (() => void)[] = [];
  #stopped = false;

  constructor(options: DeploymentOptions) {
    this.#options = options;
    this.whenStopped = new Promise((resolve) => {
      this.#onStop = resolve;
    });
    for (const state of options.base.resources) {
      if (!state.delete) this.#olds.set(state.urn, state);
    }
    this.#pendingOfBase = options.base.pendingOperations.filter(({ type }) => type === "creating");
    if (options.base.pendingOperations.length > 0) this.#warnOfPendingOperations();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get dryRun(): boolean {
    return this.#options.dryRun;
  }

  /** Starts a plugin before it is asked for: its start-up runs beside the program's. */
  warm(packageName: string): void {
    const provider = this.#launch(packageName);
    provider.catch(() => undefined);
    this.#warm.set(packageName, provider);
  }

  /** No further step starts; running ones are told to hurry and are waited for. */
  async cancel(): Promise<void> {
    this.#stop();
    const providers = await Promise.allSettled(this.#launched);
    await Promise.all(
      providers.map((provider) => provider.status === "fulfilled" && provider.value.cancel()),
    );
  }

  async settle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled([...this.#inFlight]);
  }

  async close(): Promise<void> {
    this.hooks.close();
    for (const provider of await Promise.allSettled(this.#launched)) {
      if (provider.status === "fulfilled") provider.value.close();
    }
  }

  snapshot(): Snapshot {
    return {
      resources: [
        ...this.#registered.values(),
        ...this.#options.base.resources.filter((state) => !this.#done.has(state)),
      ],
      pendingOperations: [...this.#pendingOfBase, ...this.#pending],
    };
  }

  log(severity: LogSeverity, message: string, urn?: string): void {
    if (severity === "debug") return;
    if (severity === "error") this.failed = true;
    this.diagnostics.push({ severity, message, ...(urn && { urn }) });
  }

  fail(error: unknown, urn?: string): Stopped {
    if (!(error instanceof Stopped)) {
      this.log("error", messageOf(error), urn);
      this.#stop();
    }
    return new Stopped("The deployment has stopped.");
  }

  register(goal: Goal): Promise<ResourceState> {
    return this.#track(async () => {
      const urn = this.#claim(goal);
      try {
        this.#inherit(goal);
        const old = this.#findOld(goal, urn);
        if (old) this.#seen.add(old);
        if (isProviderType(goal.type)) return await this.#registerProvider(goal, urn, old);
        if (!goal.custom) return this.#registerComponent(goal, urn, old);
        return await this.#registerCustom(goal, urn, old);
      } catch (error) {
        throw this.fail(error, urn);
      }
    });
  }

  registerOutputs(urn: string, outputs: Properties): void {
    const state = this.#registered.get(urn);
    if (state === undefined) throw new Error(`There is no resource "${urn}" to give outputs to.`);
    const changed = !equal(state.outputs, outputs);
    state.outputs = outputs;
    if (changed) this.#save();
  }

  /** `Resource.get`: looked up, kept in the state, never deleted. */
  read(goal: Goal, id: string): Promise<ResourceState> {
    return this.#track(async () => {
      const urn = this.#claim(goal);
      try {
        const old = this.#olds.get(urn);
        if (old) this.#seen.add(old);
        const reference = await this.#providerReference(goal);
        const provider = await this.#provider(reference);
        const found = await provider.read(
          { urn, type: goal.type, id },
          { inputs: goal.inputs, outputs: goal.inputs },
        );
        if (found === undefined) {
          throw new EngineError(
            `Could not read "${goal.name}" (${goal.type}): there is no "${id}".`,
          );
        }
        const outputs = markSecret(found.outputs, goal.additionalSecretOutputs);
        const state: ResourceState = {
          ...this.#stateOf(goal, urn, goal.inputs),
          id: found.id,
          outputs,
          provider: reference,
          external: true,
        };
        this.#finish(state, old, "read");
        return state;
      } catch (error) {
        throw this.fail(error, urn);
      }
    });
  }

  async invoke(goal: {
    token: string;
    args: Properties;
    provider?: string;
    version: string;
  }): Promise<{ result: Properties; failures: CheckFailure[] }> {
    return this.#track(async () => {
      const packageName = packageOf(goal.token);
      const reference = goal.provider || (await this.#defaultProvider(packageName, goal.version));
      const provider = await this.#provider(reference);
      return provider.invoke(goal.token, goal.args, this.dryRun);
    });
  }

  /** Takes what exists already into the state, as the provider reads it. What the state holds is left as it is. */
  async import({ nameTable, resources }: ImportFile): Promise<void> {
    const urns = new Map(Object.entries(nameTable));
    for (const { type, name, id, parent, component, version } of resources) {
      const parentUrn = parent === undefined ? stackUrn(this.#options) : urns.get(parent);
      if (parentUrn === undefined) {
        throw this.fail(
          new EngineError(`the parent "${parent}" of "${name}" is not named before it`),
        );
      }
      const goal: Goal = {
        ...{ type, name, parent: parentUrn, custom: !component, inputs: {}, version },
        ...{ dependencies: [], propertyDependencies: {}, ignoreChanges: [], replaceOnChanges: [] },
        ...{ additionalSecretOutputs: [], aliases: [] },
      };
      const state = await this.#track(() => this.#importOne(goal, id));
      urns.set(name, state.urn);
    }
  }

  async #importOne(goal: Goal, id: string): Promise<ResourceState> {
    const urn = this.#claim(goal);
    try {
      if (this.#findOld(goal, urn)) throw new EngineError(`resource '${urn}' already exists`);
      if (!goal.custom) return this.#registerComponent(goal, urn, undefined);
      const reference = await this.#providerReference(goal);
      const provider = await this.#provider(reference);
      const found = await this.#slot(() =>
        provider.read({ urn, type: goal.type, id }, { inputs: {}, outputs: {} }),
      );
      if (found === undefined) throw new EngineError(`resource '${id}' does not exist`);
      const state = {
        ...this.#stateOf(goal, urn, found.inputs ?? {}),
        ...{ id: found.id, outputs: found.outputs, provider: reference },
      };
      this.#finish(state, undefined, "import");
      return state;
    } catch (error) {
      throw this.fail(error, urn);
    }
  }

  /** After the program: what it no longer names goes, and what was replaced. */
  async deleteUnregistered(): Promise<void> {
    const doomed = this.#options.base.resources.filter(
      (state) =>
        !this.#done.has(state) &&
        (state.delete || this.#toDelete.has(state) || !this.#seen.has(state)),
    );
    await this.#deleteAll(doomed);
  }

  async destroy(excluded: Set<ResourceState>): Promise<void> {
    await this.#deleteAll(this.#options.base.resources.filter((state) => !excluded.has(state)));
  }

  /** Reads every resource back; what is gone leaves the state, what drifted is taken over. */
  async refresh(): Promise<void> {
    this.#pendingOfBase = [];
    const readable = this.#options.base.resources.filter(
      (state) =>
        state.custom && !isProviderType(state.type) && state.id !== undefined && !state.delete,
    );
    await Promise.all(readable.map((state) => this.#track(() => this.#refreshOne(state))));
  }

  async #refreshOne(state: ResourceState): Promise<void> {
    try {
      const provider = await this.#provider(state.provider ?? "");
      const found = await this.#slot(() =>
        provider.read({ urn: state.urn, type: state.type, id: state.id! }, state),
      );
      if (found === undefined) {
        this.#done.add(state);
        this.#tell("delete", state);
        return;
      }
      const outputs = markSecret(found.outputs, state.additionalSecretOutputs);
      const diff = differingKeys(state.outputs, outputs);
      // In place: its dependents keep their order in the file.
      state.outputs = outputs;
      state.inputs = found.inputs ?? state.inputs;
      state.id = found.id;
      this.#tell(diff.length > 0 ? "update" : "same", state, diff);
      if (diff.length > 0) this.#save();
    } catch (error) {
      this.fail(error, state.urn);
    }
  }

  // ---------------------------------------------------------------- registering

  #claim(goal: Goal): string {
    if (this.#stopped) throw new Stopped("The deployment has stopped.");
    const urn = makeUrn({
      stack: this.#options.stack,
      project: this.#options.project,
      qualifiedType: qualifiedType(goal.type, goal.parent),
      name: goal.name,
    });
    if (this.#claimed.has(urn)) {
      throw this.fail(
        new EngineError(`Duplicate resource URN '${urn}'; try giving it a unique name`),
        urn,
      );
    }
    this.#claimed.add(urn);
    this.#goalParents.set(urn, goal);
    return urn;
  }

  #inherit(goal: Goal): void {
    const parent = goal.parent === undefined ? undefined : this.#goalParents.get(goal.parent);
    if (parent === undefined) return;
    if (goal.protect === undefined && parent.protect !== undefined) goal.protect = parent.protect;
    if (goal.retainOnDelete === undefined && parent.retainOnDelete !== undefined) {
      goal.retainOnDelete = parent.retainOnDelete;
    }
    goal.deletedWith ??= parent.deletedWith;
  }

  #findOld(goal: Goal, urn: string): ResourceState | undefined {
    const aliases = this.#aliasUrns(goal);
    this.#aliasesByUrn.set(urn, aliases);
    for (const candidate of [urn, ...aliases]) {
      const old = this.#olds.get(candidate);
      if (old !== undefined && !this.#seen.has(old)) return old;
    }
    return undefined;
  }

  // An alias of the parent is one of its children, too: the engine works out the combinations.
  #aliasUrns(goal: Goal): string[] {
    const { stack, project } = this.#options;
    const urns = new Set<string>();
    const parentAliases =
      goal.parent === undefined ? [] : (this.#aliasesByUrn.get(goal.parent) ?? []);
    const under = (parent: string | undefined, spec: AliasSpec) =>
      makeUrn({
        stack: spec.stack || stack,
        project: spec.project || project,
        qualifiedType: qualifiedType(spec.type || goal.type, parent),
        name: spec.name || goal.name,
      });
    for (const spec of goal.aliases) {
      if (spec.urn) {
        urns.add(spec.urn);
        continue;
      }
      const explicitParent = spec.noParent === true || spec.parent !== undefined;
      urns.add(under(explicitParent ? spec.parent : goal.parent, spec));
      if (!explicitParent) for (const parent of parentAliases) urns.add(under(parent, spec));
    }
    for (const parent of parentAliases) urns.add(under(parent, {}));
    return [...urns];
  }

  #stateOf(goal: Goal, urn: string, inputs: Properties): ResourceState {
    return {
      urn,
      custom: goal.custom,
      type: goal.type,
      inputs,
      outputs: {},
      ...(goal.parent !== undefined && { parent: goal.parent }),
      ...(goal.deletedWith && { deletedWith: goal.deletedWith }),
      dependencies: goal.dependencies,
      propertyDependencies: goal.propertyDependencies,
      additionalSecretOutputs: goal.additionalSecretOutputs,
      aliases: (this.#aliasesByUrn.get(urn) ?? []).filter((alias) => this.#olds.has(alias)),
      protect: goal.protect ?? false,
      retainOnDelete: goal.retainOnDelete ?? false,
      external: false,
      delete: false,
      initErrors: [],
    };
  }

  #registerComponent(goal: Goal, urn: string, old: ResourceState | undefined): ResourceState {
    const state = this.#stateOf(goal, urn, goal.inputs);
    // Until the program gives new outputs, the old ones hold.
    if (old) state.outputs = old.outputs;
    this.#finish(state, old, old ? "same" : "create");
    return state;
  }

  async #registerProvider(
    goal: Goal,
    urn: string,
    old: ResourceState | undefined,
  ): Promise<ResourceState> {
    const packageName = packageOf(goal.type);
    const launched = this.#warm.get(packageName) ?? this.#launch(packageName);
    this.#warm.delete(packageName);
    const provider = await launched;
    const { inputs, failures } = await provider.checkConfig(urn, old?.inputs ?? {}, goal.inputs);
    this.#throwFailures(failures, urn);
    await provider.configure(inputs);
    const diff = old ? differingKeys(old.inputs, inputs) : [];
    const id = old?.id ?? (this.dryRun ? unknownSentinel : randomUUID());
    const state = { ...this.#stateOf(goal, urn, inputs), id, outputs: inputs };
    this.#providers.set(`${urn}::${id}`, Promise.resolve(provider));
    this.#finish(state, old, !old ? "create" : diff.length > 0 ? "update" : "same", diff);
    return state;
  }

  async #registerCustom(
    goal: Goal,
    urn: string,
    found: ResourceState | undefined,
  ): Promise<ResourceState> {
    const reference = await this.#providerReference(goal);
    const provider = await this.#provider(reference);
    // What was read with `get` is not ours: taking it over makes a new one.
    const replacedBefore = this.#awaitingReplacement.get(urn);
    const old = found?.external || replacedBefore ? undefined : found;
    const identity = { urn, type: goal.type };

    let inputs = goal.inputs;
    for (const path of goal.ignoreChanges) {
      parsePath(path);
      if (old) inputs = withValueAt(inputs, path, valueAt(old.inputs, path));
    }
    let checked = await provider.check(identity, old?.inputs ?? {}, inputs);
    this.#throwFailures(checked.failures, urn);

    const make = async (
      op: "create" | "replace",
      diff: string[] = [],
      oldGoes: "now" | "later" = "now",
    ) => {
      const state = { ...this.#stateOf(goal, urn, checked.inputs), provider: reference };
      await this.#perform("creating", state, async () => {
        const asked = { newInputs: checked.inputs };
        await this.#hook("before", "Create", goal, urn, "", asked);
        const made = await this.#tryWithErrorHooks("create", goal, urn, "", asked, () =>
          provider.create(identity, checked.inputs, this.dryRun),
        );
        if (!this.dryRun && !made.id) {
          throw new EngineError("provider did not return an ID from Create");
        }
        if (made.id !== undefined) state.id = made.id;
        state.outputs = markSecret(made.outputs, goal.additionalSecretOutputs);
        await this.#hook("after", "Create", goal, urn, state.id ?? "", {
          ...asked,
          newOutputs: state.outputs,
        });
      });
      if (oldGoes === "later") {
        // It stays in the file, marked, until its deletion at the end has succeeded.
        if (!this.dryRun) old!.delete = true;
        this.#toDelete.add(old!);
      }
      this.#finish(state, oldGoes === "now" ? found : undefined, op, diff);
      return state;
    };
    if (old === undefined) return make(replacedBefore ? "replace" : "create");

    const diff = await this.#diff(goal, provider, old, checked.inputs);
    if (diff.changes === "none" && old.initErrors.length === 0) {
      const state: ResourceState = {
        ...this.#stateOf(goal, urn, checked.inputs),
        ...(old.id !== undefined && { id: old.id }),
        outputs: markSecret(old.outputs, goal.additionalSecretOutputs),
        provider: reference,
      };
      this.#finish(state, old, "same");
      return state;
    }

    const marks = marksOf(diff, old, checked.inputs);
    if (diff.replaces.length > 0) {
      if (old.protect && goal.protect) {
        throw new EngineError(
          `unable to replace resource "${urn}"\nas it is currently marked for protection. To unprotect the ` +
            "resource, remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`",
        );
      }
      // The new resource owes nothing to the old one's inputs.
      checked = await provider.check(identity, {}, goal.inputs);
      this.#throwFailures(checked.failures, urn);
      if (goal.deleteBeforeReplace ?? diff.deleteBeforeReplace) {
        await this.#deleteBeforeReplacing(old);
        return make("replace", marks);
      }
      return make("replace", marks, "later");
    }

    const state: ResourceState = {
      ...this.#stateOf(goal, urn, checked.inputs),
      ...(old.id !== undefined && { id: old.id }),
      provider: reference,
    };
    await this.#perform(
      "updating",
      state,
      async () => {
        const before = old;
        const asked = {
          newInputs: checked.inputs,
          oldInputs: before.inputs,
          oldOutputs: before.outputs,
        };
        await this.#hook("before", "Update", goal, urn, before.id!, asked);
        const outputs = await this.#tryWithErrorHooks("update", goal, urn, before.id!, asked, () =>
          provider.update(
            { ...identity, id: before.id! },
            before,
            checked.inputs,
            goal.ignoreChanges,
            this.dryRun,
          ),
        );
        state.outputs = markSecret(outputs, goal.additionalSecretOutputs);
        await this.#hook("after", "Update", goal, urn, before.id!, {
          ...asked,
          newOutputs: state.outputs,
        });
      },
      old,
    );
    this.#finish(state, old, "update", marks);
    return state;
  }

  /** As Pulumi's: what fails before stops the step, what fails after fails the deployment and keeps the step. */
  async #hook(
    when: "before" | "after",
    operation: "Create" | "Update",
    goal: Goal,
    urn: string,
    id: string,
    properties: Partial<HookRequest>,
  ): Promise<void> {
    const names = (goal.hooks ?? noHooks)[`${when}${operation}`];
    if (names.length === 0) return;
    const request = { urn, id, name: goal.name, type: goal.type, ...properties };
    try {
      await this.hooks.run(when, names, request, this.dryRun);
    } catch (error) {
      if (when === "before") throw error;
      this.log("error", messageOf(error), urn);
    }
  }

  async #tryWithErrorHooks<T>(
    operation: "create" | "update",
    goal: Goal,
    urn: string,
    id: string,
    properties: Partial<HookRequest>,
    act: () => Promise<T>,
  ): Promise<T> {
    const errors: string[] = [];
    for (;;) {
      try {
        return await act();
      } catch (error) {
        const names = goal.hooks?.onError ?? [];
        if (names.length === 0 || this.dryRun) throw error;
        errors.push(messageOf(error));
        const request = { urn, id, name: goal.name, type: goal.type, ...properties };
        const retry = await this.hooks.onError(names, request, operation, errors);
        if (!retry || errors.length > mostRetries) throw error;
        this.log(
          "warning",
          `retrying ${operation} due to on-error hook request (${errors.length}/${mostRetries})`,
          urn,
        );
      }
    }
  }

  readonly #toDelete = new Set<ResourceState>();

  async #diff(
    goal: Goal,
    provider: Provider,
    old: ResourceState,
    inputs: Properties,
  ): Promise<Diff> {
    const diff = await provider.diff(
      { urn: old.urn, type: goal.type, id: old.id! },
      old,
      inputs,
      goal.ignoreChanges,
    );
    if (diff.changes === "unknown") {
      diff.changes = equal(old.inputs, inputs) ? "none" : "some";
      diff.changed = differingKeys(old.inputs, inputs).map((mark) => mark.slice(1));
    }
    if (diff.changes === "some") {
      const replaced = diff.changed.filter((path) =>
        goal.replaceOnChanges.some((pattern) => covers(pattern, path)),
      );
      diff.replaces.push(...replaced);
    }
    return diff;
  }

  #throwFailures(failures: CheckFailure[], urn: string): void {
    if (failures.length === 0) return;
    const type = typeOf(urn);
    for (const { property, reason } of failures) {
      this.log(
        "error",
        property === ""
          ? `${type} resource '${nameOf(urn)}' has a problem: ${reason}`
          : `${type} resource '${nameOf(urn)}': property ${property} has a problem: ${reason}`,
        urn,
      );
    }
    this.#stop();
    throw new Stopped("The deployment has stopped.");
  }

  // ---------------------------------------------------------------- providers

  #launch(packageName: string): Promise<Provider> {
    const launched = Provider.launch({ ...this.#options.launch, package: packageName });
    this.#launched.push(launched);
    return launched;
  }

  async #providerReference(goal: Goal): Promise<string> {
    return goal.provider || this.#defaultProvider(packageOf(goal.type), goal.version);
  }

  #defaultProvider(packageName: string, version: string): Promise<string> {
    const name = version ? `default_${version.replaceAll(/[.+-]/g, "_")}` : "default";
    const key = `${packageName}:${name}`;
    let reference = this.#defaultProviders.get(key);
    if (reference === undefined) {
      reference = this.#registerDefaultProvider(packageName, name, version);
      this.#defaultProviders.set(key, reference);
    }
    return reference;
  }

  async #registerDefaultProvider(packageName: string, name: string, version: string) {
    const inputs: Properties = {};
    for (const [key, value] of this.#options.config) {
      const [namespace, property] = key.split(":") as [string, string];
      if (namespace !== packageName) continue;
      inputs[property] = this.#options.secretKeys.has(key) ? new Secret(value) : value;
    }
    if (version) inputs.version = version;
    const state = await this.register({
      type: `${providerTypePrefix}${packageName}`,
      name,
      custom: true,
      inputs,
      version,
      dependencies: [],
      propertyDependencies: {},
      ignoreChanges: [],
      replaceOnChanges: [],
      additionalSecretOutputs: [],
      aliases: [],
    });
    return `${state.urn}::${state.id}`;
  }

  /** One that the program did not register is taken from the state, with the configuration it had then. */
  #provider(reference: string): Promise<Provider> {
    let provider = this.#providers.get(reference);
    if (provider === undefined) {
      provider = this.#providerOfState(reference);
      this.#providers.set(reference, provider);
    }
    return provider;
  }

  async #providerOfState(reference: string): Promise<Provider> {
    const state = this.#options.base.resources.find(
      ({ urn, id, type }) => isProviderType(type) && `${urn}::${id}` === reference,
    );
    if (state === undefined)
      throw new EngineError(`There is no provider "${reference}" in the state.`);
    const packageName = packageOf(state.type);
    const launched = this.#warm.get(packageName) ?? this.#launch(packageName);
    this.#warm.delete(packageName);
    const provider = await launched;
    await provider.checkConfig(state.urn, state.inputs, state.inputs);
    await provider.configure(state.inputs);
    return provider;
  }

  // ---------------------------------------------------------------- deleting

  async #deleteAll(doomed: ResourceState[]): Promise<void> {
    for (const state of doomed) {
      if (!state.protect || state.delete) continue;
      this.log(
        "error",
        `resource "${state.urn}" cannot be deleted\nbecause it is protected. To unprotect the resource, either ` +
          "remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`, or use the " +
          `command:\n\`pulumi state unprotect '${state.urn}'\``,
        state.urn,
      );
    }
    if (this.failed) {
      this.#stop();
      return;
    }
    const waiting = new Set(doomed);
    const going = new Set(doomed.map(({ urn }) => urn));
    // As Pulumi: whatever nothing else still depends on goes together, then the next layer.
    while (waiting.size > 0 && !this.#stopped) {
      const needed = new Set([...waiting].flatMap(needs));
      const layer = [...waiting].filter(({ urn }) => !needed.has(urn));
      for (const state of layer) waiting.delete(state);
      if (layer.length === 0) throw new Error("The state's dependencies form a circle.");
      await Promise.all(
        layer.map((state) =>
          this.#track(() => this.#deleteOne(state, going)).catch((error) => {
            this.fail(error, state.urn);
          }),
        ),
      );
    }
  }

  async #deleteOne(state: ResourceState, going: Set<string>): Promise<void> {
    const replaced = state.delete || this.#toDelete.has(state);
    const untouched =
      !state.custom ||
      isProviderType(state.type) ||
      state.external ||
      state.retainOnDelete ||
      state.id === undefined ||
      (state.deletedWith !== undefined && going.has(state.deletedWith));
    if (!untouched) {
      const provider = await this.#provider(state.provider ?? "");
      await this.#perform("deleting", state, async () => {
        if (this.dryRun) return;
        await provider.delete({ urn: state.urn, type: state.type, id: state.id! }, state);
      });
    }
    this.#done.add(state);
    this.#tell(replaced ? "delete-replaced" : "delete", state);
    this.#save();
  }

  // Whoever can only be made anew without this one goes before it, and is made anew when its turn comes.
  async #deleteBeforeReplacing(old: ResourceState): Promise<void> {
    const chain: ResourceState[] = [old];
    const urns = new Set([old.urn]);
    for (const state of this.#options.base.resources) {
      if (urns.has(state.urn) || this.#done.has(state) || state.delete || !state.custom) continue;
      if (!needs(state).some((urn) => urns.has(urn))) continue;
      if (!(await this.#mustFollow(state, urns))) continue;
      if (state.protect) {
        throw new EngineError(
          `unable to replace resource "${state.urn}" as part of replacing "${old.urn}" ` +
            "as it is currently marked for protection.",
        );
      }
      chain.push(state);
      urns.add(state.urn);
    }
    for (const state of chain.reverse()) {
      this.#toDelete.add(state);
      await this.#deleteOne(state, new Set());
      if (state !== old) this.#awaitingReplacement.set(state.urn, state);
    }
  }

  async #mustFollow(state: ResourceState, urns: Set<string>): Promise<boolean> {
    if (isProviderType(state.type)) return false;
    const news: Properties = { ...state.inputs };
    let touched = false;
    for (const [property, dependencies] of Object.entries(state.propertyDependencies)) {
      if (property in news && dependencies.some((urn) => urns.has(urn))) {
        news[property] = unknown;
        touched = true;
      }
    }
    if (!touched || state.id === undefined) return false;
    const provider = await this.#provider(state.provider ?? "");
    const diff = await provider.diff(
      { urn: state.urn, type: state.type, id: state.id },
      state,
      news,
      [],
    );
    return diff.replaces.length > 0;
  }

  // ---------------------------------------------------------------- steps

  async #perform(
    type: PendingOperation["type"],
    resource: ResourceState,
    act: () => Promise<void>,
    old?: ResourceState,
  ): Promise<void> {
    await this.#slot(async () => {
      if (this.#stopped) throw new Stopped("The deployment has stopped.");
      if (!this.dryRun && containsUnknown(resource.inputs)) {
        throw new Error(
          `The inputs of ${resource.urn} hold a value that is not known in an update.`,
        );
      }
      const pending: PendingOperation = { resource, type };
      if (!this.dryRun) {
        this.#pending.add(pending);
        this.#save();
      }
      try {
        await act();
      } catch (error) {
        if (error instanceof ResourceInitFailed) {
          this.#keepHalfMade(resource, error, old);
        }
        throw error;
      } finally {
        this.#pending.delete(pending);
        if (!this.dryRun) this.#save();
      }
    });
  }

  #keepHalfMade(resource: ResourceState, error: ResourceInitFailed, old?: ResourceState): void {
    resource.id = error.id;
    resource.outputs = markSecret(error.properties, resource.additionalSecretOutputs);
    resource.initErrors = error.reasons;
    if (old) this.#done.add(old);
    this.#registered.set(resource.urn, resource);
  }

  #finish(
    state: ResourceState,
    old: ResourceState | undefined,
    op: Operation,
    diff?: string[],
  ): void {
    if (old) this.#done.add(old);
    this.#registered.set(state.urn, state);
    this.#tell(op, state, diff);
    if (op !== "same" || (old && !sameState(old, state))) this.#save();
  }

  #tell(op: Operation, state: ResourceState, diff: string[] = []): void {
    // A default provider is Pulumi's own affair: it is neither shown nor counted.
    if (isProviderType(state.type) && /^default(_|$)/.test(nameOf(state.urn))) return;
    const step: Step = {
      op,
      urn: state.urn,
      type: state.type,
      name: nameOf(state.urn),
      ...(diff.length > 0 && { diff }),
    };
    this.steps.push(step);
    this.#options.onStep(step);
  }

  #save(): void {
    if (!this.dryRun) this.#options.save(this.snapshot());
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#onStop();
    for (const wake of this.#queue.splice(0)) wake();
  }

  async #slot<T>(act: () => Promise<T>): Promise<T> {
    while (this.#slots === 0 && !this.#stopped) {
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
    if (this.#stopped) throw new Stopped("The deployment has stopped.");
    this.#slots -= 1;
    try {
      return await act();
    } finally {
      this.#slots += 1;
      this.#queue.shift()?.();
    }
  }

  #track<T>(work: () => Promise<T>): Promise<T> {
    const promise = work();
    this.#inFlight.add(promise);
    const forget = () => this.#inFlight.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  #warnOfPendingOperations(): void {
    const { pendingOperations } = this.#options.base;
    this.log(
      "warning",
      `Attempting to deploy or update resources with ${pendingOperations.length} pending operations from ` +
        "previous deployment.\n" +
        pendingOperations
          .map(({ resource, type }) => `  * ${resource.urn}, interrupted while ${type}\n`)
          .join("") +
        "These resources are in an unknown state because the engine was interrupted while waiting for changes " +
        "to these resources to complete. You should confirm whether or not the operations listed completed " +
        "successfully by checking the state of the appropriate provider.",
    );
  }
}

function stackUrn({ stack, project }: DeploymentOptions): string {
  return makeUrn({ stack, project, qualifiedType: stackType, name: `${project}-${stack}` });
}

/** Everything that must outlive `state`. */
function needs(state: ResourceState): string[] {
  return [
    ...state.dependencies,
    ...Object.values(state.propertyDependencies).flat(),
    ...(state.parent === undefined ? [] : [state.parent]),
    ...(state.provider === undefined ? [] : [state.provider.split("::").slice(0, 4).join("::")]),
    ...(state.deletedWith === undefined ? [] : [state.deletedWith]),
  ].filter((urn) => urn !== state.urn);
}

/** The protected resources and what they rest on: parents, providers, dependencies. */
export function protectedAndNeeded(resources: ResourceState[]): Set<ResourceState> {
  const byUrn = new Map(resources.map((state) => [state.urn, state]));
  const kept = new Set<ResourceState>();
  const keep = (state: ResourceState) => {
    if (kept.has(state)) return;
    kept.add(state);
    for (const urn of needs(state)) {
      const needed = byUrn.get(urn);
      if (needed) keep(needed);
    }
  };
  for (const state of resources) if (state.protect && !state.delete) keep(state);
  return kept;
}

export function stackResource(snapshot: Snapshot): ResourceState | undefined {
  return snapshot.resources.find(({ type }) => type === stackType);
}

function marksOf(diff: Diff, old: ResourceState, inputs: Properties): string[] {
  const marks = differingKeys(old.inputs, inputs);
  const named = new Set(marks.map((mark) => mark.slice(1)));
  const drifted = diff.changed.map((key) => key.split(/[.[]/)[0]!).filter((key) => !named.has(key));
  return [...marks, ...[...new Set(drifted)].map((key) => `~${key}`)];
}

export function messageOf(error: unknown): string {
  if (error instanceof EngineError) return error.message;
  if (error instanceof Error && "details" in error) return String(error.details);
  return error instanceof Error ? error.message : String(error);
}
