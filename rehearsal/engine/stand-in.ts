// A stand-in provider, served over the provider protocol as the real plugin would be.
import grpc from "@grpc/grpc-js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import { channelOptions, Empty, Struct, type StructMessage } from "./protocol.ts";
import { type Properties, propertiesFromWire, propertiesToWire, reveal } from "./values.ts";

export interface CheckFailure {
  property: string;
  reason: string;
}
export interface Checked {
  inputs: Properties;
  failures: CheckFailure[];
}
export interface Difference {
  /** Property names. Empty: nothing changes. */
  changed: string[];
  /** The ones among them that only a new resource can have. */
  replaces: string[];
  deleteBeforeReplace?: boolean;
}
export type LogSeverity = "debug" | "info" | "warning" | "error";
export type Log = (severity: LogSeverity, message: string, urn?: string) => void;

export interface ResourceRequest {
  urn: string;
  type: string;
  name: string;
}

/** Values come without secret marks; what a preview does not know is `unknown`. */
export interface StandIn {
  readonly version: string;
  checkConfig(config: Properties): CheckFailure[];
  configure(config: Properties): void;
  check(request: ResourceRequest & { olds: Properties; news: Properties }): Checked;
  diff(
    request: ResourceRequest & {
      id: string;
      olds: Properties;
      oldInputs: Properties;
      news: Properties;
    },
  ): Difference;
  create(
    request: ResourceRequest & { inputs: Properties; preview: boolean },
  ): Promise<{ id: string; outputs: Properties }>;
  read(
    request: ResourceRequest & { id: string; outputs: Properties; inputs: Properties },
  ): Promise<{ id: string; outputs: Properties; inputs: Properties } | undefined>;
  update(
    request: ResourceRequest & {
      id: string;
      olds: Properties;
      oldInputs: Properties;
      news: Properties;
      preview: boolean;
    },
  ): Promise<Properties>;
  delete(
    request: ResourceRequest & { id: string; outputs: Properties; inputs: Properties },
  ): Promise<void>;
  invoke(request: { token: string; args: Properties; preview: boolean }): Promise<Properties>;
  cancel(): void;
}

export interface Served {
  port: number;
  close(): void;
}

const plain = { secrets: false, resources: false };
const values = (message: StructMessage | undefined) =>
  reveal(propertiesFromWire(message?.toJavaScript())) as Properties;
const struct = (properties: Properties) =>
  Struct.fromJavaScript(propertiesToWire(properties, plain));

export async function serveStandIn(standIn: StandIn): Promise<Served> {
  const server = new grpc.Server(channelOptions);
  server.addService(
    providerGrpc.ResourceProviderService as unknown as grpc.ServiceDefinition,
    handlers(standIn),
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { port, close: () => server.forceShutdown() };
}

// biome-ignore lint/suspicious/noExplicitAny: the stubs' messages are typed where they are made
type Message = any;

function handlers(standIn: StandIn): grpc.UntypedServiceImplementation {
  const resource = (request: Message): ResourceRequest => {
    const urn = request.getUrn() as string;
    const type = urn.split("::")[2]!.split("$").at(-1)!;
    return { urn, type, name: urn.split("::").slice(3).join("::") };
  };
  const failures = (list: CheckFailure[]) =>
    list.map(({ property, reason }) => {
      const failure = new providerMessages.CheckFailure();
      failure.setProperty(property);
      failure.setReason(reason);
      return failure;
    });
  const serve =
    (
      answer: (request: Message) => Promise<Message> | Message,
    ): grpc.handleUnaryCall<Message, Message> =>
    async (call, done) => {
      try {
        done(null, await answer(call.request));
      } catch (error) {
        done({ code: grpc.status.UNKNOWN, details: (error as Error).message });
      }
    };

  return {
    getPluginInfo: serve(() => {
      const reply = new pluginMessages.PluginInfo();
      reply.setVersion(standIn.version);
      return reply;
    }),
    checkConfig: serve((request) => {
      const reply = new providerMessages.CheckResponse();
      reply.setInputs(request.getNews());
      reply.setFailuresList(failures(standIn.checkConfig(values(request.getNews()))));
      return reply;
    }),
    configure: serve((request) => {
      standIn.configure(values(request.getArgs()));
      const reply = new providerMessages.ConfigureResponse();
      reply.setSupportspreview(true);
      return reply;
    }),
    check: serve((request) => {
      const checked = standIn.check({
        ...resource(request),
        olds: values(request.getOlds()),
        news: values(request.getNews()),
      });
      const reply = new providerMessages.CheckResponse();
      reply.setInputs(struct(checked.inputs));
      reply.setFailuresList(failures(checked.failures));
      return reply;
    }),
    diff: serve((request) => {
      const difference = standIn.diff({
        ...resource(request),
        id: request.getId(),
        olds: values(request.getOlds()),
        oldInputs: values(request.getOldInputs()),
        news: values(request.getNews()),
      });
      const reply = new providerMessages.DiffResponse();
      const { DIFF_NONE, DIFF_SOME } = providerMessages.DiffResponse.DiffChanges;
      reply.setChanges(difference.changed.length > 0 ? DIFF_SOME : DIFF_NONE);
      reply.setDiffsList(difference.changed);
      reply.setReplacesList(difference.replaces);
      reply.setDeletebeforereplace(difference.deleteBeforeReplace === true);
      return reply;
    }),
    create: serve(async (request) => {
      const made = await standIn.create({
        ...resource(request),
        inputs: values(request.getProperties()),
        preview: request.getPreview(),
      });
      const reply = new providerMessages.CreateResponse();
      reply.setId(made.id);
      reply.setProperties(struct(made.outputs));
      return reply;
    }),
    read: serve(async (request) => {
      const found = await standIn.read({
        ...resource(request),
        id: request.getId(),
        outputs: values(request.getProperties()),
        inputs: values(request.getInputs()),
      });
      const reply = new providerMessages.ReadResponse();
      if (found === undefined) return reply;
      reply.setId(found.id);
      reply.setProperties(struct(found.outputs));
      reply.setInputs(struct(found.inputs));
      return reply;
    }),
    update: serve(async (request) => {
      const outputs = await standIn.update({
        ...resource(request),
        id: request.getId(),
        olds: values(request.getOlds()),
        oldInputs: values(request.getOldInputs()),
        news: values(request.getNews()),
        preview: request.getPreview(),
      });
      const reply = new providerMessages.UpdateResponse();
      reply.setProperties(struct(outputs));
      return reply;
    }),
    delete: serve(async (request) => {
      await standIn.delete({
        ...resource(request),
        id: request.getId(),
        outputs: values(request.getProperties()),
        inputs: values(request.getOldInputs()),
      });
      return new Empty();
    }),
    invoke: serve(async (request) => {
      const result = await standIn.invoke({
        token: request.getTok(),
        args: values(request.getArgs()),
        preview: request.getPreview(),
      });
      const reply = new providerMessages.InvokeResponse();
      reply.setReturn(struct(result));
      return reply;
    }),
    cancel: serve(() => {
      standIn.cancel();
      return new Empty();
    }),
  };
}
