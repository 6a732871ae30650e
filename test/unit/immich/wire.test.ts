import { describe, expect, it } from "vitest";
import {
  asSecret,
  hasUnknown,
  isSecret,
  plain,
  sameValue,
  secretLike,
} from "../../../immich/wire.ts";

describe("values on Pulumi's wire", () => {
  it("are the same plain value however deep their secrets lie", () => {
    const value = { a: asSecret({ b: [asSecret("c")] }), d: 1 };
    expect(plain(value)).toEqual({ a: { b: ["c"] }, d: 1 });
    expect(isSecret(value.a)).toBe(true);
  });

  it("become secret again where they were", () => {
    expect(secretLike({ a: { b: "x", c: "y" } }, { a: { b: asSecret("old"), c: "z" } })).toEqual({
      a: { b: asSecret("x"), c: "y" },
    });
  });

  it("tell that something is not known yet", () => {
    expect(hasUnknown({ a: ["04da6b54-80e4-46f7-96ec-b56ff0331ba9"] })).toBe(true);
    expect(hasUnknown({ a: ["known"] })).toBe(false);
  });

  it("are the same whatever the order of their keys, and whether nothing is missing or undefined", () => {
    expect(sameValue({ a: 1, b: [{ c: 2 }] }, { b: [{ c: 2 }], a: 1, d: undefined })).toBe(true);
    expect(sameValue({ a: 1 }, { a: 1, b: null })).toBe(false);
    expect(sameValue([1, 2], [2, 1])).toBe(false);
  });
});
