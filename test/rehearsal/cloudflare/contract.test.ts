import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Clock } from "../../../rehearsal/clock.ts";
import { routes } from "../../../rehearsal/cloudflare/api.ts";
import { cloudflareContract, cloudflareWorld } from "../../../rehearsal/cloudflare/contract.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import { type ContractWorld, runCase, runName } from "../../../rehearsal/contract.ts";

const accountId = "0123456789abcdef0123456789abcdef";
const apiToken = "C".repeat(40);

let pretend: PretendCloudflare;
let world: ContractWorld;

beforeAll(async () => {
  pretend = await startCloudflare({
    clock: new Clock(),
    accountId,
    zoneName: "example.com",
    teamName: "family",
    apiTokens: [{ value: apiToken }],
  });
  world = cloudflareWorld({
    baseUrl: pretend.apiUrl,
    accountId,
    zoneName: "example.com",
    apiToken,
    run: runName(),
  });
});
afterAll(() => pretend.close());

// What it proves of the real Cloudflare is for whoever runs the same table against that.
describe("Cloudflare's contract, kept by the pretend one", () => {
  for (const each of cloudflareContract) it(each.name, () => runCase(world, each));

  it("leaves nothing behind", () => {
    const { tunnels, ...rest } = pretend.state.data;
    expect(tunnels.filter(({ deletedAt }) => deletedAt === null)).toEqual([]);
    for (const kind of [
      "dnsRecords",
      "applications",
      "policies",
      "serviceTokens",
      "notificationPolicies",
    ] as const) {
      expect(rest[kind]).toEqual([]);
    }
  });

  it("a wrong answer fails with what came", async () => {
    const wrong = { ...cloudflareContract[3]!, expect: { status: 204 } };
    await expect(runCase(world, wrong)).rejects.toThrow(/GET \/zones.* answered 200 .*, not 204/);
  });
});

it("COVERAGE.md lists the routes that there are", () => {
  const listed = readFileSync("rehearsal/cloudflare/COVERAGE.md", "utf8")
    .split("\n")
    .flatMap(
      (line) =>
        /^\| (GET|POST|PUT|PATCH|DELETE) +\| (\S+) +\|/.exec(line)?.slice(1, 3).join(" ") ?? [],
    );
  expect(listed.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
});
