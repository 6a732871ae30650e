/** The plugin as Pulumi's engine meets it: started as a program, spoken to by the provider protocol. */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import engineStubs from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineMessages from "@pulumi/pulumi/proto/engine_pb.js";
import providerStubs from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import messages from "@pulumi/pulumi/proto/provider_pb.js";
import type * as emptyTypes from "google-protobuf/google/protobuf/empty_pb.js";
import type * as structTypes from "google-protobuf/google/protobuf/struct_pb.js";
import { stop } from "./services.ts";

// Pulumi's own copy of protobuf: messages of another copy do not fit into its messages.
const pulumiRequire = createRequire(import.meta.resolve("@pulumi/pulumi/package.json"));
const empty: typeof emptyTypes = pulumiRequire("google-protobuf/google/protobuf/empty_pb.js");
const struct: typeof structTypes = pulumiRequire("google-protobuf/google/protobuf/struct_pb.js");

export type Properties = { [key: string]: unknown };

const executable = fileURLToPath(
  new URL("../../../immich/pulumi-resource-immich", import.meta.url),
);

export const secret = (value: unknown) => ({
  "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
  value,
});
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export const urn = (type: string, name: string) =>
  `urn:pulumi:test::ouchi-photos::immich:index:${type}::${name}`;

export interface Plugin {
  /** What the plugin told the engine to show. */
  messages: { severity: string; message: string }[];
  /** What it printed by itself. */
  printed(): string;
  check(
    urn: string,
    olds: Properties | undefined,
    news: Properties,
  ): Promise<{ inputs: Properties; failures: { property: string; reason: string }[] }>;
  diff(
    id: string,
    urn: string,
    olds: Properties,
    news: Properties,
  ): Promise<{ changes: boolean; replaces: string[] }>;
  create(urn: string, inputs: Properties): Promise<{ id: string; outputs: Properties }>;
  read(
    id: string,
    urn: string,
    state: Properties,
  ): Promise<{ id: string; outputs: Properties; inputs: Properties }>;
  update(id: string, urn: string, olds: Properties, news: Properties): Promise<Properties>;
  delete(id: string, urn: string, state: Properties): Promise<void>;
  cancel(): Promise<void>;
  stop(): Promise<void>;
}

const toStruct = (value: Properties) =>
  struct.Struct.fromJavaScript(value as Parameters<typeof struct.Struct.fromJavaScript>[0]);
const toPlain = (value: InstanceType<typeof struct.Struct> | undefined) =>
  (value?.toJavaScript() ?? {}) as Properties;

export async function startPlugin(environment: NodeJS.ProcessEnv = {}): Promise<Plugin> {
  const shown: Plugin["messages"] = [];
  const engine = new grpc.Server();
  const service = engineStubs.EngineService as unknown as grpc.ServiceDefinition;
  engine.addService(
    Object.fromEntries(Object.entries(service).filter(([name]) => name === "log")),
    {
      log: (
        call: { request: { getSeverity(): number; getMessage(): string } },
        done: grpc.sendUnaryData<unknown>,
      ) => {
        shown.push({
          severity:
            call.request.getSeverity() === engineMessages.LogSeverity.WARNING ? "warning" : "info",
          message: call.request.getMessage(),
        });
        done(null, new empty.Empty());
      },
    },
  );
  const enginePort = await new Promise<number>((resolve, reject) =>
    engine.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  );

  // Pulumi starts it from the project's folder or any other.
  const child: ChildProcess = spawn(executable, [`127.0.0.1:${enginePort}`], {
    cwd: tmpdir(),
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  const port = await new Promise<number>((resolve, reject) => {
    child.stderr!.on("data", (text) => {
      printed += text;
    });
    child.stdout!.on("data", (text) => {
      printed += text;
      const match = /^(\d+)$/m.exec(printed);
      if (match) resolve(Number(match[1]));
    });
    child.once("exit", (code) => reject(new Error(`the plugin ended (${code}): ${printed}`)));
  });
  const client = new providerStubs.ResourceProviderClient(
    `127.0.0.1:${port}`,
    grpc.credentials.createInsecure(),
  );
  const ask = <Answer>(
    call: (done: (error: grpc.ServiceError | null, answer: Answer) => void) => void,
  ) =>
    new Promise<Answer>((resolve, reject) =>
      call((error, answer) => (error ? reject(new Error(error.details)) : resolve(answer))),
    );

  await ask<unknown>((done) => {
    const request = new messages.ConfigureRequest();
    request.setAcceptsecrets(true);
    client.configure(request, done);
  });

  return {
    messages: shown,
    printed: () => printed,
    check: async (of, olds, news) => {
      const request = new messages.CheckRequest();
      request.setUrn(of);
      request.setOlds(toStruct(olds ?? {}));
      request.setNews(toStruct(news));
      const answer = await ask<InstanceType<typeof messages.CheckResponse>>((done) =>
        client.check(request, done),
      );
      return {
        inputs: toPlain(answer.getInputs()),
        failures: answer
          .getFailuresList()
          .map((each) => ({ property: each.getProperty(), reason: each.getReason() })),
      };
    },
    diff: async (id, of, olds, news) => {
      const request = new messages.DiffRequest();
      request.setId(id);
      request.setUrn(of);
      request.setOlds(toStruct(olds));
      request.setNews(toStruct(news));
      const answer = await ask<InstanceType<typeof messages.DiffResponse>>((done) =>
        client.diff(request, done),
      );
      return {
        changes: answer.getChanges() !== messages.DiffResponse.DiffChanges.DIFF_NONE,
        replaces: answer.getReplacesList(),
      };
    },
    create: async (of, inputs) => {
      const request = new messages.CreateRequest();
      request.setUrn(of);
      request.setProperties(toStruct(inputs));
      const answer = await ask<InstanceType<typeof messages.CreateResponse>>((done) =>
        client.create(request, done),
      );
      return { id: answer.getId(), outputs: toPlain(answer.getProperties()) };
    },
    read: async (id, of, state) => {
      const request = new messages.ReadRequest();
      request.setId(id);
      request.setUrn(of);
      request.setProperties(toStruct(state));
      const answer = await ask<InstanceType<typeof messages.ReadResponse>>((done) =>
        client.read(request, done),
      );
      return {
        id: answer.getId(),
        outputs: toPlain(answer.getProperties()),
        inputs: toPlain(answer.getInputs()),
      };
    },
    update: async (id, of, olds, news) => {
      const request = new messages.UpdateRequest();
      request.setId(id);
      request.setUrn(of);
      request.setOlds(toStruct(olds));
      request.setNews(toStruct(news));
      const answer = await ask<InstanceType<typeof messages.UpdateResponse>>((done) =>
        client.update(request, done),
      );
      return toPlain(answer.getProperties());
    },
    delete: async (id, of, state) => {
      const request = new messages.DeleteRequest();
      request.setId(id);
      request.setUrn(of);
      request.setProperties(toStruct(state));
      await ask((done) => client.delete(request, done));
    },
    cancel: async () => {
      await ask<unknown>((done) => client.cancel(new empty.Empty(), done));
    },
    stop: async () => {
      client.close();
      await stop(child);
      engine.forceShutdown();
    },
  };
}
