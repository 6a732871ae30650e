// Stand-in for pulumi-command 1.2: remote.Command, a real SSH client with one connection for each operation.
import { randomBytes } from "node:crypto";
import { checkInputs, type Inputs } from "../../schema-check.ts";
import type { Difference, Log, StandIn } from "../../stand-in.ts";
import { equal, isObject, type Properties, unknown } from "../../values.ts";
import { Canceled, type Connection, runOverSsh } from "./ssh.ts";

const commandType = "command:remote:Command";

const connection: Inputs = {
  host: { kind: "string", required: true },
  user: { kind: "string", default: "root" },
  port: { kind: "number", default: 22 },
  password: { kind: "string" },
  privateKey: { kind: "string" },
  privateKeyPassword: { kind: "string" },
  agentSocketPath: { kind: "string" },
  hostKey: { kind: "string" },
  dialErrorLimit: { kind: "number", default: 10 },
  perDialTimeout: { kind: "number", default: 15 },
  proxy: { kind: "object", notCarried: true },
};

const schema: Inputs = {
  connection: { kind: "object", required: true, fields: connection },
  create: { kind: "string" },
  update: { kind: "string" },
  delete: { kind: "string" },
  stdin: { kind: "string" },
  triggers: { kind: "list" },
  logging: { kind: "string", oneOf: ["stdout", "stderr", "stdoutAndStderr", "none"] },
  addPreviousOutputInEnv: { kind: "boolean", default: true },
  environment: { kind: "object", notCarried: true },
};

export class Command implements StandIn {
  readonly version = "1.2.1";
  readonly #log: Log;
  readonly #abort = new AbortController();

  constructor(log: Log) {
    this.#log = log;
  }

  checkConfig() {
    return [];
  }

  configure() {}

  check({ type, news }: Parameters<StandIn["check"]>[0]) {
    if (type !== commandType) {
      throw new Error(`The rehearsal engine's command does not carry "${type}".`);
    }
    return checkInputs(schema, news);
  }

  // Observed: whatever changes runs `update` in place, a changed connection too. Only triggers without an
  // `update` make a new one.
  diff({ oldInputs, news }: Parameters<StandIn["diff"]>[0]): Difference {
    const changed = Object.keys(schema).filter((key) => !equal(oldInputs[key], news[key]));
    const replaces = changed.includes("triggers") && news.update === undefined ? ["triggers"] : [];
    return { changed, replaces };
  }

  async create({ urn, name, inputs, preview }: Parameters<StandIn["create"]>[0]) {
    const id = `${name}${randomBytes(4).toString("hex")}`;
    if (preview) return { id, outputs: { ...inputs, stdout: unknown, stderr: unknown } };
    const outputs =
      typeof inputs.create === "string"
        ? await this.#run(urn, inputs.create, inputs, {})
        : { stdout: "", stderr: "" };
    return { id, outputs: { ...inputs, ...outputs } };
  }

  // pulumi-command reads nothing back.
  async read({ id, outputs, inputs }: Parameters<StandIn["read"]>[0]) {
    return { id, outputs, inputs };
  }

  async update({ urn, olds, news, preview }: Parameters<StandIn["update"]>[0]) {
    if (preview) return { ...news, stdout: unknown, stderr: unknown };
    const line = news.update ?? news.create;
    const before = { stdout: olds.stdout ?? "", stderr: olds.stderr ?? "" };
    const outputs = typeof line === "string" ? await this.#run(urn, line, news, before) : before;
    return { ...news, ...outputs };
  }

  async delete({ urn, outputs }: Parameters<StandIn["delete"]>[0]) {
    if (typeof outputs.delete === "string") await this.#run(urn, outputs.delete, outputs, outputs);
  }

  async invoke(): Promise<Properties> {
    throw new Error("the command provider has no functions");
  }

  cancel() {
    this.#abort.abort();
  }

  async #run(urn: string, line: string, inputs: Properties, before: Properties) {
    const logging = String(inputs.logging ?? "stdoutAndStderr");
    const env: Record<string, string> = {};
    if (inputs.addPreviousOutputInEnv !== false) {
      if (before.stdout) env.PULUMI_COMMAND_STDOUT = String(before.stdout);
      if (before.stderr) env.PULUMI_COMMAND_STDERR = String(before.stderr);
    }
    const result = await runOverSsh({
      connection: connectionOf(inputs.connection),
      line,
      stdin: typeof inputs.stdin === "string" ? inputs.stdin : "",
      env,
      signal: this.#abort.signal,
      onRetry: (words) => this.#log("info", words, urn),
      onLine: (stream, text) => {
        if (logging === "stdoutAndStderr" || logging === stream) this.#log("info", text, urn);
      },
    });
    if (result.failure !== undefined) {
      // The line whole, as the real one prints it: whoever puts a secret there sees it here.
      throw new Error(`${result.failure}: running ${JSON.stringify(line)}:\n${result.both}`);
    }
    return {
      stdout: result.stdout.replace(/\n$/, ""),
      stderr: result.stderr.replace(/\n$/, ""),
    };
  }
}

function connectionOf(value: Properties[string] | undefined): Connection {
  if (!isObject(value)) throw new Canceled("the connection is not known");
  const text = (key: string) => (typeof value[key] === "string" ? value[key] : undefined);
  return {
    host: text("host") ?? "",
    port: Number(value.port ?? 22),
    user: text("user") ?? "root",
    password: text("password"),
    privateKey: text("privateKey"),
    privateKeyPassword: text("privateKeyPassword"),
    agentSocketPath: text("agentSocketPath") ?? process.env.SSH_AUTH_SOCK,
    hostKey: text("hostKey"),
    dialErrorLimit: Number(value.dialErrorLimit ?? 10),
    perDialTimeoutSeconds: Number(value.perDialTimeout ?? 15),
  };
}
