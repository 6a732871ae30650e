// The program's hooks: functions of its own that the engine calls around a step, by the callbacks protocol.
import grpc from "@grpc/grpc-js";
import callbackGrpc from "@pulumi/pulumi/proto/callback_grpc_pb.js";
import callbackMessages from "@pulumi/pulumi/proto/callback_pb.js";
import resourceMessages from "@pulumi/pulumi/proto/resource_pb.js";
import { EngineError } from "./engine-error.ts";
import { ask, channelOptions, Struct } from "./protocol.ts";
import type { LogSeverity } from "./stand-in.ts";
import { type Properties, propertiesToWire } from "./values.ts";

/** The names of the hooks that a resource is registered with. */
export interface HookNames {
  beforeCreate: string[];
  afterCreate: string[];
  beforeUpdate: string[];
  afterUpdate: string[];
  onError: string[];
}

export const noHooks: HookNames = {
  beforeCreate: [],
  afterCreate: [],
  beforeUpdate: [],
  afterUpdate: [],
  onError: [],
};

export interface HookRequest {
  urn: string;
  id: string;
  name: string;
  type: string;
  newInputs?: Properties;
  oldInputs?: Properties;
  newOutputs?: Properties;
  oldOutputs?: Properties;
}

export interface Callback {
  /** Where the program listens. */
  target: string;
  token: string;
}

interface ResourceHook extends Callback {
  onDryRun: boolean;
  ignoreErrors: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: the stubs' messages are typed where they are made
type Message = any;

export class Hooks {
  readonly #resourceHooks = new Map<string, ResourceHook>();
  readonly #errorHooks = new Map<string, Callback>();
  readonly #clients = new Map<string, Message>();
  readonly #log: (severity: LogSeverity, message: string, urn: string) => void;

  constructor(log: (severity: LogSeverity, message: string, urn: string) => void) {
    this.#log = log;
  }

  addResourceHook(name: string, hook: ResourceHook): void {
    this.#refuseTaken(name);
    this.#resourceHooks.set(name, hook);
  }

  addErrorHook(name: string, hook: Callback): void {
    this.#refuseTaken(name);
    this.#errorHooks.set(name, hook);
  }

  /** Throws what a hook throws, unless it was registered to be ignored. */
  async run(
    when: "before" | "after",
    names: string[],
    request: HookRequest,
    dryRun: boolean,
  ): Promise<void> {
    for (const name of names) {
      const hook = this.#resourceHooks.get(name);
      if (hook === undefined) throw new EngineError(`hook "${name}" was not registered`);
      if (dryRun && !hook.onDryRun) continue;
      const message = requestOf(new resourceMessages.ResourceHookRequest(), request);
      if (request.newOutputs) message.setNewOutputs(struct(request.newOutputs));
      const reply = resourceMessages.ResourceHookResponse.deserializeBinary(
        await this.#invoke(hook, message),
      );
      if (reply.getError() === "") continue;
      const text = `${when} hook "${name}" failed: ${reply.getError()}`;
      if (!hook.ignoreErrors) throw new EngineError(text);
      this.#log("warning", text, request.urn);
    }
  }

  /** Whether the operation that failed is to be tried again. */
  async onError(
    names: string[],
    request: HookRequest,
    operation: "create" | "update",
    errors: string[],
  ): Promise<boolean> {
    let retry = false;
    for (const name of names) {
      const hook = this.#errorHooks.get(name);
      if (hook === undefined) throw new EngineError(`error hook "${name}" was not registered`);
      const message = requestOf(new resourceMessages.ErrorHookRequest(), request);
      message.setFailedOperation(operation);
      message.setErrorsList(errors);
      const reply = resourceMessages.ErrorHookResponse.deserializeBinary(
        await this.#invoke(hook, message),
      );
      if (reply.getError() !== "") {
        throw new EngineError(
          `error hooks execution failed: error hook "${name}" failed: ${reply.getError()}`,
        );
      }
      retry ||= reply.getRetry();
    }
    return retry;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #refuseTaken(name: string): void {
    if (this.#resourceHooks.has(name) || this.#errorHooks.has(name)) {
      throw new EngineError(`hook "${name}" was registered already`);
    }
  }

  async #invoke({ target, token }: Callback, message: Message): Promise<Uint8Array> {
    let client = this.#clients.get(target);
    if (client === undefined) {
      const Client = callbackGrpc.CallbacksClient as unknown as new (...args: unknown[]) => Message;
      client = new Client(target, grpc.credentials.createInsecure(), channelOptions);
      this.#clients.set(target, client);
    }
    const request = new callbackMessages.CallbackInvokeRequest();
    request.setToken(token);
    request.setRequest(message.serializeBinary());
    const reply = await ask<Message, Message>((asked, done) => client.invoke(asked, done), request);
    return reply.getResponse_asU8();
  }
}

function requestOf(message: Message, request: HookRequest): Message {
  message.setUrn(request.urn);
  message.setId(request.id);
  message.setName(request.name);
  message.setType(request.type);
  if (request.newInputs) message.setNewInputs(struct(request.newInputs));
  if (request.oldInputs) message.setOldInputs(struct(request.oldInputs));
  if (request.oldOutputs) message.setOldOutputs(struct(request.oldOutputs));
  return message;
}

function struct(properties: Properties): never {
  return Struct.fromJavaScript(propertiesToWire(properties, { secrets: true, resources: true }));
}
