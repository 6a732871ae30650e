// A rehearsal engine: runs a Pulumi program by the published protocol, against loopback only.
import { join } from "node:path";
import { Deployment, protectedAndNeeded, Stopped, stackResource } from "./deployment.ts";
import { Display } from "./display.ts";
import { EngineError } from "./engine-error.ts";
import { type ImportFile, readImportFile } from "./import-file.ts";
import { type Monitor, serveMonitor } from "./monitor.ts";
import { Passphrase, passphraseFrom } from "./passphrase.ts";
import { type RunningProgram, runProgram } from "./program.ts";
import { type Project, readProject } from "./project.ts";
import { summarize, UpdateFailed, type UpdateResult } from "./result.ts";
import { readStackConfig, type StackConfig, setConfig } from "./stack-file.ts";
import {
  exportSnapshot,
  readSnapshot,
  type Snapshot,
  saltOfState,
  writeSnapshot,
} from "./state-file.ts";
import { type Properties, show } from "./values.ts";

export { EngineError } from "./engine-error.ts";
export type { Diagnostic, Operation, Step, Summary, UpdateResult } from "./result.ts";
export { UpdateFailed } from "./result.ts";

export interface StackOptions {
  /** The folder of Pulumi.yaml. @default the current one */
  cwd?: string;
  stack: string;
  /** @default Pulumi.<stack>.yaml beside Pulumi.yaml */
  configFile?: string;
  /** @default .rehearsal/state/<project>.<stack>.json */
  stateFile?: string;
  /** @default the process's environment */
  env?: NodeJS.ProcessEnv;
  showSecrets?: boolean;
}

export interface UpdateOptions extends StackOptions {
  skipPreview?: boolean;
  /** `up` and `preview`: any change is a failure. */
  expectNoChanges?: boolean;
  /** `destroy`: leaves what is protected, and what that rests on. */
  excludeProtected?: boolean;
  /** Lines for people, as they come. */
  output?: (line: string) => void;
  /** Stops in order: running steps end, the state is written. */
  signal?: AbortSignal;
}

type Verb = "preview" | "update" | "refresh" | "destroy" | "import";

interface Stack {
  project: Project;
  name: string;
  config: StackConfig;
  stateFile: string;
  /** Opens the state: its salt is its own, and may be older than the stack file's. */
  passphraseOfState: Passphrase;
}

/** Runs the program twice, as Pulumi does: a preview, then the update. */
export async function up(options: UpdateOptions): Promise<UpdateResult> {
  const stack = await openStack(options);
  if (options.skipPreview) return run(stack, options, "update");
  const preview = await Pass.prepare(stack, options, "preview");
  // The update's program may start up, held before its first line, while the preview is at work.
  const update = preview.hasBegun.then(() => Pass.prepare(stack, options, "update"));
  try {
    await preview.finish();
  } catch (error) {
    await (await update).abandon();
    throw error;
  }
  return (await update).finish();
}

export async function preview(options: UpdateOptions): Promise<UpdateResult> {
  return run(await openStack(options), options, "preview");
}

export async function refresh(options: UpdateOptions): Promise<UpdateResult> {
  return run(await openStack(options), options, "refresh");
}

export async function destroy(options: UpdateOptions): Promise<UpdateResult> {
  return run(await openStack(options), options, "destroy");
}

export async function stackOutputs(options: StackOptions): Promise<Record<string, unknown>> {
  const stack = await openStack(options);
  const snapshot = readSnapshot(stack.stateFile, stack.passphraseOfState);
  return outputsOf(snapshot, options.showSecrets ?? false);
}

/** The state as text, for `pulumi stack export`'s readers. */
export async function stackExport(options: StackOptions): Promise<string> {
  const stack = await openStack(options);
  const snapshot = readSnapshot(stack.stateFile, stack.passphraseOfState);
  return exportSnapshot(snapshot, stack.config.passphrase, options.showSecrets ?? false);
}

/** One setting's value, opened where it is a secret. */
export async function configGet(options: StackOptions & { key: string }): Promise<string> {
  const { config, name } = await openStack(options);
  const value = config.values.get(options.key);
  if (value === undefined) {
    throw new EngineError(`configuration key '${options.key}' not found for stack '${name}'`);
  }
  return value;
}

