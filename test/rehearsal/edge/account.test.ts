import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readAccount } from "../../../infra/cloudflare/account.ts";
import { Clock } from "../../../rehearsal/clock.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import { account_id, host } from "../cloudflare/house.ts";
import { apiToken } from "./edge-house.ts";

describe("what the program reads at Cloudflare before it changes anything", () => {
  let world: PretendCloudflare;
  beforeAll(async () => {
    world = await startCloudflare({
      ...{ accountId: account_id, zoneName: "example.com", teamName: "family" },
      clock: new Clock(),
      apiTokens: [{ value: apiToken }],
    });
  });
  afterAll(() => world.close());
  beforeEach(() => void world.calls.splice(0));

  const read = (token = apiToken) =>
    readAccount({
      ...{ baseUrl: world.apiUrl, apiToken: token, accountId: account_id },
      ...{ domain: "example.com", host },
    });
  const refusal = async (token?: string) => {
    const error = await read(token).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({
      name: "UserError",
      message: expect.stringMatching(/Nothing was changed\.$/),
    });
    return (error as Error).message;
  };

  const canary = "cfut_canaryCanaryCanaryCanaryCanaryCanary0001a2b3c4d";
  it.each([
    ["with its label", `API token: ${canary}`, "with a space in it, perhaps its label"],
    ["with a line's end", `${canary}\n`, "with a space or a line's end around it"],
    ["with a full-width letter", canary.replace("c", "ｃ"), "perhaps a full-width one"],
    ["with quotes", `"${canary}"`, "with a character in it that no token has"],
    ["as a header", `Bearer ${canary}`, "with a space in it"],
    ["cut short", canary.slice(0, 30), "of 30 characters"],
    ["that is the global key", `cfk_${canary.slice(5)}`, "Global API Key"],
    ["that is the older global key", "c0ffee0c0ffee0c0ffee0c0ffee0c0ffee0c0", "Global API Key"],
    ["that is empty", "", "of 0 characters"],
  ])("an API token %s is named as none, is not shown and not sent", async (_, value, why) => {
    const message = await refusal(value);
    expect(message).toContain("What cloudflare:apiToken holds is no API token");
    expect(message).toContain(why);
    if (value) expect(message).not.toContain(value.trim());
    expect(message).not.toContain("canaryCanary");
    expect(world.calls).toEqual([]);
  });

  it.each([
    ["pending", { status: "pending" }, "Set its name servers to ada.ns.cloudflare.com and ben"],
    ["moved away", { status: "moved" }, "Set its name servers to ada.ns.cloudflare.com and ben"],
    ["being made", { status: "initializing" }, "once it is active"],
    ["paused", { paused: true }, "there is no gate"],
    ["partial", { type: "partial" }, 'of the type "partial"'],
    ["of another account", { accountId: "f".repeat(32) }, `account, ${"f".repeat(32)}, than`],
  ] as const)("a zone that is %s is refused with what to do", async (_, change, why) => {
    const zone = world.state.data.zones[0]!;
    const before = { ...zone };
    Object.assign(zone, change);
    try {
      expect(await refusal()).toContain(why);
    } finally {
      world.state.data.zones[0] = before;
    }
  });

  it("the account's own zone is taken where another account has the domain, too", async () => {
    const { zones } = world.state.data;
    zones.unshift({ ...zones[0]!, id: "e".repeat(32), accountId: "f".repeat(32) });
    expect((await read()).zoneId).toBe(zones[1]!.id);
    zones.shift();
  });

  it("lists are read to their last page, among hundreds of others' things", async () => {
    world.state.data.serviceTokens = Array.from({ length: 250 }, (_, index) => ({
      ...{ id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`, name: `${index}` },
      ...{ clientId: `${index}.access`, clientSecret: "secret", clientSecretVersion: 1 },
      ...{ previousClientSecret: null, previousClientSecretExpiresAt: null, duration: "8760h" },
      ...{ expiresAt: null, enabled: true, lastSeenAt: null },
      ...{ createdAt: "2026-01-01T00:00:00Z", updatedAt: "2026-01-01T00:00:00Z" },
    }));
    const { serviceTokens } = await read();
    expect(serviceTokens.map(({ name }) => name)).toEqual(
      Array.from({ length: 250 }, (_, index) => `${index}`),
    );
  });
});
