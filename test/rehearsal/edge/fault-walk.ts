import { writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { destroy, type UpdateResult } from "../../../rehearsal/engine/engine.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { EdgeHouse, inAMonth, ken, type PersonSetting, writes } from "./edge-house.ts";
import { type Fault, failureOf, type Moment, moments, twoAtATime } from "./moments.ts";

type Kind = Omit<Fault, "method" | "path" | "after">;

/** The provider and the kit try again by themselves. */
const passing: Record<string, Kind> = {
  "429 with Retry-After": { kind: "status", status: 429, retryAfterSeconds: 0 },
  "503": { kind: "status", status: 503 },
  "a connection cut before": { kind: "cut" },
  "a slow reply": { kind: "slow", delayMs: 300 },
};

/** The `up` stops, or goes on with less than Cloudflare has. */
const stopping: Record<string, Kind> = {
  "502 for good": { kind: "status", status: 502, times: 20 },
  "success: false under 200": { kind: "unsuccessful" },
  "a connection cut after": { kind: "lost-reply" },
  "a token that has expired": {
    ...{ kind: "status", status: 403, code: 9109 },
    message: "Invalid access token",
  },
};

const rotated = (secretVersion: number): PersonSetting => ({
  ...ken,
  phones: [{ name: "iphone", secretVersion, overlapUntil: inAMonth }],
});

/** What a reader of the terminal can act on: Cloudflare's address and words, or the kit's own sentence. */
function expectClear(result: UpdateResult): void {
  const errors = errorsOf(result);
  expect(errors).not.toEqual([]);
  for (const error of errors) {
    expect(error).not.toMatch(/undefined|\bat .*\.ts:\d+|TypeError/);
    expect(error.length).toBeGreaterThan(20);
  }
}

async function whole(house: EdgeHouse, things: string[]): Promise<void> {
  expect(house.things()).toEqual(things);
  expect(house.gaps).toEqual([]);
  const { data } = house.world.state;
  const { ken: phones } = await house.headers();
  expect(phones!.iphone).toEqual({
    "CF-Access-Client-Id": data.serviceTokens[0]!.clientId,
    "CF-Access-Client-Secret": data.serviceTokens[0]!.clientSecret,
  });
  expect(data.applications[0]!.policies.map(({ id }) => id).sort()).toEqual(
    data.policies.map(({ id }) => id).sort(),
  );
  expect(data.dnsRecords[0]!.content).toBe(
    `${data.tunnels.find(({ deletedAt }) => !deletedAt)!.id}.cfargotunnel.com`,
  );
}

/** Does what the error's last sentence says. Undefined where it only says to run again. */
function cure(house: EdgeHouse, failed: UpdateResult, stateBefore: string): string | undefined {
  const errors = errorsOf(failed).join("\n");
  const [, emptyEntry] = /pulumi state delete '([^']+)'/.exec(errors) ?? [];
  const file = house.folder.stateFile;
  if (emptyEntry) {
    const state = JSON.parse(house.folder.state) as {
      deployment: { resources: { urn: string }[] };
    };
    const { deployment } = state;
    deployment.resources = deployment.resources.filter(({ urn }) => urn !== emptyEntry);
    writeFileSync(file, JSON.stringify(state));
    return "an empty entry";
  }
  if (errors.includes("Bring back the state's last copy")) {
    writeFileSync(file, stateBefore);
    return "a copy of the state";
  }
  const [, version] = /Raise its secretVersion once more, to (\d+)/.exec(errors) ?? [];
  if (version) {
    house.set("family", [rotated(Number(version))]);
    return "a lost secret";
  }
  return undefined;
}

/**
 * The fault walk over a first `up` and a rotation.
 *
 * @param requests whether to walk every one, or every second one, and of the preflight's readings one for all: they go through one function.
 */
export function faultWalk(requests: "every" | "every second") {
  describe(`one fault at ${requests} request, and the next \`up\``, {
    timeout: 900_000,
  }, () => {
    const walked = (moments: Moment[]) =>
      requests === "every"
        ? moments
        : moments
            .filter(({ method, path }) => method !== "GET" || /zones\$|token\$/.test(path))
            .filter((_, index) => index % 2 === 0);
    let things: string[] = [];
    let ofFirstUp: Moment[] = [];
    let ofRotation: Moment[] = [];
    let house: EdgeHouse | undefined;
    afterAll(() => house?.close());

    it("is known by the requests of an undisturbed first `up` and of a rotation", async () => {
      house = await EdgeHouse.build();
      await house.up();
      things = house.things();
      ofFirstUp = moments(house.takeCalls());
      house.set("family", [rotated(2)]);
      await house.up();
      const calls = house.takeCalls();
      ofRotation = moments(calls);
      expect(things).toHaveLength(9);
      expect(ofFirstUp.length).toBeGreaterThan(17);
      expect(writes(calls)).toHaveLength(1);
      await whole(house, things);
    });

    it.each(Object.keys(passing))("neither notices %s at every request (row 38)", async (name) => {
      const house = await EdgeHouse.build();
      try {
        const everywhere = (moments: Moment[]) => {
          house.world.faults.clear();
          for (const { method, path } of moments.filter(({ after }) => after === 0)) {
            house.world.faults.add({ method, path, ...passing[name]! });
          }
        };
        everywhere(ofFirstUp);
        await house.up();
        await whole(house, things);
        house.set("family", [rotated(2)]);
        everywhere(ofRotation);
        await house.up();
        await whole(house, things);
        expect(house.takeCalls().filter(({ fault }) => fault).length).toBeGreaterThan(20);
      } finally {
        await house.close();
      }
    });

    it.each(Object.keys(stopping))("a first `up` outlasts %s (row 38)", async (name) => {
      await twoAtATime(walked(ofFirstUp), async (moment, house) => {
        house.set("family", [ken]);
        house.world.faults.add({ ...moment, ...stopping[name]! });
        const failed = await failureOf(house);
        house.world.faults.clear();
        if (failed) expectClear(failed);
        const empty = name === "success: false under 200" && moment.method !== "GET";
        expect(failed && cure(house, failed, "")).toBe(empty ? "an empty entry" : undefined);
        await house.up();
        await whole(house, things);
        await house.folder.update({ skipPreview: true }, destroy);
        expect(house.things()).toEqual([]);
      });
    });

    it.each(Object.keys(stopping))("a rotation outlasts %s (row 38)", async (name) => {
      const versions = new Map<EdgeHouse, number>();
      await twoAtATime(walked(ofRotation), async (moment, house) => {
        if (!versions.has(house)) await house.up();
        const version = (versions.get(house) ?? 1) + 1;
        versions.set(house, version + 1);
        const before = house.world.state.data.serviceTokens[0]!.clientSecret;
        const stateBefore = house.folder.state;
        house.set("family", [rotated(version)]);
        house.world.faults.add({ ...moment, ...stopping[name]! });
        const failed = await failureOf(house);
        house.world.faults.clear();
        // The phone is never locked out on the way.
        const token = house.world.state.data.serviceTokens[0]!;
        expect([token.clientSecret, token.previousClientSecret]).toContain(before);
        if (failed) {
          expectClear(failed);
          const cures: Record<string, string> = {
            "a connection cut after": "a lost secret",
            "success: false under 200": "a copy of the state",
          };
          expect(cure(house, failed, stateBefore)).toBe(
            moment.method === "PUT" ? cures[name] : undefined,
          );
        }
        await house.up();
        await whole(house, things);
      });
    });
  });
}
