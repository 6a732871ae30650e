import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Browser } from "../cloudflare/house.ts";
import { EdgeHouse, hostOfEdge, type PersonSetting } from "./edge-house.ts";

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

describe("any family", { timeout: 600_000 }, () => {
  let house: EdgeHouse;
  /** Every phone's headers that were ever given out, by "<person>-<phone>" and client id. */
  const handedOut = new Map<string, Record<string, string>>();
  beforeAll(async () => {
    house = await EdgeHouse.build();
  });
  afterAll(() => house.close());

  const letIn = 530;

  async function deploy(people: PersonSetting[]): Promise<void> {
    house.set("family", people);
    await house.up();
    for (const [person, phones] of Object.entries(await house.headers())) {
      for (const [phone, headers] of Object.entries(phones)) {
        const id = headers["CF-Access-Client-Id"];
        handedOut.set(`${person}-${phone} ${id}`, headers as Record<string, string>);
      }
    }
  }

  /** Who gets past the gate now, of all who ever could: people by name, phones by "<person>-<phone>". */
  async function whoGetsIn(): Promise<string[]> {
    const inside: string[] = [];
    for (const [key, headers] of handedOut) {
      const { status } = await house.send("/api/server/ping", { headers });
      if (status === letIn) inside.push(key.split(" ")[0]!);
      else expect(status).toBe(401);
    }
    for (const name of [...names, "stranger"]) {
      // A new browser each time, and past the limit of codes in an hour.
      house.clock.advance(3_600_000);
      const { status } = await new Browser(house).signIn(`${name}@example.com`);
      if (status === letIn) inside.push(name);
    }
    return inside.sort();
  }

  const expected = (people: PersonSetting[]) =>
    people
      .flatMap(({ name, phones = [] }) => [name, ...phones.map((phone) => `${name}-${phone.name}`)])
      .sort();

  it("gets in by every address and phone of its settings, and nobody else does; who leaves is out, and only they", async () => {
    await fc.assert(
      fc.asyncProperty(family, fc.nat(), async (drawn, leaver) => {
        const people = drawn.map(({ name, phones, shouting }) => ({
          name,
          email: `${shouting ? name.toUpperCase() : name}@example.com`,
          phones: phones.map((phone) => ({ name: phone })),
        }));
        await deploy(people);
        expect(await whoGetsIn()).toEqual(expected(people));
        if (people.length > 1) {
          people.splice(leaver % people.length, 1);
          await deploy(people);
          expect(await whoGetsIn()).toEqual(expected(people));
        }
        expect(house.gaps).toEqual([]);
        expect(house.things().filter((thing) => thing.startsWith("application"))).toEqual([
          `application ouchi-photos (${hostOfEdge})`,
        ]);
      }),
      { numRuns: 6 },
    );
  });
});
