import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bundleInput } from "../../../pi/bundles.ts";
import { bundles, DeployedWorld, imagesLock } from "./deployed-world.ts";
import { type HostWorld, libexec } from "./host-world.ts";

interface UpgradeRecord {
  state: string;
  dump: string;
  rows: Record<string, number>;
  ended: string;
}

/** Cut at every so many steps: each costs seconds, and `npm run test:long` takes them all. */
const stride = Number(process.env.OUCHI_CUT_STRIDE ?? 1);

describe("an upgrade of Immich", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  /** The versions of each test; each leaves the house serving, and no lower than it found it. */
  let [minor, now, next] = [2, "3.2.4", ""];
  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhoto("one.jpg", "one");
    await house.addPhoto("two.jpg", "two");
    // A shorter wait for an answer that does not come.
    const path = `${libexec}/upgrade.py`;
    world.write(path, world.read(path).replace("WAIT_SECONDS = 2700", "WAIT_SECONDS = 4"));
  }, 300_000);
  afterAll(async () => {
    await house?.stop();
  });
  beforeEach(async () => {
    next = `3.${++minor}.0`;
    await world.calls();
  });

  const to = (version: string) => world.apply(bundles(imagesLock(`v${version}`)).immich);
  const fault = (what: object) =>
    world.must(["sh", "-ec", "cat > /run/stand-ins/server-fault.json"], {
      stdin: JSON.stringify({ version: next, ...what }),
    });
  const running = async (name: string) => {
    const state = await world.shell("cat /run/stand-ins/docker.json");
    return (JSON.parse(state) as { running: Record<string, string> }).running[name];
  };
  const record = () => world.json<UpgradeRecord>("/var/lib/ouchi-photos/upgrade.json");
  const dumps = () =>
    world.shell("ls /mnt/hdd1/immich/images/backups | grep '^kit-.*sql$' || true");
  const archives = async () =>
    (await world.program("restore", "--list")).stdout.match(/^(?:immich|frozen)-\S+/gm)!;
  const imagesEnv = () =>
    world.read("/etc/ouchi-photos/compose/immich/images.env").trim().split("\n").sort();
  const troubles = async () => (await house.problems()).map(({ key }) => key);
  /** After a failure: the database of before, the old server, and both told to the kit. */
  const goBack = async () => {
    expect(await world.program("restore", "--database", record().dump)).toMatchObject({ code: 0 });
    expect(await to(now)).toMatchObject({ code: 0, stderr: "" });
  };

  it("counts the rows when nobody can change them, and is done when each is there (row 33)", async () => {
    // More than before is well.
    await fault({ sql: `insert into "album" values (gen_random_uuid(), 'new', null)` });
    expect(await to(next)).toMatchObject({ code: 0, stderr: "" });
    const calls = (await world.calls()).map((call) => call.join(" "));
    const at = (part: string) => calls.findIndex((call) => call.includes(part));
    expect(at("docker pull")).toBeGreaterThan(-1);
    expect(at("docker stop --time 60 immich_server")).toBeGreaterThan(at("docker pull"));
    expect(at("pg_dump")).toBeGreaterThan(at("docker stop --time 60 immich_server"));
    expect(at("up --detach")).toBeGreaterThan(at("pg_dump"));
    expect(record()).toMatchObject({
      state: "good",
      fromVersion: now,
      toVersion: next,
      rows: { asset: 2, user: 2, album: 2 },
      from: { "immich-server": expect.stringContaining(`:v${now}@sha256:`) },
    });
    expect(await running("immich_server")).toContain(`:v${next}@`);
    now = next;
  });

  it.each([
    [
      "drops rows",
      { sql: `delete from "asset" where "originalFileName" = 'one.jpg'` },
      /rows are missing: "asset" has 1 rows, and had 2\./,
    ],
    [
      "drops a table",
      { sql: 'drop table "album" cascade' },
      /rows are missing: "album" has 0 rows, and had \d\./,
    ],
    ["fails in its migration", { ends: true }, /its container ended 5 times/],
    ["never answers", { silent: true }, /did not answer at .* within 4 seconds/],
  ])(
    "whose new version %s stops by itself, and tells the way back to every row (row 33)",
    async (_, what, problem) => {
      const rows = await house.everyRow();
      const oldImages = imagesEnv();
      await fault(what);
      const failed = await to(next);
      expect(failed.code).toBe(1);
      expect(failed.stderr).toMatch(problem);
      const { dump, state } = record();
      expect(state).toBe("failed");
      for (const line of [
        `The upgrade Immich ${now} → ${next} failed: `,
        `The photo server is stopped; the database runs as ${next} left it; the dump of before`,
        `  1. cli/ouchi restore --database ${dump}`,
        `(or on the Pi: sudo /usr/local/libexec/ouchi-photos/restore --database ${dump})`,
        `     immich-server: 127.0.0.1:5000/immich-app/immich-server:v${now}@sha256:`,
        'then run "pulumi up"',
      ])
        expect(failed.stderr).toContain(line);
      expect(await running("immich_server")).toBeUndefined();
      expect(await running("immich_postgres")).toBeDefined();
      expect(await world.shell(`tail -n 5 ${dump}`)).toContain("database dump complete");
      expect(await troubles()).toContain("upgrade-failed");

      // A boot, another "up" and the old versions alone change nothing, and say the same.
      const kept = await dumps();
      const boot = await world.program("stack", "immich", "up");
      expect(boot.stderr.trim()).toBe(failed.stderr.trim());
      for (const version of [next, now, `3.${minor}.1`])
        expect((await to(version)).stderr.trim()).toBe(failed.stderr.trim());
      expect(await running("immich_server")).toBeUndefined();
      expect(await dumps()).toBe(kept);

      for (let time = 0; time < 2; time++) {
        const back = await world.program("restore", "--database", dump);
        expect(back).toMatchObject({ code: 0, stderr: "" });
        expect(back.stdout).toContain(`immich-app/immich-server:v${now}@`);
        const aside = /What was there before lies in "(\S+)"/.exec(back.stdout)![1]!;
        expect(await world.shell(`cat ${aside}/PG_VERSION; rm -r ${aside}`)).toMatch(/^\d+$/);
        expect(await house.everyRow()).toBe(rows);
        expect(await running("immich_server")).toContain(`:v${now}@`);
      }
      expect(record().state).toBe("back");
      expect(await troubles()).not.toContain("upgrade-failed");

      const again = await to(next);
      expect(again.code).toBe(1);
      expect(again.stderr).toContain(`Immich ${next} failed on this Pi`);
      expect(await running("immich_server")).toContain(`:v${now}@`);
      expect(await to(now)).toMatchObject({ code: 0, stderr: "" });
      expect(imagesEnv()).toEqual(oldImages);
      expect((await to("3.2.3")).stderr).toMatch(/Immich cannot go back/);
      // A version that mends it is an upgrade like any other.
      const mended = `3.${minor}.1`;
      expect(await to(mended)).toMatchObject({ code: 0, stderr: "" });
      expect(await house.everyRow()).toBe(rows);
      now = mended;
    },
  );

  it("prunes nothing while it has not ended well, nor in the week after (row 33)", async () => {
    // One archive is all that a run would leave.
    await world.shell(
      `sed -i 's/^keep_weekly: .*/keep_weekly: 1/; s/^keep_\\(month\\|year\\)ly: .*/keep_\\1ly: 0/' /etc/ouchi-photos/borgmatic.yaml`,
    );
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    const before = await archives();
    const kept = await dumps();
    await fault({ sql: `delete from "album" where "albumName" = '海'` });
    expect((await to(next)).code).toBe(1);
    const frozen = await world.program("backup", "run");
    expect(frozen.code).toBe(1);
    expect(frozen.stderr).toMatch(/^The upgrade .* has not ended well\. .* nothing was pruned/);
    expect(await archives()).toEqual([...before, expect.any(String)]);
    // Everything comes back from an archive of before alone, and the old server with it.
    const newest = await world.program("restore", "--everything");
    expect(newest.code).toBe(1);
    expect(newest.stderr).toContain(`was made with Immich v${next}, and ${now} is what will run`);
    const whole = await world.program("restore", "--everything", "--archive", before.at(-1)!);
    expect(whole).toMatchObject({ code: 0, stderr: "" });
    expect(await running("immich_server")).toContain(`:v${now}@`);
    expect(await to(now)).toMatchObject({ code: 0, stderr: "" });
    const week = await world.program("backup", "run");
    expect(week).toMatchObject({ code: 0, stderr: "" });
    expect(week.stdout).toMatch(/^nothing is pruned: .* pruning goes on from \d{4}-\d\d-\d\d$/m);
    expect(await archives()).toEqual([...before, expect.any(String), expect.any(String)]);
    expect(await dumps()).toContain(kept);
    // A week later one is enough again.
    const ended = new Date(Date.now() - 7 * 24 * 3_600_000 - 1000).toISOString();
    await world.shell(
      `sed -i 's/"ended": "[^"]*"/"ended": "${ended.slice(0, 19)}Z"/' /var/lib/ouchi-photos/upgrade.json`,
    );
    const later = await world.program("backup", "run");
    expect(later).toMatchObject({ code: 0, stderr: "" });
    expect(later.stdout).toContain("prune: done");
    expect((await archives()).filter((name) => name.startsWith("immich-"))).toHaveLength(1);
  });

  it("goes back only onto the database of before, whatever the record says (row 33)", async () => {
    await fault({ sql: `delete from "asset"` });
    await to(next);
    const edit = (from: string, to: string) =>
      world.shell(
        `sed -i 's/"state": "${from}"/"state": "${to}"/' /var/lib/ouchi-photos/upgrade.json`,
      );
    await edit("failed", "restored");
    const refused = await to(now);
    expect(refused.stderr).toMatch(
      /was last used by Immich \S+, so \S+ cannot go on with it\. .* restore --database \/mnt/s,
    );
    expect(await running("immich_server")).toBeUndefined();
    await edit("restored", "failed");
    await goBack();
  });

  it("that lost what was to be lost is accepted by one command (row 33)", async () => {
    await fault({ sql: `delete from "asset" where "originalFileName" = 'two.jpg'` });
    expect((await to(next)).stderr).toContain("upgrade-check accept");
    expect(await world.program("upgrade-check", "accept")).toMatchObject({ code: 0, stderr: "" });
    expect(await to(next)).toMatchObject({ code: 0, stderr: "" });
    expect(await running("immich_server")).toContain(`:v${next}@`);
    expect((await world.program("upgrade-check", "accept")).stderr).toMatch(/No upgrade waits/);
    now = next;
  });

  it("restores the database from no dump that is cut, empty, of a whole cluster, of a terminal or of another version (row 27)", async () => {
    const other = "kit-immich-db-backup-20260101T000000-v3.1.0-pg15.sql";
    await world.shell(
      `cd /mnt/hdd1/immich/images/backups; whole=$(ls kit-*.sql | tail -n 1)
       sed '/dump complete/d' "$whole" > kit-cut.sql; cp "$whole" ${other}
       : > kit-empty.sql; sed 's/$/\\r/' "$whole" > kit-terminal.sql
       /usr/lib/postgresql/*/bin/pg_dumpall --host=/run/stand-ins/postgres --username=postgres > kit-cluster.sql`,
    );
    const rows = await house.everyRow();
    for (const [name, reason] of [
      ["kit-cut.sql", /is not whole/],
      ["kit-empty.sql", /is not whole/],
      ["kit-terminal.sql", /has line ends that a terminal put in/],
      ["kit-cluster.sql", /was made by pg_dumpall, which cannot be restored in one transaction/],
      [other, /made with Immich 3\.1\.0, and v\S+ is what will run/],
      ["kit-none.sql", /There is no dump/],
    ] as const) {
      const result = await world.program("restore", "--database", name);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(reason);
      expect(result.stderr).toContain("Nothing was changed.");
    }
    await world.shell(
      `cd /mnt/hdd1/immich/images/backups; rm kit-cut.sql kit-empty.sql kit-terminal.sql kit-cluster.sql ${other}`,
    );
    expect(await running("immich_server")).toContain(`:v${now}@`);
    expect(await house.everyRow()).toBe(rows);
  });

  it("restores everything from an archive of another Immich only when asked to upgrade it, and counts (row 33)", async () => {
    const made = async () => {
      await world.program("backup", "run");
      return [await house.everyRow(), (await archives()).at(-1)!] as const;
    };
    const everything = (...words: string[]) => world.program("restore", "--everything", ...words);
    const [rows, earlier] = await made();
    expect(await to(next)).toMatchObject({ code: 0, stderr: "" });
    await house.sql(`insert into "album" values (gen_random_uuid(), 'later', null);`);
    const [later, newer] = await made();
    for (const words of [[], ["--upgrade-from", "3.0.0"]]) {
      const refused = await everything("--archive", earlier, ...words);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(
        `was made with Immich v${now}, and v${next} is what will run with it. To have it upgraded as it comes back, with its rows counted, add "--upgrade-from ${now}", or choose another dump. Nothing was changed.`,
      );
    }
    expect(await house.everyRow()).toBe(later);
    const upgraded = await everything("--archive", earlier, "--upgrade-from", now);
    expect(upgraded).toMatchObject({ code: 0, stderr: "" });
    expect(record()).toMatchObject({ state: "good", fromVersion: now, toVersion: next });
    expect(await running("immich_server")).toContain(`:v${next}@`);
    expect(await house.everyRow()).toBe(rows);

    await fault({ sql: `delete from "asset"` });
    const failed = await everything("--archive", earlier, "--upgrade-from", now);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain(`The upgrade Immich ${now} → ${next} failed: rows are missing`);
    expect(await running("immich_server")).toBeUndefined();
    const back = await world.program("restore", "--database", record().dump);
    expect(back).toMatchObject({ code: 0, stderr: "" });
    expect(back.stdout).toContain(`Put the images of Immich ${now} into`);
    expect(await to(now)).toMatchObject({ code: 0, stderr: "" });
    expect(await running("immich_server")).toContain(`:v${now}@`);
    expect(await house.everyRow()).toBe(rows);

    const refused = await everything("--archive", newer, "--upgrade-from", next);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `Put version v${next} into the lock file and run "pulumi up" first, or choose another dump.`,
    );
    expect(await house.everyRow()).toBe(rows);
  });

  it("goes back after the way back was cut at any step, and serves no half of it (row 28)", async () => {
    const rows = await house.everyRow();
    await fault({ sql: `delete from "asset"` });
    await to(next);
    const { dump } = record();
    let whole = false;
    for (let step = 1; !whole; step += stride) {
      const result = await world.run([
        ...["cut.py", String(step), `${libexec}/restore`, "--database", dump],
      ]);
      whole = result.code === 0;
      if (!whole) expect(result.code, result.stderr).toBe(137);
      if ((await running("immich_server")) !== undefined) expect(await house.everyRow()).toBe(rows);
      await world.shell("rm -rf /mnt/hdd1/immich/postgres.unfinished-*");
    }
    expect(await house.everyRow()).toBe(rows);
    expect(await running("immich_server")).toContain(`:v${now}@`);
    expect(await to(now)).toMatchObject({ code: 0, stderr: "" });
  });

  it("converges after a cut at every step, and after a boot in between (row 33)", async () => {
    const rows = await house.everyRow();
    let whole = false;
    for (let step = 1; !whole; step += stride) {
      const version = `3.${minor}.${step}`;
      const { immich } = bundles(imagesLock(`v${version}`));
      const result = await world.run(["cut.py", String(step), `${libexec}/apply`, "immich"], {
        stdin: bundleInput(immich),
      });
      whole = result.code === 0;
      if (!whole) expect(result.code, result.stderr).toBe(137);
      if (step % 2 === 0) {
        await world.must(["systemctl", "restart", "ouchi-immich.service"]);
        expect(await running("immich_server")).toMatch(/:v3\./);
      }
      expect(await world.apply(immich), `after a cut at step ${step}`).toMatchObject({
        code: 0,
        stderr: "",
      });
      expect(await running("immich_server")).toContain(`:v${version}@`);
      expect(record().state).toBe("good");
      expect(await house.everyRow()).toBe(rows);
    }
  });
});
