import type { World } from "../world.ts";

/** One step of the story: what a person would do, and what they would look at. */
export interface Step {
  number: number;
  title: string;
  /** @returns what was seen, in a few words. @throws when it was not as promised. */
  live(world: World): Promise<string>;
}

/** A promise of the story that was not kept. */
export class PromiseBroken extends Error {
  override readonly name = "PromiseBroken";
}

export function promise(kept: boolean, sentence: string): asserts kept {
  if (!kept) throw new PromiseBroken(sentence);
}

/** Asks until `look` answers something; its last error is the reason when the deadline comes. */
export async function until<T>(
  what: string,
  seconds: number,
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let last = "";
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
    if (Date.now() > deadline)
      throw new PromiseBroken(`${what} did not come about in ${seconds} s${last}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
