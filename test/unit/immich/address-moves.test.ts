import { describe, expect, test } from "vitest";
import { AddressMoves, ringRefusal } from "../../../immich/address-moves.ts";

const note = (moves: AddressMoves, name: string, from: string | undefined, to: string) =>
  moves.note(`urn:${name}`, name, from, to);

describe("E-mail addresses that change in one run", () => {
  test("make a ring when two people exchange them, which is refused with the way in two steps", () => {
    const moves = new AddressMoves();
    note(moves, "ken", "ken@y.jp", "mio@y.jp");
    expect(moves.ring("urn:ken")).toEqual([]);
    note(moves, "mio", "mio@y.jp", "ken@y.jp");
    expect(ringRefusal(moves.ring("urn:mio"))).toBe(
      'These e-mail addresses change places, which Immich cannot do, since an address belongs to one account at every moment: mio from "mio@y.jp" to "ken@y.jp", ken from "ken@y.jp" to "mio@y.jp". Do it in two steps: give mio a third address for a moment, and deploy; then give everybody the address that they are to have, and deploy again. Nothing was changed.',
    );
  });

  test("make a ring of three, and a fourth who only waits for it is in none", () => {
    const moves = new AddressMoves();
    note(moves, "a", "a@y.jp", "b@y.jp");
    note(moves, "b", "b@y.jp", "c@y.jp");
    note(moves, "c", "c@y.jp", "a@y.jp");
    note(moves, "d", "d@y.jp", "a@y.jp");
    expect(moves.ring("urn:c").map(({ name }) => name)).toEqual(["c", "a", "b"]);
    expect(moves.ring("urn:d")).toEqual([]);
  });

  test("make none when somebody gets an address that another one leaves for a new one", () => {
    const moves = new AddressMoves();
    note(moves, "ken", "ken@y.jp", "kenji@y.jp");
    note(moves, "mio", "mio@y.jp", "ken@y.jp");
    note(moves, "new", undefined, "mio@y.jp");
    for (const name of ["ken", "mio", "new"]) expect(moves.ring(`urn:${name}`)).toEqual([]);
    expect(["ken@y.jp", "mio@y.jp", "kenji@y.jp"].map((each) => moves.isLeft(each))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("are forgotten when they stay after all", () => {
    const moves = new AddressMoves();
    note(moves, "ken", "ken@y.jp", "mio@y.jp");
    note(moves, "ken", "ken@y.jp", "ken@y.jp");
    note(moves, "mio", "mio@y.jp", "ken@y.jp");
    expect(moves.ring("urn:mio")).toEqual([]);
  });
});
