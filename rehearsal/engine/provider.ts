// A configured provider: a plugin's process or a stand-in, and the provider protocol spoken to it.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import grpc from "@grpc/grpc-js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import type * as types from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import statusMessages from "@pulumi/pulumi/proto/status_pb.js";
import { EngineError } from "./engine-error.ts";
import { refuseRemoteConfig, refuseRemoteTargets } from "./loopback.ts";
import {
  ask,
  channelOptions,
  Empty,
  isServiceError,
  Struct,
  type StructMessage,
} from "./protocol.ts";
import { type CheckFailure, type Log, type StandIn, serveStandIn } from "./stand-in.ts";
import {
  containsUnknown,
  markSecretsAs,
  type Properties,
  propertiesFromWire,
  propertiesToWire,
  toWire,
} from "./values.ts";

export interface Diff {
  changes: "none" | "some" | "unknown";
  changed: string[];
  replaces: string[];
  deleteBeforeReplace: boolean;
}

/** A create or update that made the resource and then failed: it is kept in the state with its reasons. */
export class ResourceInitFailed extends Error {
  readonly id: string;
  readonly properties: Properties;
  readonly reasons: string[];
  constructor(id: string, properties: Properties, reasons: string[]) {
    super(reasons.join("\n"));
    this.id = id;
    this.properties = properties;
    this.reasons = reasons;
  }
}

interface Identity {
  urn: string;
  type: string;
}

export type StandIns = Record<string, (log: Log) => Promise<StandIn>>;

const ownStandIns: StandIns = {
  random: async () => new (await import("./stand-ins/random/random.ts")).Random(),
  command: async (log) => new (await import("./stand-ins/command/command.ts")).Command(log),
  cloudflare: async (log) =>
    new (await import("./stand-ins/cloudflare/cloudflare.ts")).Cloudflare(log),
};

export interface LaunchOptions {
  package: string;
  plugins: Map<string, string>;
  projectRoot: string;
  engineAddress(): string;
  log: Log;
  /** Served in this process, by package. @default the engine's own */
  standIns?: StandIns;
}

interface Launched {
  port: number;
  stop(): void;
}

export class Provider {
  readonly package: string;
  readonly #client: InstanceType<typeof providerGrpc.ResourceProviderClient>;
  readonly #launched: Launched;
  #acceptsSecrets = false;
  #acceptsResources = false;
  #supportsPreview = false;
  #configKnown = true;

