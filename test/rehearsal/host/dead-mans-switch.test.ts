import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { secretsBundle } from "../../../pi/bundles.ts";
import { isLate } from "../../../rehearsal/pi/alarm-receiver.ts";
import { DeployedWorld, secrets } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

interface Ping {
  signal: string | null;
  status: number;
  body: string;
  /** Unix time in seconds. */
  at: number;
}
const address = "http://127.0.0.1:8787/canary-of-the-check";
const day = 86_400;

describe("the dead man's switch outside the house", () => {
  let house: DeployedWorld;
  let world: HostWorld;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhoto("IMG_1.jpg", "one");
    const program = new URL("./stand-ins/dead-mans-switch.py", import.meta.url);
    world.write("/usr/local/sbin/dead-mans-switch", readFileSync(program, "utf8"), 0o755);
    await world.shell("dead-mans-switch >/dev/null 2>&1 </dev/null &");
    // No message reaches the owner's own channel in this house.
    const told = { ...secrets, ping: address, alarm: "ntfys://canary-of-the-alarm" };
    expect(await world.apply(secretsBundle(told))).toMatchObject({ code: 0, stderr: "" });
    await world.shell("touch /run/stand-ins/offline");
  });
  afterAll(async () => {
    await house?.stop();
  });
  beforeEach(() => world.shell("rm -f /run/stand-ins/pings"));

  const run = () => house.backUp();
  const isLateOf = (heard: Ping[], now: number) =>
    isLate(
      heard.filter(({ status }) => status === 200),
      now,
    );
  const pings = async () =>
    (await world.shell("cat /run/stand-ins/pings 2>/dev/null || true"))
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Ping);

  it("hears of a good backup, and speaks up when it hears of none for eight days (row 48)", async () => {
    expect(await run()).toMatchObject({ code: 0 });
    const heard = await pings();
    expect(heard.map(({ signal, status }) => [signal, status])).toEqual([
      ["start", 200],
      ["success", 200],
    ]);
    expect(JSON.parse(heard[1]!.body)).toMatchObject({ rows: { asset: 1 }, files: 1 });
    const now = Date.now() / 1000;
    expect(isLateOf(heard, now + 7.9 * day)).toBe(false);
    // A Pi that is dead says nothing more.
    expect(isLateOf(heard, now + 8.1 * day)).toBe(true);
  });

  it("hears why a backup failed, with the owner's channel down, and is not put off by it (row 48)", async () => {
    await world.shell("mv /etc/ouchi-photos/secrets/borg-passphrase /root/passphrase");
    const failed = await run();
    await world.shell("mv /root/passphrase /etc/ouchi-photos/secrets/borg-passphrase");
    expect(failed.code).not.toBe(0);
    const heard = await pings();
    expect(heard.map(({ signal }) => signal)).toEqual(["start", "fail"]);
    expect(heard[1]!.body).toContain("The passphrase of the backups is missing");
    expect(isLateOf(heard, Date.now() / 1000)).toBe(true);
    const alarmed = await world.program("health");
    expect(alarmed.stdout).toMatch(/The backup of .* failed: The passphrase/);
    expect(alarmed.stdout).toContain("The owner could not be told");
  });

  it("makes no backup fail when it is down itself, and its address is shown nowhere", async () => {
    const path = "/usr/local/libexec/ouchi-photos/alarm.py";
    const patient = world.read(path);
    world.write(path, patient.replace("pause=10", "pause=0.1"));
    await world.shell("touch /run/stand-ins/ping-down");
    const done = await run();
    world.write(path, patient);
    await world.shell("rm /run/stand-ins/ping-down");
    expect(done).toMatchObject({ code: 0 });
    expect(done.stdout).toContain("The dead man's switch could not be told (503).");
    expect((await pings()).map(({ status }) => status)).toEqual(Array(6).fill(503));
    expect(done.stdout + done.stderr + JSON.stringify(await world.calls())).not.toContain("canary");
    expect(await world.shell("cat /var/lib/ouchi-photos/*.json")).not.toContain("canary");
  });
});
