import { describe, expect, it } from "vitest";
import { EdgeHouse, ken, writes } from "./edge-house.ts";
import { failureOf, moments } from "./moments.ts";
import { ouchiAdopt } from "./ouchi.ts";
import { Strangers } from "./strangers.ts";

export const baaba = { name: "baaba", email: "baaba@example.com", phones: [{ name: "tab" }] };

/** Home Assistant is as it was: its name answers, its people and machines get in, the family does not. */
export async function undisturbed(strangers: Strangers): Promise<void> {
  expect(await strangers.seenAtHome()).toBe("home assistant");
  expect(await strangers.signsInAtHome("work@example.org")).toBe("home assistant");
  expect(await strangers.signsInAtHome("baaba@example.com")).toBe("refused");
  expect(await strangers.seenAtHome({})).not.toBe("home assistant");
}

/** @param writesWalked whether to stop at every write, or at every second one. */
export function takeoverWalk(writesWalked: "every" | "every second"): void {
  describe(`a takeover that stops at ${writesWalked} write`, { timeout: 900_000 }, () => {
    it("disturbs no stranger, opens nothing and keeps the photos answering, and the next `up` ends it", async () => {
      const house = await EdgeHouse.build([ken, baaba]);
      const strangers = await Strangers.moveIn(house);
      try {
        const { adopt } = await ouchiAdopt(house);
        house.set("adopt", { ...(adopt as object), phones: { "ken-iphone": strangers.phone.id } });
        await ouchiAdopt(house);
        const before = house.remember();
        house.takeCalls();
        await house.up();
        const all = moments(writes(house.takeCalls()));
        expect(all.length).toBeGreaterThan(8);
        const done = house.things();
        for (const moment of all.filter(
          (_, index) => writesWalked === "every" || index % 2 === 0,
        )) {
          house.goBack(before);
          house.world.faults.add({ ...moment, kind: "status", status: 400, times: 50 });
          expect(await failureOf(house), JSON.stringify(moment)).toBeDefined();
          house.world.faults.clear();
          expect(await strangers.seenAtHome()).toBe("home assistant");
          const photos = await house.send("/", { headers: strangers.phone.headers });
          expect(photos.body.toString(), JSON.stringify(moment)).toBe("the old photos");
          await house.up();
          expect(house.things()).toEqual(done);
          await undisturbed(strangers);
          expect(house.gaps).toEqual([]);
        }
      } finally {
        strangers.close();
        await house.close();
      }
    });
  });
}
