import { afterAll, describe, expect, it } from "vitest";
import { destroy } from "../../../rehearsal/engine/engine.ts";
import { EdgeHouse, ken, leftToTheAccount, writes } from "./edge-house.ts";
import { failureOf, type Moment, moments, twoAtATime } from "./moments.ts";

/** For good: whatever rests on the refused write is not tried, and the rest is. */
const refused = { kind: "status", status: 400, times: 50 } as const;

/**
 * The house is looked at after every change at Cloudflare, so an undisturbed run shows the prefixes of one
 * order; a run that is refused one write shows those of the orders that leave it out. The first `up` is
 * walked with the other faults.
 */
describe("no name without its gate, wherever a run stops", { timeout: 900_000 }, () => {
  let ofMove: Moment[] = [];
  let ofDestroy: Moment[] = [];
  let house: EdgeHouse | undefined;
  afterAll(() => house?.close());

  it("moves to another hostname, and goes, name first (row 42)", async () => {
    house = await EdgeHouse.build();
    await house.up();
    house.takeCalls();
    house.set("hostname", "pictures");
    await house.up();
    ofMove = moments(writes(house.takeCalls()));
    expect(ofMove.length).toBeGreaterThan(8);
    await house.folder.update({ skipPreview: true }, destroy);
    ofDestroy = moments(writes(house.takeCalls()));
    expect(ofDestroy[0]!.path).toContain("dns_records");
    expect(ofDestroy.length).toBeGreaterThan(7);
    expect(house.things()).toEqual(leftToTheAccount);
    expect(house.gaps).toEqual([]);
  });

  it("stops at any write of a move to another hostname, and the next `up` ends it (row 42)", async () => {
    const names = new Map<EdgeHouse, string>();
    await twoAtATime(ofMove, async (moment, house) => {
      const from = names.get(house) ?? "photos";
      if (!names.has(house)) await house.up();
      const to = from === "photos" ? "pictures" : "photos";
      names.set(house, to);
      house.set("hostname", to);
      house.world.faults.add({ ...moment, ...refused });
      const failed = await failureOf(house);
      house.world.faults.clear();
      expect(failed).toBeDefined();
      await house.up();
      expect(house.gaps).toEqual([]);
      expect(house.things().filter((thing) => thing.includes(`${from}.`))).toEqual([]);
      expect(house.things()).toHaveLength(9);
    });
  });

  it("stops at any deletion of a destroy, and the next one ends it (row 42)", async () => {
    await twoAtATime(ofDestroy, async (moment, house) => {
      house.set("hostname", "pictures");
      await house.up();
      house.world.faults.add({ ...moment, ...refused });
      const failed = await failureOf(house, destroy);
      house.world.faults.clear();
      expect(failed).toBeDefined();
      await house.folder.update({ skipPreview: true }, destroy);
      expect(house.gaps).toEqual([]);
      expect(house.things()).toEqual(leftToTheAccount);
    });
  });

  it("moves to another domain of the account (row 42)", async () => {
    const house = await EdgeHouse.build([ken]);
    try {
      house.world.state.data.zones.push({
        ...house.world.state.data.zones[0]!,
        id: "9".repeat(32),
        name: "other.example",
      });
      await house.up();
      house.set("domain", "other.example");
      await house.up();
      expect(house.gaps).toEqual([]);
      expect(house.things()).toContain("record photos.other.example");
      expect(house.things().filter((thing) => thing.includes("example.com"))).toEqual([]);
    } finally {
      await house.close();
    }
  });
});
