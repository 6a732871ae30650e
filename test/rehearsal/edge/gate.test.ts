import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { importFile } from "../../../infra/cloudflare/adoption.ts";
import { destroy, preview, refresh } from "../../../rehearsal/engine/engine.ts";
import { account_id, Browser } from "../cloudflare/house.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { apiToken, EdgeHouse, hostOfEdge, ken, lines, writes } from "./edge-house.ts";

const mio = { name: "mio", email: "mio@example.com", phones: [{ name: "pixel" }] };
const soon = (clock: { now(): Date }, hours: number) =>
  new Date(clock.now().getTime() + hours * 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");

describe("the edge, from nothing to nothing", () => {
  let house: EdgeHouse;
  beforeAll(async () => {
    house = await EdgeHouse.build([ken, mio]);
  });
  afterAll(() => house.close());
  afterEach(() => expect(house.gaps).toEqual([]));

  it("is made of these things, with these inputs", async () => {
    const { summary } = await house.up();
    expect(summary.create).toBe(19);
    expect(house.things()).toEqual([
      `alert ouchi-photos token-expiry (${hostOfEdge})`,
      `alert ouchi-photos tunnel-health (${hostOfEdge})`,
      `application ouchi-photos (${hostOfEdge})`,
      `policy ouchi-photos family (${hostOfEdge})`,
      `policy ouchi-photos phones (${hostOfEdge})`,
      `record ${hostOfEdge}`,
      "sign-in One-time PIN",
      `token ouchi-photos ken iphone (${hostOfEdge})`,
      `token ouchi-photos mio pixel (${hostOfEdge})`,
      `tunnel ouchi-photos (${hostOfEdge})`,
    ]);
    const { data } = house.world.state;
    const [kens, mios] = ["ken iphone", "mio pixel"].map(
      (who) => data.serviceTokens.find(({ name }) => name.includes(who))!,
    );
    const phones = data.policies.find(({ decision }) => decision === "non_identity")!;
    const family = data.policies.find(({ decision }) => decision === "allow")!;
    expect(data.policies).toHaveLength(2);
    const tokenIds = phones.include.map(({ service_token }) => service_token!.token_id);
    expect(tokenIds.sort()).toEqual([kens!.id, mios!.id].sort());
    expect(family.include).toEqual([
      { email: { email: "ken@example.com" } },
      { email: { email: "mio@example.com" } },
    ]);
    expect(data.applications[0]).toMatchObject({
      domain: hostOfEdge,
      session_duration: "730h",
      allowed_idps: [data.identityProviders[0]!.id],
      service_auth_401_redirect: false,
      app_launcher_visible: false,
      policies: [
        { id: phones.id, precedence: 1 },
        { id: family.id, precedence: 2 },
      ],
    });
    expect([phones.session_duration, family.session_duration]).toEqual(["15m", "730h"]);
    expect(kens).toMatchObject({ duration: "8760h" });
    expect(data.tunnels[0]).toMatchObject({ configSrc: "cloudflare" });
    const configuration = data.tunnels[0]!.configuration as { config: { ingress: unknown } } | null;
    expect(configuration?.config.ingress).toEqual([
      {
        hostname: hostOfEdge,
        service: "http://localhost:2283",
        originRequest: {
          access: { required: true, teamName: "family", audTag: [data.applications[0]!.aud] },
          keepAliveTimeout: 3,
        },
      },
      { service: "http_status:404" },
    ]);
    expect(data.dnsRecords[0]).toMatchObject({
      type: "CNAME",
      content: `${data.tunnels[0]!.id}.cfargotunnel.com`,
      proxied: true,
    });
    expect(data.notificationPolicies.map(({ alert_type }) => alert_type).sort()).toEqual([
      "expiring_service_token_alert",
      "tunnel_health_event",
    ]);
  });

  it("is asked for no change by a second run, and is not written to", async () => {
    house.takeCalls();
    const { summary } = await house.up({ expectNoChanges: true });
    expect(summary.create + summary.update + summary.replace + summary.delete).toBe(0);
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("shows in `preview --refresh` whatever was changed or deleted by hand, and `up` mends it (row 41)", async () => {
    const { data } = house.world.state;
    const wanted = house.things();
    data.applications[0]!.session_duration = "24h";
    data.policies.find(({ decision }) => decision === "allow")!.include = [
      { email: { email: "stranger@example.org" } },
    ];
    data.serviceTokens = data.serviceTokens.filter(({ name }) => !name.includes("mio pixel"));
    data.policies.find(({ decision }) => decision === "non_identity")!.include.pop();
    data.dnsRecords[0]!.proxied = false;
    await house.folder.update({}, refresh);
    const shown = await house.folder.update({}, preview);
    const changes = shown.steps
      .filter(({ op }) => op !== "same")
      .map(({ op, name }) => `${op} ${name}`);
    expect(changes.sort()).toEqual([
      "create gate-token-mio-pixel",
      "update gate-application",
      "update gate-policy-family",
      "update gate-policy-phones",
      "update hostname-record",
    ]);
    await house.up();
    expect(house.things()).toEqual(wanted);
    expect(data.applications[0]!.session_duration).toBe("730h");
    expect(data.dnsRecords[0]!.proxied).toBe(true);
  });

  it("gives one more person three writes, and a person who leaves no way in", async () => {
    const baaba = { name: "baaba", email: "baaba@example.com", phones: [{ name: "tab" }] };
    house.takeCalls();
    house.set("family", [ken, mio, baaba]);
    await house.up();
    expect(writes(house.takeCalls())).toHaveLength(3);
    const { baaba: hers } = await house.headers();
    house.set("family", [ken, mio]);
    await house.up();
    const answer = await house.send("/", { headers: hers!.tab as Record<string, string> });
    expect(answer.status).toBe(401);
    const calls = lines(writes(house.takeCalls()));
    const deletion = calls.findIndex((line) => line.startsWith("DELETE"));
    // The token leaves the policy before it goes.
    expect(calls.slice(deletion + 1).filter((line) => line.startsWith("PUT"))).toEqual([]);
  });

  it("rotates one phone by one write; the old secret works until the overlap ends (row 40)", async () => {
    const before = (await house.headers()).ken!.iphone as Record<string, string>;
    const overlapUntil = soon(house.clock, 2);
    house.takeCalls();
    house.set("family", [
      { ...ken, phones: [{ name: "iphone", secretVersion: 2, overlapUntil }] },
      mio,
    ]);
    await house.up();
    expect(writes(house.takeCalls())).toHaveLength(1);
    const after = (await house.headers()).ken!.iphone as Record<string, string>;
    expect(after["CF-Access-Client-Id"]).toBe(before["CF-Access-Client-Id"]);
    expect(after["CF-Access-Client-Secret"]).not.toBe(before["CF-Access-Client-Secret"]);
    const status = async (headers: Record<string, string>) =>
      (await house.send("/", { headers })).status;
    const [past, offline] = [401, 530];
    expect([await status(before), await status(after)]).toEqual([offline, offline]);
    house.clock.advance(3 * 3_600_000);
    expect([await status(before), await status(after)]).toEqual([past, offline]);
  });

  it("renews all phones' tokens by one setting; their headers stay, and the next run changes nothing", async () => {
    const { data } = house.world.state;
    const before = await house.headers();
    house.clock.advance(300 * 24 * 3_600_000);
    house.takeCalls();
    house.set("tokensRenewedOn", "2026-10-01");
    await house.up();
    expect(lines(writes(house.takeCalls()))).toHaveLength(data.serviceTokens.length);
    for (const { expiresAt } of data.serviceTokens) {
      const left = Date.parse(expiresAt!) - house.clock.now().getTime();
      expect(left / 3_600_000).toBeGreaterThanOrEqual(8759);
    }
    expect(await house.headers()).toEqual(before);
    const status = async (headers: unknown) =>
      (await house.send("/", { headers: headers as Record<string, string> })).status;
    house.clock.advance(364 * 24 * 3_600_000);
    expect([await status(before.ken!.iphone), await status(before.mio!.pixel)]).toEqual([530, 530]);
    await house.up({ expectNoChanges: true });
    house.set("tokensRenewedOn", "2026-10-02");
    await house.up();
    house.clock.advance(364 * 24 * 3_600_000);
    expect(await status(before.ken!.iphone)).toBe(530);
  });

  it("moves to another hostname without a gap, and lets nobody in by the old one (row 42)", async () => {
    house.set("hostname", "pictures");
    await house.up();
    expect(house.things().filter((thing) => thing.startsWith("record"))).toEqual([
      "record pictures.example.com",
    ]);
    expect(house.things().every((thing) => /pictures|One-time PIN/.test(thing))).toBe(true);
    house.set("hostname", "photos");
    await house.up();
  });

  it("lets people in by Google too, when its client is set, and registers all under the names that an adoption writes", async () => {
    house.set("googleClientId", "1234-abc.apps.googleusercontent.com");
    await house.setSecret("ouchi-photos:googleClientSecret", "canary-of-google");
    await house.up();
    const { data } = house.world.state;
    const google = data.identityProviders.find(({ type }) => type === "google")!;
    expect(google.config).toEqual({
      client_id: "1234-abc.apps.googleusercontent.com",
      client_secret: "canary-of-google",
    });
    expect(data.applications[0]!.allowed_idps.sort()).toEqual(
      data.identityProviders.map(({ id }) => id).sort(),
    );
    // What an adoption would write is what the program registers: the same types, names and parents.
    const { deployment } = JSON.parse(house.folder.state) as {
      deployment: { resources: { urn: string; id?: string; custom: boolean }[] };
    };
    const registered = deployment.resources
      .filter(({ urn }) => urn.includes("ouchi:cloudflare:"))
      .map(({ urn }) => urn.split("::").slice(2).join("::"));
    const [kens, mios] = data.serviceTokens;
    const { resources } = importFile(
      {
        ...{ tunnel: "t", record: "r", application: "a", google: "g" },
        policies: { family: "f", phones: "p" },
        alerts: { tokenExpiry: "e", tunnelHealth: "h" },
        phones: { "ken-iphone": kens!.id, "mio-pixel": mios!.id },
      },
      { accountId: account_id, zoneId: "z", version: "1" },
      [],
    );
    const typeOf = (name: string | undefined): string => {
      const found = resources.find((each) => each.name === name);
      return found ? [...(found.parent ? [typeOf(found.parent)] : []), found.type].join("$") : "";
    };
    const imported = resources.map(({ name }) => `${typeOf(name)}::${name}`);
    expect(imported).toHaveLength(15);
    expect(registered).toEqual(expect.arrayContaining(imported));
    const notImported = registered.filter((each) => !imported.includes(each));
    expect(notImported.map((each) => each.split("::")[1]).sort()).toEqual([
      "revocation",
      "tunnel-ingress",
      "tunnel-secret",
    ]);
    expect(house.folder.state).not.toContain("canary-of-google");
    await house.up({ expectNoChanges: true });
    house.set("googleClientId", undefined);
    house.set("googleClientSecret", undefined);
    await house.up();
    expect(data.applications[0]!.allowed_idps).toHaveLength(1);
  });

  it("shows no secret in what it prints or in the plain parts of its state", async () => {
    const { data } = house.world.state;
    const secrets = [
      apiToken,
      ...data.serviceTokens.map(({ clientSecret }) => clientSecret),
      ...data.tunnels.map(({ secret }) => secret),
      ...data.tunnels.map(({ id, secret }) =>
        Buffer.from(JSON.stringify({ a: account_id, t: id, s: secret })).toString("base64"),
      ),
    ];
    expect(secrets.length).toBeGreaterThan(4);
    for (const secret of secrets) {
      expect(house.folder.printed).not.toContain(secret);
      expect(house.folder.state).not.toContain(secret);
    }
  });

  it("goes in the order of its coming, name first, and leaves the account its one-time PIN (row 42)", async () => {
    house.takeCalls();
    await house.folder.update({}, destroy);
    const calls = lines(writes(house.takeCalls()));
    expect(calls[0]).toMatch(/^DELETE \/zones\/.*\/dns_records\//);
    expect(house.things()).toEqual(["sign-in One-time PIN"]);
  });
});

describe("a person who is taken out of the family", () => {
  it("gets no code any more, while the others do", async () => {
    const house = await EdgeHouse.build([ken, mio]);
    try {
      await house.up();
      house.set("family", [ken]);
      await house.up();
      expect((await new Browser(house).signIn("ken@example.com")).status).toBe(530);
      expect((await new Browser(house).signIn("mio@example.com")).status).not.toBe(530);
    } finally {
      await house.close();
    }
  });
});

describe("an `up` that finds more than it may touch", () => {
  it.each([
    ["service_tokens", "Access: Service Tokens Edit"],
    ["cfd_tunnel$", "Cloudflare Tunnel Edit"],
    ["access/policies", "Access: Apps and Policies Edit"],
    ["identity_providers", "Access: Organizations, Identity Providers, and Groups Edit"],
    ["dns_records", "DNS Edit"],
    ["alerting", "Notifications Edit"],
  ])(
    "names the permission that a refused write to %s wants, and goes on later",
    async (path, permission) => {
      const house = await EdgeHouse.build();
      try {
        house.world.faults.add({
          ...{ method: "POST", path, kind: "status", status: 403, code: 10000 },
          message: "Authentication error",
        });
        expect(errorsOf(await house.failure()).join("\n")).toContain(
          `lacks the permission "${permission}"`,
        );
        await house.up();
        expect(house.things()).toHaveLength(9);
        expect(house.gaps).toEqual([]);
      } finally {
        await house.close();
      }
    },
  );
});
