import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { World } from "../rehearsal/world.ts";

export interface ScratchWorld {
  world: World;
  /** For what the bench itself writes. */
  folder: string;
  /** `pulumi up`; throws with all that it said when it fails. */
  up(): Promise<void>;
  /** Takes the world and the folder away. */
  end(): Promise<void>;
}

/** A world of a bench's own, with the virtual Pi and nothing deployed. */
export async function scratchWorld(): Promise<ScratchWorld> {
  const folder = await mkdtemp(join(tmpdir(), "ouchi-bench-"));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  let world: World;
  try {
    world = await World.build({
      folder: join(folder, "world"),
      engine: "rehearsal",
      say: () => undefined,
    });
  } catch (error) {
    await removeFolder();
    throw error;
  }
  return {
    world,
    folder,
    async up() {
      const ran = await world.engine.up();
      if (ran.exitCode !== 0) throw new Error(ran.text);
    },
    async end() {
      await world.close();
      await removeFolder();
    },
  };
}
