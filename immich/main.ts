/** Entry point of the plugin: prints its port and serves until the engine ends it. */
import { main } from "@pulumi/pulumi/provider/index.js";
import { engineLog } from "./engine-log.ts";
import { ImmichProvider } from "./provider.ts";

const args = process.argv.slice(2);
await main(new ImmichProvider({ log: engineLog(args) }), args);
