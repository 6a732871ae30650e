import { homedir } from "node:os";
import { join } from "node:path";
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";

/** `ouchi install-pulumi`: the command line of the same version as the library that the program uses. */
export async function installPulumi(): Promise<void> {
  const root = join(homedir(), ".pulumi");
  const { version } = await PulumiCommand.install({ root });
  console.log(`Pulumi ${version} is in ${join(root, "bin")}. Add that folder to the PATH.`);
}
