import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

const library = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03";
const ken = "00000000-0000-4000-8000-00000000000a";

describe("restoring one person", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let rows: string;
  let files: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhotos("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg");
    await house.addPhoto("IMG_of_mio.jpg", "of mio", "b");
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    [rows, files] = [await house.everyRow(), await shown()];
  });
  afterAll(async () => {
    await house?.stop();
  });

  const shown = () => world.shell(`cd ${library}; sha1sum * | sort`);
  const restore = (...words: string[]) => world.program("restore", "--person", ...words);

  it("brings back what they lost and what was spoiled, and touches nobody else's", async () => {
    await house.sql(
      `delete from "asset" where "originalFileName" in ('IMG_1.jpg', 'IMG_of_mio.jpg');`,
    );
    await world.shell(`cd ${library}; rm IMG_1.jpg IMG_of_mio.jpg; : > IMG_2.jpg`);
    const dry = await restore("ken", "--dry-run");
    expect(dry.stdout).toMatch(/ken has 3 photos in immich-\S+, of which 2 are missing or damaged/);
    expect(await world.shell(`ls ${library}`)).not.toContain("IMG_1.jpg");
    const done = await restore("ken@example.com");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toContain("restored 2 of 2: each SHA-1 equals its checksum");
    expect(await world.shell(`ls ${library}`)).not.toContain("IMG_of_mio.jpg");
    expect(await restore("mio")).toMatchObject({ code: 0, stderr: "" });
    expect(await house.everyRow()).toBe(rows);
    expect(await shown()).toBe(files);
  });

  it("brings the account back, too, where it is gone with everything that hung on it", async () => {
    await house.sql(
      `delete from "asset" where "ownerId" = '${ken}'; delete from "user" where "id" = '${ken}';`,
    );
    await world.shell(`cd ${library}; rm IMG_1.jpg IMG_2.jpg IMG_3.jpg`);
    const alone = await world.program("restore", "--photo", "IMG_1.jpg");
    expect(alone.code).toBe(1);
    expect(alone.stderr).toContain("restore the person first (--person)");
    const done = await restore("ken");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toContain("; the account is missing, too");
    expect(done.stdout).toContain("restored the account of ken (ken@example.com)");
    expect(await house.everyRow()).toBe(rows);
    expect(await shown()).toBe(files);
    // Again, there is nothing to do.
    expect((await restore("ken")).stdout).toMatch(/of which 0 are missing or damaged now$/m);
  });

  it("goes on past a photo that the archive does not give back, and names each at the end", async () => {
    const good = (await house.archives()).at(-1)!;
    await world.shell(`cd ${library}; mv IMG_1.jpg /root; printf rotten > IMG_2.jpg`);
    expect((await world.program("backup", "run")).code).toBe(1);
    await house.sql(`delete from "asset" where "ownerId" = '${ken}';`);
    await world.shell(`cd ${library}; rm IMG_2.jpg IMG_3.jpg`);
    const done = await restore("ken");
    expect(done.code).toBe(1);
    expect(done.stdout).toContain("restored 1 of 3: each SHA-1 equals its checksum");
    expect(done.stderr).toMatch(
      /^All that could be restored of ken is back, but 2 photos are not\./,
    );
    expect(done.stderr).toMatch(/\n {2}IMG_1\.jpg of ken, .*: .* holds its row but not its file/);
    expect(done.stderr).toMatch(/\n {2}IMG_2\.jpg of ken, .* is not what its checksum says$/);
    expect(await world.shell(`cd ${library}; ls | grep -v mio; cat IMG_3.jpg`)).toBe(
      "IMG_3.jpg\nthe bytes of IMG_3.jpg",
    );
    const rest = await restore("ken", "--archive", good);
    expect(rest).toMatchObject({ code: 0, stderr: "" });
    expect(rest.stdout).toContain("restored 2 of 2");
    expect(await house.everyRow()).toBe(rows);
    expect(await shown()).toBe(files);
  });

  it("refuses somebody whom the archive does not know, with the names that it knows", async () => {
    const refused = await restore('\'; drop table "user"; --');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/knows no person .* It knows: ken \(ken@example\.com\); mio \(/);
    expect(await house.everyRow()).toBe(rows);
  });

  it("gives it all to the account of today, where one was made anew under the same address", async () => {
    const anew = "00000000-0000-4000-8000-00000000000c";
    const places = `/mnt/hdd1/immich/images/upload`;
    await world.shell(`mkdir -p ${places}/${ken}; printf four > ${places}/${ken}/IMG_4.jpg`);
    await house.sql(
      `insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum")
       values ('${ken}', '/data/upload/${ken}/IMG_4.jpg', 'IMG_4.jpg', '\\x${createHash("sha1").update("four").digest("hex")}');`,
    );
    const before = (await house.everyRow()).replaceAll(ken, anew).split("\n").sort();
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    await house.sql(
      `delete from "asset" where "ownerId" = '${ken}'; delete from "user" where "id" = '${ken}';
       insert into "user" ("id", "name", "email") values ('${anew}', 'ken', 'ken@example.com');`,
    );
    await world.shell(`rm -r ${library}/IMG_[123].jpg ${places}/${ken}`);
    expect(await world.program("restore", "--photo", "IMG_1.jpg")).toMatchObject({ code: 0 });
    const done = await restore("ken");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toContain("the account of ken@example.com was made anew since");
    expect(done.stdout).not.toContain("restored the account");
    expect(done.stdout).toContain("restored 3 of 3");
    expect((await house.everyRow()).split("\n").sort()).toEqual(before);
    expect(await shown()).toBe(files);
    expect(await world.shell(`cd ${places}; ls; cat ${anew}/IMG_4.jpg`)).toBe(`${anew}\nfour`);
    expect((await restore("ken")).stdout).toMatch(/of which 0 are missing or damaged now$/m);
  });

  it("restores no account whose storage label another one has, and writes no file", async () => {
    await house.sql(`alter table "user" add "storageLabel" text unique;
      update "user" set "storageLabel" = 'mio' where "name" = 'mio';`);
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    await house.sql(`delete from "user" where "name" = 'mio';
      insert into "user" values ('00000000-0000-4000-8000-00000000000d', 'other', 'other@example.com', false, null, 'mio');`);
    await world.shell(`rm ${library}/IMG_of_mio.jpg`);
    const refused = await restore("mio");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^The account of mio .* could not be restored: .* Nothing was changed\.$/,
    );
    expect(await world.shell(`ls ${library}`)).not.toContain("mio");
  });
});
