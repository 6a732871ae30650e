import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import {
  type StackOptions,
  UpdateFailed,
  type UpdateOptions,
  type UpdateResult,
  up,
} from "../../../rehearsal/engine/engine.ts";

const repository = join(import.meta.dirname, "../../..");

/** A Pulumi project of its own in a temporary folder, with one of the programs beside this file. */
export class ProjectFolder {
  readonly path = mkdtempSync(join(tmpdir(), "ouchi-engine-"));
  readonly stateFile = join(this.path, "state.json");
  readonly stackFile = join(this.path, "Pulumi.dev.yaml");
  /** What the engine printed for people. */
  printed = "";

  constructor(program: string, plugins: { name: string; path: string }[] = []) {
    // A link, not a copy: a program may import the kit's own parts.
    symlinkSync(join(import.meta.dirname, "programs", program), join(this.path, "program"));
    symlinkSync(join(repository, "node_modules"), join(this.path, "node_modules"));
    writeFileSync(join(this.path, "package.json"), '{"name": "house", "type": "module"}\n');
    writeFileSync(
      join(this.path, "Pulumi.yaml"),
      stringify({
        name: "house",
        main: "program/index.ts",
        runtime: { name: "nodejs", options: { typescript: false, nodeargs: "--import tsx" } },
        ...(plugins.length > 0 && { plugins: { providers: plugins } }),
      }),
    );
    this.config({});
  }

  /** Plain settings; the ones that were set by `config set` are gone. */
  config(values: Record<string, unknown>): void {
    // Quoted, as the settings ask of a timestamp.
    const quoted = { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" } as const;
    writeFileSync(this.stackFile, stringify({ config: values }, quoted));
  }

  get options(): StackOptions {
    return {
      cwd: this.path,
      stack: "dev",
      stateFile: this.stateFile,
      env: { PULUMI_CONFIG_PASSPHRASE: "a passphrase" },
    };
  }

  get state(): string {
    return readFileSync(this.stateFile, "utf8");
  }

  update(
    options: Partial<UpdateOptions> = {},
    run: (options: UpdateOptions) => Promise<UpdateResult> = up,
  ): Promise<UpdateResult> {
    return run({
      ...this.options,
      output: (line) => {
        this.printed += `${line}\n`;
      },
      ...options,
    });
  }

  /** The result of an update that must fail. */
  async failure(
    options: Partial<UpdateOptions> = {},
    run: (options: UpdateOptions) => Promise<UpdateResult> = up,
  ): Promise<UpdateResult> {
    try {
      await this.update(options, run);
    } catch (error) {
      if (error instanceof UpdateFailed) return error.result;
      throw error;
    }
    throw new Error("The update was expected to fail.");
  }

  /** The engine as it is typed. */
  type(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const argv = ["--import", "tsx", join(repository, "rehearsal/engine/main.ts"), ...words];
    const stack = ["--cwd", this.path, "--stack", "dev", "--state", this.stateFile];
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [...argv, ...stack],
        { cwd: repository, env: { ...process.env, PULUMI_CONFIG_PASSPHRASE: "a passphrase" } },
        (error, stdout, stderr) =>
          resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
      );
    });
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function errorsOf(result: UpdateResult): string[] {
  return result.diagnostics
    .filter(({ severity }) => severity === "error")
    .map(({ message }) => message);
}
