import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inAMonth } from "../edge/edge-house.ts";
import type { UpdateResult } from "../../../rehearsal/engine/engine.ts";
import { WholeHouse } from "./whole-house.ts";

const ken = { name: "ken", email: "ken@yamada.test", phones: [{ name: "iphone" }] };
const mio = { name: "mio", email: "mio@yamada.test", phones: [{ name: "pixel" }] };
const rotated = {
  ...mio,
  phones: [{ name: "pixel", secretVersion: 2, overlapUntil: inAMonth }],
};
const seen = { macAddress: "00:00:00:00:00:00", addresses: [] };

describe("what an owner reads of the whole house", { timeout: 300_000 }, () => {
  let house: WholeHouse;

  beforeAll(async () => {
    house = await WholeHouse.build();
    house.set("ouchi-photos:family", [ken]);
  }, 300_000);
  afterAll(() => house?.close());

  const said = ({ diagnostics }: UpdateResult, name: string) =>
    diagnostics.filter(({ urn }) => urn?.endsWith(`::${name}`)).map(({ message }) => message);

  it("a first preview tells the address reservation to make, and which disks are formatted, once each", async () => {
    const first = await house.preview();
    expect(first.outputs.pi).toEqual(seen);
    expect(said(first, "preflight")).toEqual([
      expect.stringMatching(/^"up" formats the main disk, which is blank: usb-ONE/),
      expect.stringMatching(/^"up" formats the backup disk, which is blank: usb-TWO/),
    ]);
  });

  it("a first up tells in each part's last line what was done, and no line begins with a mark of the journal", async () => {
    const first = await house.up();
    const last = (name: string) => said(first, name).join("\n").split("\n").at(-1);
    expect(last("pi-disks")).toBe("disks: changed");
    expect(last("pi-backup")).toBe("backup: 5 files in place, changed");
    const lines = first.diagnostics.flatMap(({ message }) => message.split("\n"));
    expect(lines.filter((line) => /^<\d>/.test(line))).toEqual([]);
  });

  it("an up that changes nothing says nothing", async () => {
    const again = await house.up();
    expect(again.steps.filter(({ op }) => op !== "same")).toEqual([]);
    expect(again.diagnostics).toEqual([]);
  });

  it("the previews of a new member and of a rotation show no output as if a part of it were to go", async () => {
    for (const family of [
      [ken, mio],
      [ken, rotated],
    ]) {
      house.set("ouchi-photos:family", family);
      const { outputs, diagnostics } = await house.preview();
      // Pulumi leaves out what is unknown as a whole, and shows the known parts alone of what is unknown in part.
      expect(outputs).toEqual({
        url: "https://photos.yamada.test",
        pi: seen,
        people: "[unknown]",
        tokenExpiry: "[unknown]",
      });
      expect(diagnostics).toEqual([]);
      await house.up();
    }
  });
});
