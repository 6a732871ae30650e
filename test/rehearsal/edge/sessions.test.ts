import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preview } from "../../../rehearsal/engine/engine.ts";
import { Browser } from "../cloudflare/house.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { EdgeHouse, hostOfEdge, ken, lines, type PersonSetting, writes } from "./edge-house.ts";
import { failureOf } from "./moments.ts";

const mio: PersonSetting = { name: "mio", email: "mio@example.com", phones: [{ name: "pixel" }] };
const baaba: PersonSetting = { ...{ name: "baaba", email: "baaba@example.com" }, phones: [] };
const url = `https://${hostOfEdge}/`;
/** Past the gate: no connector is there. */
const inside = 530;

const at = (house: EdgeHouse, hours: number) =>
  new Date(house.clock.now().getTime() + hours * 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");

const revocations = (house: EdgeHouse) =>
  lines(writes(house.takeCalls()))
    .filter((line) => /revoke/.test(line))
    .map((line) => line.replace(/^POST .*\/access\//, "").replace(/apps\/[0-9a-f-]+/, "apps/:id"));

const said = (house: EdgeHouse, from: number) => house.folder.printed.slice(from);

/** The app, with the cookies that it was given; a thief has a copy of both. */
async function phoneOf(house: EdgeHouse, person: string, phone: string): Promise<Browser> {
  const headers = (await house.headers())[person]![phone] as Record<string, string>;
  // What is given in the second of a revocation is ended by it, too.
  house.clock.advance(60_000);
  const app = new Browser(house, headers);
  expect((await app.visit(url)).status).toBe(inside);
  return app;
}

const status = async (browser: Browser) => (await browser.visit(url)).status;

async function signedIn(house: EdgeHouse, email: string): Promise<Browser> {
  // Nobody signs in within the minute after a revocation.
  house.clock.advance(60_000);
  const browser = new Browser(house);
  expect((await browser.signIn(email)).status).toBe(inside);
  return browser;
}

describe.each([
  { mode: "strict", strict: true },
  { mode: "older", strict: false },
])("in an account of the $mode way, at most a minute later", ({ strict }) => {
  let house: EdgeHouse;
  beforeAll(async () => {
    house = await EdgeHouse.build([ken, mio, baaba], strict);
    await house.up();
  });
  afterAll(async () => {
    expect(house.gaps).toEqual([]);
    await house.close();
  });

  it("a stolen phone is out: its headers, its cookie, and both; the new secret is in", async () => {
    const stolen = await phoneOf(house, "ken", "iphone");
    const other = await phoneOf(house, "mio", "pixel");
    const grandmother = await signedIn(house, "baaba@example.com");
    const browserOfThePhone = await signedIn(house, "ken@example.com");
    expect(await status(stolen.withoutHeaders())).toBe(strict ? 302 : inside);
    const rotated = [{ name: "iphone", secretVersion: 2, overlapUntil: at(house, -1) }];
    house.set("family", [{ ...ken, phones: rotated }, mio, baaba]);
    await house.up();
    house.clock.advance(60_000);
    expect(await status(stolen)).not.toBe(inside);
    expect(await status(stolen.withoutHeaders())).toBe(302);
    expect((await browserOfThePhone.open(url)).status).not.toBe(inside);
    await signedIn(house, "ken@example.com");
    expect(await status(await phoneOf(house, "ken", "iphone"))).toBe(inside);
    expect(await status(other)).toBe(inside);
    // In the older way it costs her at most a sign-in, which her global session spares her.
    expect((await grandmother.open(url)).status).toBe(inside);
  });

  it("a phone that was removed is out, and the next run changes nothing", async () => {
    const removed = await phoneOf(house, "mio", "pixel");
    house.set("family", [ken, { ...mio, phones: [] }, baaba]);
    await house.up();
    house.clock.advance(60_000);
    expect([await status(removed), await status(removed.withoutHeaders())]).not.toContain(inside);
    house.takeCalls();
    await house.up({ expectNoChanges: true });
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("a person who was removed is out of the browser that is signed in, and gets no code", async () => {
    const grandmother = await signedIn(house, "baaba@example.com");
    const father = await signedIn(house, "ken@example.com");
    house.takeCalls();
    house.set("family", [ken, mio]);
    await house.up();
    expect(revocations(house)).toContain("organizations/revoke_user");
    house.clock.advance(60_000);
    expect((await grandmother.open(url)).status).not.toBe(inside);
    expect((await new Browser(house).signIn("baaba@example.com")).status).not.toBe(inside);
    expect(await status(father)).toBe(inside);
  });

  it("a person whose address was changed is out by the old one and in by the new", async () => {
    const before = await signedIn(house, "mio@example.com");
    house.set("family", [ken, { ...mio, email: "mio@example.org" }]);
    await house.up();
    house.clock.advance(60_000);
    expect((await before.open(url)).status).not.toBe(inside);
    await signedIn(house, "mio@example.org");
  });

  it("a secret whose overlap is cut short is out, and one that goes on is not", async () => {
    const old = await phoneOf(house, "ken", "iphone");
    const rotated = (overlapUntil: string) => {
      const phones = [{ name: "iphone", secretVersion: 3, overlapUntil }];
      house.set("family", [{ ...ken, phones }, mio]);
    };
    rotated(at(house, 5));
    await house.up();
    expect(await status(old)).toBe(inside);
    house.takeCalls();
    rotated(at(house, -1));
    await house.up();
    const calls = lines(writes(house.takeCalls()));
    const rotation = calls.findIndex((line) => /^PUT .*service_tokens/.test(line));
    const ends = calls.slice(rotation).filter((line) => line.includes("revoke"));
    // The secret goes first, then what it has opened: at the application only where phones have cookies.
    expect(ends.map((line) => line.replace(/.*\//, ""))).toEqual([
      ...(strict ? [] : ["revoke_tokens"]),
      "revoke_user",
    ]);
    house.clock.advance(60_000);
    expect([await status(old), await status(old.withoutHeaders())]).not.toContain(inside);
  });
});

describe("what a revocation costs is asked for only where it is owed", () => {
  it("in the strict way a phone ends its owner's sessions and nobody else's", async () => {
    const house = await EdgeHouse.build([ken, mio]);
    try {
      await house.up();
      const others = await signedIn(house, "mio@example.com");
      house.takeCalls();
      house.set("family", [{ ...ken, phones: [] }, mio]);
      await house.up();
      expect(revocations(house)).toEqual([
        // May it, by nobody's name; and in earnest.
        "organizations/revoke_user",
        "organizations/revoke_user",
      ]);
      expect(await status(others)).toBe(inside);
    } finally {
      await house.close();
    }
  });

  it("after the switch to the strict way, a cookie of before is ended once more, and later none", async () => {
    const house = await EdgeHouse.build([ken, mio, { ...baaba, phones: [{ name: "tab" }] }], false);
    try {
      house.set("strictServiceTokens", false);
      await house.up();
      const stolen = await phoneOf(house, "ken", "iphone");
      house.set("strictServiceTokens", true);
      await house.up();
      expect(await status(stolen.withoutHeaders())).toBe(inside);
      house.set("family", [mio, { ...baaba, phones: [{ name: "tab" }] }]);
      house.takeCalls();
      await house.up();
      const calls = lines(writes(house.takeCalls()));
      const asked = calls.filter((line) => line.includes("revoke"));
      // May it, twice; and, when nobody is let in by headers any more, both in earnest.
      expect(asked.map((line) => /organizations|revoke_tokens/.exec(line)![0])).toEqual([
        "organizations",
        "revoke_tokens",
        "revoke_tokens",
        "organizations",
      ]);
      const changed = calls.flatMap((line, index) =>
        /^PUT .*\/policies\//.test(line) ? [index] : [],
      );
      expect(calls.indexOf(asked[1]!)).toBeLessThan(Math.min(...changed));
      expect(calls.indexOf(asked[2]!)).toBeGreaterThan(Math.max(...changed));
      expect(await status(stolen.withoutHeaders())).toBe(302);
      house.set("family", [mio, baaba]);
      house.takeCalls();
      await house.up();
      expect(revocations(house).filter((line) => line.includes("apps"))).toEqual([]);
    } finally {
      await house.close();
    }
  });

  it("a phone's session lasts 15 minutes, a person's as long as the setting says", async () => {
    const house = await EdgeHouse.build([ken], false);
    try {
      await house.up();
      const { policies } = house.world.state.data;
      expect(
        policies.map(({ decision, session_duration }) => [decision, session_duration]),
      ).toEqual(
        expect.arrayContaining([
          ["non_identity", "15m"],
          ["allow", "730h"],
        ]),
      );
      const phone = await phoneOf(house, "ken", "iphone");
      expect(await status(phone.withoutHeaders())).toBe(inside);
      house.clock.advance(15 * 60_000 + 1000);
      expect(await status(phone.withoutHeaders())).toBe(302);
      expect(await status(phone)).toBe(inside);
    } finally {
      await house.close();
    }
  });
});

describe("a revocation that a cut or a refusal has left undone", () => {
  it("stays owed, each preview says who may still be inside, and the next `up` does it", async () => {
    const house = await EdgeHouse.build([ken, mio], false);
    try {
      await house.up();
      const stolen = await phoneOf(house, "ken", "iphone");
      const browser = await signedIn(house, "ken@example.com");
      house.set("family", [mio]);
      // The probe is let through; what comes after it is not.
      house.world.faults.add({
        ...{ method: "POST", path: "apps/(?!0{8}).*/revoke_tokens", kind: "status", status: 500 },
        times: 50,
      });
      const failed = await failureOf(house);
      expect(errorsOf(failed!).join("\n")).toContain("revoke_tokens answered 500");
      house.world.faults.clear();
      for (const _time of [1, 2]) {
        const from = house.folder.printed.length;
        await house.folder.update({}, preview);
        expect(said(house, from)).toContain("Whoever has ken's iphone may still be inside");
        expect(said(house, from)).toContain(
          "Whoever has ken's iphone may still be signed in as ken@example.com",
        );
        expect(await status(browser)).toBe(inside);
      }
      // A second one that is owed does not hide the first.
      house.set("family", [{ ...mio, phones: [] }]);
      const before = house.folder.printed.length;
      await house.folder.update({}, preview);
      expect(said(house, before)).toContain("Whoever has ken's iphone, mio's pixel may still be");
      await house.up();
      expect(said(house, before)).toContain("Every session at photos.example.com is ended.");
      expect(said(house, before)).toContain("What ken@example.com had open is ended.");
      house.clock.advance(60_000);
      expect([await status(browser), await status(stolen.withoutHeaders())]).toEqual([302, 302]);
      const from = house.folder.printed.length;
      await house.up({ expectNoChanges: true });
      expect(said(house, from)).not.toContain("may still be");
    } finally {
      await house.close();
    }
  });

  it.each([
    ["a person", "organizations/revoke_user", "Access: Organizations Revoke"],
    ["a phone", "revoke_tokens", "Access: Apps and Policies Edit"],
  ])(
    "for %s, a missing permission is found before anything is changed",
    async (who, path, name) => {
      const house = await EdgeHouse.build([ken, mio], false);
      try {
        await house.up();
        house.world.faults.add({
          ...{ method: "POST", path, kind: "status", status: 403, code: 10000, times: 50 },
          message: "Authentication error",
        });
        house.takeCalls();
        const left = who === "a person" ? [{ ...ken, phones: [] }] : [{ ...ken, phones: [] }, mio];
        house.set("family", left);
        const failed = await house.failure();
        expect(errorsOf(failed).join("\n")).toContain(`lacks the permission "${name}"`);
        expect(lines(writes(house.takeCalls())).filter((line) => !/revoke/.test(line))).toEqual([]);
        house.world.faults.clear();
        await house.up();
      } finally {
        await house.close();
      }
    },
  );
});

describe("the account's own setting", () => {
  it("is switched by one field alone, said before with whom else it concerns, and mended when it was turned off", async () => {
    const house = await EdgeHouse.build([ken], false);
    try {
      const { data } = house.world.state;
      await house.up();
      const organization = data.organization!;
      const { id } = data.policies.find(({ decision }) => decision === "non_identity")!;
      data.applications.push({
        ...structuredClone(data.applications[0]!),
        ...{ id: "11111111-1111-4111-8111-111111111111", name: "Home Assistant" },
        ...{ domain: "ha.example.com", self_hosted_domains: ["ha.example.com"] },
        ...{ destinations: [{ type: "public" as const, uri: "ha.example.com" }] },
        ...{ policies: [{ id, precedence: 1 }] },
      });
      const before = structuredClone(organization);
      house.set("strictServiceTokens", true);
      const from = house.folder.printed.length;
      await house.folder.update({}, preview);
      expect(said(house, from)).toContain('"Home Assistant" (ha.example.com)');
      expect(said(house, from)).toContain("switches on strict service tokens");
      expect(organization.strict_service_token_auth).toBe(false);
      house.takeCalls();
      await house.up();
      const calls = lines(writes(house.takeCalls()));
      expect(calls.filter((line) => line.includes("organizations"))).toEqual([
        expect.stringMatching(/^PATCH .*\/access\/organizations$/),
      ]);
      expect({ ...organization, updated_at: "" }).toEqual({
        ...before,
        ...{ strict_service_token_auth: true, updated_at: "" },
      });
      await house.up({ expectNoChanges: true });
      organization.strict_service_token_auth = false;
      // Meanwhile a phone was given a cookie, which the strict way does not end.
      const stolen = await phoneOf(house, "ken", "iphone");
      await house.up();
      expect(organization.strict_service_token_auth).toBe(true);
      await house.up({ expectNoChanges: true });
      expect(await status(stolen.withoutHeaders())).toBe(inside);
      house.set("family", [{ ...ken, phones: [{ name: "new" }] }]);
      await house.up();
      house.clock.advance(60_000);
      expect(await status(stolen.withoutHeaders())).toBe(302);
      house.set("strictServiceTokens", undefined);
      await house.up();
      expect(organization.strict_service_token_auth).toBe(true);
    } finally {
      await house.close();
    }
  });
});

describe("the two lines of a rotation", () => {
  it("may be taken out later; a version that was used is refused before any change, and named", async () => {
    const house = await EdgeHouse.build([ken]);
    try {
      await house.up();
      const phones = (more: object) =>
        house.set("family", [{ ...ken, phones: [{ name: "iphone", ...more }] }]);
      phones({ secretVersion: 2, overlapUntil: at(house, 2) });
      await house.up();
      const secret = house.world.state.data.serviceTokens[0]!.clientSecret;
      phones({});
      house.takeCalls();
      await house.up();
      expect(writes(house.takeCalls())).toEqual([]);
      expect((await house.headers()).ken!.iphone!["CF-Access-Client-Secret"]).toBe(secret);
      phones({ secretVersion: 2, overlapUntil: at(house, -2) });
      expect(errorsOf(await house.failure()).join("\n")).toContain(
        "version 2 was used already: Cloudflare would make no new secret. Give secretVersion: 3",
      );
      expect(writes(house.takeCalls())).toEqual([]);
      phones({ secretVersion: 3, overlapUntil: at(house, -2) });
      await house.up();
      expect(house.world.state.data.serviceTokens[0]!.clientSecret).not.toBe(secret);
      phones({ secretVersion: 2, overlapUntil: at(house, -2) });
      expect(errorsOf(await house.failure()).join("\n")).toContain("Give secretVersion: 4");
    } finally {
      await house.close();
    }
  });
});
