import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

interface Made {
  result: string;
  message?: string;
  archive: string;
  files: number;
  lost: number;
  serverStoppedSeconds: number;
}
const images = "/mnt/hdd1/immich/images";
const library = `${images}/library/ken/2022/2022-02-03`;

/** The family goes on using Immich while it is backed up: real Borg, PostgreSQL and ext4. */
describe("a backup of a library in use", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhotos("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg");
    // A thousand small ones, each with its row.
    await world.shell(
      `mkdir -p ${images}/library/ken/many; for each in $(seq 1000); do echo "photo $each" > ${images}/library/ken/many/$each.jpg; done`,
    );
    const rows = Array.from({ length: 1000 }, (_, index) => {
      const checksum = createHash("sha1")
        .update(`photo ${index + 1}\n`)
        .digest("hex");
      return `('00000000-0000-4000-8000-00000000000a', '/data/library/ken/many/${index + 1}.jpg', '${index + 1}.jpg', '\\x${checksum}')`;
    });
    await house.sql(
      `insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum") values ${rows.join(", ")}`,
    );
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
  });
  afterAll(() => house?.stop());
  beforeEach(() => world.calls());

  const status = () =>
    world.json<{ last: Made; newest: Made }>("/var/lib/ouchi-photos/backup-status.json");
  const last = () => status().last;
  const newest = () => status().newest.archive;
  const archives = () => house.archives();
  const paths = async (archive: string) =>
    (await house.borg(`borg list --short immich::${archive}`)).split("\n");
  const stops = async () =>
    (await world.calls()).filter((call) => call.join(" ").startsWith("docker stop")).length;
  /** Every original that the newest dump in the archive names. */
  const named = async (archive: string) => {
    const dump = await house.borg(
      `newest=$(borg list --short immich::${archive} | grep 'backups/kit.*sql$' | sort | tail -n 1); borg extract --stdout immich::${archive} "$newest"`,
    );
    return [...dump.matchAll(/\t\/data\/(\S+)\t/g)].map(
      ([, path]) => `mnt/hdd1/immich/images/${path}`,
    );
  };
  /** Runs a script while borg create reads something large, after the library and before "upload". */
  const whileCopied = async (script: string) => {
    await world.shell(`head -c 300000000 /dev/urandom > ${images}/thumbs/large`);
    const running = house.backUp();
    await world.shell(
      `for try in $(seq 3000); do pgrep -f '[b]in/borg .*create' >/dev/null && break; sleep 0.01; done
       pid=$(pgrep -f '[b]in/borg .*create' | tail -n 1)
       for try in $(seq 3000); do ls -l /proc/$pid/fd 2>/dev/null | grep -q thumbs/large && break; sleep 0.01; done
       ls -l /proc/$pid/fd | grep -q thumbs/large`,
    );
    await world.shell(script);
    const done = await running;
    await world.shell(`rm ${images}/thumbs/large`);
    return done;
  };
  const psql = (statement: string) =>
    `docker exec --interactive immich_postgres psql -X --quiet --username=postgres --dbname=immich <<'END'\n${statement}\nEND`;

  it("stops Immich for the dump alone, and says how long", async () => {
    const done = await house.backUp();
    expect(done).toMatchObject({ code: 0, stderr: "" });
    const calls = (await world.calls()).map((call) => call.join(" "));
    const order = ["docker stop", "pg_dump", "docker start"].map((words) =>
      calls.findIndex((call) => words.split(" ").every((word) => call.includes(word))),
    );
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(done.stdout).toMatch(
      /the photo server runs again[\s\S]*the photo server was stopped for \d+ seconds\n[\s\S]*made immich-/,
    );
    expect(last().files).toBe(1003);
    expect(calls.filter((call) => call.startsWith("docker stop"))).toHaveLength(1);
  });

  it("takes what is uploaded meanwhile for what it is: nothing of the dump is missing, and it comes with the next", async () => {
    const done = await whileCopied(
      `mkdir -p ${images}/upload/late; echo late > ${images}/upload/late/late.jpg
       ${psql(`insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum") values ('00000000-0000-4000-8000-00000000000a', '/data/upload/late/late.jpg', 'late.jpg', '\\x${createHash("sha1").update("late\n").digest("hex")}');`)}`,
    );
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(await stops()).toBe(1);
    expect(last()).toMatchObject({ result: "good", lost: 0 });
    expect(await named(last().archive)).toHaveLength(1003);
    expect(await house.backUp()).toMatchObject({ code: 0 });
    expect(await named(last().archive)).toHaveLength(1004);
    expect(await paths(last().archive)).toContain("mnt/hdd1/immich/images/upload/late/late.jpg");
  });

  it("makes it once more with Immich stopped when a photo was moved under its hands: neither place had it", async () => {
    const before = await archives();
    const done = await whileCopied(
      `mv ${images}/upload/late/late.jpg ${library}/late.jpg
       ${psql(`update "asset" set "originalPath" = '/data/library/ken/2022/2022-02-03/late.jpg' where "originalFileName" = 'late.jpg';`)}`,
    );
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toContain(
      "the library changed while it was copied (1 photos are not where they were): once more, with the photo server stopped",
    );
    expect(await stops()).toBe(2);
    const made = (await archives()).filter((name) => !before.includes(name));
    expect(made).toEqual([last().archive]);
    const held = new Set(await paths(last().archive));
    const wanted = await named(last().archive);
    expect(wanted).toHaveLength(1004);
    expect(wanted.filter((path) => !held.has(path))).toEqual([]);
  });

  it("makes it once more, too, when a file was written while Borg read it", async () => {
    const done = await whileCopied(
      `(while pgrep -f '[b]in/borg .*create' >/dev/null; do echo more >> ${images}/thumbs/large; done) >/dev/null 2>&1 &`,
    );
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toMatch(/once more, with the photo server stopped/);
    expect(last().result).toBe("good");
  });

  it("tells of a photo that Immich knows and the disk has not: nothing is pruned until it is back, or known to be lost", async () => {
    const before = await archives();
    await world.shell(`mv ${library}/IMG_2.jpg /mnt/hdd1/aside.jpg`);
    expect((await house.backUp()).code).not.toBe(0);
    expect(last()).toMatchObject({ result: "frozen" });
    expect(last().message).toContain(
      `Photos that Immich knows are not on the disk (1): ${library}/IMG_2.jpg. "${newest()}" was kept and nothing was pruned.`,
    );
    expect(await archives()).toEqual([...before, newest()]);
    // By the words of the message.
    const restored = await world.program(
      "restore",
      "--photo",
      `${library}/IMG_2.jpg`,
      "--archive",
      before.at(-1)!,
    );
    expect(restored).toMatchObject({ code: 0, stderr: "" });
    expect(await world.shell(`cmp ${library}/IMG_2.jpg /mnt/hdd1/aside.jpg`)).toBe("");
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });

    await world.shell(`rm ${library}/IMG_2.jpg`);
    expect((await house.backUp()).code).not.toBe(0);
    const accepted = await world.program("backup", "accept");
    expect(accepted.stdout).toContain("and 1 photos are known to be lost");
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
    expect(await world.program("backup", "drill")).toMatchObject({ code: 0, stderr: "" });
    await world.shell(`mv /mnt/hdd1/aside.jpg ${library}/IMG_2.jpg`);
  });

  it("holds the films of Android's motion photos, which are photos of their own, and no transcode", async () => {
    const film = `${images}/encoded-video/ken/ab/cd/0000-MP.mp4`;
    const checksum = createHash("sha1").update("film\n").digest("hex");
    await world.shell(
      `mkdir -p $(dirname ${film}); echo film > ${film}; echo transcode > ${images}/encoded-video/ken/ab/cd/1111.mp4`,
    );
    await house.sql(`insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum")
      values ('00000000-0000-4000-8000-00000000000a', '/data/encoded-video/ken/ab/cd/0000-MP.mp4', 'PXL.mp4', '\\x${checksum}')`);
    expect(await house.backUp()).toMatchObject({ code: 0, stderr: "" });
    expect(last()).toMatchObject({ result: "good", lost: 0 });
    const held = (await paths(last().archive)).filter((path) => path.includes("encoded-video/ken"));
    expect(held).toEqual([film.slice(1)]);
    await world.shell(`rm ${film}`);
    expect(await world.program("restore", "--photo", "PXL.mp4")).toMatchObject({
      code: 0,
      stderr: "",
    });
    expect(await world.shell(`cat ${film}`)).toBe("film");
  });
});
