import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preview } from "../../../rehearsal/engine/engine.ts";
import { EdgeHouse } from "./edge-house.ts";

/** What the owner reads. The provider's own words are those that its stand-in has from it. */
describe("what an up says of the edge", () => {
  let house: EdgeHouse;

  beforeAll(async () => {
    house = await EdgeHouse.build();
  });
  afterAll(async () => {
    await house?.close();
  });

  const ofIngress = ({ diagnostics }: Awaited<ReturnType<EdgeHouse["up"]>>) =>
    diagnostics
      .filter(({ urn }) => urn?.endsWith("::tunnel-ingress"))
      .map(({ severity, message }) => `${severity}: ${message}`);
  const both = [
    expect.stringMatching(/^warning: This resource cannot be destroyed from Terraform\./),
    expect.stringMatching(
      /^info: Do not mind .*the rules are a part of the tunnel, and go with it/,
    ),
  ];

  it("has a word beside the provider's false alarm, in the first preview and the first up, and none when the alarm is over", async () => {
    expect(ofIngress(await house.folder.update({}, preview))).toEqual(expect.arrayContaining(both));
    const first = ofIngress(await house.up());
    expect(first).toEqual(expect.arrayContaining(both));
    expect(first).toHaveLength(2);
    expect(ofIngress(await house.up())).toEqual([]);
  });
});
