import { describe, expect, test } from "vitest";
import { timeZoneNames, timeZoneProblem } from "../../infra/settings/time-zone.ts";
import zones from "../../infra/settings/time-zones.json" with { type: "json" };

describe("Time zones", () => {
  test("are Debian 13's but for shifts from UTC: 458 names, and 113 old ones that lead to one of them", () => {
    expect(timeZoneNames).toHaveLength(458);
    expect(Object.keys(zones.legacy)).toHaveLength(113);
    for (const [old, modern] of Object.entries(zones.legacy)) {
      expect(timeZoneNames).toContain(modern);
      expect(timeZoneNames).not.toContain(old);
    }
  });

  test("are each taken by its own name, and each old one is refused by the modern one", () => {
    for (const name of timeZoneNames) expect(timeZoneProblem(name)).toBeUndefined();
    for (const [old, modern] of Object.entries(zones.legacy)) {
      expect(timeZoneProblem(old)).toBe(
        `is "${old}", an old name that the Pi does not know: give ${modern}`,
      );
    }
  });

  test("of this Node that the Pi does not know are refused", () => {
    for (const name of Intl.supportedValuesOf("timeZone")) {
      expect(timeZoneProblem(name) === undefined, name).toBe(timeZoneNames.includes(name));
    }
  });
});
