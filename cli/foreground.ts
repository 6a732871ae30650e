import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds in which a Ctrl-C that has already ended what was started reaches this process, too. */
const late = 200;

/**
 * Ctrl-C reaches what a command has started, too, which then ends in order: meanwhile this process waits for it.
 *
 * @returns what the work returned, and whether Ctrl-C came.
 */
export async function inForeground<T extends { failed: boolean }>(
  work: () => Promise<T>,
): Promise<{ ended: T; interrupted: boolean }> {
  let interrupted = false;
  const note = () => {
    interrupted = true;
  };
  process.on("SIGINT", note);
  try {
    const ended = await work();
    // Which of the two hears of it first is not said.
    if (ended.failed && !interrupted) await sleep(late);
    return { ended, interrupted };
  } finally {
    process.off("SIGINT", note);
  }
}
