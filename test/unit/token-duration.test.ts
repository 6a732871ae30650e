import { expect, test } from "vitest";
import { durationOfTokens } from "../../infra/cloudflare/token-duration.ts";

test("Each day of renewal has a duration of its own, of whole hours and no shorter than the setting", () => {
  expect(durationOfTokens("8760h", undefined)).toBe("8760h");
  expect(durationOfTokens("8760h", "2026-01-01")).toBe("8760h");
  expect(durationOfTokens("8760h", "2026-01-02")).toBe("8761h");
  expect(durationOfTokens("8760h", "2027-10-01")).toBe("9398h");
  const days = Array.from({ length: 4000 }, (_, index) =>
    new Date(Date.UTC(2026, 0, 1 + index)).toISOString().slice(0, 10),
  );
  expect(new Set(days.map((each) => durationOfTokens("8760h", each))).size).toBe(4000);
});
