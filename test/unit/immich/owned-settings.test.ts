import { describe, expect, it } from "vitest";
import { mergeOwned, ownedPart, unknownKeys } from "../../../immich/owned-settings.ts";

const whole = {
  storageTemplate: { enabled: false, template: "old" },
  machineLearning: { urls: ["one", "two"], enabled: true },
};

describe("the kit's part of Immich's settings", () => {
  it("is laid over the whole, key by key; a list is one value", () => {
    const owned = { storageTemplate: { enabled: true }, machineLearning: { urls: ["three"] } };
    expect(mergeOwned(whole, owned)).toEqual({
      storageTemplate: { enabled: true, template: "old" },
      machineLearning: { urls: ["three"], enabled: true },
    });
    expect(whole.storageTemplate.enabled).toBe(false);
  });

  it("is read back without the rest", () => {
    expect(ownedPart(whole, { storageTemplate: { template: "new" } })).toEqual({
      storageTemplate: { template: "old" },
    });
  });

  it("names every key that Immich does not know", () => {
    expect(unknownKeys(whole, { storageTemplate: { enable: 1 }, other: { a: 1 } })).toEqual([
      "storageTemplate.enable",
      "other",
    ]);
  });
});
