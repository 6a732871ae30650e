// A rehearsal engine: runs a Pulumi program by the published protocol, against loopback only.
import { join } from "node:path";
import { Deployment, protectedAndNeeded, stackResource, Stopped } from "./deployment.ts";
import { Display } from "./display.ts";
import { EngineError } from "./engine-error.ts";
import { serveMonitor } from "./monitor.ts";
import { passphraseFrom } from "./passphrase.ts";
import { runProgram } from "./program.ts";
import { type Project, readProject } from "./project.ts";
import { type Diagnostic, summarize, UpdateFailed, type UpdateResult } from "./result.ts";
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

type Verb = "preview" | "update" | "refresh" | "destroy";

interface Stack {
  project: Project;
  name: string;
  config: StackConfig;
  stateFile: string;
}

/** Runs the program twice, as Pulumi does: a preview, then the update. */
export async function up(options: UpdateOptions): Promise<UpdateResult> {
  const stack = await openStack(options);
  if (!options.skipPreview) await pass(stack, options, "preview", true);
  return pass(stack, options, "update", false);
}

export async function preview(options: UpdateOptions): Promise<UpdateResult> {
  return pass(await openStack(options), options, "preview", true);
}

export async function refresh(options: UpdateOptions): Promise<UpdateResult> {
  return pass(await openStack(options), options, "refresh", false);
}

export async function destroy(options: UpdateOptions): Promise<UpdateResult> {
  return pass(await openStack(options), options, "destroy", false);
}

export async function stackOutputs(options: StackOptions): Promise<Record<string, unknown>> {
  const stack = await openStack(options);
  const snapshot = readSnapshot(stack.stateFile, stack.config.passphrase);
  return outputsOf(snapshot, options.showSecrets ?? false);
}

/** The state as text, for `pulumi stack export`'s readers. */
export async function stackExport(options: StackOptions): Promise<string> {
  const stack = await openStack(options);
  const snapshot = readSnapshot(stack.stateFile, stack.config.passphrase);
  return exportSnapshot(snapshot, stack.config.passphrase, options.showSecrets ?? false);
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
  const config = await readStackConfig(
    configFileOf(options, project),
    project,
    passphraseFrom(options.env ?? process.env),
    saltOfState(stateFile),
  );
  return { project, name: options.stack, config, stateFile };
}

async function pass(
  stack: Stack,
  options: UpdateOptions,
  verb: Verb,
  dryRun: boolean,
): Promise<UpdateResult> {
  const { config, project } = stack;
  const base = readSnapshot(stack.stateFile, config.passphrase);
  const display = new Display(options.output ?? (() => undefined));
  const hide = secretsHider(config);
  display.start(verb, stack.name);
  if (verb === "destroy" && options.excludeProtected) {
    const kept = protectedAndNeeded(base.resources);
    if (kept.size === base.resources.length && kept.size > 0) {
      display.line(
        `There were no unprotected resources to destroy. There are still ${kept.size} protected resources associated with this stack.`,
      );
    }
  }

  const launch = {
    plugins: project.plugins,
    projectRoot: project.root,
    engineAddress: "",
    log: (severity: Diagnostic["severity"], message: string, urn?: string) =>
      deployment.log(severity, hide(message), urn),
  };
  const deployment = new Deployment({
    project: project.name,
    stack: stack.name,
    config: config.values,
    secretKeys: config.secretKeys,
    dryRun,
    base,
    save: (snapshot) => writeSnapshot(stack.stateFile, snapshot, config.passphrase),
    launch,
    onStep: (step) => display.step(step, dryRun),
  });
  const monitor = await serveMonitor(deployment);
  launch.engineAddress = monitor.address;
  const work = { stack, options, deployment, base, hide, address: monitor.address };
  try {
    if (verb === "refresh") await interruptible(work, () => deployment.refresh());
    else if (verb === "destroy") {
      const kept = options.excludeProtected ? protectedAndNeeded(base.resources) : new Set<never>();
      await interruptible(work, () => deployment.destroy(kept));
    } else await runPass(work);
    await deployment.settle();
    const snapshot = deployment.snapshot();
    if (!dryRun) writeSnapshot(stack.stateFile, snapshot, config.passphrase);

    const changes = deployment.steps.filter(({ op }) => op !== "same" && op !== "read");
    if (options.expectNoChanges && changes.length > 0 && !deployment.failed) {
      deployment.log("error", "no changes were expected but changes occurred");
    }
    const outputs = verb === "destroy" ? {} : outputsOf(snapshot, options.showSecrets ?? false);
    const result: UpdateResult = {
      summary: summarize(deployment.steps),
      steps: deployment.steps,
      outputs,
      diagnostics: deployment.diagnostics.map((told) => ({ ...told, message: hide(told.message) })),
    };
    display.end(result, dryRun, options.showSecrets ? outputs : outputsOf(snapshot, false), verb);
    if (deployment.failed || deployment.stopped) {
      const first = result.diagnostics.find(({ severity }) => severity === "error");
      throw new UpdateFailed(first?.message ?? `${verb} canceled`, result);
    }
    if (verb === "destroy" && options.excludeProtected && snapshot.resources.length > 0) {
      display.line(
        `All unprotected resources were destroyed. There are still ${snapshot.resources.length} protected resources associated with this stack.`,
      );
    }
    return result;
  } finally {
    await deployment.close();
    monitor.close();
  }
}

interface Work {
  stack: Stack;
  options: UpdateOptions;
  deployment: Deployment;
  base: Snapshot;
  hide: (text: string) => string;
  address: string;
}

async function runPass({ stack, options, deployment, hide, address }: Work): Promise<void> {
  for (const name of stack.project.plugins.keys()) deployment.warm(name);
  const program = runProgram({
    project: stack.project,
    stack: stack.name,
    config: stack.config,
    address,
    dryRun: deployment.dryRun,
    onLine: (line) => deployment.log("info", hide(line)),
  });
  const onAbort = () => void deployment.cancel();
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener("abort", onAbort);
  // What waits for an answer then waits for ever: the program is ended once the running steps are done.
  void deployment.whenStopped.then(() => deployment.settle()).then(() => program.interrupt());
  const reason = await program.ended;
  options.signal?.removeEventListener("abort", onAbort);
  await deployment.settle();
  if (deployment.stopped) {
    if (!deployment.failed)
      deployment.log("error", `${deployment.dryRun ? "preview" : "update"} canceled`);
    return;
  }
  if (reason !== undefined) {
    if (reason !== "" || !deployment.failed) {
      deployment.log("error", reason || "The program ended before it said why.");
    }
    return;
  }
  if (deployment.failed) return;
  await interruptible({ options, deployment }, () => deployment.deleteUnregistered());
}

async function interruptible(
  { options, deployment }: Pick<Work, "options" | "deployment">,
  act: () => Promise<void>,
): Promise<void> {
  const onAbort = () => void deployment.cancel();
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener("abort", onAbort);
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Stopped)) deployment.fail(error);
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
  if (deployment.stopped && !deployment.failed) deployment.log("error", "update canceled");
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
