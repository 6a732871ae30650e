/** A film that no 32-bit number holds the size of: archived, lost and restored, on real Borg, PostgreSQL and ext4. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeployedWorld } from "../rehearsal/host/deployed-world.ts";

const film = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/film.mov";

describe("a film of more than 4 GiB", { timeout: 30 * 60_000 }, () => {
  let house: DeployedWorld;

  beforeAll(async () => {
    house = await DeployedWorld.start(24_000);
  });
  afterAll(() => house?.stop());

  it("comes back from the archive byte by byte, by its name and with everything", async () => {
    const { world } = house;
    await house.addPhoto("film.mov", "in its place until the bytes are made");
    await world.shell(`head -c 4400000000 /dev/urandom > ${film}`);
    const sum = (await world.shell(`sha1sum < ${film}`)).split(" ")[0]!;
    await house.sql(
      `update "asset" set "checksum" = '\\x${sum}' where "originalFileName" = 'film.mov'`,
    );
    const made = await house.backUp();
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(/the drill is good: .*; 1 photos are as their checksums say/);

    await world.shell(`rm ${film}`);
    const one = await world.program("restore", "--photo", "film.mov");
    expect(one).toMatchObject({ code: 0, stderr: "" });
    expect((await world.shell(`sha1sum < ${film}`)).split(" ")[0]).toBe(sum);

    await world.shell(`head -c 1000 ${film} > /run/cut; mv /run/cut ${film}`);
    const everything = await world.program("restore", "--everything");
    expect(everything).toMatchObject({ code: 0, stderr: "" });
    expect((await world.shell(`sha1sum < ${film}`)).split(" ")[0]).toBe(sum);
  });
});
