import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type RecoveryKey, recoverySheet } from "../../../cli/commands/key.ts";
import { DeployedWorld } from "./deployed-world.ts";
import { type HostWorld, libexec } from "./host-world.ts";

interface Drill {
  result: string;
  at: string;
  archive?: string;
  rows?: object;
  photos?: number;
  message?: string;
}
const folder = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03";

describe("the drill", () => {
  let house: DeployedWorld;
  let world: HostWorld;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhotos("IMG_そら 1.jpg", "IMG_2.jpg", "IMG_3.jpg");
    expect(await run()).toMatchObject({ code: 0, stderr: "" });
  });
  afterAll(async () => {
    await house?.stop();
  });
  beforeEach(() => world.calls());

  const run = () => house.backUp();
  const hold = () => world.program("backup", "drill");
  const status = () =>
    world.json<{ last: { result: string; archive: string }; drill: Drill; lastGoodDrill: Drill }>(
      "/var/lib/ouchi-photos/backup-status.json",
    );
  const borg = (script: string) => house.borg(script);
  const troubles = async () => (await house.problems()).filter(({ key }) => /drill/.test(key));
  const nothingIsLeft = async () => {
    expect(await world.shell("ls -A /mnt/hdd1/kit")).not.toContain("drill");
    expect(await world.shell("cat /run/stand-ins/docker.json")).not.toContain('"ouchi_drill": "');
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
  };

  it("is held by the first run itself, beside the house that serves", async () => {
    const { last, drill, lastGoodDrill } = status();
    expect(last.result).toBe("good");
    expect(drill).toEqual(lastGoodDrill);
    expect(drill).toMatchObject({
      result: "good",
      archive: last.archive,
      rows: { asset: 3, user: 2, album: 2 },
      photos: 3,
    });
    await nothingIsLeft();
  });

  it("is not held again within four weeks, and is after them", async () => {
    expect(await run()).toMatchObject({ code: 0, stderr: "" });
    expect((await world.calls()).flat()).not.toContain("ouchi_drill");
    const before = status();
    await world.shell(
      `sed -i 's/"at": "${before.drill.at}"/"at": "2026-01-02T03:04:05Z"/' /var/lib/ouchi-photos/backup-status.json`,
    );
    expect((await troubles()).map(({ key }) => key)).toEqual(["drill-old"]);
    expect(await run()).toMatchObject({ code: 0, stderr: "" });
    expect(status().lastGoodDrill.archive).toBe(status().last.archive);
    expect(await troubles()).toEqual([]);
  });

  it("leaves the house's own database, photos and archives alone", async () => {
    const [rows, files, archives] = [
      await house.everyRow(),
      await world.shell(`cd ${folder}; sha1sum *`),
      await house.archives(),
    ];
    expect(await hold()).toMatchObject({ code: 0, stderr: "" });
    const calls = (await world.calls()).map((call) => call.join(" "));
    expect(calls.filter((call) => /docker (stop|start|compose)/.test(call))).toEqual([]);
    expect(await house.everyRow()).toBe(rows);
    expect(await world.shell(`cd ${folder}; sha1sum *`)).toBe(files);
    expect(await house.archives()).toEqual(archives);
    await nothingIsLeft();
  });

  it("fails by name when a photo in the archive is not what its checksum says, and is told", async () => {
    const good = status().lastGoodDrill;
    // As a file system whose bytes have rotten: the row knows better.
    await world.shell(
      `cp -p '${folder}/IMG_2.jpg' /root/kept; echo rotten > '${folder}/IMG_2.jpg'`,
    );
    // A run looks at some photos, too, and keeps the older archives.
    const frozen = await run();
    expect(frozen.code).toBe(1);
    expect(frozen.stdout + frozen.stderr).toContain("no longer what Immich recorded of them");
    const failed = await hold();
    await world.shell(`cp -p /root/kept '${folder}/IMG_2.jpg'`);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(
      `Of 3 photos of "${(await house.archives()).at(-1)}", 1 did not come back: ${folder}/IMG_2.jpg of ken is not what its checksum says.`,
    );
    expect(status().drill.result).toBe("failed");
    expect(status().lastGoodDrill).toEqual(good);
    expect((await troubles()).map(({ key }) => key)).toEqual(["drill-failed"]);
    await nothingIsLeft();

    expect(await run()).toMatchObject({ code: 0, stderr: "" });
    expect(await hold()).toMatchObject({ code: 0, stderr: "" });
    expect(await troubles()).toEqual([]);
  });

  it("fails when the archive has none of the photos, however many its run missed, and not for an empty one", async () => {
    await world.shell(`mv '${folder}' /mnt/hdd1/aside; mkdir '${folder}'`);
    expect((await run()).code).toBe(1);
    const failed = await hold();
    await world.shell(`rmdir '${folder}'; mv /mnt/hdd1/aside '${folder}'`);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/lacks 3 photos that its dump names/);
    // As a power cut leaves one, which is told elsewhere.
    await world.shell(`cp -p '${folder}/IMG_2.jpg' /root/kept; : > '${folder}/IMG_2.jpg'`);
    expect(await run()).toMatchObject({ code: 0, stderr: "" });
    const drilled = await hold();
    await world.shell(`cp -p /root/kept '${folder}/IMG_2.jpg'`);
    expect(drilled).toMatchObject({ code: 0, stderr: "" });
    expect(drilled.stdout).toContain("2 photos are as their checksums say");
    expect(await run()).toMatchObject({ code: 0, stderr: "" });
  });

  it("fails when the database does not have the rows that were counted for the dump", async () => {
    const manifest = await world.shell(
      "ls /mnt/hdd1/immich/images/backups/*.manifest.json | tail -n 1",
    );
    await borg(
      `sed -i 's/"asset": 3/"asset": 4/' ${manifest}
       borg create /mnt/hdd2/borg/immich::immich-20991231T000000 /mnt/hdd1/immich/images`,
    );
    const failed = await hold();
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(
      "has 3 photos, 2 people, 2 albums, but its dump was made of 4 photos, 2 people, 2 albums.",
    );
    await borg("borg delete /mnt/hdd2/borg/immich::immich-20991231T000000");
    await world.shell(`sed -i 's/"asset": 4/"asset": 3/' ${manifest}`);
    await nothingIsLeft();
  });

  it("proves the copy of the key: the archives open by it when the repository's own is lost (row 24)", async () => {
    const copy = "/var/lib/ouchi-photos/borg-key";
    await world.shell(`cp -p ${copy} /root/key; sed -i '3s/./A/g' ${copy}`);
    const failed = await hold();
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(`The copy of the key, "${copy}", does not open the archives`);
    await world.shell(`cp -p /root/key ${copy}`);
    expect(await hold()).toMatchObject({ code: 0, stderr: "" });

    // The repository's config is lost; the copy brings the archives back, in the words of docs/restore.md.
    const before = await house.archives();
    await borg(
      "cp -p /mnt/hdd2/borg/immich/config /root/config; sed -i '/^key = /,$d' /mnt/hdd2/borg/immich/config",
    );
    const refused = await world.program("backup", "list");
    expect(refused.code).not.toBe(0);
    await borg(`borg key import /mnt/hdd2/borg/immich ${copy}`);
    expect(await house.archives()).toEqual(before);
    expect(await world.program("backup", "list")).toMatchObject({ code: 0, stderr: "" });
  });

  it("prints a recovery sheet by which somebody with Borg alone, and no kit, gets every photo back", async () => {
    const asked = await world.program("backup", "key");
    expect(asked).toMatchObject({ code: 0, stderr: "" });
    const sheet = recoverySheet(JSON.parse(asked.stdout) as RecoveryKey, new Date());
    const lines = sheet.split("\n").map((line) => line.trim());
    // What is typed is read from the paper, in both languages the same.
    const typed = lines.slice(
      lines.findIndex((line) => line.startsWith("sudo mount")),
      lines.findIndex((line) => line.startsWith("borg --bypass-lock extract")) + 1,
    );
    expect(typed).toHaveLength(6);
    expect(sheet.split(typed.join("\n    "))).toHaveLength(3);
    const passphrase = lines[lines.indexOf("Passphrase / パスフレーズ") + 2]!;
    const [mount, _, settings, list, folderOf, extract] = typed as [
      ...[string, string, string, string, string, string],
    ];
    // Another computer: nothing of the kit, no cache, no word of this house.
    const other = (script: string) =>
      world.shell(
        `export HOME=/root/another; mkdir -p $HOME; export BORG_PASSPHRASE='${passphrase}'; ${settings}; ${script}`,
      );
    const photos = await world.shell(`cd ${folder}; sha1sum * | sort`);
    await other(mount.replace("sudo ", ""));
    const archive = (await other(list)).trim().split("\n").at(-1)!.split(" ")[0]!;
    await other(`${folderOf}; ${extract.replace("ARCHIVE", archive)}`);
    await world.shell("umount /mnt");
    expect(await world.shell(`cd /photos${folder}; sha1sum * | sort`)).toBe(photos);
    expect(
      await world.shell("tail -n 5 /photos/mnt/hdd1/immich/images/backups/kit-*.sql"),
    ).toContain("PostgreSQL database dump complete");
    expect(sheet).toContain(await world.shell("cat /var/lib/ouchi-photos/borg-key"));
    await world.shell("rm -r /photos /root/another");
  });

  it("clears what a drill has left that was cut", async () => {
    await world.shell(
      "mkdir -p /mnt/hdd1/kit/drill/files; echo half > /mnt/hdd1/kit/drill/files/half",
    );
    const file = "/var/lib/ouchi-photos/backup-status.json";
    const bootId = await world.shell("cat /proc/sys/kernel/random/boot_id");
    const begun = { result: "begun", at: "2026-11-27T01:00:00Z", bootId };
    world.write(file, JSON.stringify({ ...status(), drill: begun }));
    await world.must([`${libexec}/backup`, "settle"]);
    await nothingIsLeft();
    expect((await troubles())[0]!.what).toMatch(/^The drill of .* was ended in the middle/);
  });
});
