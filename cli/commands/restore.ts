import type { EngineArgs } from "../engine.ts";
import { piProgram, runOnPi } from "../ssh.ts";
import { readSettings } from "../stack-file.ts";

/** `ouchi restore`: the Pi's own restore program, with its options. */
export async function restore(args: EngineArgs, options: string[]): Promise<void> {
  const { pi } = readSettings(args.folder, args.stack, args.configFile);
  process.exitCode = await runOnPi(pi, piProgram("restore", ...options));
}
