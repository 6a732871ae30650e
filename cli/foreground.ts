/**
 * Ctrl-C reaches what a command has started, too, which then ends in order: meanwhile this process waits for it.
 *
 * @returns what the work returned, and whether Ctrl-C came.
 */
export async function inForeground<T>(
  work: () => Promise<T>,
): Promise<{ ended: T; interrupted: boolean }> {
  let interrupted = false;
  const note = () => {
    interrupted = true;
  };
  process.on("SIGINT", note);
  try {
    const ended = await work();
    return { ended, interrupted };
  } finally {
    process.off("SIGINT", note);
  }
}
