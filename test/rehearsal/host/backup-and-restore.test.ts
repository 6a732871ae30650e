import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { disksBundle } from "../../../pi/bundles.ts";
import { DeployedWorld, secrets } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

const photo = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/IMG_そら 1.jpg";

describe("backup and restore", () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let id: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    id = await house.addPhoto("IMG_そら 1.jpg", "first photo");
    await house.addPhoto("IMG_2.jpg", "second photo");
    await house.sql(`
      insert into "activity" values ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000a1', '${id}', 'かわいい');
      insert into "album_asset" values ('00000000-0000-4000-8000-0000000000a2', '${id}');
      insert into "asset_face" values ('00000000-0000-4000-8000-0000000000f1', '${id}');
      insert into "face_search" values ('00000000-0000-4000-8000-0000000000f1', '{0.1,0.25}');
      update "album" set "albumThumbnailAssetId" = '${id}' where "albumName" = 'そら';`);
  });
  afterAll(async () => {
    await house?.stop();
  });

  const deletePhoto = async () => {
    await house.sql(`delete from "asset" where "id" = '${id}';`);
    await world.must(["rm", photo]);
  };

  it("makes an encrypted archive as the cron line starts it, and leaves HDD2 unmounted", async () => {
    await world.calls();
    const line = world
      .read("/etc/cron.d/ouchi-photos")
      .split("\n")
      .find((each) => each.startsWith("0 1 * * 6 root "));
    expect(line).toBe("0 1 * * 6 root systemctl start ouchi-backup.service");
    const result = await world.run(["systemctl", "start", "ouchi-backup.service"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    // Nothing to prune yet, and a drill of it at once.
    expect(result.stdout).toMatch(
      /\nnow check, which may take an hour\ncheck: done\nthe backup is good\ndrill: restoring /,
    );
    const status = world.json<{ last: { result: string; archive: string; rows: object } }>(
      "/var/lib/ouchi-photos/backup-status.json",
    );
    expect(status.last).toMatchObject({
      result: "good",
      archive: expect.stringMatching(/^immich-\d{8}T\d{6}$/),
      rows: { asset: 2, user: 2, album: 2 },
      files: 2,
      bytes: "first photo".length + "second photo".length,
    });
    expect(await house.archives()).toEqual([status.last.archive]);
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
    const calls = await world.calls();
    // Never a terminal, and the server was stopped for the archive and started again.
    expect(calls.filter((call) => call.includes("--tty") || call.includes("-t"))).toEqual([]);
    expect(calls).toContainEqual(["docker", "stop", "--time", "60", "immich_server"]);
    expect(calls).toContainEqual(["docker", "start", "immich_server"]);
    expect(
      calls.flat().filter((word) => Object.values(secrets).some((secret) => word.includes(secret))),
    ).toEqual([]);
    await world.must(["mount", "/mnt/hdd2"]);
    const config = await world.must(["cat", "/mnt/hdd2/borg/immich/config"]);
    expect(config).toContain("additional_free_space = 2G");
    expect(config).toContain("key = ");
    // Sealed: no photo's bytes can be read from the repository.
    expect((await world.run(["grep", "-rq", "first photo", "/mnt/hdd2/borg/immich"])).code).toBe(1);
    await world.must(["umount", "/mnt/hdd2"]);
  });

  it("keeps PostgreSQL's own folder and the secrets out of the archive, and a whole dump in it", async () => {
    await world.must(["mount", "/mnt/hdd2"]);
    const archive = world.json<{ last: { archive: string } }>(
      "/var/lib/ouchi-photos/backup-status.json",
    ).last.archive;
    const listed = await world.shell(
      `BORG_BASE_DIR=/mnt/hdd1/kit/borg BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase' borg list --short /mnt/hdd2/borg/immich::${archive}`,
    );
    await world.must(["umount", "/mnt/hdd2"]);
    const paths = listed.split("\n");
    expect(
      paths.filter((path) => path.includes("immich/postgres") || path.includes("secrets")),
    ).toEqual([]);
    expect(paths).toContain(photo.slice(1));
    expect(paths).toContain("mnt/hdd1/immich/images/encoded-video/.immich");
    expect(
      paths.filter((path) =>
        /kit-immich-db-backup-\d{8}T\d{6}-v3\.2\.4-pg15\.\d+\.sql$/.test(path),
      ),
    ).not.toEqual([]);
    expect(paths).toContain("etc/ouchi-photos/compose/immich/compose.yaml");
  });

  it("brings one deleted photo back: its file, its row, its albums and what hung on them, and changes no other row", async () => {
    const before = await house.everyRow();
    const later = await house.addPhoto("IMG_later.jpg", "uploaded after the archive");
    await deletePhoto();
    const result = await world.program("restore", "--photo", "IMG_そら 1.jpg");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain("SHA-1 equals its checksum");
    expect(await world.must(["cat", photo])).toBe("first photo");
    const album = await house.sql(`select count(*) from "album_asset" where "assetId" = '${id}';`);
    expect(album).toBe("2");
    await house.sql(
      `update "album" set "albumThumbnailAssetId" = '${id}' where "albumName" = 'そら'; delete from "asset" where "id" = '${later}';`,
    );
    expect(await house.everyRow()).toBe(before);
    const databases = await house.sql(
      "select datname from pg_database where datname like 'ouchi%';",
    );
    expect(databases).toBe("");
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
  });

  it("gives the photo back to a phone: its updateId is new", async () => {
    const old = await house.sql(`select "updateId" from "asset" where "id" = '${id}';`);
    await deletePhoto();
    await world.program("restore", "--photo", id);
    expect(await house.sql(`select "updateId" from "asset" where "id" = '${id}';`)).not.toBe(old);
  });

  it("brings a photo back for good that lay in the trash when it was archived, and says where one lies now", async () => {
    await house.sql(
      `update "asset" set "deletedAt" = now(), "status" = 'trashed' where "id" = '${id}';`,
    );
    await world.program("backup", "run");
    const still = await world.program("restore", "--photo", id);
    expect(still.stdout).toContain("It is in Immich's trash");
    await deletePhoto();
    expect(await world.program("restore", "--photo", id)).toMatchObject({ code: 0, stderr: "" });
    expect(
      await house.sql(`select "deletedAt" is null, "status" from "asset" where "id" = '${id}';`),
    ).toBe("t|active");
  });

  it("mends a photo whose row is there and whose file is empty", async () => {
    await world.must(["truncate", "-s", "0", photo]);
    const rows = await house.everyRow();
    const result = await world.program("restore", "--photo", photo);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(await world.must(["cat", photo])).toBe("first photo");
    expect(await house.everyRow()).toBe(rows);
  });

  it("moves aside what lies in a photo's place: a damaged one, and a file that no row names", async () => {
    const kept = () =>
      world.shell(
        "cd /mnt/hdd1/immich; cat images.before-restore-*/library/ken/2022/2022-02-03/*.jpg; rm -r images.before-restore-*",
      );
    await world.shell(`rm -rf /mnt/hdd1/immich/images.before-restore-*; printf half > '${photo}'`);
    const mended = await world.program("restore", "--photo", photo);
    expect(mended).toMatchObject({ code: 0, stderr: "" });
    expect(mended.stdout).toMatch(
      /^what lay there before is now "\/mnt\/hdd1\/immich\/images\.before-restore-\S+\/IMG_そら 1\.jpg"/m,
    );
    expect(await world.must(["cat", photo])).toBe("first photo");
    expect(await kept()).toBe("half");
    await house.sql(`delete from "asset" where "id" = '${id}';`);
    await world.shell(`printf another > '${photo}'`);
    expect(await world.program("restore", "--photo", id)).toMatchObject({ code: 0, stderr: "" });
    expect(await world.must(["cat", photo])).toBe("first photo");
    expect(await kept()).toBe("another");
    // The very file is nothing to keep.
    await house.sql(`delete from "asset" where "id" = '${id}';`);
    expect(await world.program("restore", "--photo", id)).toMatchObject({ code: 0, stderr: "" });
    expect(await world.shell("ls /mnt/hdd1/immich")).not.toContain("before-restore");
  });

  it("loads no archive's database where the disk has no room for it", async () => {
    await house.sql(
      `create table "ballast" as select md5(random()::text) as "text" from generate_series(1, 250000);`,
    );
    await world.program("backup", "run");
    await house.sql(`drop table "ballast";`);
    const rows = await house.everyRow();
    await world.shell(
      "fallocate -l $(($(df -B1 --output=avail /mnt/hdd1 | tail -n 1) - 20000000)) /mnt/hdd1/filler",
    );
    for (const words of [
      ["--photo", id],
      ["--person", "ken"],
    ]) {
      const refused = await world.program("restore", ...words);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(
        /^\/mnt\/hdd1 has \d+ MiB free, .* a dump of \d MiB wants three times as much\. .* Nothing was changed\.$/,
      );
    }
    await world.must(["rm", "/mnt/hdd1/filler"]);
    expect(await house.everyRow()).toBe(rows);
  });

  it("leaves out an album that was deleted since, and changes nothing for a photo that is there", async () => {
    await deletePhoto();
    await house.sql(`delete from "album" where "albumName" = '海';`);
    expect(await world.program("restore", "--photo", id)).toMatchObject({ code: 0, stderr: "" });
    expect(
      await house.sql(
        `select "albumName" from "album" join "album_asset" on "albumId" = "id" where "assetId" = '${id}';`,
      ),
    ).toBe("そら");
    const again = await world.program("restore", "--photo", id);
    expect(again.stdout).toContain("is there already, whole");
    await house.sql(
      `insert into "album" values ('00000000-0000-4000-8000-0000000000a2', '海', null);`,
    );
  });

  it("restores everything, moves what was there aside, and compares the counts", async () => {
    const kept = await house.everyRow();
    await world.program("backup", "run");
    await house.sql(`delete from "asset"; delete from "album";`);
    await world.shell(
      "rm -r /mnt/hdd1/immich/images/library/ken; echo new > /mnt/hdd1/immich/images/library/since",
    );
    const result = await world.program("restore", "--everything");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(await house.everyRow()).toBe(kept);
    expect(await world.must(["cat", photo])).toBe("first photo");
    expect(await world.shell("cat /mnt/hdd1/immich/images.before-restore-*/library/since")).toBe(
      "new",
    );
  });

  it("keeps the archive of a library that shrank, prunes nothing, and says how to accept it", async () => {
    await house.sql(`delete from "asset" where "id" <> '${id}';`);
    const result = await world.program("backup", "run");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/"asset" has 1 rows, 2 at the last good run/);
    expect(
      world.json<{ last: { result: string } }>("/var/lib/ouchi-photos/backup-status.json").last
        .result,
    ).toBe("frozen");
    expect((await world.program("backup", "accept")).code).toBe(0);
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
  });

  it("refuses a passphrase that does not open the backups, and says where the right one is", async () => {
    await world.shell(
      "cp /etc/ouchi-photos/secrets/borg-passphrase /run/right; printf wrong > /etc/ouchi-photos/secrets/borg-passphrase",
    );
    const result = await world.program("backup", "run");
    await world.shell("cp /run/right /etc/ouchi-photos/secrets/borg-passphrase");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/does not open the backups.*recovery sheet/);
    expect(await house.isRunning("immich_server")).toBe(true);
  });

  it("begins anew on a new backup disk, and keeps the copy of the old one's key", async () => {
    await world.addDisk("usb-THREE", 6000);
    const disks = (backup: string) =>
      disksBundle({
        main: { id: "usb-ONE", allowFormat: true },
        backup: { id: backup, allowFormat: true },
      });
    expect(await world.apply(disks("usb-THREE"))).toMatchObject({ code: 0 });
    const before = world.json<{ id: string }>("/var/lib/ouchi-photos/repository.json").id;
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    const after = world.json<{ id: string }>("/var/lib/ouchi-photos/repository.json").id;
    expect(after).not.toBe(before);
    expect(world.exists("/var/lib/ouchi-photos/borg-key")).toBe(true);
    expect(world.read(`/var/lib/ouchi-photos/borg-key-${before.slice(0, 8)}`)).toContain(before);
    // The old disk's archives open as before.
    expect(await world.apply(disks("usb-TWO"))).toMatchObject({ code: 0 });
    const listed = await world.program("restore", "--list");
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    expect(listed.stdout.match(/^immich-/gm)!.length).toBeGreaterThan(1);
  });

  it("never begins anew over lost backups", async () => {
    await world.shell(
      "mount /mnt/hdd2; mv /mnt/hdd2/borg /mnt/hdd2/gone; umount /mnt/hdd2; rm /var/lib/ouchi-photos/repository.json",
    );
    const result = await world.program("backup", "run");
    await world.shell("mount /mnt/hdd2; mv /mnt/hdd2/gone /mnt/hdd2/borg; umount /mnt/hdd2");
    expect(result.stderr).toMatch(/does not begin new ones over lost ones/);
  });

  it("fails without HDD2, writes nothing in its place, and the photo server runs", async () => {
    await world.shell(
      "mv /etc/fstab /run/fstab; sed 's/^UUID=[^ ]* \\/mnt\\/hdd2/UUID=11111111-2222-4333-8444-555555555555 \\/mnt\\/hdd2/' /run/fstab > /etc/fstab",
    );
    const result = await world.program("backup", "run");
    await world.shell("cp /run/fstab /etc/fstab");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/could not be mounted at "\/mnt\/hdd2"/);
    expect(await house.isRunning("immich_server")).toBe(true);
  });

  it("writes an unchanged database twice in the same bytes, so that Borg stores it once", async () => {
    const dumped = async () => {
      await world.must(["/usr/local/libexec/ouchi-photos/backup", "dump"]);
      return world.shell("ls -t /mnt/hdd1/immich/images/backups/kit-*.sql | head -n 1");
    };
    const first = await dumped();
    // A dump's name has seconds in it.
    await world.shell("sleep 1.1");
    const second = await dumped();
    expect(second).not.toBe(first);
    expect(await world.run(["cmp", first, second])).toMatchObject({ code: 0, stdout: "" });
    expect(await world.shell("stat -c %a /mnt/hdd1/kit/dump-key")).toBe("600");
  });

  it("takes away the lock of a run that was cut, and cleans up its half dump", async () => {
    await world.shell(
      "mount /mnt/hdd2; mkdir /mnt/hdd2/borg/immich/lock.exclusive; touch /mnt/hdd2/borg/immich/lock.exclusive/otherhost@1.1-0; umount /mnt/hdd2; touch /mnt/hdd1/immich/images/backups/kit-immich-db-backup-x.sql.partial",
    );
    const result = await world.program("backup", "run");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain("took away the lock");
    expect((await world.shell("ls /mnt/hdd1/immich/images/backups")).includes("partial")).toBe(
      false,
    );
  });

  it("never takes a dump without its last line", async () => {
    world.write("/usr/local/bin/cut-dump", "#!/bin/sh\nexit 0\n", 0o755);
    const real = world.read("/usr/local/sbin/docker");
    world.write(
      "/usr/local/sbin/docker",
      real.replace(
        '    return subprocess.run([f"{BINARIES}/{arguments[1]}"',
        '    if arguments[1] == "pg_dump":\n        return 0\n    return subprocess.run([f"{BINARIES}/{arguments[1]}"',
      ),
      0o755,
    );
    const before = await world.shell("ls /mnt/hdd1/immich/images/backups");
    const result = await world.program("backup", "run");
    world.write("/usr/local/sbin/docker", real, 0o755);
    expect(result.stderr).toMatch(
      /could not be dumped: its last line is missing\. The earlier dumps stay/,
    );
    expect(await world.shell("ls /mnt/hdd1/immich/images/backups")).toBe(before);
  });
});
