import { appendFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

const config = new pulumi.Config();
const runs = config.get("runs");
if (runs) appendFileSync(runs, pulumi.runtime.isDryRun() ? "preview\n" : "update\n");

class Room extends pulumi.ComponentResource {
  readonly key: pulumi.Output<string>;

  constructor(name: string, opts?: pulumi.ComponentResourceOptions) {
    super("test:house:Room", name, {}, opts);
    const key = new random.RandomPassword(
      `${name}-key`,
      { length: config.getNumber("length") ?? 24 },
      { parent: this, protect: config.getBoolean("protect") ?? false },
    );
    this.key = key.result;
    this.registerOutputs({ key: this.key });
  }
}

const rooms = (config.getObject<string[]>("rooms") ?? ["hall"]).map((name) => new Room(name));
const bytes = new random.RandomBytes("bytes", { length: 16 });

if (config.getBoolean("say")) console.log(`the secret is ${config.require("password")}`);
if (config.getBoolean("throw")) {
  // With a stack, Node 20 spends half a minute on colouring it.
  throw Object.assign(new pulumi.RunError("the roof is missing"), { stack: "" });
}

export const keys = pulumi.all(rooms.map(({ key }) => key));
export const bytesLength = bytes.hex.apply((hex) => hex.length / 2);
export const password = config.getSecret("password");
export const settings = Object.fromEntries(
  Object.entries(pulumi.runtime.allConfig()).filter(([key]) => key !== "house:password"),
);
export const organization = pulumi.getOrganization();
export const folder = process.cwd().split("/").at(-1);
