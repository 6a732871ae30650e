import { type EngineArgs, runEngine } from "../engine.ts";
import { readSettings } from "../stack-file.ts";

/** `ouchi up`, `ouchi preview`: the engine's own, after the settings were found good. */
export async function up(
  args: EngineArgs,
  operation: "up" | "preview",
  options: string[],
): Promise<void> {
  readSettings(args.folder, args.stack, args.configFile);
  process.exitCode = await runEngine(args, [operation, ...options]);
}
