import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { story } from "../../rehearsal/story/story.ts";
import { World } from "../../rehearsal/world.ts";

/** One world for the whole story: each step goes on from what the ones before have left. */
describe("The story of a house", () => {
  const minutes = 60_000;
  let world: World | undefined;
  let broken: number | undefined;

  beforeAll(async () => {
    world = await World.build({
      folder: join(import.meta.dirname, "../../.rehearsal/world-of-tests"),
      engine: "rehearsal",
      say: (line) => console.log(`building ${line}`),
    });
  }, 30 * minutes);

  afterAll(() => world?.close(), 2 * minutes);

  for (const step of story) {
    test(
      `${step.number}. ${step.title}`,
      async () => {
        expect(broken, `step ${broken} was not kept, and this one stands on it`).toBeUndefined();
        broken = step.number;
        console.log(`${step.number}. ${await step.live(world!)}`);
        broken = undefined;
      },
      45 * minutes,
    );
  }
});
