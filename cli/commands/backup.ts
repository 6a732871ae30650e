import type { EngineArgs } from "../engine.ts";
import { piProgram, readOnPi, runOnPi } from "../ssh.ts";
import { readPi } from "../stack-file.ts";

export type BackupVerb = "now" | "list" | "drill" | "accept" | "make-room";

/** `ouchi backup <verb>`: the Pi's own backup program, with its words as they come. */
export async function backup(
  args: EngineArgs,
  verb: BackupVerb,
  { json }: { json?: boolean },
): Promise<void> {
  const pi = readPi(args);
  const words = piProgram("backup", verb);
  if (json) console.log(JSON.stringify(archives(await readOnPi(pi, words)), null, 2));
  else process.exitCode = await runOnPi(pi, words);
}

/** The Pi's list, oldest first; times are the Pi's. Other lines may stand around it. */
export function archives(list: string): { name: string; time: string }[] {
  return [...list.matchAll(/^(\S+) {2}(\d{4}-\d\d-\d\dT\S+)$/gm)].map(([, name, time]) => ({
    name: name!,
    time: time!,
  }));
}
