import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bundle } from "../../../pi/bundle.ts";
import { bundleInput, systemBundle } from "../../../pi/bundles.ts";
import { bundles, DeployedWorld } from "./deployed-world.ts";
import { libexec } from "./host-world.ts";
import { openLine, overLine } from "./lost-line.ts";

// Every step in the long tests; some, spread over all of them, in the ordinary ones.
const stride = Number(process.env.OUCHI_CUT_STRIDE ?? 1) ** 2;

const forget = readFileSync(new URL("./forget.py", import.meta.url), "utf8");

describe("SSH that is lost while the Pi is set up", () => {
  let house: DeployedWorld;
  let rows: string;
  const all = { system: systemBundle({ timeZone: "Asia/Tokyo", kernelWords: [] }), ...bundles() };

  const setUp = async (started: Promise<DeployedWorld>) => {
    house = await started;
    await openLine(house.world);
    // From where `bootstrap` brings it, before any program lies on the Pi.
    await house.world.shell(`mkdir /run/brought; cp ${libexec}/* /run/brought`);
    expect(await house.world.apply(all.system)).toMatchObject({ code: 0, stderr: "" });
  };
  const program = ({ subject }: Bundle) => [
    `${subject === "system" ? "/run/brought" : libexec}/apply`,
    subject,
  ];

  /** Answers how many steps the program made. */
  async function cutEverywhere(bundle: Bundle, intact: () => Promise<void>): Promise<number> {
    const { world } = house;
    const { subject } = bundle;
    const begin = () => world.must(["python3", "-c", forget, subject]);
    await begin();
    const whole = await world.run(["cut.py", "1000000", ...program(bundle)], {
      stdin: bundleInput(bundle),
    });
    expect(whole.code, whole.stderr).toBe(0);
    const steps = Number(/^steps: (\d+)$/m.exec(whole.stdout)![1]);
    for (let step = 1 + (steps % stride); step <= steps; step += stride) {
      await begin();
      const lost = await overLine(world, step, program(bundle), bundleInput(bundle));
      expect([0, 255], lost.stderr).toContain(lost.code);
      const again = await world.run(program(bundle), { stdin: bundleInput(bundle) });
      expect(again, `${subject}: after the line was lost at step ${step}`).toMatchObject({
        code: 0,
        stderr: "",
      });
      const look = JSON.parse(await world.must([`${libexec}/drift`])) as { found: object[] };
      expect(look.found, `step ${step}`).toEqual([]);
      expect(
        await world.shell("find /etc /usr/local /var/lib/ouchi-photos -name '*.ouchi-new'"),
      ).toBe("");
      await intact();
    }
    return steps;
  }

  describe("on blank disks", () => {
    beforeAll(() => setUp(DeployedWorld.blank()));
    afterAll(() => house?.stop());

    it.each(["system", "disks", "docker"] as const)(
      "converges after the line was lost at any step of %s (row 35)",
      async (subject) => {
        const steps = await cutEverywhere(all[subject], async () => undefined);
        expect(steps).toBeGreaterThanOrEqual(20);
      },
      3_600_000,
    );
  });

  describe("on a house with photos", () => {
    beforeAll(async () => {
      await setUp(DeployedWorld.start());
      await house.addPhotos("one.jpg", "two.jpg");
      rows = await house.everyRow();
    });
    afterAll(() => house?.stop());

    it.each(["secrets", "immich", "tunnel", "backup"] as const)(
      "converges after the line was lost at any step of %s, with every photo (row 35)",
      async (subject) => {
        const steps = await cutEverywhere(all[subject], async () => {
          expect(await house.everyRow()).toBe(rows);
          expect(
            await house.world.shell(
              "cat /mnt/hdd1/immich/images/library/ken/2022/2022-02-03/*.jpg",
            ),
          ).toBe("the bytes of one.jpgthe bytes of two.jpg");
        });
        expect(steps).toBeGreaterThan(20);
      },
      3_600_000,
    );
  });
});
