import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

const config = new pulumi.Config();

const command = new remote.Command("command", {
  connection: config.requireObject<{ host: string }>("connection"),
  ...config.requireObject<{ create?: string }>("command"),
});

export const stdout = command.stdout;