/** `pulumi import --file`: what exists already, taken into the state. Nothing is changed where it is. */
export async function importResources(
  options: UpdateOptions & { file: string },
): Promise<UpdateResult> {
  const wanted = readImportFile(options.file);
  return (await Pass.prepare(await openStack(options), options, "import")).finish(wanted);
}

export async function configSet(
  options: StackOptions & { key: string; value: string; secret?: boolean },
): Promise<void> {
  const project = readProject(options.cwd ?? ".");
  const secret = options.secret ?? false;
  await setConfig({
    file: configFileOf(options, project),
    project,
    phrase: secret ? passphraseFrom(options.env ?? process.env) : undefined,
    key: options.key,
    value: options.value,
    secret,
  });
}

function configFileOf(options: StackOptions, project: Project): string {
  return options.configFile ?? join(project.root, `Pulumi.${options.stack}.yaml`);
}

async function openStack(options: StackOptions): Promise<Stack> {
  const project = readProject(options.cwd ?? ".");
  const stateFile =
    options.stateFile ??
    join(project.root, ".rehearsal", "state", `${project.name}.${options.stack}.json`);
  const phrase = passphraseFrom(options.env ?? process.env);
  const salt = saltOfState(stateFile);
  const config = await readStackConfig(configFileOf(options, project), project, phrase, salt);
  const { passphrase } = config;
  const passphraseOfState =
    salt === undefined || salt === passphrase.saltLine
      ? passphrase
      : await Passphrase.open(phrase, salt);
  return { project, name: options.stack, config, stateFile, passphraseOfState };
}

async function run(stack: Stack, options: UpdateOptions, verb: Verb): Promise<UpdateResult> {
  return (await Pass.prepare(stack, options, verb)).finish();
}

/** One pass over the stack. Preparing it starts processes; none of the program's lines run before `finish`. */
class Pass {
  /** Settles when the program has begun, or the pass is over. */
  readonly hasBegun: Promise<void>;

  readonly #stack: Stack;
  readonly #options: UpdateOptions;
  readonly #verb: Verb;
  readonly #dryRun: boolean;
  readonly #base: Snapshot;
  readonly #deployment: Deployment;
  readonly #display: Display;
  readonly #hide: (text: string) => string;
  #monitor!: Monitor;
  #program: RunningProgram | undefined;
  #letBegin!: () => void;
  #tellBegun!: () => void;

  static async prepare(stack: Stack, options: UpdateOptions, verb: Verb): Promise<Pass> {
    const pass = new Pass(stack, options, verb);
    await pass.#start();
    return pass;
  }

