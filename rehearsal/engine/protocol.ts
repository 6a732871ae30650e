// The published protocol, from the stubs that Pulumi's own SDK ships.
import { createRequire } from "node:module";
import type { ServiceError } from "@grpc/grpc-js";

const requireHere = createRequire(import.meta.url);
// The stubs and their google-protobuf must be one copy: messages do not mix between two.
const requireOfPulumi = createRequire(requireHere.resolve("@pulumi/pulumi/package.json"));

export interface StructMessage {
  toJavaScript(): Record<string, unknown>;
}

export const { Struct } = requireOfPulumi("google-protobuf/google/protobuf/struct_pb.js") as {
  Struct: { fromJavaScript(value: object): never };
};
export const { Empty } = requireOfPulumi("google-protobuf/google/protobuf/empty_pb.js") as {
  Empty: new () => never;
};

const maximumMessageBytes = 400 * 1024 * 1024;
export const channelOptions = {
  "grpc.max_receive_message_length": maximumMessageBytes,
  "grpc.max_send_message_length": maximumMessageBytes,
};

type Unary<Request, Reply> = (
  request: Request,
  done: (error: ServiceError | null, reply: Reply) => void,
) => unknown;

/** One call as a promise. `call` is bound by the caller: `ask((q, done) => client.check(q, done), request)`. */
export function ask<Request, Reply>(call: Unary<Request, Reply>, request: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    call(request, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}
