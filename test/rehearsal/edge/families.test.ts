import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Browser } from "../cloudflare/house.ts";
import { EdgeHouse, hostOfEdge, ken, type PersonSetting } from "./edge-house.ts";

const names = ["ken", "mio", "baaba", "jiiji", "sora", "umi"];
const phones = ["iphone", "pixel-8", "tab"];
const family = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...names),
    phones: fc.uniqueArray(fc.constantFrom(...phones), { maxLength: 2 }),
    // Cloudflare compares without regard to case, as people type.
    shouting: fc.boolean(),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 5 },
);

describe.each([
  { mode: "strict", strict: true },
  { mode: "older", strict: false },
])("any family, in the $mode way", { timeout: 600_000 }, ({ strict }) => {
  let house: EdgeHouse;
  /** Every phone that was ever set up, by "<person>-<phone>" and client id, with the cookies that it was given. */
  const phonesSetUp = new Map<string, Browser>();
  /** Browsers that people have signed in with, and that go on being used. */
  const browsers = new Map<string, Browser>();
  beforeAll(async () => {
    house = await EdgeHouse.build([ken], strict);
  });
  afterAll(() => house.close());

  const letIn = 530;

  async function deploy(people: PersonSetting[]): Promise<void> {
    house.set("family", people);
    await house.up();
    for (const [person, phones] of Object.entries(await house.headers())) {
      for (const [phone, headers] of Object.entries(phones)) {
        const key = `${person}-${phone} ${headers["CF-Access-Client-Id"]}`;
        if (!phonesSetUp.has(key)) {
          phonesSetUp.set(key, new Browser(house, headers as Record<string, string>));
        }
      }
    }
    // What was revoked is out within the minute.
    house.clock.advance(60_000);
  }

  /** Who gets past the gate now, of all who ever could: people by name, phones by "<person>-<phone>". */
  async function whoGetsIn(): Promise<string[]> {
    const inside: string[] = [];
    for (const [key, phone] of phonesSetUp) {
      const name = key.split(" ")[0]!;
      const thief = await phone.withoutHeaders().visit(`https://${hostOfEdge}/api/server/ping`);
      const { status } = await phone.visit(`https://${hostOfEdge}/api/server/ping`);
      if (status === letIn) inside.push(name);
      else {
        expect(status).toBe(strict ? 401 : 302);
        expect(thief.status, `the cookie of ${name}, alone`).toBe(302);
      }
    }
    for (const [name, browser] of browsers) {
      const { status } = await browser.open(`https://${hostOfEdge}/`);
      if (status === letIn) inside.push(`${name}'s browser`);
    }
    for (const name of [...names, "stranger"]) {
      // A new browser each time, and past the limit of codes in an hour.
      house.clock.advance(3_600_000);
      const browser = new Browser(house);
      const { status } = await browser.signIn(`${name}@example.com`);
      if (status !== letIn) continue;
      inside.push(name);
      browsers.set(name, browser);
    }
    return inside.sort();
  }

  const expected = (people: PersonSetting[]) =>
    people
      .flatMap(({ name, phones = [] }) => [name, ...phones.map((phone) => `${name}-${phone.name}`)])
      .sort();

  async function expectInside(people: PersonSetting[]): Promise<void> {
    const left = [...browsers.keys()].filter((name) => !people.some((one) => one.name === name));
    const seen = await whoGetsIn();
    expect(seen.filter((name) => !name.includes("browser"))).toEqual(expected(people));
    for (const name of left) expect(seen).not.toContain(`${name}'s browser`);
    for (const name of left) browsers.delete(name);
  }

  it("gets in by every address and phone of its settings, and nobody else does; who leaves is out, and only they", async () => {
    await fc.assert(
      fc.asyncProperty(family, fc.nat(), async (drawn, leaver) => {
        const people = drawn.map(({ name, phones, shouting }) => ({
          name,
          email: `${shouting ? name.toUpperCase() : name}@example.com`,
          phones: phones.map((phone) => ({ name: phone })),
        }));
        await deploy(people);
        await expectInside(people);
        if (people.length > 1) {
          people.splice(leaver % people.length, 1);
          await deploy(people);
          await expectInside(people);
        }
        expect(house.gaps).toEqual([]);
        expect(house.things().filter((thing) => thing.startsWith("application"))).toEqual([
          `application ouchi-photos (${hostOfEdge})`,
        ]);
      }),
      { numRuns: 4 },
    );
  });
});