  private constructor(stack: Stack, options: UpdateOptions, verb: Verb) {
    const { config } = stack;
    this.#stack = stack;
    this.#options = options;
    this.#verb = verb;
    this.#dryRun = verb === "preview";
    this.#base = readSnapshot(stack.stateFile, stack.passphraseOfState);
    this.#display = new Display(options.output ?? (() => undefined));
    this.#hide = secretsHider(config);
    this.hasBegun = new Promise((resolve) => {
      this.#tellBegun = resolve;
    });
    this.#deployment = new Deployment({
      project: stack.project.name,
      stack: stack.name,
      config: config.values,
      secretKeys: config.secretKeys,
      dryRun: this.#dryRun,
      base: this.#base,
      save: (snapshot) => writeSnapshot(stack.stateFile, snapshot, config.passphrase),
      launch: {
        plugins: stack.project.plugins,
        projectRoot: stack.project.root,
        engineAddress: () => this.#monitor.address,
        log: (severity, message, urn) => this.#deployment.log(severity, this.#hide(message), urn),
      },
      onStep: (step) => this.#display.step(step, this.#dryRun),
    });
  }

  async #start(): Promise<void> {
    const held = new Promise<void>((resolve) => {
      this.#letBegin = resolve;
    });
    this.#monitor = await serveMonitor(this.#deployment, () => {
      this.#tellBegun();
      return held;
    });
    if (this.#verb !== "preview" && this.#verb !== "update") return;
    const { project, name, config } = this.#stack;
    for (const plugin of project.plugins.keys()) this.#deployment.warm(plugin);
    this.#program = runProgram({
      project,
      stack: name,
      config,
      address: this.#monitor.address,
      dryRun: this.#dryRun,
      onLine: (line) => this.#deployment.log("info", this.#hide(line)),
    });
    void this.#program.ended.then(() => this.#tellBegun());
  }

  async abandon(): Promise<void> {
    this.#program?.interrupt();
    await this.#program?.ended;
    await this.#close();
  }

  async finish(imports?: ImportFile): Promise<UpdateResult> {
    try {
      return await this.#finish(imports);
    } finally {
      this.#tellBegun();
      await this.#close();
    }
  }

  async #finish(imports: ImportFile | undefined): Promise<UpdateResult> {
    const { signal, showSecrets = false } = this.#options;
    const deployment = this.#deployment;
    this.#display.start(this.#verb, this.#stack.name);
    const onAbort = () => void deployment.cancel();
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort);
    try {
      await this.#work(imports);
    } catch (error) {
      if (!(error instanceof Stopped)) deployment.fail(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    await deployment.settle();
    if (deployment.stopped && !deployment.failed) deployment.log("error", `${this.#verb} canceled`);
    if (!this.#dryRun) this.#save();

    const changes = deployment.steps.filter(({ op }) => op !== "same" && op !== "read");
    if (this.#options.expectNoChanges && changes.length > 0 && !deployment.failed) {
      deployment.log("error", "no changes were expected but changes occurred");
    }
    const snapshot = deployment.snapshot();
    const outputs = this.#verb === "destroy" ? {} : outputsOf(snapshot, showSecrets);
    const result: UpdateResult = {
      summary: summarize(deployment.steps),
      steps: deployment.steps,
      outputs,
      diagnostics: deployment.diagnostics.map((told) => ({
        ...told,
        message: this.#hide(told.message),
      })),
    };
    this.#display.end(result, this.#dryRun);
    if (deployment.failed) {
      const first = result.diagnostics.find(({ severity }) => severity === "error");
      throw new UpdateFailed(first?.message ?? `${this.#verb} failed`, result);
    }
    if (this.#verb === "destroy") this.#tellWhatIsLeft(snapshot);
    return result;
  }

  async #work(imports: ImportFile | undefined): Promise<void> {
    const deployment = this.#deployment;
    if (imports) return deployment.import(imports);
    if (this.#verb === "refresh") return deployment.refresh();
    if (this.#verb === "destroy") {
      const { excludeProtected } = this.#options;
      return deployment.destroy(
        excludeProtected ? protectedAndNeeded(this.#base.resources) : new Set(),
      );
    }
    const program = this.#program!;
    // What waits for an answer then waits for ever: the program is ended once the running steps are done.
    void deployment.whenStopped.then(() => deployment.settle()).then(() => program.interrupt());
    this.#letBegin();
    const reason = await program.ended;
    await deployment.settle();
    if (deployment.stopped) return;
    if (reason !== undefined && (reason !== "" || !deployment.failed)) {
      deployment.log("error", reason || "The program ended before it said why.");
    }
    if (!deployment.failed) await deployment.deleteUnregistered();
  }

  #tellWhatIsLeft(snapshot: Snapshot): void {
    const left = snapshot.resources.length;
    if (!this.#options.excludeProtected || left === 0) return;
    this.#display.line(
      left === this.#base.resources.length
        ? `There were no unprotected resources to destroy. There are still ${left} protected resources associated with this stack.`
        : `All unprotected resources were destroyed. There are still ${left} protected resources associated with this stack.`,
    );
  }

  #save(): void {
    writeSnapshot(
      this.#stack.stateFile,
      this.#deployment.snapshot(),
      this.#stack.config.passphrase,
    );
  }

  async #close(): Promise<void> {
    await this.#deployment.close();
    this.#monitor.close();
  }
}

function outputsOf(snapshot: Snapshot, showSecrets: boolean): Record<string, unknown> {
  const outputs: Properties = stackResource(snapshot)?.outputs ?? {};
  return Object.fromEntries(
    Object.entries(outputs)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, show(value, showSecrets)]),
  );
}

// As Pulumi: the secrets of the stack file never show in what is printed. Others are their owners' care.
function secretsHider(config: StackConfig): (text: string) => string {
  const secrets = [...config.secretKeys]
    .map((key) => config.values.get(key)!)
    .filter((secret) => secret.length > 2)
    .sort((a, b) => b.length - a.length);
  return (text) => secrets.reduce((line, secret) => line.replaceAll(secret, "[secret]"), text);
}

/** What went wrong, as one line of exit status and text for a command line. */
export function explain(error: unknown): { message: string; isBug: boolean } {
  if (error instanceof EngineError || error instanceof UpdateFailed) {
    return { message: error.message, isBug: false };
  }
  return {
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    isBug: true,
  };
}
