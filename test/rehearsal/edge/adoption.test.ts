import { rmSync } from "node:fs";
import Cloudflare from "cloudflare";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { preview } from "../../../rehearsal/engine/engine.ts";
import { account_id } from "../cloudflare/house.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { apiToken, EdgeHouse, hostOfEdge, inAMonth, ken, writes } from "./edge-house.ts";
import { ouchiAdopt } from "./ouchi.ts";

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
    expect(error).toContain("cli/ouchi adopt");
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

describe("a house that was taken over", { timeout: 300_000 }, () => {
  let house: EdgeHouse;
  beforeAll(async () => {
    house = await EdgeHouse.build();
    await house.up();
    rmSync(house.folder.stateFile);
    house.set("adopt", (await ouchiAdopt(house)).adopt);
    await ouchiAdopt(house);
    await house.up();
  });
  afterAll(() => house.close());

  it("goes on when its application was renamed in the dashboard", async () => {
    house.world.state.data.applications[0]!.name = "Photos of ours";
    await house.up({ expectNoChanges: true });
  });

  it("moves to another hostname with the lines left in the stack file, and stays there", async () => {
    house.set("hostname", "pictures");
    await house.up();
    const things = house.things();
    expect(things).toContain("application ouchi-photos (pictures.example.com)");
    expect(things).toContain("record pictures.example.com");
    expect(things.join()).not.toContain(hostOfEdge);
    expect(things).not.toContain("application Photos of ours");
    await house.up({ expectNoChanges: true });
    expect(house.gaps).toEqual([]);
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
    expect(errors).toContain("cli/ouchi adopt");
    expect(house.things()).toEqual(things);
    rmSync(house.folder.stateFile, { force: true });
  });

  it("is made good by what `ouchi adopt` prints", async () => {
    const { serviceTokens } = house.world.state.data;
    const secret = serviceTokens[0]!.clientSecret;
    const things = house.things();
    const { adopt } = await ouchiAdopt(house);
    house.set("adopt", adopt);
    expect((await ouchiAdopt(house)).printed).toContain("= 8 imported");
    const { summary } = await house.up();
    expect(summary).toMatchObject({ replace: 0, delete: 0 });
    expect(house.things()).toEqual(things);
    expect(house.world.state.data.serviceTokens[0]!.clientSecret).toBe(secret);
    await house.up({ expectNoChanges: true });
  });
});
