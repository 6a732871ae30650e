import { parseArgs } from "node:util";
import {
  configGet,
  configSet,
  destroy,
  EngineError,
  explain,
  importResources,
  preview,
  refresh,
  stackExport,
  stackOutputs,
  type UpdateOptions,
  type UpdateResult,
  UpdateFailed,
  up,
} from "./engine.ts";

const usage = `usage: main.ts <command> --stack NAME [--cwd DIR] [--config-file F] [--state FILE, or OUCHI_REHEARSAL_STATE]
  up | preview | refresh | destroy   [--yes] [--json] [--show-secrets] [--skip-preview]
                                     [--expect-no-changes] [--exclude-protected]
  stack output [NAME]                [--json] [--show-secrets]
  stack export                       [--show-secrets]
  import                             --file FILE --yes
  config get KEY
  config set KEY [VALUE]             [--secret]   (the value from stdin when it is left out)`;

const updates = { up, preview, refresh, destroy };

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parse(argv);
  const stateFile = values.state ?? process.env.OUCHI_REHEARSAL_STATE;
  if (values.stack === undefined) throw new EngineError(`Name the stack by --stack.\n${usage}`);
  const options: UpdateOptions = {
    stack: values.stack,
    ...(values.cwd !== undefined && { cwd: values.cwd }),
    ...(values["config-file"] !== undefined && { configFile: values["config-file"] }),
    ...(stateFile !== undefined && { stateFile }),
    showSecrets: values["show-secrets"] ?? false,
    skipPreview: values["skip-preview"] ?? false,
    expectNoChanges: values["expect-no-changes"] ?? false,
    excludeProtected: values["exclude-protected"] ?? false,
  };
  const [command = "", ...rest] = positionals;

  if (command in updates && rest.length === 0) {
    return update(updates[command as keyof typeof updates], options, values.json ?? false);
  }
  if (command === "import" && rest.length === 0 && values.file !== undefined) {
    const { file } = values;
    return update((options) => importResources({ ...options, file }), options, false);
  }
  const words = [command, rest[0]].join(" ");
  if (words === "stack output" && rest.length <= 2) {
    const outputs = await stackOutputs(options);
    return printOutputs(outputs, rest[1], values.json ?? false);
  }
  if (words === "stack export" && rest.length === 1) {
    process.stdout.write(await stackExport(options));
    return 0;
  }
  if (words === "config get" && rest.length === 2) {
    process.stdout.write(`${await configGet({ ...options, key: rest[1]! })}\n`);
    return 0;
  }
  if (words === "config set" && (rest.length === 2 || rest.length === 3)) {
    const value = rest[2] ?? (await readStdin()).replace(/\n$/, "");
    await configSet({ ...options, key: rest[1]!, value, secret: values.secret ?? false });
    return 0;
  }
  throw new EngineError(`There is no command "${positionals.join(" ")}".\n${usage}`);
}

function parse(argv: string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        cwd: text,
        stack: text,
        "config-file": text,
        state: text,
        json: flag,
        yes: flag,
        "show-secrets": flag,
        "exclude-protected": flag,
        "skip-preview": flag,
        "expect-no-changes": flag,
        secret: flag,
        file: text,
        protect: text,
        "generate-code": text,
      },
    });
  } catch (error) {
    throw new EngineError(`${(error as Error).message}\n${usage}`);
  }
}

async function update(
  run: (options: UpdateOptions) => Promise<UpdateResult>,
  options: UpdateOptions,
  json: boolean,
): Promise<number> {
  const abort = new AbortController();
  process.on("SIGTERM", () => abort.abort());
  process.on("SIGINT", () => {
    // As Pulumi: once ends in order, twice ends at once.
    if (abort.signal.aborted) process.exit(130);
    process.stderr.write(
      "Stopping after the steps that are running; interrupt again to end at once.\n",
    );
    abort.abort();
  });
  const print = (result: UpdateResult) =>
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  try {
    const result = await run({
      ...options,
      signal: abort.signal,
      ...(!json && { output: (line: string) => process.stdout.write(`${line}\n`) }),
    });
    if (json) print(result);
    return 0;
  } catch (error) {
    if (!(error instanceof UpdateFailed)) throw error;
    if (json) print(error.result);
    return abort.signal.aborted ? 130 : 1;
  }
}

function printOutputs(outputs: Record<string, unknown>, name: string | undefined, json: boolean) {
  if (name !== undefined) {
    if (!(name in outputs)) throw new EngineError(`The stack has no output "${name}".`);
    const value = outputs[name];
    process.stdout.write(
      `${typeof value === "string" && !json ? value : JSON.stringify(value, null, 2)}\n`,
    );
    return 0;
  }
  if (json) process.stdout.write(`${JSON.stringify(outputs, null, 2)}\n`);
  else {
    for (const [key, value] of Object.entries(outputs)) {
      process.stdout.write(
        `${key}\t${typeof value === "string" ? value : JSON.stringify(value)}\n`,
      );
    }
  }
  return 0;
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

main(process.argv.slice(2)).then(exit, (error: unknown) => {
  process.stderr.write(`error: ${explain(error).message}\n`);
  exit(1);
});

/** Ends once everything printed has left: a pipe takes a long text in pieces. */
function exit(code: number): void {
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
}
