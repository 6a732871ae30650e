import type { ErrorKind } from "../infra/settings/user-error.ts";

/** What a command's exit status says, once for code and help. Numbers above 63 are those of sysexits.h. */
export const exitStatus = {
  well: 0,
  /** `status` found something wrong. Pulumi, and the Pi's programs, end with it when they did not succeed. */
  unwell: 1,
  usage: 64,
  unreachable: 69,
  fault: 70,
  refused: 77,
  settings: 78,
  interrupted: 130,
} as const satisfies Record<ErrorKind | "well" | "fault", number>;

const meanings: Record<keyof typeof exitStatus, string> = {
  well: "done, and all is well",
  unwell: "something is wrong, and was said: on the Pi (status), or in what Pulumi or the Pi did",
  usage: "no such command, option or argument",
  unreachable: "the Pi does not answer, or the line to it was lost",
  fault: "a fault of ouchi-photos",
  refused: "not done: the Pi did not let this laptop in, or something else has to be done first",
  settings: "not done: the stack file, or this laptop, has to be mended first",
  interrupted: "interrupted by Ctrl-C",
};

/** The table at the end of `ouchi --help`. */
export const exitStatusHelp = [
  "Exit status:",
  ...Object.entries(exitStatus).map(
    ([name, status]) => `  ${String(status).padEnd(5)}${meanings[name as keyof typeof exitStatus]}`,
  ),
  "  Pulumi's own (1 to 9, 255), and those of the programs on the Pi (1, 2), are handed on.",
].join("\n");
