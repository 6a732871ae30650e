import { join } from "node:path";
import { execa } from "execa";
import { UserError } from "../infra/settings/user-error.ts";

export interface EngineArgs {
  /** The repository's folder. */
  folder: string;
  stack: string;
  /** `pulumi`, or `rehearsal` for the embedded engine, which refuses anything off loopback. */
  engine: "pulumi" | "rehearsal";
  configFile: string | undefined;
}

/** The command line of one engine operation, such as `up` with its options. */
export function engineCommand(args: EngineArgs, operation: string[]): string[] {
  const { folder, stack, engine, configFile } = args;
  const common = ["--stack", stack, ...(configFile ? ["--config-file", configFile] : [])];
  return engine === "pulumi"
    ? ["pulumi", "--cwd", folder, ...operation, ...common]
    : [
        process.execPath,
        "--import",
        "tsx",
        join(folder, "rehearsal/engine/main.ts"),
        ...operation,
        "--cwd",
        folder,
        ...common,
      ];
}

/** Runs an engine operation on the terminal. Returns its exit status. */
export async function runEngine(args: EngineArgs, operation: string[]): Promise<number> {
  const [file, ...rest] = engineCommand(args, operation);
  const { exitCode, code } = await execa(file!, rest, {
    stdio: "inherit",
    reject: false,
    cwd: args.folder,
  });
  if (code === "ENOENT") throw withoutPulumi();
  return exitCode ?? 1;
}

/** Runs an engine operation and returns what it prints. */
export async function readEngine(args: EngineArgs, operation: string[]): Promise<string> {
  const [file, ...rest] = engineCommand(args, operation);
  const { stdout, stderr, exitCode, code } = await execa(file!, rest, {
    reject: false,
    cwd: args.folder,
    stdin: "inherit",
  });
  if (code === "ENOENT") throw withoutPulumi();
  if (exitCode !== 0) {
    throw new UserError(`Pulumi could not run "${operation.join(" ")}":\n${stderr.trim()}`);
  }
  return stdout;
}

function withoutPulumi(): UserError {
  return new UserError(
    'There is no "pulumi" command on this laptop. Bring it by "npx ouchi install-pulumi", and add the folder that it names to the PATH.',
  );
}
