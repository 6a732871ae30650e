import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { story } from "../rehearsal/story/story.ts";
import { type ServiceTokenMode, World } from "../rehearsal/world.ts";

const minutes = 60_000;

/** By step, the failure that it shows, as the table of failures numbers them. */
const rows: Record<number, number> = { 3: 43, 6: 45, 11: 31, 12: 8, 13: 46 };
const rowOf = (step: number) => (rows[step] ? ` (row ${rows[step]})` : "");

/**
 * The story, as far as its step number `last`, each step a test.
 *
 * One world for all of them: each step goes on from what the ones before have left.
 */
export function storyOfAHouse(
  title: string,
  last = story.length,
  serviceTokens: ServiceTokenMode = "strict",
): void {
  describe(title, () => {
    let world: World | undefined;
    let broken: number | undefined;

    beforeAll(async () => {
      world = await World.build({
        folder: join(import.meta.dirname, "../.rehearsal/world-of-tests"),
        engine: "rehearsal",
        serviceTokens,
        say: (line) => console.log(`building ${line}`),
      });
    }, 30 * minutes);

    afterAll(() => world?.close(), 2 * minutes);

    for (const step of story.filter(({ number }) => number <= last)) {
      test(
        `${step.number}. ${step.title}${rowOf(step.number)}`,
        async () => {
          expect(broken, `step ${broken} was not kept, and this one stands on it`).toBeUndefined();
          broken = step.number;
          try {
            console.log(`${step.number}. ${await step.live(world!)}`);
          } catch (error) {
            console.log(await world!.lastWords());
            throw error;
          }
          broken = undefined;
        },
        45 * minutes,
      );
    }
  });
}