  private constructor(packageName: string, launched: Launched) {
    this.package = packageName;
    this.#launched = launched;
    this.#client = new providerGrpc.ResourceProviderClient(
      `127.0.0.1:${launched.port}`,
      grpc.credentials.createInsecure(),
      channelOptions,
    );
  }

  static async launch(options: LaunchOptions): Promise<Provider> {
    const folder = options.plugins.get(options.package);
    if (folder !== undefined)
      return new Provider(options.package, await startPlugin(folder, options));
    const standIns = options.standIns ?? ownStandIns;
    const standIn = standIns[options.package];
    if (standIn === undefined) {
      throw new EngineError(
        `The rehearsal engine has no provider for the package "${options.package}": it knows ` +
          `${Object.keys(standIns).join(", ")} and the plugins that Pulumi.yaml names.`,
      );
    }
    const served = await serveStandIn(await standIn(options.log));
    return new Provider(options.package, { port: served.port, stop: () => served.close() });
  }

  async checkConfig(urn: string, olds: Properties, news: Properties) {
    refuseRemoteConfig(this.package, urn, news);
    const request = new providerMessages.CheckRequest();
    request.setUrn(urn);
    request.setOlds(this.#struct(olds, true));
    request.setNews(this.#struct(news, true));
    try {
      const reply = await this.#call("checkConfig", request);
      const inputs = fromStruct(reply.getInputs());
      return { inputs: markSecretsAs(inputs, news), failures: failuresOf(reply) };
    } catch (error) {
      if (isServiceError(error) && error.code === grpc.status.UNIMPLEMENTED) {
        return { inputs: news, failures: [] };
      }
      throw error;
    }
  }

  async configure(inputs: Properties): Promise<void> {
    this.#configKnown = !containsUnknown(inputs);
    if (!this.#configKnown) return;
    const { version: _, ...config } = inputs;
    const request = new providerMessages.ConfigureRequest();
    request.setAcceptsecrets(true);
    request.setAcceptresources(true);
    request.setSendsOldInputs(true);
    request.setSendsOldInputsToDelete(true);
    request.setArgs(
      Struct.fromJavaScript(propertiesToWire(config, { secrets: true, resources: true })),
    );
    const variables = request.getVariablesMap();
    for (const [key, value] of Object.entries(config)) {
      const text = toWire(value, { secrets: false, resources: false });
      variables.set(
        `${this.package}:config:${key}`,
        typeof text === "string" ? text : JSON.stringify(text),
      );
    }
    const reply = await this.#call("configure", request);
    this.#acceptsSecrets = reply.getAcceptsecrets();
    this.#acceptsResources = reply.getAcceptresources();
    this.#supportsPreview = reply.getSupportspreview();
  }

  async check(resource: Identity, olds: Properties, news: Properties) {
    if (!this.#configKnown) return { inputs: news, failures: [] };
    refuseRemoteTargets(this.package, resource.urn, news);
    const request = new providerMessages.CheckRequest();
    identify(request, resource);
    request.setOlds(this.#struct(olds));
    request.setNews(this.#struct(news));
    const reply = await this.#call("check", request);
    const inputs = fromStruct(reply.getInputs());
    return {
      inputs: this.#acceptsSecrets ? inputs : markSecretsAs(inputs, news),
      failures: failuresOf(reply),
    };
  }

  async diff(
    resource: Identity & { id: string },
    olds: { inputs: Properties; outputs: Properties },
    news: Properties,
    ignoreChanges: string[],
  ): Promise<Diff> {
    if (!this.#configKnown) {
      return { changes: "unknown", changed: [], replaces: [], deleteBeforeReplace: false };
    }
    const request = new providerMessages.DiffRequest();
    identify(request, resource);
    request.setId(resource.id);
    request.setOldInputs(this.#struct(olds.inputs));
    request.setOlds(this.#struct(olds.outputs));
    request.setNews(this.#struct(news));
    request.setIgnorechangesList(ignoreChanges);
    const reply = await this.#call("diff", request);
    const changes = reply.getChanges();
    const { DIFF_NONE, DIFF_SOME } = providerMessages.DiffResponse.DiffChanges;
    const { ADD_REPLACE, DELETE_REPLACE, UPDATE_REPLACE } = providerMessages.PropertyDiff.Kind;
    const replacing = new Set<number>([ADD_REPLACE, DELETE_REPLACE, UPDATE_REPLACE]);
    const detailed: [string, types.PropertyDiff][] = [];
    reply.getDetaileddiffMap().forEach((difference, path) => {
      detailed.push([path, difference]);
    });
    const detailedReplaces = detailed
      .filter(([, difference]) => replacing.has(difference.getKind()))
      .map(([path]) => path);
    return {
      changes: changes === DIFF_NONE ? "none" : changes === DIFF_SOME ? "some" : "unknown",
      changed: [...reply.getDiffsList(), ...detailed.map(([path]) => path)],
      replaces: [...reply.getReplacesList(), ...detailedReplaces],
      deleteBeforeReplace: reply.getDeletebeforereplace(),
    };
  }

  /** In a preview without the provider's help, the outputs are the inputs and the rest is unknown. */
  async create(resource: Identity, inputs: Properties, preview: boolean) {
    refuseRemoteTargets(this.package, resource.urn, inputs);
    if (preview && !this.#configKnown) return { id: undefined, outputs: {} };
    if (preview && !this.#supportsPreview) return { id: undefined, outputs: inputs };
    const request = new providerMessages.CreateRequest();
    identify(request, resource);
    request.setProperties(this.#struct(inputs));
    request.setPreview(preview);
    const reply = await this.#call("create", request);
    const id = reply.getId();
    if (id === "" && !preview) {
      throw new Error(`plugin returned empty resource.ID from create '${resource.urn}'`);
    }
    return { id: preview ? undefined : id, outputs: this.#outputs(reply.getProperties(), inputs) };
  }

  async update(
    resource: Identity & { id: string },
    olds: { inputs: Properties; outputs: Properties },
    news: Properties,
    ignoreChanges: string[],
    preview: boolean,
  ): Promise<Properties> {
    refuseRemoteTargets(this.package, resource.urn, news);
    if (preview && !this.#configKnown) return {};
    if (preview && !this.#supportsPreview) return news;
    const request = new providerMessages.UpdateRequest();
    identify(request, resource);
    request.setId(resource.id);
    request.setOldInputs(this.#struct(olds.inputs));
    request.setOlds(this.#struct(olds.outputs));
    request.setNews(this.#struct(news));
    request.setIgnorechangesList(ignoreChanges);
    request.setPreview(preview);
    const reply = await this.#call("update", request);
    return this.#outputs(reply.getProperties(), news);
  }

  /** Undefined: the resource is gone. */
  async read(
    resource: Identity & { id: string },
    state: { inputs: Properties; outputs: Properties },
  ): Promise<{ id: string; inputs?: Properties; outputs: Properties } | undefined> {
    refuseRemoteTargets(this.package, resource.urn, state.inputs);
    const request = new providerMessages.ReadRequest();
    identify(request, resource);
    request.setId(resource.id);
    request.setProperties(this.#struct(state.outputs));
    request.setInputs(this.#struct(state.inputs));
    const reply = await this.#call("read", request);
    if (reply.getId() === "") return undefined;
    const message = reply.getInputs();
    const inputs = message === undefined ? undefined : fromStruct(message);
    const marked = (values: Properties, as: Properties) =>
      this.#acceptsSecrets ? values : markSecretsAs(values, as);
    return {
      id: reply.getId(),
      ...(inputs !== undefined && { inputs: marked(inputs, state.inputs) }),
      outputs: marked(fromStruct(reply.getProperties()), state.outputs),
    };
  }

  async delete(
    resource: Identity & { id: string },
    state: { inputs: Properties; outputs: Properties },
  ): Promise<void> {
    refuseRemoteTargets(this.package, resource.urn, state.inputs);
    const request = new providerMessages.DeleteRequest();
    identify(request, resource);
    request.setId(resource.id);
    request.setProperties(this.#struct(state.outputs));
    request.setOldInputs(this.#struct(state.inputs));
    await this.#call("delete", request);
  }

  async invoke(token: string, args: Properties, preview: boolean) {
    if (!this.#configKnown) {
      throw new EngineError(
        `Could not call "${token}": the configuration of its provider is not known in a preview.`,
      );
    }
    const request = new providerMessages.InvokeRequest();
    request.setTok(token);
    request.setArgs(this.#struct(args));
    request.setPreview(preview);
    const reply = await this.#call("invoke", request);
    return { result: fromStruct(reply.getReturn()), failures: failuresOf(reply) };
  }

  async cancel(): Promise<void> {
    await this.#call("cancel", new Empty()).catch(() => undefined);
  }

  close(): void {
    this.#client.close();
    this.#launched.stop();
  }

  #struct(properties: Properties, config = false): never {
    const options = {
      secrets: config || this.#acceptsSecrets,
      resources: config || this.#acceptsResources,
    };
    return Struct.fromJavaScript(propertiesToWire(properties, options));
  }

  #outputs(message: StructMessage | undefined, inputs: Properties): Properties {
    const outputs = fromStruct(message);
    return this.#acceptsSecrets ? outputs : markSecretsAs(outputs, inputs);
  }

  #call<Method extends keyof Calls>(
    method: Method,
    request: Calls[Method]["request"],
  ): Promise<Calls[Method]["reply"]> {
    type Unary = (
      request: Calls[Method]["request"],
      done: (error: grpc.ServiceError | null, reply: Calls[Method]["reply"]) => void,
    ) => unknown;
    const call = (this.#client[method] as unknown as Unary).bind(this.#client);
    return ask(call, request).catch((error: unknown) => {
      throw initFailure(error) ?? error;
    });
  }
}

interface Calls {
  checkConfig: { request: types.CheckRequest; reply: types.CheckResponse };
  configure: { request: types.ConfigureRequest; reply: types.ConfigureResponse };
  check: { request: types.CheckRequest; reply: types.CheckResponse };
  diff: { request: types.DiffRequest; reply: types.DiffResponse };
  create: { request: types.CreateRequest; reply: types.CreateResponse };
  read: { request: types.ReadRequest; reply: types.ReadResponse };
  update: { request: types.UpdateRequest; reply: types.UpdateResponse };
  delete: { request: types.DeleteRequest; reply: unknown };
  invoke: { request: types.InvokeRequest; reply: types.InvokeResponse };
  cancel: { request: never; reply: unknown };
}

function identify(
  request: {
    setUrn(urn: string): unknown;
    setName(name: string): unknown;
    setType(type: string): unknown;
  },
  resource: Identity,
): void {
  request.setUrn(resource.urn);
  request.setName(resource.urn.split("::").slice(3).join("::"));
  request.setType(resource.type);
}

function fromStruct(message: StructMessage | undefined): Properties {
  return propertiesFromWire(message?.toJavaScript());
}

function failuresOf(reply: {
  getFailuresList(): { getProperty(): string; getReason(): string }[];
}): CheckFailure[] {
  return reply
    .getFailuresList()
    .map((failure) => ({ property: failure.getProperty(), reason: failure.getReason() }));
}

function initFailure(error: unknown): ResourceInitFailed | undefined {
  if (!isServiceError(error)) return undefined;
  const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(details)) return undefined;
  const status = statusMessages.Status.deserializeBinary(new Uint8Array(details));
  for (const detail of status.getDetailsList()) {
    const failed = detail.unpack(
      (bytes: Uint8Array) => providerMessages.ErrorResourceInitFailed.deserializeBinary(bytes),
      "pulumirpc.ErrorResourceInitFailed",
    );
    if (failed) {
      return new ResourceInitFailed(
        failed.getId(),
        fromStruct(failed.getProperties()),
        failed.getReasonsList(),
      );
    }
  }
  return undefined;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) stopGroup(child, "SIGKILL");
});

// A plugin may be a shell script that starts node: its whole group ends with it.
function stopGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}

async function startPlugin(folder: string, options: LaunchOptions): Promise<Launched> {
  const executable = join(folder, `pulumi-resource-${options.package}`);
  if (!existsSync(executable)) {
    throw new EngineError(
      `Could not start the provider "${options.package}": there is no "${executable}".`,
    );
  }
  const child = spawn(executable, [options.engineAddress()], {
    cwd: options.projectRoot,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  const complaints: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    complaints.push(line);
    options.log("info", line);
  });
  const port = await new Promise<number>((resolve, reject) => {
    const fail = (why: string) => {
      stopGroup(child, "SIGKILL");
      const said = complaints.length > 0 ? `\n${complaints.join("\n")}` : "";
      reject(
        new EngineError(
          `Could not start the provider "${options.package}" (${executable}): ${why}.${said}`,
        ),
      );
    };
    let first = true;
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!first) return options.log("info", line);
      first = false;
      const number = Number(line.trim());
      if (Number.isInteger(number) && number > 0) resolve(number);
      else fail(`its first line is "${line}" where its port was expected`);
    });
    child.once("error", (error) => fail(error.message));
    child.once("exit", (code, signal) =>
      fail(`it ended with ${signal ?? code} before it gave its port`),
    );
  });
  return { port, stop: () => stopGroup(child, "SIGTERM") };
}
