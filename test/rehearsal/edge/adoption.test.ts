import { existsSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import Cloudflare from "cloudflare";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { preview } from "../../../rehearsal/engine/engine.ts";
import { account_id } from "../cloudflare/house.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { apiToken, EdgeHouse, hostOfEdge, inAMonth, ken, writes } from "./edge-house.ts";

const repository = join(import.meta.dirname, "../../..");

/** `ouchi adopt` for a house's stack. */
async function ouchiAdopt(house: EdgeHouse): Promise<{ adopt: unknown; printed: string }> {
  const { folder } = house;
  // `ouchi` starts the engine of its own repository.
  const engine = join(folder.path, "rehearsal");
  if (!existsSync(engine)) symlinkSync(join(repository, "rehearsal"), engine);
  const command = pathToFileURL(join(repository, "cli/commands/adopt.ts")).href;
  const args = { folder: folder.path, stack: "dev", engine: "rehearsal" };
  const { stdout, stderr } = await execa(
    process.execPath,
    [
      ...["--import", "tsx", "--input-type=module", "-e"],
      `(await import("${command}")).adopt(${JSON.stringify(args)})`,
    ],
    {
      cwd: folder.path,
      env: { PULUMI_CONFIG_PASSPHRASE: "a passphrase", OUCHI_REHEARSAL_STATE: folder.stateFile },
    },
  );
  expect(stdout + stderr).not.toContain(apiToken);
  return {
    adopt: /^ {2}ouchi-photos:adopt:/.test(stdout)
      ? parse(stdout)["ouchi-photos:adopt"]
      : undefined,
    printed: stdout + stderr,
  };
}

describe("a house that was made by hand, as the article has it", () => {
  let house: EdgeHouse;
  let phone: Record<string, string>;
  let tokenId: string;
  let tunnelSecret: string;

  beforeAll(async () => {
    house = await EdgeHouse.build();
    const { zeroTrust, dns } = new Cloudflare({ apiToken, baseURL: house.world.apiUrl });
    const pin = await zeroTrust.identityProviders.create({
      ...{ account_id, name: "One-time PIN", type: "onetimepin", config: {} },
    });
    const token = await zeroTrust.access.serviceTokens.create({ account_id, name: "my phone" });
    tokenId = token.id!;
    phone = {
      "CF-Access-Client-Id": token.client_id!,
      "CF-Access-Client-Secret": token.client_secret!,
    };
    const phones = await zeroTrust.access.policies.create({
      ...{ account_id, name: "service auth", decision: "non_identity" },
      include: [{ service_token: { token_id: tokenId } }],
    });
    const family = await zeroTrust.access.policies.create({
      ...{ account_id, name: "family", decision: "allow" },
      include: [{ email: { email: "ken@example.com" } }],
    });
    await zeroTrust.access.applications.create({
      ...{ account_id, type: "self_hosted", name: "Immich", domain: hostOfEdge },
      allowed_idps: [pin.id!],
      policies: [
        { id: family.id!, precedence: 1 },
        { id: phones.id!, precedence: 2 },
      ],
    });
    const tunnel = await zeroTrust.tunnels.cloudflared.create({
      ...{ account_id, name: "raspberrypi", config_src: "cloudflare" },
    });
    const { data } = house.world.state;
    tunnelSecret = data.tunnels[0]!.secret;
    await dns.records.create({
      ...{ zone_id: data.zones[0]!.id, type: "CNAME", name: hostOfEdge, ttl: 1, proxied: true },
      content: `${tunnel.id}.cfargotunnel.com`,
    });
    house.gaps.length = 0;
    house.takeCalls();
  });
  afterAll(() => house.close());

  it("is refused by a plain `up`, which says what to type", async () => {
    const [error] = errorsOf(await house.failure());
    expect(error).toContain("leads elsewhere already");
    expect(error).toContain("npx ouchi adopt");
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("is found by `ouchi adopt`, which changes nothing", async () => {
    const { adopt, printed } = await ouchiAdopt(house);
    const { tunnels, applications, policies, dnsRecords } = house.world.state.data;
    expect(adopt).toEqual({
      tunnel: tunnels[0]!.id,
      record: dnsRecords[0]!.id,
      application: applications[0]!.id,
      policies: {
        family: policies.find(({ decision }) => decision === "allow")!.id,
        phones: policies.find(({ decision }) => decision === "non_identity")!.id,
      },
    });
    expect(printed).toContain(`The service token "my phone" is ${tokenId}`);
    expect(writes(house.takeCalls())).toEqual([]);
    house.set("adopt", { ...(adopt as object), phones: { "ken-iphone": tokenId } });
  });

  it("is taken over without an outage: the phone's headers, the tunnel's secret and the name stay", async () => {
    const { printed } = await ouchiAdopt(house);
    expect(printed).toContain("= 6 imported");
    expect(writes(house.takeCalls())).toEqual([]);
    const seen = await house.folder.update({}, preview);
    expect(seen.summary).toMatchObject({ replace: 0, delete: 0 });
    const { summary } = await house.up();
    expect(summary).toMatchObject({ replace: 0, delete: 0 });
    expect(writes(house.takeCalls()).filter(({ method }) => method === "DELETE")).toEqual([]);
    expect(house.gaps).toEqual([]);
    const { data } = house.world.state;
    expect(data.tunnels).toHaveLength(1);
    expect(data.tunnels[0]!.secret).toBe(tunnelSecret);
    expect((await house.send("/", { headers: phone })).status).toBe(530);
    expect(data.applications.map(({ name }) => name)).toEqual([`ouchi-photos (${hostOfEdge})`]);
    expect((await house.headers()).ken!.iphone).toEqual({
      "CF-Access-Client-Id": phone["CF-Access-Client-Id"],
      "CF-Access-Client-Secret": null,
    });
  });

  it("is asked for no change afterwards, with the lines left in the stack file", async () => {
    await house.up({ expectNoChanges: true });
    expect((await ouchiAdopt(house)).printed).toContain("nothing more");
  });

  it("tells the phone's secret from the first rotation on", async () => {
    house.set("family", [
      {
        ...ken,
        phones: [{ name: "iphone", secretVersion: 2, overlapUntil: inAMonth }],
      },
    ]);
    await house.up();
    const { ken: phones } = await house.headers();
    expect(phones!.iphone!["CF-Access-Client-Secret"]).toBe(
      house.world.state.data.serviceTokens[0]!.clientSecret,
    );
  });
});

describe("a lost state", () => {
  let house: EdgeHouse;
  beforeAll(async () => {
    house = await EdgeHouse.build();
    await house.up();
    rmSync(house.folder.stateFile);
  });
  afterAll(() => house.close());
  afterEach(() => expect(house.gaps).toEqual([]));

  it("makes no second house: the `up` stops and says what to type (row 47)", async () => {
    const things = house.things();
    const errors = errorsOf(await house.failure()).join("\n");
    expect(errors).toMatch(/already, and .*this stack's state knows nothing of it/);
    expect(errors).toContain("npx ouchi adopt");
    expect(house.things()).toEqual(things);
    rmSync(house.folder.stateFile, { force: true });
  });

  it("is made good by what `ouchi adopt` prints", async () => {
    const { serviceTokens } = house.world.state.data;
    const secret = serviceTokens[0]!.clientSecret;
    const things = house.things();
    const { adopt } = await ouchiAdopt(house);
    house.set("adopt", adopt);
    expect((await ouchiAdopt(house)).printed).toContain("= 9 imported");
    const { summary } = await house.up();
    expect(summary).toMatchObject({ replace: 0, delete: 0 });
    expect(house.things()).toEqual(things);
    expect(house.world.state.data.serviceTokens[0]!.clientSecret).toBe(secret);
    await house.up({ expectNoChanges: true });
  });
});
