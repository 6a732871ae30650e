// The services that a running program speaks to: ResourceMonitor and Engine, over gRPC on loopback.
import grpc from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineMessages from "@pulumi/pulumi/proto/engine_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import resourceGrpc from "@pulumi/pulumi/proto/resource_grpc_pb.js";
import resourceMessages from "@pulumi/pulumi/proto/resource_pb.js";
import { type AliasSpec, type Deployment, type Goal, messageOf, Stopped } from "./deployment.ts";
import { EngineError } from "./engine-error.ts";
import { type HookNames, noHooks } from "./hooks.ts";
import { channelOptions, Empty, Struct } from "./protocol.ts";
import type { LogSeverity } from "./stand-in.ts";
import { type Properties, propertiesFromWire, propertiesToWire } from "./values.ts";

// biome-ignore lint/suspicious/noExplicitAny: the stubs' messages are typed where they are made
type Message = any;

const features = new Set([
  "secrets",
  "resourceReferences",
  "outputValues",
  "aliasSpecs",
  "deletedWith",
  "parameterization",
  // Let through to be refused here by name. The SDK's own refusal is an Error whose stack makes the
  // `util.inspect` of Node 20 loop for ever at a path such as node_modules/@pulumi/resource.ts.
  "replaceWith",
  "transforms",
  "invokeTransforms",
  "resourceHooks",
  "errorHooks",
]);

export interface Monitor {
  address: string;
  close(): void;
}

