import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { constants } from "node:os";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { repository } from "../infra/settings/repository.ts";
import { UserError } from "../infra/settings/user-error.ts";
import { inForeground } from "./foreground.ts";
import { hiddenLine } from "./hidden-line.ts";

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
  // Pulumi's "stack" commands read the state alone, and know no such option.
  const settings = configFile && !(engine === "pulumi" && operation[0] === "stack");
  const common = ["--stack", stack, ...(settings ? ["--config-file", configFile] : [])];
  return engine === "pulumi"
    ? ["pulumi", "--cwd", folder, ...operation, ...common]
    : [
        process.execPath,
        "--import",
        pathToFileURL(join(repository, "infra/typescript.mjs")).href,
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
  const { ended } = await inForeground(() =>
    execa(file!, rest, { stdio: "inherit", reject: false, cwd: args.folder }),
  );
  if (ended.code === "ENOENT") throw withoutPulumi();
  return ended.exitCode ?? 128 + (ended.signal ? constants.signals[ended.signal] : 0);
}

/** Runs an engine operation and returns what it prints. */
export async function readEngine(args: EngineArgs, operation: string[]): Promise<string> {
  const [file, ...rest] = engineCommand(args, operation);
  const { stdout, stderr, exitCode, code } = await execa(file!, rest, {
    reject: false,
    cwd: args.folder,
    stdin: "inherit",
    env: await passphrase(args),
  });
  if (code === "ENOENT") throw withoutPulumi();
  if (exitCode !== 0) {
    throw new UserError(`Pulumi could not run "${operation.join(" ")}":\n${stderr.trim()}`);
  }
  return stdout;
}

/** Pulumi asks for the passphrase only where its output is a terminal too: asked here, it stays in this process's child. */
async function passphrase({ folder, stack, configFile }: EngineArgs): Promise<NodeJS.ProcessEnv> {
  const { PULUMI_CONFIG_PASSPHRASE: given, PULUMI_CONFIG_PASSPHRASE_FILE: file } = process.env;
  if (given !== undefined || file !== undefined || !process.stdin.isTTY) return {};
  const stackFile = configFile ?? join(folder, `Pulumi.${stack}.yaml`);
  const settings = await readFile(stackFile, "utf8").catch(() => "");
  // Without it the stack's secrets are kept by a service, which asks nothing.
  if (!/^encryptionsalt:/m.test(settings)) return {};
  return { PULUMI_CONFIG_PASSPHRASE: await hiddenLine(`Passphrase of the stack "${stack}": `) };
}

function withoutPulumi(): UserError {
  return new UserError(
    'There is no "pulumi" command on this laptop. Bring it by "cli/ouchi install-pulumi", and add the folder that it names to the PATH.',
    "settings",
  );
}
