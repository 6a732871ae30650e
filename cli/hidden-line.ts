import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { exitStatus } from "./exit-status.ts";

/** A line from the keyboard, not shown as it is typed; Ctrl-C ends the command, and the end of the input is an empty line. */
export async function hiddenLine(question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const { isTTY } = process.stdin;
  const line = createInterface({ input: process.stdin, output: silent, terminal: isTTY });
  if (isTTY) process.stderr.write(question);
  try {
    return await new Promise<string>((resolve) => {
      line.once("SIGINT", () => process.exit(exitStatus.interrupted));
      line.once("close", () => resolve(""));
      line.question("").then(resolve, () => resolve(""));
    });
  } finally {
    line.close();
    if (isTTY) process.stderr.write("\n");
  }
}
