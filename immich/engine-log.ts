/** Messages to the terminal by way of Pulumi's engine, which shows them beside their resource. */
import { credentials } from "@grpc/grpc-js";
// Generated CommonJS: its names are known at run time only, so it is imported whole.
import grpcStubs from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import messages from "@pulumi/pulumi/proto/engine_pb.js";

export type Severity = "info" | "warning";
export type Log = (severity: Severity, message: string, urn?: string) => Promise<void>;

/** `args` are the plugin's: the engine's address, among flags for logging. */
export function engineLog(args: string[]): Log {
  const address = args.find((arg, i) => !arg.startsWith("-") && args[i - 1] !== "--tracing");
  if (!address) return async (severity, message) => console.error(`${severity}: ${message}`);
  const engine = new grpcStubs.EngineClient(address, credentials.createInsecure());
  return (severity, message, urn) =>
    new Promise((resolve) => {
      const request = new messages.LogRequest();
      request.setSeverity(
        severity === "warning" ? messages.LogSeverity.WARNING : messages.LogSeverity.INFO,
      );
      request.setMessage(message);
      if (urn) request.setUrn(urn);
      engine.log(request, (error) => {
        if (error) console.error(`${severity}: ${message}`);
        resolve();
      });
    });
}
