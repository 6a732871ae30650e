import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

const library = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03";
const ken = "00000000-0000-4000-8000-00000000000a";

describe("restoring one person", () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let rows: string;
  let files: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    for (const name of ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"])
      await house.addPhoto(name, `the bytes of ${name}`);
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
});
