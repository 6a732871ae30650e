import * as pulumi from "@pulumi/pulumi";
import { UserError } from "./settings/user-error.ts";

/** A Pulumi program that fails with a sentence for the owner, or with a stack for a fault. */
export function program<Outputs>(body: () => Promise<Outputs>): () => Promise<Outputs> {
  return async () => {
    try {
      return await body();
    } catch (error) {
      throw failure(error);
    }
  };
}

/** An error as Pulumi prints it in one sentence; for what is thrown inside `apply`, too. */
export function failure(error: unknown): pulumi.RunError {
  // As a message: Node 20 takes half a minute and a gigabyte to print an error whose stack leads
  // through Pulumi's source maps.
  const message =
    error instanceof UserError ? error.message : String((error as Error).stack ?? error);
  return Object.assign(new pulumi.RunError(message), { stack: "" });
}

/** Waits for a value: a hook's is an output where it is secret, and a resource's URN comes when it is registered. */
export function known(value: unknown): Promise<unknown> {
  return new Promise((resolve) => {
    (pulumi.output(value) as pulumi.Output<unknown>).apply(resolve);
  });
}
