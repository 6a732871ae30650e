// Runs the program as Pulumi's language host for Node does: the SDK's own entry, in a process of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Project } from "./project.ts";
import type { StackConfig } from "./stack-file.ts";

/** The SDK's exit code for "the reason was logged already". */
const exitedAfterLogging = 32;

export interface RunningProgram {
  /** Undefined when it ended well, "" when it told the reason itself, else the reason. */
  ended: Promise<string | undefined>;
  interrupt(): void;
}

export function runProgram(options: {
  project: Project;
  stack: string;
  config: StackConfig;
  address: string;
  dryRun: boolean;
  onLine(line: string): void;
}): RunningProgram {
  const { project, stack, config, address } = options;
  const entry = createRequire(join(project.programDirectory, "_")).resolve(
    "@pulumi/pulumi/cmd/run",
  );
  const configuration: Record<string, string> = {};
  for (const [key, value] of config.values) {
    const [namespace, name] = key.split(":");
    configuration[`${namespace}:config:${name}`] = value;
  }
  const child = spawn(
    "node",
    [
      ...project.nodeArguments,
      entry,
      ...["--monitor", address, "--engine", address],
      ...["--organization", "organization", "--project", project.name],
      ...["--root-directory", project.root, "--stack", stack],
      ...["--pwd", project.programDirectory],
      ...(options.dryRun ? ["--dry-run"] : []),
      ...["--parallel", "16"],
      project.entryPoint,
    ],
    {
      cwd: project.programDirectory,
      env: {
        ...process.env,
        PULUMI_CONFIG: JSON.stringify(configuration),
        PULUMI_CONFIG_SECRET_KEYS: JSON.stringify([...config.secretKeys]),
      },
      stdio: ["ignore", "pipe", "pipe"],
      // Ctrl-C reaches the engine, which ends the program itself, in order.
      detached: true,
    },
  );
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", options.onLine);
  }
  const ended = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(`Could not run the program: ${error.message}.`));
    child.once("close", (code, signal) => {
      running.delete(child);
      if (code === 0) resolve(undefined);
      else if (code === exitedAfterLogging) resolve("");
      else if (signal) resolve(`Program ended by ${signal}`);
      else resolve(`Program exited with non-zero exit code: ${code}`);
    });
  });
  return {
    ended,
    interrupt() {
      signalGroup(child, "SIGINT");
      const timer = setTimeout(() => signalGroup(child, "SIGKILL"), 5000);
      ended.finally(() => clearTimeout(timer));
    },
  };
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) signalGroup(child, "SIGKILL");
});

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}
