import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/** Who runs the program: the embedded engine, or Pulumi's own where its command is found. */
export type EngineName = "rehearsal" | "pulumi";

export interface Ran {
  exitCode: number;
  /** Standard output and error as they came. */
  text: string;
}

export interface StateResource {
  urn: string;
  type: string;
  /** The last part of the URN. */
  name: string;
  custom: boolean;
  protect: boolean;
  inputs: Record<string, unknown>;
}

/** Types `ouchi` and the engine's own command, for one stack, as an owner would. */
export class EngineRun {
  readonly engine: EngineName;
  /** All that was printed so far, to be searched for secrets. */
  printed = "";
  readonly stackFile: string;
  readonly #repository: string;
  readonly #folder: string;
  readonly #environment: Record<string, string>;

  constructor(repository: string, folder: string, engine: EngineName, passphrase: string) {
    this.engine = engine;
    this.#repository = repository;
    this.#folder = folder;
    this.stackFile = join(folder, "Pulumi.rehearsal.yaml");
    this.#environment = {
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_BACKEND_URL: `file://${folder}`,
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      // Nothing of this machine's own keys.
      SSH_AUTH_SOCK: "",
    };
  }

  /** The state as it lies on disk: its secrets are encrypted. */
  async stateText(): Promise<string> {
    return readFile(this.stateFile, "utf8");
  }

  get stateFile(): string {
    return this.engine === "rehearsal"
      ? join(this.#folder, "state.json")
      : join(this.#folder, ".pulumi/stacks/ouchi-photos/rehearsal.json");
  }

  /** An empty stack with the settings of `template`. */
  async prepare(template: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await copyFile(template, this.stackFile);
    if (this.engine !== "pulumi") return;
    // Pulumi writes a passphrase's salt into the project's own stack file, which is not this world's.
    const own = join(this.#repository, "Pulumi.rehearsal.yaml");
    const before = await readFile(own);
    try {
      await this.mustRun(["stack", "init", "rehearsal"], { stack: false });
    } finally {
      await writeFile(own, before);
    }
  }

  async setSecret(key: string, value: string): Promise<void> {
    await this.mustRun(["config", "set", "--secret", key], { input: value });
  }

  /** `ouchi <words>`, with what the engine needs after `--`. */
  ouchi(operation: string, options: string[] = [], engineOptions: string[] = []): Promise<Ran> {
    const handedOn = [...this.#stateOption(), ...engineOptions];
    return this.#run([
      join(this.#repository, "cli/ouchi"),
      ...["--engine", this.engine, "--stack", "rehearsal", "--config-file", this.stackFile],
      operation,
      ...options,
      ...(handedOn.length ? ["--", ...handedOn] : []),
    ]);
  }

  /** `ouchi <command>` of a command that is not the engine's: all after `--` goes to the Pi. */
  ouchiPlain(command: string, words: string[]): Promise<Ran> {
    return this.#run([
      join(this.#repository, "cli/ouchi"),
      ...["--stack", "rehearsal", "--config-file", this.stackFile],
      command,
      "--",
      ...words,
    ]);
  }

  up(): Promise<Ran> {
    return this.ouchi(
      "up",
      [],
      ["--yes", ...(this.engine === "pulumi" ? ["--color", "never"] : [])],
    );
  }

  preview(): Promise<Ran> {
    return this.ouchi("preview", [], this.engine === "pulumi" ? ["--color", "never"] : []);
  }

  /** The engine's own command. */
  async direct(
    operation: string[],
    options: { input?: string; stack?: boolean } = {},
  ): Promise<Ran> {
    // Pulumi's "stack" commands read the state alone, and know no such option.
    const readsState = this.engine === "pulumi" && operation[0] === "stack";
    const stack = [
      ...(options.stack === false ? [] : ["--stack", "rehearsal"]),
      ...(options.stack === false || readsState ? [] : ["--config-file", this.stackFile]),
    ];
    const words =
      this.engine === "pulumi"
        ? ["pulumi", "--cwd", this.#repository, "--non-interactive", ...operation, ...stack]
        : [
            process.execPath,
            ...["--import", "ouchi-photos/typescript"],
            join(this.#repository, "rehearsal/engine/main.ts"),
            ...operation,
            ...["--cwd", this.#repository],
            ...stack,
            ...this.#stateOption(),
          ];
    return this.#run(words, options.input);
  }

  async mustRun(
    operation: string[],
    options: { input?: string; stack?: boolean; quiet?: boolean } = {},
  ): Promise<string> {
    const ran = await this.direct(operation, options);
    if (ran.exitCode !== 0) {
      throw new Error(`"${operation.join(" ")}" failed with status ${ran.exitCode}:\n${ran.text}`);
    }
    return ran.text;
  }

  /** The stack's outputs with their secrets in clear; not counted among what was printed. */
  async outputs<T>(): Promise<T> {
    return JSON.parse(
      await this.#quietly(() => this.mustRun(["stack", "output", "--json", "--show-secrets"])),
    ) as T;
  }

  async exportState(showSecrets: boolean): Promise<{ text: string; resources: StateResource[] }> {
    const text = await this.#quietly(() =>
      this.mustRun(["stack", "export", ...(showSecrets ? ["--show-secrets"] : [])]),
    );
    const { deployment } = JSON.parse(text) as {
      deployment: { resources?: Partial<StateResource>[] };
    };
    const resources = (deployment.resources ?? []).map((each) => ({
      urn: each.urn!,
      type: each.type!,
      name: each.urn!.split("::").at(-1)!,
      custom: each.custom ?? false,
      protect: each.protect ?? false,
      inputs: each.inputs ?? {},
    }));
    return { text, resources };
  }

  /** Custom resources of the program, as "type name", sorted. */
  async resources(): Promise<string[]> {
    const { resources } = await this.exportState(false);
    return resources
      .filter(({ custom, type }) => custom && !type.startsWith("pulumi:"))
      .map(({ type, name }) => `${type} ${name}`)
      .sort();
  }

  async editSettings(edit: (text: string) => string): Promise<void> {
    await writeFile(this.stackFile, edit(await readFile(this.stackFile, "utf8")));
  }

  #stateOption(): string[] {
    return this.engine === "rehearsal" ? ["--state", this.stateFile] : [];
  }

  async #quietly<T>(work: () => Promise<T>): Promise<T> {
    const before = this.printed;
    try {
      return await work();
    } finally {
      this.printed = before;
    }
  }

  async #run([file, ...args]: string[], input = ""): Promise<Ran> {
    const { all, exitCode } = await execa(file!, args, {
      all: true,
      reject: false,
      input,
      cwd: this.#repository,
      env: this.#environment,
      timeout: 45 * 60_000,
    });
    this.printed += all;
    return { exitCode: exitCode ?? 1, text: all };
  }
}
