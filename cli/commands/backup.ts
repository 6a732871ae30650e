import type { EngineArgs } from "../engine.ts";
import { piProgram, runOnPi } from "../ssh.ts";
import { readSettings } from "../stack-file.ts";

export type BackupVerb = "now" | "list" | "drill" | "accept" | "make-room";

/** `ouchi backup <verb>`: the Pi's own backup program, with its words as they come. */
export async function backup(args: EngineArgs, verb: BackupVerb): Promise<void> {
  const { pi } = readSettings(args.folder, args.stack, args.configFile);
  process.exitCode = await runOnPi(pi, piProgram("backup", verb));
}
