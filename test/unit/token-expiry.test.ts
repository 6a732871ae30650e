import { expect, test } from "vitest";
import { expiryWarnings } from "../../infra/cloudflare/token-expiry.ts";

const now = new Date("2026-11-24T00:00:00Z");
const family = [
  {
    name: "ken",
    email: "ken@yamada.jp",
    phones: ["ended", "soon", "later", "new"].map((name) => ({ name, secretVersion: 1 })),
  },
];
const host = "photos.yamada.jp";
const token = (name: string, expires_at: string) => ({
  name: `ouchi-photos ${name} (${host})`,
  expires_at,
});

test("Tokens that end within 60 days are named, the family's alone (row 40)", () => {
  const warnings = expiryWarnings(
    [
      token("ken ended", "2026-11-23T00:00:00Z"),
      token("ken soon", "2027-01-23T00:00:00Z"),
      token("ken later", "2027-01-24T00:00:00Z"),
      token("somebody else", "2026-11-25T00:00:00Z"),
    ],
    host,
    family,
    now,
  );
  expect(warnings.map((each) => each.split(".")[0])).toEqual([
    "The token of ken's ended ended on 2026-11-23, and the phone is locked out",
    "The token of ken's soon ends on 2027-01-23",
  ]);
  for (const warning of warnings) expect(warning).toContain('tokensRenewedOn: "2026-11-24"');
});
