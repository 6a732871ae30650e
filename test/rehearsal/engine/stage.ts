import { type AliasSpec, Deployment, type Goal } from "../../../rehearsal/engine/deployment.ts";
import type { StandIns } from "../../../rehearsal/engine/provider.ts";
import type { Step } from "../../../rehearsal/engine/result.ts";
import type { Checked, Difference, StandIn } from "../../../rehearsal/engine/stand-in.ts";
import type { ResourceState, Snapshot } from "../../../rehearsal/engine/state-file.ts";
import { equal, type Properties, unknown } from "../../../rehearsal/engine/values.ts";

export const thing = "probe:index:Thing";

/** A provider that writes down what it is asked. `fixed` can only be had anew; `refuse` names what must fail. */
export class Probe implements StandIn {
  readonly version = "1.0.0";
  readonly calls: string[] = [];
  readonly gone = new Set<string>();
  readonly drifted = new Map<string, Properties>();
  refuse = "";
  deleteBeforeReplace = false;
  #made = 0;
  /** Awaited by every create, to hold one half-way. */
  hold: Promise<void> = Promise.resolve();
  onCreate: () => void = () => undefined;

  checkConfig() {
    return [];
  }
  configure() {}

  check({ news }: Parameters<StandIn["check"]>[0]): Checked {
    const failures = news.bad ? [{ property: "bad", reason: "it is bad" }] : [];
    return { inputs: news, failures };
  }

  diff({ oldInputs, olds, news }: Parameters<StandIn["diff"]>[0]): Difference {
    const keys = [...new Set([...Object.keys(oldInputs), ...Object.keys(news)])];
    const changed = keys.filter(
      (key) => !equal(oldInputs[key], news[key]) || !equal(olds[key], news[key]),
    );
    return {
      changed,
      replaces: changed.filter((key) => key === "fixed"),
      deleteBeforeReplace: this.deleteBeforeReplace,
    };
  }

  async create({ name, inputs, preview }: Parameters<StandIn["create"]>[0]) {
    if (preview) return { id: "", outputs: { ...inputs, made: unknown } };
    this.#act("create", name);
    this.onCreate();
    await this.hold;
    this.#made += 1;
    return { id: `${name}-${this.#made}`, outputs: { ...inputs, made: this.#made } };
  }

  async read({ id, name, outputs, inputs }: Parameters<StandIn["read"]>[0]) {
    this.#act("read", name);
    if (this.gone.has(name)) return undefined;
    return { id, outputs: { ...outputs, ...this.drifted.get(name) }, inputs };
  }

  async update({ name, olds, news, preview }: Parameters<StandIn["update"]>[0]) {
    if (preview) return { ...news, made: unknown };
    this.#act("update", name);
    return { ...news, made: olds.made ?? null };
  }

  async delete({ id, name }: Parameters<StandIn["delete"]>[0]) {
    this.#act("delete", name, id);
  }

  async invoke({ args }: Parameters<StandIn["invoke"]>[0]) {
    return args;
  }

  cancel() {
    this.calls.push("cancel");
  }

  #act(verb: string, name: string, id = name) {
    this.calls.push(`${verb} ${verb === "delete" ? id : name}`);
    if (this.refuse === `${verb} ${name}`) throw new Error(`${verb} ${name} was refused`);
  }
}

export interface Wanted extends Partial<Omit<Goal, "aliases">> {
  name: string;
  aliases?: AliasSpec[];
}

export function goal(wanted: Wanted): Goal {
  return {
    type: thing,
    custom: true,
    inputs: {},
    version: "",
    dependencies: [],
    propertyDependencies: {},
    ignoreChanges: [],
    replaceOnChanges: [],
    additionalSecretOutputs: [],
    aliases: [],
    ...wanted,
  };
}

export function urnOf(name: string, type = thing): string {
  return `urn:pulumi:dev::test::${type}::${name}`;
}

export interface Staged {
  deployment: Deployment;
  /** What the state file would hold. */
  snapshot: Snapshot;
  /** As "create a", in the order in which they were done. */
  steps: string[];
  told: Step[];
  errors: string[];
  /** Every state that was written on the way. */
  saved: Snapshot[];
}

/** One deployment without a program: the goals one after the other, then the deletions. */
export async function deploy(
  provider: Probe | StandIns,
  base: Snapshot,
  goals: Wanted[],
  options: { dryRun?: boolean; during?: (deployment: Deployment) => void } = {},
): Promise<Staged> {
  return act(provider, base, options.dryRun ?? false, async (deployment) => {
    options.during?.(deployment);
    for (const wanted of goals) await deployment.register(goal(wanted));
    await deployment.deleteUnregistered();
  });
}

export async function act(
  provider: Probe | StandIns,
  base: Snapshot,
  dryRun: boolean,
  work: (deployment: Deployment) => Promise<void>,
): Promise<Staged> {
  const saved: Snapshot[] = [];
  const deployment: Deployment = new Deployment({
    project: "test",
    stack: "dev",
    config: new Map(),
    secretKeys: new Set(),
    dryRun,
    base: structured(base),
    save: (snapshot) => saved.push(structured(snapshot)),
    launch: {
      plugins: new Map(),
      projectRoot: ".",
      engineAddress: () => "",
      log: (severity, message, urn) => deployment.log(severity, message, urn),
      standIns: provider instanceof Probe ? { probe: async () => provider } : provider,
    },
    onStep: () => undefined,
  });
  try {
    await work(deployment).catch((error: Error) => {
      if (error.name !== "Stopped") throw error;
    });
    await deployment.settle();
  } finally {
    await deployment.close();
  }
  return {
    deployment,
    snapshot: deployment.snapshot(),
    steps: deployment.steps.map(({ op, name }) => `${op} ${name}`),
    told: deployment.steps,
    errors: deployment.diagnostics
      .filter(({ severity }) => severity === "error")
      .map(({ message }) => message),
    saved,
  };
}

export const empty: Snapshot = { resources: [], pendingOperations: [] };

// As the state file would: nothing of one run is shared with the next.
function structured(snapshot: Snapshot): Snapshot {
  const copy = (state: ResourceState): ResourceState => ({ ...state });
  return {
    resources: snapshot.resources.map(copy),
    pendingOperations: snapshot.pendingOperations.map((operation) => ({
      ...operation,
      resource: copy(operation.resource),
    })),
  };
}

/** Names of the state's resources, without providers. */
export function names(snapshot: Snapshot): string[] {
  return snapshot.resources
    .filter(({ type }) => !type.startsWith("pulumi:providers:"))
    .map(({ urn }) => urn.split("::").at(-1)!);
}
