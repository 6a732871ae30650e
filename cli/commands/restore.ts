import type { EngineArgs } from "../engine.ts";
import { piProgram, runOnPi } from "../ssh.ts";
import { readPi } from "../stack-file.ts";

/** `ouchi restore`: the Pi's own restore program, with its options. */
export async function restore(args: EngineArgs, options: string[]): Promise<void> {
  process.exitCode = await runOnPi(readPi(args), piProgram("restore", ...options));
}
