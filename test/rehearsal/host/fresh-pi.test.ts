import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { disksBundle } from "../../../pi/bundles.ts";
import { applyAll, bundles, DeployedWorld, imagesLock, secrets } from "./deployed-world.ts";
import { HostWorld, libexec } from "./host-world.ts";

const images = "/mnt/hdd1/immich/images";
// Each cut is followed by a whole restore.
const stride = 5 * Number(process.env.OUCHI_CUT_STRIDE ?? 1);

/** The house is gone but for HDD2: another Pi, another main disk, another state; real Borg, PostgreSQL and ext4. */
describe("backups that outlived their house", () => {
  let old: DeployedWorld;
  let house: DeployedWorld;
  let world: HostWorld;
  let rows: string;
  let files: string;

  beforeAll(async () => {
    old = await DeployedWorld.start();
    await old.world.shell("hostname ouchi-of-before");
    for (let each = 1; each <= 60; each++)
      await old.addPhoto(`IMG_${each}.jpg`, `the bytes of photo ${each}`, each % 2 ? "a" : "b");
    await old.world.shell(
      `echo face > ${images}/profile/ken.jpg; echo made > ${images}/thumbs/one.webp; echo transcode > ${images}/encoded-video/one.mp4`,
    );
    await old.sql(
      `insert into "asset_file" ("assetId", "type", "path") select "id", type, path from "asset",
         (values ('thumbnail', '/data/thumbs/one.webp'), ('encoded_video', '/data/encoded-video/one.mp4')) as made(type, path)
         where "originalFileName" = 'IMG_1.jpg';`,
    );
    expect(await old.backUp()).toMatchObject({ code: 0, stderr: "" });
    rows = await old.everyRow();
    files = await sums(old.world);

    world = await HostWorld.start();
    await world.shell("hostname another-pi");
    await world.layPrograms();
    await world.addDisk("usb-NEW", 6000);
    await world.addDiskOf(old.world, "usb-TWO");
    house = new DeployedWorld(world);
  });
  afterAll(async () => {
    await old?.stop();
    await house?.stop();
  });

  /** Every file that people gave, by content. */
  const sums = (of: HostWorld) =>
    of.shell(
      `cd ${images}; find library upload profile -type f -not -name .immich -exec sha1sum {} + | sort`,
    );
  const apply = (own: typeof secrets) =>
    applyAll(world, {
      ...bundles(imagesLock(), own),
      disks: disksBundle({
        main: { id: "usb-NEW", allowFormat: true },
        backup: { id: "usb-TWO" },
      }),
    });

  it("a state that has another passphrase: up says so at once, and where the right one stands (row 25)", async () => {
    const said = await apply({ ...secrets, borgPassphrase: "madeByANewState" });
    expect(said).toMatch(
      /^backup: The passphrase in "\/etc\/ouchi-photos\/secrets\/borg-passphrase" does not open the backups at "\/mnt\/hdd2\/borg\/immich"\. The right one stands on the recovery sheet: .*"pulumi config set --secret ouchi-photos:borgPassphrase".* Nothing was changed\.$/,
    );
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
  });

  it("the one of the recovery sheet: everything comes back by one command, by another host's name, with every row and every byte (row 29)", async () => {
    expect(await apply(secrets)).toBeUndefined();
    const restored = await world.program("restore", "--everything");
    expect(restored).toMatchObject({ code: 0, stderr: "" });
    expect(restored.stdout).toMatch(/restored everything from immich-\S+: .*'asset': 60/);
    expect(restored.stdout).toContain("Immich has to make 1 transcodes anew");
    expect(await house.everyRow()).toBe(rows);
    expect(await sums(world)).toBe(files);
  });

  it("what Immich makes again is not in the archives: its folders are there, without which it would not start, and no film leads nowhere (row 30)", async () => {
    const markers = await world.shell(`cd ${images}; ls */.immich; ls encoded-video`);
    expect(markers.split("\n")).toEqual(
      ["backups", "encoded-video", "library", "profile", "thumbs", "upload"].map(
        (folder) => `${folder}/.immich`,
      ),
    );
    expect(await house.isRunning("immich_server")).toBe(true);
    // Immich plays the original of a film without a transcode, and queues the making of one.
    expect(await house.sql(`select "path" from "asset_file"`)).toBe("/data/thumbs/one.webp");
  });

  it("and the house goes on: its next backup is good, in the same archives, and a drill compares 50 photos (row 29)", async () => {
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
    const drilled = await world.program("backup", "drill");
    expect(drilled.stdout).toMatch(/60 photos.*; 50 photos are as their checksums say/);
    expect(await house.archives()).toHaveLength(2);
  });

  it(`cut at every step (of ${stride}): what was there is in its place or beside it, and the same command ends it (row 28)`, async () => {
    const archive = (await house.archives()).at(-1)!;
    // Newer than the archive: only here.
    await world.shell(`echo newer > ${images}/library/newer.jpg`);
    let whole = false;
    for (let step = 1; !whole; step += stride) {
      const result = await world.run([
        ...["cut.py", String(step), `${libexec}/restore`, "--everything", "--archive", archive],
      ]);
      whole = result.code === 0;
      if (!whole) expect(result.code, result.stderr).toBe(137);
      await house.takeBackupDiskDown();
      expect(
        await world.shell(
          "cd /mnt/hdd1/immich; cat images/library/newer.jpg images.before-restore-*/library/newer.jpg 2>/dev/null || true",
        ),
        `after a cut at step ${step}`,
      ).toMatch(/^newer(\nnewer)*$/);
      await world.shell("rm -rf /mnt/hdd1/immich/*.unfinished-*");
    }
    expect(await house.everyRow()).toBe(rows);
    expect(await sums(world)).toBe(files);
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
  });
});
