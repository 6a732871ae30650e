import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as sdk from "@immich/sdk";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type ContractWorld, immichContract, runCase } from "../../../rehearsal/immich/contract.ts";
import { createServer } from "../../../rehearsal/immich/server.ts";
import { startPostgres, startRedis } from "./services.ts";

let world: ContractWorld;
const ends: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const dataDir = mkdtempSync(join(tmpdir(), "ouchi-immich-"));
  const server = await createServer({
    dataDir,
    database: await postgres.createDatabase("immich"),
    redis,
  });
  ends.push(
    () => server.close(),
    () => postgres.stop(),
    () => redis.stop(),
    () => rmSync(dataDir, { recursive: true, force: true }),
  );
  const admin = { email: "admin@example.com", password: "admin-password" };
  await sdk.signUpAdmin({ signUpDto: { ...admin, name: "kit" } }, { baseUrl: `${server.url}/api` });
  world = { baseUrl: server.url, admin, run: randomBytes(4).toString("hex"), kept: {} };
}, 300_000);

afterAll(async () => {
  for (const end of ends) await end();
});

// What it proves of a real Immich is for whoever runs the same table against one.
describe("Immich's contract, kept by the pretend server", () => {
  for (const each of immichContract) it(each.title, () => runCase(world, each));
});
