import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../../rehearsal/story/step.ts";
import { DeployedWorld } from "./deployed-world.ts";
import { type HostWorld, libexec } from "./host-world.ts";

interface Status {
  last: { result: string; message?: string; archive?: string };
  lastGood: { at: string };
  fault?: object | null;
}
const library = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03";
/** Not counted among the photos, so that what comes and goes there is no shrunken library. */
const thumbs = "/mnt/hdd1/immich/images/thumbs";
const dumpsFolder = "/mnt/hdd1/immich/images/backups";

/** Each fault by its own means, on real Borg, PostgreSQL and ext4; after each the next run is good, unaided. */
describe("a backup on a bad day", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let rows: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhotos("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg");
    expect(await backUp()).toMatchObject({ code: 0, stderr: "" });
    rows = await house.everyRow();
  });
  afterAll(async () => {
    await house?.stop();
  });
  beforeEach(() => world.calls());

  const backUp = () => house.backUp();
  const status = () => world.json<Status>("/var/lib/ouchi-photos/backup-status.json");
  const borg = (script: string) => house.borg(script);
  const archives = () => house.archives();
  const dumps = () => world.shell(`ls ${dumpsFolder} | grep 'sql$'`);
  const serverRuns = () => house.isRunning("immich_server");
  const troubles = async () => (await house.problems()).map(({ key, what }) => `${key}: ${what}`);
  /** Ends a run and all that it has started, as a power cut would, a while after something has become true. */
  const cutWhen = async (condition: string, seconds = 0) => {
    const running = world.program("backup", "run");
    await world.shell(
      `for try in $(seq 1500); do ${condition} && break; sleep 0.02; done
       ${condition}; sleep ${seconds}
       for words in '-f [l]ibexec/ouchi-photos/backup' '-f [b]in/borg' '-x pg_dump'; do pkill -KILL $words || true; done`,
    );
    expect((await running).code).not.toBe(0);
    await house.takeBackupDiskDown();
  };
  const cutAt = (kind: string, seconds = 0) => cutWhen(`pgrep ${kind} >/dev/null`, seconds);
  /** Another session holds a table that pg_dump waits for, until `letGo`. */
  const holdTable = async () => {
    const holder = house
      .sql(`begin; lock table "activity" in access exclusive mode; select pg_sleep(60);`)
      .catch(() => undefined);
    await until("The lock", 10, async () => {
      const held = await house.sql(
        `select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = '"activity"'::regclass;`,
      );
      if (held.trim() === "1") return true;
      throw new Error(held);
    });
    // Not a promise of its own, which would be waited for.
    return { held: holder };
  };
  const letGo = () =>
    house.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid();`,
    );
  const isWhole = async () => {
    await borg("borg break-lock immich; borg check --verify-data immich");
    const list = await archives();
    await borg(`borg extract --dry-run immich::${list.at(-1)}`);
    return list;
  };
  const nextIsGood = async () => {
    expect(await backUp()).toMatchObject({ code: 0, stderr: "" });
    expect(status().last.result).toBe("good");
    expect(await serverRuns()).toBe(true);
    expect(await troubles()).toEqual([]);
  };

  it.each([0, 1.5])(
    "cut %s s into borg create: the older archives are whole, and the next run is good (row 1)",
    async (seconds) => {
      const before = await archives();
      await world.shell(`head -c 150000000 /dev/urandom > ${thumbs}/large`);
      await cutAt("-f '[b]in/borg .*create'", seconds);
      expect((await isWhole()).slice(0, before.length)).toEqual(before);
      await nextIsGood();
      await world.shell(`rm ${thumbs}/large`);
    },
  );

  it("cut with the Pi's power: made up for after the boot, but once only, and then told (row 1)", async () => {
    const isStarted = async () =>
      (await world.calls()).some((call) =>
        call.join(" ").endsWith("start --no-block ouchi-backup.service"),
      );
    const afterAnotherBoot = async () => {
      await cutAt("-f '[b]in/borg .*create'");
      await world.shell(
        `sed -i 's/"bootId": "[^"]*"/"bootId": "an-earlier-one"/' /var/lib/ouchi-photos/backup-status.json`,
      );
      await world.calls();
      return world.must([`${libexec}/backup`, "catch-up"]);
    };
    expect(await afterAnotherBoot()).toMatch(/the run of \S+ was cut; starting it once more/);
    expect(await isStarted()).toBe(true);
    expect(await troubles()).toEqual([
      expect.stringMatching(/^backup-failed: .* It is tried once more, by itself/),
    ]);
    expect(await afterAnotherBoot()).toContain("for the second time in a row");
    expect(await isStarted()).toBe(false);
    expect(await troubles()).toEqual([
      expect.stringMatching(/^backup-failed: .* too much for the power supply/),
    ]);
    await borg("borg break-lock immich");
    await nextIsGood();
    expect(await afterAnotherBoot()).toContain("starting it once more");
    await nextIsGood();
  });

  it.each([
    ["serves on", "-1 hour", false],
    ["is made again where the disk may not have it whole", "now", true],
  ])(
    "cut with the Pi's power, and Borg's unwritten copies with it: what it knew of the files %s (row 1)",
    async (_, written, madeAgain) => {
      await world.shell(`head -c 150000000 /dev/urandom > ${thumbs}/large`);
      await cutWhen("[ -e /mnt/hdd1/kit/borg/.cache/borg/*/txn.active/files ]");
      await world.shell(
        `rm ${thumbs}/large; cd /mnt/hdd1/kit/borg/.cache/borg/*/; truncate -s 0 txn.active/*
         touch -d '${written}' config chunks files`,
      );
      const next = await backUp();
      expect(next).toMatchObject({ code: 0, stderr: "" });
      expect(next.stdout.includes("reads them all")).toBe(madeAgain);
      await isWhole();
      await nextIsGood();
    },
  );

  it("Borg's cache with a flipped bit: made again in the same run (row 1)", async () => {
    await world.shell(
      `cd /mnt/hdd1/kit/borg/.cache/borg/*/
       python3 -c 'data = bytearray(open("chunks", "rb").read()); data[len(data) // 2] ^= 1; open("chunks", "wb").write(data)'`,
    );
    const next = await backUp();
    expect(next).toMatchObject({ code: 0, stderr: "" });
    expect(next.stdout).toContain("reads them all");
    await nextIsGood();
  });

  it("cut in the dump: it never becomes one, the earlier ones stay, and the next run clears it away (row 2)", async () => {
    const before = await dumps();
    const { held } = await holdTable();
    await cutAt("-x pg_dump", 0.5);
    await letGo();
    await held;
    expect(await world.shell(`ls ${dumpsFolder}`)).toContain(".partial");
    expect(await dumps()).toBe(before);
    for (const name of (await dumps()).split("\n"))
      expect(await world.shell(`tail -n 5 ${dumpsFolder}/${name}`)).toContain("dump complete");
    await nextIsGood();
    expect(await world.shell(`ls ${dumpsFolder}`)).not.toContain(".partial");
  });

  it("a lock in the database that is never let go: the dump gives up after its time, and Immich serves", async () => {
    const program = `${libexec}/backup`;
    const patient = world.read(program);
    world.write(program, patient.replace("--lock-wait-timeout=600000", "--lock-wait-timeout=1000"));
    const { held } = await holdTable();
    const failed = await backUp();
    await letGo();
    await held;
    world.write(program, patient);
    expect(failed.code).not.toBe(0);
    expect(status().last).toMatchObject({
      result: "failed",
      message: expect.stringMatching(
        /^The database could not be dumped: .*LOCK TABLE public\.activity/s,
      ),
    });
    expect(await serverRuns()).toBe(true);
    expect(await world.shell(`ls ${dumpsFolder}`)).not.toContain(".partial");
    await nextIsGood();
  });

  it("a photo that comes while a house that serves is dumped: dumped again, and counted as it was dumped", async () => {
    const { held } = await holdTable();
    const dumping = world.program("backup", "dump");
    await world.shell("until pgrep -x pg_dump >/dev/null; do sleep 0.02; done; sleep 0.5");
    await house.addPhoto("meanwhile.jpg", "meanwhile");
    await letGo();
    await held;
    expect(await dumping).toMatchObject({ code: 0, stderr: "" });
    const [newest] = (await dumps()).split("\n").slice(-1);
    const manifest = world.json<{ rows: { asset: number } }>(
      `${dumpsFolder}/${newest}.manifest.json`,
    );
    expect(manifest.rows.asset).toBe(4);
    expect(await world.shell(`grep -c meanwhile.jpg ${dumpsFolder}/${newest}`)).not.toBe("0");
    await house.sql(`delete from "asset" where "originalFileName" = 'meanwhile.jpg';`);
    await world.shell(`rm ${library}/meanwhile.jpg ${dumpsFolder}/${newest}*`);
    await nextIsGood();
  });

  it.each(["prune", "compact", "check"])(
    "cut in borg %s: all is whole, the newest archive opens, and the next run is good (row 3)",
    async (action) => {
      await cutAt(`-f '[b]in/borg .*${action}'`, 0.4);
      await isWhole();
      await nextIsGood();
    },
  );

  it.each([
    ["of the archives", "immich"],
    ["of Borg's cache alone", "/mnt/hdd1/kit/borg/.cache/borg/*/"],
  ])(
    "a lock %s whose process number is in use again: taken away, since no borg is at work (row 4)",
    async (_, place) => {
      const id = await world.shell(
        "python3 -c 'import uuid, socket; print(f\"{socket.getfqdn()}@{uuid.getnode()}\")'",
      );
      await borg(`cd ${place}; mkdir lock.exclusive; touch 'lock.exclusive/${id}.1-0'`);
      const done = await backUp();
      expect(done).toMatchObject({ code: 0, stderr: "" });
      expect(done.stdout).toContain("took away the lock of a run that was cut");
    },
  );

  it("a lock that a borg at work holds: refused with its name, and nothing is touched (row 4)", async () => {
    const before = await archives();
    await world.shell(
      `mount /mnt/hdd2; export BORG_BASE_DIR=/mnt/hdd1/kit/borg BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase'
       setsid borg with-lock /mnt/hdd2/borg/immich sleep 60 >/dev/null 2>&1 </dev/null &
       until ls /mnt/hdd2/borg/immich/lock.exclusive/* >/dev/null 2>&1; do sleep 0.1; done`,
    );
    const holder = await world.shell("ls /mnt/hdd2/borg/immich/lock.exclusive");
    const done = await world.program("backup", "run");
    expect(done.code).toBe(1);
    expect(done.stderr).toContain(`are locked by "${holder}", and borg is running (process `);
    expect(await serverRuns()).toBe(true);
    expect((await world.calls()).map((call) => call.join(" "))).not.toContain(
      "docker stop --time 60 immich_server",
    );
    await world.shell("pkill -KILL -f '[b]in/borg'; pkill sleep");
    await house.takeBackupDiskDown();
    await borg("borg break-lock immich");
    expect(await archives()).toEqual(before);
    await nextIsGood();
  });

  it("two at once, and one in the middle of a deploy: each waits for its turn (row 5)", async () => {
    const before = await archives();
    const deploy = world.run(["flock", "/run/ouchi-photos/lock", "sleep", "4"]);
    const [one, two] = await Promise.all([
      world.program("backup", "run"),
      world.program("backup", "run"),
    ]);
    expect((await deploy).code).toBe(0);
    expect(one).toMatchObject({ code: 0, stderr: "" });
    expect(two).toMatchObject({ code: 0, stderr: "" });
    const stops = (await world.calls()).filter((call) => call.join(" ").startsWith("docker st"));
    // Stopped and started, stopped and started: never twice in a row.
    expect(stops.map(([, verb]) => verb)).toEqual(["stop", "start", "stop", "start"]);
    expect((await archives()).length).toBeGreaterThanOrEqual(before.length);
    expect(await serverRuns()).toBe(true);
  });

  it("ended from outside while a deploy waits for its turn: noted at once, and told (row 5)", async () => {
    const copying = "-f '[b]in/borg .*create'";
    const waiting = `until pgrep ${copying} >/dev/null; do sleep 0.02; done; exec python3 -B -c "$1"`;
    const deploy = world.run([
      ...["sh", "-ec", waiting, "sh"],
      `import sys, time; sys.path.insert(0, "${libexec}"); import host
with host.only_one("apply", wait_seconds=60): time.sleep(6)`,
    ]);
    await cutAt(copying, 0.5);
    // As the unit does at its end.
    expect(await world.program("backup", "settle")).toMatchObject({ code: 0 });
    expect(status().last).toMatchObject({
      result: "failed",
      message: expect.stringMatching(/^It was ended from outside/),
    });
    expect(await serverRuns()).toBe(true);
    expect(await troubles()).toEqual([
      expect.stringMatching(/^backup-failed: .*ended from outside/),
    ]);
    expect((await deploy).code).toBe(0);
    await borg("borg break-lock immich");
    await nextIsGood();
  });

  it("without HDD2: fails and is told, writes nothing in its place, and Immich is not touched (row 6)", async () => {
    await world.shell(
      "cp /etc/fstab /run/fstab; sed 's/^UUID=[^ ]* \\/mnt\\/hdd2/UUID=11111111-2222-4333-8444-555555555555 \\/mnt\\/hdd2/' /run/fstab > /etc/fstab",
    );
    const done = await backUp();
    await world.shell("cp /run/fstab /etc/fstab");
    expect(done.code).not.toBe(0);
    expect(await world.shell("ls -A /mnt/hdd2")).toBe("");
    const calls = (await world.calls()).map((call) => call.join(" "));
    expect(calls).not.toContain("docker stop --time 60 immich_server");
    expect(await serverRuns()).toBe(true);
    expect(await troubles()).toEqual([
      expect.stringMatching(
        /^backup-failed: .*The backup disk \(.*UUID ".*"\) could not be mounted/,
      ),
    ]);
    await nextIsGood();
  });

  it("an emptied library, and an emptied database: kept as an archive, nothing pruned, told with both counts (row 17)", async () => {
    const before = await archives();
    await world.shell(`mv ${library} /mnt/hdd1/aside; mkdir ${library}`);
    expect((await backUp()).code).not.toBe(0);
    await world.shell(`rmdir ${library}; mv /mnt/hdd1/aside ${library}`);
    expect(status().last.result).toBe("frozen");
    expect(status().last.message).toMatch(/the library has 0 files, 3 at the last good run/);
    // A new SD card knows of no earlier run; the backup disk does.
    await world.shell("rm /var/lib/ouchi-photos/backup-status.json");
    await house.sql(
      `create table kept as select * from "asset"; create table kept_in as select * from "album_asset"; create table kept_exif as select "assetId", "make" from "asset_exif"; delete from "asset";`,
    );
    expect((await backUp()).code).not.toBe(0);
    await house.sql(
      `insert into "asset" select * from kept; insert into "album_asset" select * from kept_in; insert into "asset_exif" ("assetId", "make") select * from kept_exif; drop table kept, kept_in, kept_exif;`,
    );
    expect(status().last.message).toMatch(/"asset" has 0 rows, 3 at the last good run/);
    expect(await troubles()).toEqual([
      expect.stringMatching(/^backup-frozen: .*"asset" has 0 rows/),
    ]);
    const apart = (await archives()).slice(before.length);
    expect(apart).toEqual([
      expect.stringMatching(/^frozen-\d{8}T\d{6}$/),
      expect.stringMatching(/^frozen-\d{8}T\d{6}$/),
    ]);
    expect(await archives()).toEqual([...before, ...apart]);
    expect(await house.everyRow()).toBe(rows);
    // They take no good archive's week or month, and stay for who wants to look.
    await nextIsGood();
    const after = await archives();
    expect(after.filter((name) => name.startsWith("frozen-"))).toEqual(apart);
    expect(after.at(-1)).toMatch(/^immich-/);
    await borg(`for each in ${apart.join(" ")}; do borg delete immich::$each; done`);
  });

  it("a library that shrank and grew again, but not to what it was: frozen until a person says so (row 17)", async () => {
    const extra = Array.from({ length: 22 }, (_, each) => `extra-${each}.jpg`);
    await house.addPhotos(...extra);
    await nextIsGood();
    const drop = (from: number, to: number) =>
      house.sql(
        `delete from "asset" where "originalFileName" in (${extra.slice(from, to).map((name) => `'${name}'`)})`,
      );
    await drop(0, 2);
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(/"asset" has 23 rows, 25 at the last good run/);
    // 24 of 25 would be enough on any other day.
    await house.addPhotos("extra-0.jpg");
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(/"asset" has 24 rows, 25 at the last good run/);
    const before = status().lastGood.at;
    await world.must([`${libexec}/backup`, "accept"]);
    // What a person has accepted is no backup that was missed.
    expect(status().lastGood.at > before).toBe(true);
    expect(await troubles()).toEqual([]);
    await drop(0, 22);
    await world.shell(`rm ${library}/extra-*.jpg`);
    expect((await backUp()).code).not.toBe(0);
    await world.must([`${libexec}/backup`, "accept"]);
    await nextIsGood();
    await borg("borg delete --glob-archives 'frozen-*' immich");
  });

  it("without the folder of the photos, or with nothing in it: fails before Borg starts, and every archive stays (row 17)", async () => {
    const before = await archives();
    const folder = "/mnt/hdd1/immich/images";
    for (const left of ["", `mkdir ${folder}`]) {
      await world.shell(`mv ${folder} /mnt/hdd1/aside; ${left}`);
      expect((await backUp()).code).not.toBe(0);
      await world.shell(`[ ! -d ${folder} ] || rmdir ${folder}; mv /mnt/hdd1/aside ${folder}`);
      expect(status().last).toMatchObject({
        result: "failed",
        message: expect.stringMatching(/"\/mnt\/hdd1\/immich\/images", is missing or empty/),
      });
    }
    expect(await archives()).toEqual(before);
    await nextIsGood();
  });

  it("a library that something has encrypted: seen before the next prune, and every archive of before is kept (row 18)", async () => {
    await world.shell(`cp -a ${library} /mnt/hdd1/aside
       for each in ${library}/*; do openssl enc -aes-256-cbc -pass pass:x -pbkdf2 -in "$each" -out "$each.x"; mv "$each.x" "$each"; done`);
    const before = await archives();
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.result).toBe("frozen");
    expect(status().last.message).toMatch(
      /^Photos are no longer what Immich recorded of them \(3 of 3 that were looked at\): .*IMG_\d\.jpg of ken.*nothing was pruned/,
    );
    expect(await archives()).toEqual([...before, expect.any(String)]);
    // What fails afterwards ends no freeze, and room is not made of the good archives.
    await world.shell("mv /etc/fstab /etc/fstab.away; sed '/hdd2/d' /etc/fstab.away > /etc/fstab");
    expect((await backUp()).code).not.toBe(0);
    await world.shell("mv /etc/fstab.away /etc/fstab");
    expect(status().last.result).toBe("failed");
    expect(await troubles()).toEqual([
      expect.stringMatching(/^backup-failed: /),
      expect.stringMatching(/^backup-frozen: .*no longer what Immich recorded/),
    ]);
    const room = await world.program("backup", "make-room");
    expect(room.stderr).toMatch(/^Nothing is pruned, .*no longer what Immich recorded/);
    expect(await archives()).toEqual([...before, expect.any(String)]);
    // By the words of the message.
    await world.shell(`rm ${library}/*`);
    for (const name of ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"])
      expect(
        await world.program("restore", "--photo", name, "--archive", before.at(-1)!),
      ).toMatchObject({ code: 0, stderr: "" });
    expect(await world.shell(`cd ${library}; cat *`)).toBe(
      await world.shell("cd /mnt/hdd1/aside; cat *"),
    );
    await world.shell("rm -r /mnt/hdd1/aside");
    await nextIsGood();
  });

  it("a photo that was found changed: looked at again in each run, however few others are, until it is whole (row 18)", async () => {
    const id = await house.addPhoto("IMG_9.jpg", "the bytes of IMG_9.jpg");
    await world.shell(
      `mkdir ${library}/many; cd ${library}/many; for number in $(seq 2000); do printf "$number" > $number.jpg; done
       sha1sum *.jpg | while read -r sum name; do printf '00000000-0000-4000-8000-00000000000a\\t/data/library/ken/2022/2022-02-03/many/%s\\t%s\\t%s\\n' $name $name '\\\\x'$sum; done > /run/many`,
    );
    await world.shell(
      `docker exec --interactive immich_postgres psql -X --quiet --username=postgres --dbname=immich -c 'copy "asset" ("ownerId", "originalPath", "originalFileName", "checksum") from stdin' < /run/many`,
    );
    await nextIsGood();
    await world.shell(`printf changed > ${library}/IMG_9.jpg`);
    const path = "/var/lib/ouchi-photos/backup-status.json";
    world.write(path, JSON.stringify({ ...status(), changed: [id] }));
    // By chance alone the three would see it once in eight thousand times.
    for (let run = 0; run < 3; run++) {
      expect((await backUp()).code).not.toBe(0);
      expect(status().last.message).toMatch(
        /\(1 of 10[01] that were looked at\): .*IMG_9\.jpg of ken/,
      );
    }
    // Left so by a person: its bytes of now are right, and no others.
    await world.must([`${libexec}/backup`, "accept"]);
    world.write(path, JSON.stringify({ ...status(), changed: [id] }));
    await nextIsGood();
    await world.shell(`printf 'changed more' > ${library}/IMG_9.jpg`);
    world.write(path, JSON.stringify({ ...status(), changed: [id] }));
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(/IMG_9\.jpg of ken/);
    await world.shell(
      `printf 'the bytes of IMG_9.jpg' > ${library}/IMG_9.jpg; cd ${library}/many; truncate -s 0 1.jpg 2.jpg`,
    );
    await nextIsGood();
    await world.shell(`cd ${library}/many; truncate -s 0 [1-9][0-9].jpg`);
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(/^92 photos are empty files\./);
    await borg("borg delete --glob-archives 'frozen-*' immich");
    await world.shell(
      `printf 'the bytes of IMG_9.jpg' > ${library}/IMG_9.jpg; rm -r ${library}/many`,
    );
    await house.sql(
      `delete from "asset" where "originalPath" like '%/many/%' or "originalFileName" = 'IMG_9.jpg'`,
    );
    await world.must(["rm", `/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/IMG_9.jpg`]);
    await world.must([`${libexec}/backup`, "accept"]);
    expect((await backUp()).code).toBe(1);
    await world.must([`${libexec}/backup`, "accept"]);
    await nextIsGood();
  });

  for (const { what, by, said } of [
    {
      what: "a flipped page",
      by: (table: string, blockSize: number) =>
        `printf 'damaged' | dd of=${table} bs=1 seek=${blockSize - 100} conv=notrunc status=none`,
      said: /invalid page in block 0 of relation/,
    },
    {
      what: "a deleted relation",
      by: (table: string) => `rm ${table}`,
      said: /could not open file/,
    },
  ]) {
    it(`${what} of the database: the run fails and is told, and the newest good dump brings every row back (row 26)`, async () => {
      const newest = (await dumps()).split("\n").at(-1)!;
      const before = await archives();
      const [table, size] = (
        await house.sql(
          `checkpoint; select pg_relation_filepath('"asset"') || '|' || current_setting('block_size')`,
        )
      ).split("|");
      await world.must(["docker", "stop", "--time", "60", "immich_postgres"]);
      await world.shell(by(`/mnt/hdd1/immich/postgres/${table}`, Number(size)));
      await world.must(["docker", "start", "immich_postgres"]);
      const failed = await backUp();
      expect(failed.code).not.toBe(0);
      expect(status().last).toMatchObject({ result: "failed" });
      expect(status().last.message).toMatch(said);
      expect(await archives()).toEqual(before);
      expect(await serverRuns()).toBe(true);
      expect(await troubles()).toEqual([
        expect.stringMatching(new RegExp(`^backup-failed: .*${said.source}`)),
      ]);
      expect(await world.program("restore", "--database", newest)).toMatchObject({ code: 0 });
      expect(await house.everyRow()).toBe(rows);
      await world.shell("rm -r /mnt/hdd1/immich/postgres.before-restore-*");
      await nextIsGood();
    });
  }

  it("a flipped bit in the repository: found by the run's own check, its file named, and mended by the words of docs/restore.md (row 23)", async () => {
    // Most of the largest segment is its bytes.
    await world.shell(`head -c 3000000 /dev/urandom > ${thumbs}/large`);
    await nextIsGood();
    // Of another month, so that the good run below prunes it not.
    await borg(
      `borg create --timestamp $(date -d '-60 days' +%Y-%m-%dT03:00:00) immich::of-before ${thumbs}`,
    );
    await borg(
      `python3 - <<'END'
import glob, os
path = max(glob.glob("immich/data/0/*"), key=os.path.getsize)
with open(path, "r+b") as file:
    file.seek(os.path.getsize(path) // 2)
    byte = file.read(1)
    file.seek(-1, 1)
    file.write(bytes([byte[0] ^ 1]))
END`,
    );
    // Borgmatic looks once a week by itself; a week later.
    await world.shell("rm -rf /mnt/hdd1/kit/borgmatic /root/.borgmatic");
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(
      /The new archive was made\. Afterwards borgmatic found a fault [\s\S]*borg\S* check/,
    );
    expect((await troubles()).join()).toMatch(/backup-failed: .*borgmatic found a fault/);
    expect(await serverRuns()).toBe(true);
    // borgmatic goes on where it left off, past the fault; the kit does not.
    expect(status().fault).toBeTruthy();
    expect((await backUp()).code).not.toBe(0);
    expect(status().last.message).toMatch(/nothing was pruned: there is a fault in the backups/);
    const mended = await borg(
      "export BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES; borg check --repair immich 2>&1 || true",
    );
    expect(mended).toMatch(/thumbs\/large: New missing file chunk detected/);
    const second = await backUp();
    expect(second.code, second.stderr).toBe(0);
    expect(second.stdout).toContain("now all of them are checked");
    expect(status().fault).toBeNull();
    const whole = await borg(
      "export BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES; borg check --info --repair immich 2>&1; borg check --verify-data immich",
    );
    expect(whole).toMatch(/thumbs\/large: Healed previously missing file chunk/);
    await borg("borg delete immich::of-before");
    await world.shell(`rm ${thumbs}/large`);
    await nextIsGood();
  });

  it("an error of a disk where no one expects it: told in one sentence, and no bug", async () => {
    await world.must(["chattr", "+i", dumpsFolder]);
    const failed = await backUp();
    await world.must(["chattr", "-i", dumpsFolder]);
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).not.toMatch(/bug|Traceback/);
    expect(status().last.message).toMatch(
      /^"\/mnt\/hdd1\/immich\/images\/backups\/.*" gave an error: Operation not permitted\.$/,
    );
    await nextIsGood();
  });

  it("a dump of a wrong clock: it goes, and of an archive the archive's own is restored", async () => {
    const future = "kit-immich-db-backup-20310101T000000-v3.2.4-pg15.sql";
    await world.shell(
      `cd ${dumpsFolder}; newest=$(ls kit-*.sql | tail -n 1); cp $newest ${future}
       sed 's/"asset": 3/"asset": 99/' $newest.manifest.json > ${future}.manifest.json`,
    );
    await nextIsGood();
    expect(await dumps()).not.toContain("2031");
    const dry = await world.program("restore", "--everything", "--dry-run");
    expect(dry.stdout).toContain("'asset': 3");
  });

  it("a full backup disk: fails, the archives stay whole, and one command makes room (row 19)", async () => {
    await borg(
      `head -c 900000000 /dev/urandom > /mnt/hdd1/old.mov
       borg create --timestamp 2020-01-04T00:00:00 immich::immich-20200104T000000 /mnt/hdd1/old.mov; rm /mnt/hdd1/old.mov
       borg create --timestamp 2020-02-04T00:00:00 immich::frozen-20200204T000000 ${library}`,
    );
    const before = await archives();
    await world.shell(
      `sed -i 's/^keep_weekly: .*/keep_weekly: 8/; s/^keep_monthly: .*/keep_monthly: 12/; s/^keep_yearly: .*/keep_yearly: 9/' /etc/ouchi-photos/borgmatic.yaml`,
    );
    // Room enough to begin, by the least that a run asks for, and not for what comes.
    await world.shell(
      `head -c 1300000000 /dev/urandom > ${thumbs}/large
       mount /mnt/hdd2; fallocate -l $(($(df -B1 --output=avail /mnt/hdd2 | tail -n 1) - 3250000000)) /mnt/hdd2/filler; umount /mnt/hdd2`,
    );
    const failed = await backUp();
    expect(failed.code).not.toBe(0);
    expect(status().last.message).toMatch(/Insufficient free space|No space left/i);
    expect(await isWhole()).toEqual(before);
    expect(await serverRuns()).toBe(true);
    await world.shell(
      `sed -i 's/^keep_weekly: .*/keep_weekly: 1/; s/^keep_\\(month\\|year\\)ly: .*/keep_\\1ly: 0/' /etc/ouchi-photos/borgmatic.yaml`,
    );
    const room = await world.program("backup", "make-room");
    expect(room).toMatchObject({ code: 0, stderr: "" });
    expect(Number(/(\d+) MiB were freed/.exec(room.stdout)![1])).toBeGreaterThan(800);
    expect(await borg("borg config immich additional_free_space")).toBe("2G");
    const good = (names: string[]) => names.filter((name) => name.startsWith("immich-"));
    expect(good(await archives())).toEqual(good(before).slice(-1));
    expect(await archives()).not.toContain("frozen-20200204T000000");
    await world.shell("mount /mnt/hdd2; rm /mnt/hdd2/filler; umount /mnt/hdd2");
    // As a power cut while room was made leaves it.
    await borg("borg config immich additional_free_space 0");
    await nextIsGood();
    expect(await borg("borg config immich additional_free_space")).toBe("2G");
    await world.shell(`rm ${thumbs}/large`);
  });

  it("a run that was missed while the Pi was off: made up for after the boot, and told until it is (row 50)", async () => {
    const file = "/var/lib/ouchi-photos/backup-status.json";
    const good = status();
    const long = { startedAt: "2026-01-03T01:00:00Z", finishedAt: "2026-01-03T01:05:00Z" };
    world.write(
      file,
      JSON.stringify({
        ...good,
        last: { ...good.last, ...long },
        lastGood: { ...(good as unknown as { lastGood: object }).lastGood, at: long.finishedAt },
      }),
    );
    expect(await troubles()).toEqual([
      expect.stringMatching(
        /^backup-overdue: The backup that was due at 20\d\d-\d\d-\d\d 01:00 was not made; the last good one is of 2026-01-03/,
      ),
    ]);
    const caught = await world.program("backup", "catch-up");
    expect(caught.stdout).toMatch(/the run due at .* was missed; starting it/);
    expect(await world.calls()).toContainEqual([
      ...["systemctl", "start", "--no-block", "ouchi-backup.service"],
    ]);
    await nextIsGood();
    expect((await world.must([`${libexec}/backup`, "catch-up"])).trim()).toMatch(
      /^no run was missed; the last one due was at /,
    );
  });
});