/** `mayBegin` is asked when the program is loaded; until it settles, none of the program's lines run. */
export async function serveMonitor(
  deployment: Deployment,
  mayBegin: () => Promise<void>,
): Promise<Monitor> {
  const server = new grpc.Server(channelOptions);
  server.addService(
    resourceGrpc.ResourceMonitorService as unknown as grpc.ServiceDefinition,
    monitorHandlers(deployment, mayBegin),
  );
  server.addService(
    engineGrpc.EngineService as unknown as grpc.ServiceDefinition,
    engineHandlers(deployment),
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

function engineHandlers(deployment: Deployment): grpc.UntypedServiceImplementation {
  const severities: LogSeverity[] = ["debug", "info", "warning", "error"];
  let rootUrn = "";
  const serve =
    (answer: (request: Message) => Message): grpc.handleUnaryCall<Message, Message> =>
    (call, done) =>
      done(null, answer(call.request));
  return {
    log: serve((request) => {
      // "Ephemeral" lines are for a live display; a log keeps none of them.
      if (!request.getEphemeral()) {
        const severity = severities[request.getSeverity()] ?? "info";
        deployment.log(severity, request.getMessage(), request.getUrn() || undefined);
      }
      return new Empty();
    }),
    getRootResource: serve(() => {
      const reply = new engineMessages.GetRootResourceResponse();
      reply.setUrn(rootUrn);
      return reply;
    }),
    setRootResource: serve((request) => {
      rootUrn = request.getUrn();
      return new engineMessages.SetRootResourceResponse();
    }),
  };
}

function monitorHandlers(
  deployment: Deployment,
  mayBegin: () => Promise<void>,
): grpc.UntypedServiceImplementation {
  const packages = new Map<string, { name: string; version: string }>();
  const serve =
    (
      answer: (request: Message) => Promise<Message> | Message,
    ): grpc.handleUnaryCall<Message, Message> =>
    async (call, done) => {
      try {
        done(null, await answer(call.request));
      } catch (error) {
        // As Pulumi's own engine: who waits when the deployment stops gets no answer, the program is ended.
        if (error instanceof Stopped) return;
        const code = grpc.status.UNKNOWN;
        done({ code, details: messageOf(error) });
      }
    };
  const unsupported = (what: string) => () => {
    throw deployment.fail(new EngineError(`The rehearsal engine does not know ${what}.`));
  };

  return {
    // The SDK asks this, and registers the stack, before it loads the program.
    supportsFeature: serve(async (request) => {
      await mayBegin();
      const reply = new resourceMessages.SupportsFeatureResponse();
      reply.setHassupport(features.has(request.getId()));
      return reply;
    }),
    registerPackage: serve((request) => {
      if (request.getParameterization() !== undefined) {
        throw deployment.fail(
          new EngineError(
            `The rehearsal engine does not know parameterized packages ("${request.getName()}").`,
          ),
        );
      }
      const reference = `package-${packages.size}`;
      packages.set(reference, { name: request.getName(), version: request.getVersion() });
      const reply = new resourceMessages.RegisterPackageResponse();
      reply.setRef(reference);
      return reply;
    }),
    registerResource: serve(async (request) => {
      await mayBegin();
      const goal = goalOf(request, deployment);
      goal.version ||= packages.get(request.getPackageref())?.version ?? "";
      const state = await deployment.register(goal);
      const reply = new resourceMessages.RegisterResourceResponse();
      reply.setUrn(state.urn);
      reply.setId(state.id ?? "");
      reply.setObject(struct(state.outputs));
      return reply;
    }),
    registerResourceOutputs: serve((request) => {
      deployment.registerOutputs(
        request.getUrn(),
        propertiesFromWire(request.getOutputs()?.toJavaScript()),
      );
      return new Empty();
    }),
    readResource: serve(async (request) => {
      const state = await deployment.read(
        {
          type: request.getType(),
          name: request.getName(),
          custom: true,
          inputs: propertiesFromWire(request.getProperties()?.toJavaScript()),
          ...optional("parent", request.getParent()),
          ...optional("provider", request.getProvider()),
          version: request.getVersion() || packages.get(request.getPackageref())?.version || "",
          dependencies: request.getDependenciesList(),
          propertyDependencies: {},
          ignoreChanges: [],
          replaceOnChanges: [],
          additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
          aliases: [],
        },
        request.getId(),
      );
      const reply = new resourceMessages.ReadResourceResponse();
      reply.setUrn(state.urn);
      reply.setProperties(struct(state.outputs));
      return reply;
    }),
    invoke: serve(async (request) => {
      const answer = await deployment.invoke({
        token: request.getTok(),
        args: propertiesFromWire(request.getArgs()?.toJavaScript()),
        ...optional("provider", request.getProvider()),
        version: request.getVersion() || packages.get(request.getPackageref())?.version || "",
      });
      const reply = new providerMessages.InvokeResponse();
      reply.setReturn(struct(answer.result));
      reply.setFailuresList(
        answer.failures.map(({ property, reason }) => {
          const failure = new providerMessages.CheckFailure();
          failure.setProperty(property);
          failure.setReason(reason);
          return failure;
        }),
      );
      return reply;
    }),
    signalAndWaitForShutdown: serve(() => new Empty()),
    call: serve(unsupported("calls of a resource's methods")),
    registerStackTransform: serve(unsupported('"transforms"')),
    registerStackInvokeTransform: serve(unsupported('invoke "transforms"')),
    registerResourceHook: serve((request) => {
      deployment.hooks.addResourceHook(request.getName(), {
        target: request.getCallback().getTarget(),
        token: request.getCallback().getToken(),
        onDryRun: request.getOnDryRun(),
        ignoreErrors: request.getIgnoreErrors(),
      });
      return new Empty();
    }),
    registerErrorHook: serve((request) => {
      deployment.hooks.addErrorHook(request.getName(), {
        target: request.getCallback().getTarget(),
        token: request.getCallback().getToken(),
      });
      return new Empty();
    }),
  };
}

/** The request as a goal. An option that would be ignored is an error that names it. */
function goalOf(request: Message, deployment: Deployment): Goal {
  const name = request.getName() as string;
  const type = request.getType() as string;
  const timeouts = request.getCustomtimeouts()?.toObject() ?? {};
  const unknownOptions: [option: string, isSet: boolean][] = [
    ["import", request.getImportid() !== ""],
    ["customTimeouts", Object.values(timeouts).some((timeout) => timeout !== "")],
    ["pluginDownloadURL", request.getPlugindownloadurl() !== ""],
    ["pluginChecksums", request.getPluginchecksumsMap().getLength() > 0],
    ["replaceWith", request.getReplaceWithList().length > 0],
    ["replacementTrigger", request.getReplacementTrigger() !== undefined],
    ["transforms", request.getTransformsList().length > 0],
    ["hooks that are called when something is deleted", hasDeleteHooks(request.getHooks())],
    ["hideDiffs", request.getHidediffsList().length > 0],
    ["envVarMappings", request.getEnvvarmappingsMap?.().getLength() > 0],
    ["a component of another language (remote)", request.getRemote()],
  ];
  for (const [option, isSet] of unknownOptions) {
    if (!isSet) continue;
    throw deployment.fail(
      new EngineError(
        `The resource "${name}" (${type}) sets the option "${option}", which the rehearsal engine does not know. ` +
          "Leave it out, or teach it to rehearsal/engine/monitor.ts.",
      ),
    );
  }

  const propertyDependencies: Record<string, string[]> = {};
  request.getPropertydependenciesMap().forEach((dependencies: Message, property: string) => {
    const urns = dependencies.getUrnsList() as string[];
    if (urns.length > 0) propertyDependencies[property] = [...urns].sort();
  });
  return {
    type,
    name,
    custom: request.getCustom(),
    inputs: withoutNulls(propertiesFromWire(request.getObject()?.toJavaScript())),
    ...optional("parent", request.getParent()),
    ...optional("provider", request.getProvider()),
    version: request.getVersion(),
    dependencies: [...request.getDependenciesList()].sort(),
    propertyDependencies: Object.fromEntries(
      Object.entries(propertyDependencies).sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
    ...(request.hasProtect() && { protect: request.getProtect() }),
    ...(request.hasRetainondelete() && { retainOnDelete: request.getRetainondelete() }),
    ...(request.getDeletebeforereplacedefined() && {
      deleteBeforeReplace: request.getDeletebeforereplace(),
    }),
    ...optional("deletedWith", request.getDeletedwith()),
    ignoreChanges: request.getIgnorechangesList(),
    replaceOnChanges: request.getReplaceonchangesList(),
    additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
    aliases: request.getAliasesList().map(aliasOf),
    hooks: hooksOf(request.getHooks()),
  };
}

function hasDeleteHooks(hooks: Message): boolean {
  return (
    hooks !== undefined &&
    [hooks.getBeforeDeleteList(), hooks.getAfterDeleteList()].some((list) => list.length > 0)
  );
}

function hooksOf(hooks: Message): HookNames {
  if (hooks === undefined) return noHooks;
  return {
    beforeCreate: hooks.getBeforeCreateList(),
    afterCreate: hooks.getAfterCreateList(),
    beforeUpdate: hooks.getBeforeUpdateList(),
    afterUpdate: hooks.getAfterUpdateList(),
    onError: hooks.getOnErrorList(),
  };
}

function aliasOf(alias: Message): AliasSpec {
  if (alias.hasUrn()) return { urn: alias.getUrn() };
  const spec = alias.getSpec();
  return {
    ...optional("name", spec.getName()),
    ...optional("type", spec.getType()),
    ...optional("stack", spec.getStack()),
    ...optional("project", spec.getProject()),
    ...(spec.hasParenturn() && optional("parent", spec.getParenturn())),
    ...(spec.hasNoparent() && { noParent: spec.getNoparent() }),
  };
}

function optional<Key extends string>(key: Key, value: string): { [K in Key]?: string } {
  return (value ? { [key]: value } : {}) as { [K in Key]?: string };
}

function withoutNulls(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== null));
}

function struct(properties: Properties): never {
  return Struct.fromJavaScript(propertiesToWire(properties, { secrets: true, resources: true }));
}
