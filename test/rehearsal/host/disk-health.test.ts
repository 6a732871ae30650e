import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Status, statusLines } from "../../../cli/commands/status.ts";
import { DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

/** As smartctl 7.4 prints it of a disk behind SAT, cut to what tells of health. */
const smart = (passed: boolean, pending = 0) => ({
  smartctl: { version: [7, 4], exit_status: passed ? 0 : 8 },
  device: { name: "/dev/sda", info_name: "/dev/sda [SAT]", type: "sat", protocol: "ATA" },
  smart_status: { passed },
  ata_smart_attributes: {
    revision: 16,
    table: [
      { id: 5, name: "Reallocated_Sector_Ct", value: 100, raw: { value: 0, string: "0" } },
      { id: 9, name: "Power_On_Hours", value: 99, raw: { value: 1234, string: "1234" } },
      { id: 197, name: "Current_Pending_Sector", raw: { value: pending, string: `${pending}` } },
      { id: 198, name: "Offline_Uncorrectable", raw: { value: 0, string: "0" } },
    ],
  },
  power_on_time: { hours: 1234 },
});

/** Recorded words of smartctl and hdparm (test/rehearsal/host/stand-ins/disk.py), real Borg and ext4. */
describe("what the disks tell of themselves", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhoto("IMG_1.jpg", "one");
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
  });
  afterAll(() => house?.stop());
  beforeEach(() => world.calls());

  /** What smartctl is to say of the disk behind a mount point. */
  const says = async (mount: string, found: object) => {
    const device = await world.shell(
      `findmnt -no SOURCE ${mount} || findmnt -no SOURCE --fstab ${mount} | sed 's/UUID=//' | xargs blkid -U`,
    );
    await world.must(["mkdir", "-p", "/run/stand-ins/smart"]);
    await world.must(["tee", `/run/stand-ins/smart/${device.trim().split("/").at(-1)}.json`], {
      stdin: JSON.stringify(found),
    });
  };
  const status = async () =>
    JSON.parse(await world.must(["/usr/local/libexec/ouchi-photos/backup", "status"])) as Status;
  const archives = () => house.archives();
  const problems = async () => (await house.problems()).map(({ key }) => key);

  it("a bridge that passes nothing on: said, no failure, and nothing claimed", async () => {
    const done = await house.backUp();
    expect(done.code).toBe(0);
    expect(done.stdout).toContain(
      "main disk: it tells nothing of its health, as behind many USB bridges",
    );
    expect((await status()).backups.smart).toMatchObject({
      main: { verdict: "unknown", unreadable: null },
    });
    expect(statusLines(await status()).join("\n")).not.toContain("SMART");
  });

  it("disks that are well: said in the status, with their age", async () => {
    await says("/mnt/hdd1", smart(true));
    await says("/mnt/hdd2", smart(true));
    const done = await house.backUp();
    expect(done.stdout).toContain("backup disk: it says that it is well");
    expect(statusLines(await status()).join("\n")).toMatch(
      /Photos' disk .*; well after 1234 hours of its life \(SMART\)/,
    );
    expect(await problems()).toEqual([]);
  });

  it("sectors that it could not read: the backup is good, and the owner is told to buy a new one", async () => {
    await says("/mnt/hdd1", smart(true, 8));
    expect((await house.backUp()).code).toBe(0);
    expect(await problems()).toEqual(["main-wearing"]);
    expect((await house.problems())[0]!.what).toMatch(
      /^The photos' disk \(.*\) has 8 sectors that it could not read\.$/,
    );
  });

  it.each(["main", "backup"])(
    "a %s disk that expects to fail: the archive is made, nothing is pruned, and the owner is told",
    async (role) => {
      await says("/mnt/hdd1", smart(role !== "main"));
      await says("/mnt/hdd2", smart(role !== "backup"));
      const before = await archives();
      const done = await house.backUp();
      expect(done.code).not.toBe(0);
      expect(done.stderr).toMatch(
        new RegExp(
          `^The ${role} disk \\(.*\\) expects to fail soon\\. "frozen-\\S+" was kept and nothing was pruned\\. Replace it now`,
          "m",
        ),
      );
      expect(await archives()).toEqual([...before, expect.any(String)]);
      expect(await problems()).toEqual(["backup-frozen"]);
      await says("/mnt/hdd1", smart(true));
      await says("/mnt/hdd2", smart(true));
      expect((await house.backUp()).code).toBe(0);
      expect(await problems()).toEqual([]);
    },
  );

  it.each([
    ["ata", true, ["hdparm -q -y"]],
    ["scsi", true, ["hdparm -q -y", "sdparm --quiet --command=stop"]],
    ["none", false, ["hdparm -q -y", "sdparm --quiet --command=stop"]],
    ["none, not even the question", false, ["hdparm -q -y", "sdparm --quiet --command=stop"]],
  ])(
    "HDD2 behind a bridge that passes on %s: it sleeps (%s), and the run says so",
    async (bridge, sleeps, commands) => {
      await world.must(["tee", "/run/stand-ins/bridge"], { stdin: bridge });
      const done = await house.backUp();
      expect(done.code).toBe(0);
      expect(done.stdout).toMatch(
        sleeps
          ? /^the backup disk sleeps$/m
          : /^the backup disk does not sleep, or does not say so, when it is told to: its USB bridge does not pass it on$/m,
      );
      const calls = (await world.calls()).map((call) => call.join(" "));
      for (const command of ["hdparm -q -y", "sdparm --quiet --command=stop"])
        expect(
          calls.some((call) => call.startsWith(command)),
          command,
        ).toBe(commands.includes(command));
      expect((await status()).backups.backupDiskSleeps).toBe(sleeps);
      // A restore, which speaks by a stream of its own, puts the disk to sleep, too.
      const listed = await world.must(["/usr/local/libexec/ouchi-photos/restore", "--list"]);
      expect(listed).toMatch(/^immich-/m);
      expect(statusLines(await status()).join("\n")).toMatch(
        sleeps
          ? /Backup disk .*, asleep, \d\.\d GB of \d\.\d GB free/
          : /Backup disk .*, not mounted, \d\.\d GB of \d\.\d GB free; behind its USB bridge it does not sleep, or does not say so/,
      );
    },
  );
});
