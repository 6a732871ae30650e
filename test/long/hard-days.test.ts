/** Bad days of a deployed Pi, each from the same snapshot: what needs a boot, power, systemd, Docker or a disk that goes. */
import { createHash } from "node:crypto";
import { copyFile, cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { alarmAddress, isLate, pingAddress } from "../../rehearsal/pi/alarm-receiver.ts";
import { startRegistry } from "../../rehearsal/pi/container-images.ts";
import { publishVariant } from "../../rehearsal/pi/image-variants.ts";
import { takePhoto } from "../../rehearsal/story/photo.ts";
import { until } from "../../rehearsal/story/step.ts";
import { World } from "../../rehearsal/world.ts";

const minutes = 60_000;
const repository = join(import.meta.dirname, "../..");

describe("a hard day", { timeout: 60 * minutes }, () => {
  let world: World;
  let snapshot: string;
  let state: string;
  let settings: string;

  beforeAll(async () => {
    world = await World.build({
      folder: join(repository, ".rehearsal/hard-days"),
      engine: "rehearsal",
      say: (line) => console.log(line),
    });
    await world.engine.setSecret("ouchi-photos:alarm", alarmAddress);
    await world.engine.setSecret("ouchi-photos:ping", pingAddress);
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    const said = world.engine.printed + (await world.engine.stateText());
    for (const secret of [alarmAddress, pingAddress]) expect(said).not.toContain(secret);
    const phone = await world.phone("ken", "iphone");
    await phone.upload(await takePhoto("IMG_0001.jpg", "2022:02:03 08:00:00", "+09:00"));
    expect(await backUp()).toBe(0);
    expect(await checksHeld()).not.toContain("extract");
    state = await readFile(world.engine.stateFile, "utf8");
    settings = await readFile(world.engine.stackFile, "utf8");
    snapshot = await world.pi.saveSnapshot("hard-days");
  }, 90 * minutes);
  afterAll(() => world?.close());

  let first = true;
  beforeEach(async () => {
    // The first goes on from where the snapshot was taken.
    if (!first) {
      await world.pi.loadSnapshot(snapshot);
      await world.pi.setClock(world.clock.now());
      await writeFile(world.engine.stateFile, state);
      await writeFile(world.engine.stackFile, settings);
      await world.untilServing(120);
    }
    first = false;
    world.alarms.length = 0;
    world.receiver.pings.length = 0;
    await anotherHour();
  }, 5 * minutes);

  const root = async (script: string, timeoutMs?: number) => {
    const { stdout, stderr, code } = await world.asRoot(["sh", "-ec", script], timeoutMs);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  };
  /** The kinds of checks of the archives that were held so far. */
  const checksHeld = () => root("ls /mnt/hdd1/kit/borgmatic/borgmatic/checks/*/");
  /** Answers its status, as cron's line would see it. */
  const backUp = async () =>
    (await world.asRoot(["systemctl", "start", "ouchi-backup.service"], 40 * minutes)).code;
  const lastBackup = async () =>
    JSON.parse(
      await root(
        "cat /run/ouchi-photos/backup-status.json 2>/dev/null || cat /var/lib/ouchi-photos/backup-status.json",
      ),
    ).last as { result: string; startedAt: string; message?: string; files?: number };
  /** Waits until the last run is one that began as `isIt` says, and ended so. */
  const untilBackup = (result: string, seconds: number, isIt: (startedAt: string) => boolean) =>
    until(`A run that is ${result}`, seconds, async () => {
      const last = await lastBackup();
      if (last.result === result && isIt(last.startedAt)) return true;
      throw new Error(JSON.stringify(last));
    });
  /** Waits until the owner's phone was told. */
  const told = (pattern: RegExp, seconds = 300) =>
    until(`An alarm that says ${pattern}`, seconds, async () => {
      if (world.alarms.some(({ message }) => pattern.test(message))) return true;
      throw new Error(JSON.stringify(world.alarms));
    });
  /** What was told before counts against nothing from now on. */
  const anotherHour = () => root("rm -f /run/ouchi-photos/alarms.json");
  const mainDisk = String.raw`\(QEMU HARDDISK, serial "OUCHI-HDD1", UUID "[0-9a-f-]{36}"\)`;
  const start = async () => {
    const started = await world.pi.ssh(["sudo", "-n", "/usr/local/libexec/ouchi-photos/start"], {
      timeoutMs: 15 * minutes,
    });
    expect(`${started.code} ${started.stderr}`).toBe("0 ");
  };
  /** Pulls HDD1, and waits until all that hung on it has ended. */
  const unplug = async () => {
    await world.pi.detachDisk("hdd1");
    await until("The end of every container", 180, async () => {
      const { stdout } = await world.asRoot(["sh", "-c", "pgrep -c containerd-shim || true"]);
      return stdout.trim() === "0";
    });
    await until("The end of their units", 120, async () => {
      const states = await root(
        "systemctl is-active docker ouchi-immich ouchi-cloudflared || true",
      );
      return states === "inactive\ninactive\ninactive";
    });
  };
  const plugIn = async (disk: "hdd1" | "hdd2", unreadable: number[] = []) => {
    await world.pi.attachDisk(disk, unreadable);
    await until("The disk", 60, async () => {
      const { code } = await world.asRoot(["sh", "-c", `blkid -L ouchi-${disk}`]);
      return code === 0;
    });
  };
  const replug = async (unreadable: number[] = []) => {
    await plugIn("hdd1", unreadable);
    await start();
    await world.untilServing(300);
  };
  /** What a person sees who signs in now, by a connection of its own. */
  const signIn = async () => {
    const { stdout } = await execa(
      "ssh",
      [
        ...["-tt", "-p", String(world.pi.sshPort), "-i", world.pi.privateKeyFile],
        ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
        ...["-o", "IdentityAgent=none", "pi@127.0.0.1"],
      ],
      { input: "id -un\nexit\n", timeout: 2 * minutes, reject: false },
    );
    return stdout;
  };
  const up = async () => {
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    return ran.text;
  };
  /** Every photo's row, and who may sign in and how. */
  const rows = () =>
    world.sql(`select json_agg(t) from (select * from "asset" order by "id") t
      union all select json_agg(t) from (select "id", "email", "password" from "user" order by "id") t`);

  it("after somebody was at work on the Pi: preview tells, up mends (row 37)", async () => {
    await root(
      `echo '{}' > /etc/docker/daemon.json
       systemctl disable --now ouchi-backup-catchup.timer
       systemctl mask cron.service
       systemctl stop ouchi-cloudflared.service
       chmod 644 /etc/ouchi-photos/secrets/database-password`,
    );
    const { text: told } = await world.engine.preview();
    for (const what of [
      '"/etc/docker/daemon.json" was changed',
      '"ouchi-backup-catchup.timer" does not start at boot (disabled)',
      '"ouchi-backup-catchup.timer" does not run (inactive)',
      '"cron.service" is masked',
      '"ouchi-cloudflared.service" does not run (inactive)',
      '"/etc/ouchi-photos/secrets/database-password" has the mode 0644, not 0600',
    ]) {
      expect(told).toContain(`On the Pi, ${what}`);
    }
    const text = await up();
    expect(text).toContain("/var/lib/ouchi-photos/edited/etc-docker-daemon.json");
    await world.untilServing(300);
    expect(await root("systemctl is-active cron ouchi-backup-catchup.timer docker")).toBe(
      "active\nactive\nactive",
    );
    const { text: after } = await world.engine.preview();
    expect(after).not.toContain("On the Pi,");
  });

  it("when the kernel runs without the memory cgroup: one restart, and up goes on", async () => {
    await world.engine.editSettings((text) =>
      text.replace(/^( *)(allowFormat: .*)$/m, "$1$2\n$1withoutUas: [152d:0578]"),
    );
    await root("sed -i 's/cgroup_enable=memory//' /boot/firmware/cmdline.txt; sync");
    await world.pi.powerCut();
    await world.pi.powerOn();
    await world.untilServing(300);
    const { text: told } = await world.engine.preview();
    expect(told).toContain("The Pi runs without its memory cgroup");
    const bootBefore = await root("cat /proc/sys/kernel/random/boot_id");
    const text = await up();
    expect(text).toContain("The Pi restarts once");
    expect(await root("cat /proc/sys/kernel/random/boot_id")).not.toBe(bootBefore);
    expect(await root("cat /sys/fs/cgroup/cgroup.controllers")).toContain("memory");
    expect(await root("cat /proc/cmdline")).toContain("usb-storage.quirks=152d:0578:u");
    expect(await root("cat /boot/firmware/cmdline.txt.ouchi-before")).not.toContain("quirks");
    await world.untilServing(300);
    await world.engine.editSettings((text) => text.replace(/^ *withoutUas: .*\n/m, ""));
  });

  it("when HDD1 is pulled out while it serves: all stops, and one command brings it back (row 9)", async () => {
    await unplug();
    // Nothing begins anew in the empty folder, then or later.
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    expect(await root("ls -A /mnt/hdd1; pgrep -c containerd-shim || true")).toBe("0");
    await told(new RegExp(`The photos' disk ${mainDisk} is not there`));
    await root("rm -f /var/lib/ouchi-photos/damaged.json");
    await replug();
    await told(/It is over: The photos' disk/);
    // What was on its way to the disk may be lost: the newest photos are looked at, as after a power cut.
    expect(JSON.parse(await root("cat /var/lib/ouchi-photos/damaged.json"))).toMatchObject({
      looked: 1,
      photos: [],
    });
  });

  it("when HDD1 is not there at a boot: nothing serves, nothing lands on the card, and the alarm says which serial (row 8)", async () => {
    await world.pi.powerCut();
    await world.pi.detachDisk("hdd1");
    await world.pi.powerOn();
    await told(
      new RegExp(`The photos' disk ${mainDisk} is not there, so the photo server is stopped`),
    );
    expect(await root("systemctl is-active docker ouchi-immich ouchi-cloudflared || true")).toBe(
      "inactive\ninactive\ninactive",
    );
    expect(await root("pgrep -c containerd-shim || true")).toBe("0");
    expect(await root("ls -A /mnt/hdd1; ls -A /var/lib/docker 2>/dev/null || true")).toBe("");
    expect((await world.asRoot(["mkdir", "/mnt/hdd1/docker"])).code).not.toBe(0);
    const seen = await signIn();
    expect(seen).toContain('serial "OUCHI-HDD1"');
    expect(seen).toMatch(/^pi\r?$/m);
    await replug();
    await told(/It is over: The photos' disk/);
    expect(await signIn()).not.toContain("OUCHI-HDD1");
  });

  it("when HDD1 goes read-only after an error: an alarm, a new archive of what is readable, nothing pruned, and one command mends it (row 10)", async () => {
    const before = await world.archives();
    const files = await world.photoFiles();
    expect(files).toHaveLength(1);
    await root(
      `sync; echo injected > /sys/fs/ext4/$(basename "$(findmnt -no SOURCE /mnt/hdd1)")/trigger_fs_error`,
    );
    expect((await world.asRoot(["touch", "/mnt/hdd1/more"])).code).not.toBe(0);
    await told(new RegExp(`The photos' disk ${mainDisk} takes no writes any more`));
    expect(JSON.parse(await root("cat /run/ouchi-photos/health.json"))).toMatchObject({
      ok: false,
      problems: expect.arrayContaining([expect.objectContaining({ key: "main-read-only" })]),
    });
    expect(await backUp()).not.toBe(0);
    const last = await lastBackup();
    expect(last.result, JSON.stringify(last)).toBe("frozen");
    expect(last.message).toMatch(
      /serial "OUCHI-HDD1".*takes no writes\..*in the new archive "frozen-\S+"; nothing was pruned, and the photo server is stopped/,
    );
    await told(/A backup was made, but something is not as it should be .*nothing was pruned/);
    expect(await root("systemctl is-active docker ouchi-immich || true")).toBe(
      "inactive\ninactive",
    );
    const after = await world.archives();
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(before.length + 1);
    const [sum, path] = files[0]!.split("  ");
    const archive = /"(frozen-\S+)"/.exec(last.message!)![1];
    const extracted = await root(
      `mount -o ro /mnt/hdd2
       export BORG_BASE_DIR=/run/looking BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
       export BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase'
       borg --bypass-lock extract --stdout /mnt/hdd2/borg/immich::${archive} '${path!.slice(1)}' | sha1sum
       borg --bypass-lock list --short /mnt/hdd2/borg/immich::${archive} | grep -c 'kit-immich-db-backup-.*sql$'
       umount /mnt/hdd2`,
      5 * minutes,
    );
    expect(extracted).toMatch(new RegExp(`^${sum} .*\n[1-9]`));
    await anotherHour();
    await start();
    await world.untilServing(300);
    expect(await world.photoFiles()).toEqual(files);
    expect(await world.sql("select count(*) from asset")).toBe("1");
    expect(await backUp()).toBe(0);
    expect((await lastBackup()).result).toBe("good");
    await told(/It is over: A backup was made, but/);
  });

  /** A backup that is at work on something large, right in its copying. */
  const inTheCopying = async () => {
    await root(
      "head -c 400000000 /dev/urandom > /mnt/hdd1/immich/images/thumbs/large",
      5 * minutes,
    );
    await root("systemctl start --no-block ouchi-backup.service");
    await until("Borg at work on it", 15 * 60, async () => {
      await root(
        `pid=$(pgrep -f '[b]in/borg .*create' | tail -n 1); ls -l "/proc/$pid/fd" | grep -q thumbs/large`,
      );
      return true;
    });
  };
  const untilOver = () =>
    until("The end of the run", 30 * 60, async () => {
      const state = await root("systemctl is-active ouchi-backup.service || true");
      return state === "inactive" || state === "failed";
    });
  /** A script with what Borg wants to know, and HDD2 mounted meanwhile. */
  const borg = (script: string, timeoutMs: number) =>
    root(
      `mount /mnt/hdd2; trap 'cd /; umount /mnt/hdd2' EXIT
       export BORG_BASE_DIR=/mnt/hdd1/kit/borg BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase'
       ${script}`,
      timeoutMs,
    );
  /** The archives, after Borg has found every byte of theirs in order. */
  const wholeArchives = async () => {
    const list = await borg(
      "borg break-lock /mnt/hdd2/borg/immich; borg check --verify-data /mnt/hdd2/borg/immich; borg list --short /mnt/hdd2/borg/immich",
      15 * minutes,
    );
    return list.split("\n");
  };

  /** A power cut in a backup that is at work, and the boot after it; until the run that makes up for it, by the timer, is good. */
  const cutAndMadeUpFor = async () => {
    const begun = await root("date -u +%Y-%m-%dT%H:%M:%SZ");
    await world.pi.powerCut();
    await world.pi.powerOn();
    await world.untilServing(300);
    await untilBackup("good", 40 * 60, (startedAt) => startedAt > begun);
    await untilOver();
  };

  it("when the power goes in the middle of a backup: the archives are whole, the house serves again, and the run is made up for (row 1)", async () => {
    const before = await wholeArchives();
    await inTheCopying();
    await cutAndMadeUpFor();
    await root("rm /mnt/hdd1/immich/images/thumbs/large");
    expect((await wholeArchives()).slice(0, before.length)).toEqual(before);
    await world.untilServing(60);
  });

  it("when the power goes in the middle of a dump: it never becomes one, the earlier ones stay, and the run is made up for (row 2)", async () => {
    const archives = await wholeArchives();
    const backups = "/mnt/hdd1/immich/images/backups";
    const sums = () => root(`cd ${backups}; sha1sum kit-*.sql`);
    const before = await sums();
    // Somebody holds a table that pg_dump waits for.
    await root(
      `docker exec immich_postgres psql --username=postgres --dbname=immich \
         --command='begin; lock table "album_user" in access exclusive mode; select pg_sleep(1800)' >/dev/null 2>&1 &`,
    );
    await root("systemctl start --no-block ouchi-backup.service");
    await until("pg_dump at work", 5 * 60, async () => {
      await root(`pgrep -x pg_dump && ls ${backups}/kit-*.partial`);
      return true;
    });
    await cutAndMadeUpFor();
    expect(await root(`ls ${backups}`)).not.toContain(".partial");
    // The earlier one and that of the run that made up for it; both whole.
    const after = (await sums()).split("\n");
    expect(after).toHaveLength(2);
    expect(after).toContain(before.split("\n").at(-1));
    await root(`for each in ${backups}/kit-*.sql; do tail -n 5 $each | grep 'dump complete'; done`);
    expect((await wholeArchives()).length).toBeGreaterThanOrEqual(archives.length);
  });

  it.each(["prune", "compact"])(
    "when the power goes in the middle of borg %s: the archives are whole, the newest gives the photo back, and the run is made up for (row 3)",
    async (action) => {
      const photos = await world.photoFiles();
      await root("systemctl start --no-block ouchi-backup.service");
      // On the Pi itself: it takes but seconds.
      await root(
        `until pgrep -f '[b]in/borg ${action}' >/dev/null; do sleep 0.05; done`,
        20 * minutes,
      );
      await cutAndMadeUpFor();
      // Left by the first run to the second.
      expect(await checksHeld()).toContain("extract");
      const newest = (await wholeArchives()).at(-1);
      const [sum, path] = photos[0]!.split("  ");
      const extracted = await borg(
        `borg extract --stdout /mnt/hdd2/borg/immich::${newest} '${path!.slice(1)}' | sha1sum`,
        5 * minutes,
      );
      expect(extracted).toBe(`${sum}  -`);
      expect(await world.photoFiles()).toEqual(photos);
    },
  );

  it("when the power goes in the middle of a restore of everything: no half of it is served, an alarm says what to do, and the same command ends it (row 28)", async () => {
    const before = { photos: await world.photoFiles(), rows: await rows() };
    await root(
      "systemd-run --quiet --unit=restoring /usr/local/libexec/ouchi-photos/restore --everything",
    );
    // From here on what was there is being moved aside.
    await root(
      "until [ -e /var/lib/ouchi-photos/restore.json ] && [ -e /mnt/hdd1/immich/postgres/PG_VERSION ] && ls -d /mnt/hdd1/immich/postgres.before-restore-*; do sleep 0.05; done",
      10 * minutes,
    );
    await world.pi.powerCut();
    await world.pi.powerOn();
    await told(/A restore was cut, and half a restore is not served/, 600);
    expect(await root("systemctl is-active ouchi-immich.service || true")).not.toBe("active");
    const restored = await world.ouchiOnPi("restore", ["--everything"]);
    expect(restored.code, restored.text).toBe(0);
    await world.untilServing(300);
    expect({ photos: await world.photoFiles(), rows: await rows() }).toEqual(before);
    await told(/It is over: A restore was cut/);
    // Half of it is beside it, for its owner to remove, and so is what was there.
    expect(await root("ls -d /mnt/hdd1/immich/postgres.unfinished-*")).not.toBe("");
    expect(await root("ls -d /mnt/hdd1/immich/images.before-restore-*")).not.toBe("");
    expect(await backUp()).toBe(0);
  });

  it("when HDD2 is pulled out in the middle of a backup: it fails and is told, the house serves, and the archives are whole when it is back (row 7)", async () => {
    const before = await wholeArchives();
    await inTheCopying();
    await world.pi.detachDisk("hdd2");
    await untilOver();
    const last = await lastBackup();
    expect(last.result, JSON.stringify(last)).toBe("failed");
    await told(/The backup of .* failed/);
    await world.untilServing(120);
    expect(await root("findmnt -n /mnt/hdd2 || true; ls -A /mnt/hdd2")).toBe("");
    expect((await world.asRoot(["mkdir", "/mnt/hdd2/borg"])).code).not.toBe(0);
    await plugIn("hdd2");
    await root("rm /mnt/hdd1/immich/images/thumbs/large");
    expect(await wholeArchives()).toEqual(before);
    await anotherHour();
    expect(await backUp()).toBe(0);
    expect((await lastBackup()).result).toBe("good");
    await told(/It is over: The backup of/);
  });

  it("when a sector under a photo cannot be read any more: the backup names the photo, keeps the archive and prunes nothing (row 16)", async () => {
    const before = await wholeArchives();
    const [, path] = (await world.photoFiles())[0]!.split("  ");
    const sector = Number(
      await root(
        `device=$(findmnt -no SOURCE /mnt/hdd1)
         first=$(cat /sys/class/block/$(basename $device)/start 2>/dev/null || echo 0)
         extent=$(filefrag -b512 -v '${path}' | awk '$1 == "0:" { print $4 + 0 }')
         echo $((first + extent))`,
      ),
    );
    expect(sector).toBeGreaterThan(0);
    await unplug();
    await replug([sector]);
    expect((await world.asRoot(["cat", path!])).code).not.toBe(0);
    await anotherHour();
    expect(await backUp()).not.toBe(0);
    const last = await lastBackup();
    expect(last.result, JSON.stringify(last)).toBe("frozen");
    expect(last.message).toContain("Some files could not be read");
    expect(last.message).toContain(path);
    expect(last.message).toContain("was kept and nothing was pruned");
    await told(/A backup was made, but something is not as it should be .*could not be read/);
    await world.untilServing(120);
    const after = await wholeArchives();
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(before.length + 1);
    // A disk in its place on which the sector is whole: the next run is good.
    await unplug();
    await replug();
    await anotherHour();
    expect(await backUp()).toBe(0);
    await told(/It is over: A backup was made, but/);
  });

  it("when the SD card is full to the last byte: the logs stay small, SSH works, an alarm, and the backup runs (row 21)", async () => {
    // More than the journal may keep.
    await root(
      "head -c 90000000 /dev/urandom | base64 -w 40000 | systemd-cat --identifier=flood; journalctl --sync",
      10 * minutes,
    );
    expect(Number(await root("du -sm /var/log/journal | cut -f1"))).toBeLessThan(80);
    const logs = await root(
      `docker inspect --format '{{json .HostConfig.LogConfig}}' $(docker ps -q) | sort -u`,
    );
    expect(JSON.parse(logs)).toEqual({
      Type: "local",
      Config: { "max-file": "3", "max-size": "10m" },
    });
    const before = await world.archives();
    const starts = await world.containerStarts();
    await root(
      `fallocate -l $(($(df -B1 --output=avail / | tail -n 1) - 67108864)) /full
       dd if=/dev/zero of=/full-to-the-end bs=1M 2>/dev/null || true
       dd if=/dev/zero of=/full-to-the-very-end bs=512 2>/dev/null || true; sync`,
      5 * minutes,
    );
    await told(/The SD card has 0 MiB left/);
    expect(await signIn()).toMatch(/^pi\r?$/m);
    expect(
      await backUp(),
      await root("journalctl -u ouchi-backup -n 40 --no-pager -o cat || true"),
    ).toBe(0);
    expect((await lastBackup()).result).toBe("good");
    expect(await world.containerStarts()).toEqual(starts);
    await world.untilServing(60);
    const after = await world.archives();
    expect(after).toHaveLength(before.length + 1);
    await root("rm /full /full-to-the-end /full-to-the-very-end; sync");
    await told(/It is over: The SD card/);
  });

  it("when the clock is wrong at a boot without a network's time: the backup waits a while, prunes nothing and says so; nothing spins (row 32)", async () => {
    expect(await root("systemctl show -P TimeoutStartUSec systemd-time-wait-sync.service")).toBe(
      "10min",
    );
    const before = await world.archives();
    const today = await root("date -u +%F");
    // The wait is made shorter, and what the Pi keeps of the time is of last January.
    await root(
      `systemctl disable rehearsal-ntp.service
       printf '[Service]\nTimeoutStartSec=8min\n' > /etc/systemd/system/systemd-time-wait-sync.service.d/99-sooner.conf
       systemctl stop systemd-timesyncd; touch -d 2026-01-10 /var/lib/systemd/timesync/clock; sync`,
    );
    await world.pi.powerCut();
    // Looked at while it boots: the end of a boot waits for the time, too.
    const booted = world.pi.powerOn({ clock: new Date(0), deadlineMs: 15 * minutes });
    booted.catch(() => undefined);
    await until(
      "The booting Pi",
      180,
      async () => (await world.asRoot(["systemctl", "is-system-running"])).stdout.trim() !== "",
    );
    // Not 1970: systemd knows of no time before it was built itself.
    const [stale, synchronized] = (
      await root("date -u +%F; timedatectl show -P NTPSynchronized")
    ).split("\n");
    expect(synchronized).toBe("no");
    expect(stale! < today, `${stale} is no stale clock on ${today}`).toBe(true);
    await root("systemctl start --no-block ouchi-backup.service");
    await until("Immich at home", 400, async () => {
      const { stdout } = await world.asRoot([
        ...["curl", "--silent", "--max-time", "10", "http://127.0.0.1:2283/api/server/ping"],
      ]);
      return stdout.includes("pong");
    });
    expect(await root("systemctl list-jobs --no-legend")).toMatch(
      /ouchi-backup\.service\s+start\s+waiting/,
    );
    // No container goes round in a circle, and the connector asks the edge in its own good time.
    const restarts = "docker inspect --format '{{.RestartCount}}' cloudflared";
    const lines = "docker logs cloudflared 2>&1 | wc -l";
    const then = (await root(`${restarts}; ${lines}`)).split("\n").map(Number);
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    const now = (await root(`${restarts}; ${lines}`)).split("\n").map(Number);
    expect(now[0]! - then[0]!).toBeLessThan(10);
    expect(now[1]! - then[1]!).toBeLessThan(120);
    await booted;
    await told(/clock is not set by the network, so the age of an archive is unknown/, 900);
    const last = await lastBackup();
    expect(last.result).toBe("frozen");
    const after = await world.archives();
    expect(after).toHaveLength(before.length + 1);
    for (const line of before) expect(after).toContain(line);
    // The network's time comes back, and all goes on by itself.
    await root(
      "rm /etc/systemd/system/systemd-time-wait-sync.service.d/99-sooner.conf; systemctl daemon-reload; systemctl enable --now rehearsal-ntp.service",
    );
    await world.untilServing(300);
  });

  it(
    "when the SD card dies: the same up on a new one takes both disks up, and nothing is restored (row 22)",
    async () => {
      const file = () =>
        root("findmnt -no UUID /mnt/hdd1; blkid -t LABEL=ouchi-hdd2 -s UUID -o value");
      const before = {
        ...{ photos: await world.photoFiles(), rows: await rows(), disks: await file() },
        archives: await world.archives(),
      };
      expect(before.archives).toHaveLength(1);
      const pinned = world.pi.hostKey;
      await world.pi.replaceCard();
      expect(world.pi.hostKey).not.toBe(pinned);

      // Whoever answers in the Pi's place is let near nothing.
      const refused = await world.engine.up();
      expect(refused.exitCode).not.toBe(0);
      expect(new Set(refused.text.match(/SHA256:[A-Za-z0-9+/]{43}/g)).size).toBe(2);
      expect(await root("ls /etc/ouchi-photos /usr/local/libexec 2>&1 || true")).not.toContain(
        "apply",
      );

      await world.engine.editSettings((text) => text.replace(pinned, world.pi.hostKey));
      const text = await up();
      expect(text).toContain("as after a new SD card");
      expect(text).toContain("new to this card: dumping it first");
      await world.untilServing(300);
      expect(await file()).toBe(before.disks);
      expect(await world.photoFiles()).toEqual(before.photos);
      expect(await rows()).toBe(before.rows);
      expect(await world.archives()).toEqual(before.archives);
      const phone = await world.phone("ken", "iphone");
      expect(await phone.assets()).toHaveLength(1);
    },
    60 * minutes,
  );

  it(
    "when the main disk dies: up on a new one and one command bring everything back, and one command what one person lost",
    async () => {
      const mio = await world.phone("mio", "iphone");
      await mio.upload(await takePhoto("IMG_0051.jpg", "2022:02:06 08:00:00", "+09:00"));
      expect(await backUp()).toBe(0);
      const before = { photos: await world.photoFiles(), rows: await rows() };
      expect(before.photos).toHaveLength(2);
      const archives = await world.archives();

      await unplug();
      await world.pi.attachBlankDisk("hdd1", "OUCHI-HDD3");
      await world.engine.editSettings((text) => text.replaceAll("OUCHI-HDD1", "OUCHI-HDD3"));
      await up();
      const restored = await world.ouchiOnPi("restore", ["--everything"]);
      expect(restored.code, restored.text).toBe(0);
      await world.untilServing(300);
      expect({ photos: await world.photoFiles(), rows: await rows() }).toEqual(before);
      expect(await (await world.phone("mio", "iphone")).assets()).toHaveLength(1);

      // Somebody has emptied one account past its trash.
      await world.sql(`delete from "asset" where "originalFileName" = 'IMG_0001.jpg'`);
      await root("rm -r /mnt/hdd1/immich/images/library/ken");
      const person = await world.ouchiOnPi("restore", ["--person", "ken"]);
      expect(person.code, person.text).toBe(0);
      expect({ photos: await world.photoFiles(), rows: await rows() }).toEqual(before);
      expect(await (await world.phone("ken", "iphone")).assets()).toHaveLength(1);

      // The next backup goes on in the same repository, on what the disk holds now.
      expect(await backUp()).toBe(0);
      expect((await lastBackup()).files).toBe(2);
      expect(archives).not.toContain((await world.archives()).at(-1));
    },
    60 * minutes,
  );

  it("when the home has other networks, too: Immich answers on loopback and the LAN's address alone (row 43)", async () => {
    // A second address of either kind, as of a guest network or a provider with IPv6.
    await root(
      `ip link add second type dummy; ip address add 10.99.0.9/24 dev second
       ip -6 address add fd99::9/64 dev second nodad; ip link set second up`,
    );
    const ask = (address: string) =>
      root(
        `curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' 'http://${address}:2283/api/server/ping' || true`,
      );
    const lan = await root(
      'ip -4 -json route get 192.0.2.1 | grep -o \'"prefsrc":"[^"]*\' | cut -d\'"\' -f4',
    );
    expect(await ask("127.0.0.1")).toBe("200");
    expect(await ask(lan)).toBe("200");
    for (const address of ["10.99.0.9", "[fd99::9]", "[::1]"])
      expect(await ask(address)).toBe("000");
    // Nor after a restart, when all addresses are there already; it leaves the tunnel's connector alone.
    const connector = () => root("docker inspect --format '{{.State.StartedAt}}' cloudflared");
    const before = await connector();
    await root("systemctl restart ouchi-immich.service", 5 * minutes);
    for (const address of ["10.99.0.9", "[fd99::9]", "[::1]"])
      expect(await ask(address)).toBe("000");
    await world.untilServing(180);
    expect(await connector()).toBe(before);
    for (const address of ["127.0.0.1", lan]) expect(await ask(address)).toBe("200");
  });

  it("when HDD1 is full: uploads fail and say so, nothing is lost, and space brings it back (row 20)", async () => {
    const phone = await world.phone("ken", "iphone");
    await root(
      `cd /mnt/hdd1; fallocate -l $(($(df -B1 --output=avail . | tail -n 1) - 67108864)) full
       dd if=/dev/zero of=full-to-the-end bs=1M 2>/dev/null || true; sync`,
      5 * minutes,
    );
    const { text: told } = await world.engine.preview();
    expect(told).toMatch(/The photos' disk is (99|100) % full/);
    const photo = await takePhoto("IMG_0020.jpg", "2022:02:05 08:00:00", "+09:00");
    await expect(phone.upload(photo)).rejects.toThrow();
    await root("rm /mnt/hdd1/full /mnt/hdd1/full-to-the-end; sync");
    await world.untilServing(300);
    // PostgreSQL stopped at the full disk, and Docker starts it again; the dump then reads every page of what it holds.
    await until("A whole dump", 300, async () => {
      const { code } = await world.asRoot([
        ...["sh", "-c"],
        "docker exec immich_postgres pg_dump --username=postgres immich >/dev/null",
      ]);
      return code === 0;
    });
    const back = await world.phone("ken", "iphone");
    await back.upload(photo);
    expect(await world.sql("select count(*) from asset")).toBe("2");
  });

  it.each([
    ["exchanged disks", 12, "main", "OUCHI-HDD2", /exchange disks\.main and disks\.backup/],
    ["the card that the Pi runs from", 15, "main", "card", /is the disk that the Pi started from/],
  ])(
    "when the stack file names %s: refused before anything is touched (row %s)",
    async (_, _row, role, name, reason) => {
      const disk =
        name === "card"
          ? await root(
              `card=/dev/$(lsblk -no PKNAME "$(findmnt -no SOURCE /)")
             for link in /dev/disk/by-id/* /dev/disk/by-path/*; do
               [ "$(readlink -f "$link")" = "$card" ] && basename "$link" && break
             done`,
            )
          : `scsi-0QEMU_QEMU_HARDDISK_${name}`;
      await world.engine.editSettings((text) =>
        text
          .replace(/backup: scsi-\S+/, (line) =>
            name === "card" ? line : line.replace("HDD2", "HDD1"),
          )
          .replace(new RegExp(`${role}: scsi-\\S+`), `${role}: ${disk}`)
          .replace(/allowFormat: .*/, "allowFormat: []"),
      );
      const before = await root(
        "cat /proc/mounts; cat /etc/fstab /var/lib/ouchi-photos/applied.json",
      );
      const ran = await world.engine.up();
      expect(ran.exitCode).not.toBe(0);
      expect(ran.text).toMatch(reason);
      expect(
        await root("cat /proc/mounts; cat /etc/fstab /var/lib/ouchi-photos/applied.json"),
      ).toBe(before);
    },
  );

  it("of a Pi whose supply, heat or USB is bad: preview warns, each time with the cure (row 49)", async () => {
    const { text: well } = await world.engine.preview();
    expect(well).not.toMatch(/voltage|heat|reset a USB device/);
    // A real USB disk, which the kernel resets for real.
    await world.pi.plugUsbDisk();
    await until("The USB disk", 120, async () => {
      const { stdout } = await world.asRoot(["sh", "-c", "lsusb"]);
      return stdout.includes("46f4:0001");
    });
    await root(`python3 -c '
import fcntl, subprocess
line = next(each for each in subprocess.check_output(["lsusb"], text=True).splitlines() if "46f4:0001" in each)
bus, device = line.split()[1], line.split()[3].rstrip(":")
for _ in range(5):
    with open(f"/dev/bus/usb/{bus}/{device}", "w") as file:
        fcntl.ioctl(file, 0x5514, 0)
'`);
    await root(
      "echo '<4>sd 3:0:0:0: [sdc] tag#1 uas_eh_abort_handler 0 uas-tag 1 inflight: CMD IN' >/dev/kmsg",
    );
    const resets = await root(
      "journalctl --dmesg --boot --output=cat | grep -c 'usb .*: reset .* USB device'",
    );
    expect(Number(resets)).toBeGreaterThanOrEqual(5);
    // Stands in for the firmware's own command: too little voltage and slowed down, now and before.
    await root(
      "printf '#!/bin/sh\necho throttled=0x50005\n' >/usr/bin/vcgencmd; chmod 755 /usr/bin/vcgencmd",
    );
    const { text } = await world.engine.preview();
    for (const line of [
      "The Pi has too little voltage, at which disks drop out: use the official power supply, and a USB hub with a supply of its own",
      "The Pi is slowed down by heat: give it a heat sink or more air.",
      `The Pi's kernel had to reset a USB device ${Number(resets) + 1} times since its start: use a USB hub with a supply of its own and short cables; if it goes on, set disks.withoutUas to the disks' bridges (here: [46f4:0001]).`,
    ])
      expect(text).toContain(line);
  });

  it("runs after a boot with what its system was given: keys only, a watchdog, a journal that outlives the boot, security updates alone", async () => {
    await root("logger --tag canary 'before the cut'; journalctl --sync");
    await world.pi.powerCut();
    await world.pi.powerOn();
    await world.untilServing(300);
    expect(await root("journalctl --boot=-1 --identifier=canary --output=cat")).toBe(
      "before the cut",
    );
    expect(await root("systemctl show -P RuntimeWatchdogUSec")).toBe("15s");
    expect(await root("sysctl -n net.ipv4.ip_nonlocal_bind")).toBe("1");
    expect(
      await root(
        "docker info --format '{{.DockerRootDir}} {{.LiveRestoreEnabled}} {{.LoggingDriver}} {{.CgroupVersion}}'",
      ),
    ).toBe("/mnt/hdd1/docker false local 2");
    const sshd = await root("sshd -T");
    for (const line of [
      "passwordauthentication no",
      "kbdinteractiveauthentication no",
      "permitrootlogin without-password",
    ])
      expect(sshd.split("\n")).toContain(line);
    const byPassword = await execa(
      "ssh",
      [
        ...["-p", String(world.pi.sshPort), "-o", "PubkeyAuthentication=no"],
        ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
        ...["-o", "IdentityAgent=none", "-o", "BatchMode=yes", "pi@127.0.0.1", "true"],
      ],
      { reject: false },
    );
    expect(byPassword.stderr).toContain("pi@127.0.0.1: Permission denied (publickey).");
    // Nothing but memory is swapped to; the virtual Pi lacks Raspberry Pi OS's own rpi-swap.
    expect(await root("swapon --show=NAME --noheadings")).toMatch(/^(\/dev\/zram\d+)?$/);
    // Its timers are masked in the virtual Pi.
    const upgrades = await root(
      "unattended-upgrade --dry-run --debug 2>&1; apt-config dump Unattended-Upgrade::Automatic-Reboot",
      10 * minutes,
    );
    expect(/^Allowed origins are: (.*)$/m.exec(upgrades)?.[1]).toBe(
      "origin=Debian,codename=trixie,label=Debian-Security, origin=Debian,codename=trixie-security,label=Debian-Security",
    );
    expect(upgrades).toContain('Unattended-Upgrade::Automatic-Reboot "false";');
  });

  it("reads its files with the tools of the Pi itself: Compose and systemd have nothing to say", async () => {
    const learning = await readFile(
      join(repository, "compose/immich/compose.machine-learning.yaml"),
      "utf8",
    );
    const heredoc = (file: string, text: string) => [`cat >${file} <<'END'`, text, "END"];
    const lan = await readFile(join(repository, "compose/immich/compose.lan.yaml"), "utf8");
    await root(
      [
        "mkdir -p /run/readers; cd /run/readers",
        ...heredoc("lan.yaml", lan),
        ...heredoc("learning.yaml", learning),
      ].join("\n"),
    );
    const said = await root(
      `exec 2>&1
       export LAN_ADDRESS=10.0.2.15 IMMICH_MACHINE_LEARNING_IMAGE=example.org/ml:v1
       cd /etc/ouchi-photos/compose
       for files in '' '--file /run/readers/lan.yaml' '--file /run/readers/learning.yaml' \
         '--file /run/readers/learning.yaml --file /run/readers/lan.yaml'; do
         docker compose --project-directory immich --env-file immich/.env --env-file immich/images.env \
           --file immich/compose.yaml $files config --quiet
       done
       docker compose --project-directory cloudflared --env-file cloudflared/images.env \
         --file cloudflared/compose.yaml config --quiet
       cd /etc/systemd/system
       ls ouchi-*.service ouchi-*.timer | wc -l
       systemd-analyze verify --man=no --recursive-errors=no ouchi-*.service ouchi-*.timer`,
      5 * minutes,
    );
    expect(said).toMatch(/^\d+$/);
    expect(Number(said)).toBeGreaterThan(5);
  });

  /** A registry with Immich's next versions, and the stack file told of one of them. */
  const nextVersions = async () => {
    const repository = "immich-app/immich-server";
    const store = join(world.folder, "registry");
    await cp(world.images.store, store, { recursive: true });
    const registry = await startRegistry({ store });
    const from = world.images.lock["immich-server"]!.digest;
    const publish = (version: string, fault?: string, ownBytes?: number, tag = version) =>
      publishVariant(registry.port, {
        ...{ repository, from, tag },
        environment: {
          PRETEND_IMMICH_VERSION: version,
          ...(fault && { PRETEND_IMMICH_FAULT: fault }),
        },
        ...(ownBytes && { ownBytes }),
      });
    const lock = async (version: string, digest: string) => {
      const lockFile = join(world.folder, "next.lock.json");
      const image = `127.0.0.1:5000/${repository}:${version}`;
      await writeFile(
        lockFile,
        JSON.stringify({ ...world.images.lock, "immich-server": { image, digest } }),
      );
      await world.engine.editSettings((text) =>
        text.replace(/imagesLock: .*/, `imagesLock: ${lockFile}`),
      );
    };
    const lockAsBefore = () => writeFile(world.engine.stackFile, settings);
    const end = async () => {
      await lockAsBefore();
      world.registryDoor.leadTo(world.registryPort);
      await registry.stop();
    };
    world.registryDoor.leadTo(registry.port);
    return { store, port: registry.port, publish, lock, lockAsBefore, end };
  };
  const blobFile = (store: string, digest: string) => {
    const hex = digest.slice("sha256:".length);
    return join(store, `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  };

  it("when an image cannot be had whole: what runs goes on untouched, and up converges when it can (row 34)", async () => {
    const next = await nextVersions();
    try {
      const digest = await next.publish("v3.2.5", undefined, 8 * 1024 ** 2);
      const bad = await next.publish("v3.2.5", "drops-rows", undefined, "v3.2.5");
      expect(bad).not.toBe(digest);
      await next.lock("v3.2.5", digest);
      const files = () => root("cd /etc/ouchi-photos/compose; sha256sum */* */.env");
      const [filesBefore, startsBefore] = [await files(), await world.containerStarts()];
      const failsUntouched = async (why: RegExp) => {
        const ran = await world.engine.up();
        expect(ran.exitCode).not.toBe(0);
        expect(ran.text).toMatch(why);
        expect(ran.text).toContain(
          `The image "127.0.0.1:5000/immich-app/immich-server:v3.2.5@${digest}" could not be pulled: `,
        );
        expect(ran.text).toContain('Run "pulumi up" again when they are. Nothing was changed');
        expect(await world.containerStarts()).toEqual(startsBefore);
        expect(await files()).toBe(filesBefore);
        await world.untilServing(60);
      };

      const unanswered = /EOF|connection reset|refused|deadline exceeded|Client.Timeout exceeded/;
      // The registry is down.
      world.registryDoor.shut();
      await failsUntouched(unanswered);
      // It goes down in the middle of a layer, and stays so while Docker tries again.
      world.registryDoor.leadTo(next.port, 3_000_000);
      await failsUntouched(unanswered);
      expect(world.registryDoor.passed).toBeGreaterThan(2_000_000);
      // It answers to the locked digest with another image's bytes.
      const store = join(world.folder, "tampered");
      await cp(next.store, store, { recursive: true });
      await copyFile(blobFile(store, bad), blobFile(store, digest));
      expect(
        createHash("sha256")
          .update(await readFile(blobFile(store, digest)))
          .digest("hex"),
      ).not.toBe(digest.slice("sha256:".length));
      const tampered = await startRegistry({ store });
      world.registryDoor.leadTo(tampered.port);
      await failsUntouched(/verification failed|digest|not found/i);
      await tampered.stop();
      // A boot now starts what it knows, with no registry.
      world.registryDoor.shut();
      await root("systemctl restart ouchi-immich.service", 10 * minutes);
      await world.untilServing(300);

      // It is back, and its tag v3.2.5 leads to an image that drops rows: the locked digest is what runs.
      world.registryDoor.leadTo(next.port);
      const text = await up();
      expect(text).toContain("dumping the database first");
      await world.untilServing(300);
      expect(await root("docker inspect --format '{{.Config.Image}}' immich_server")).toBe(
        `127.0.0.1:5000/immich-app/immich-server:v3.2.5@${digest}`,
      );
      expect(
        await root(
          "docker image inspect --format '{{json .RepoDigests}}' $(docker inspect --format '{{.Image}}' immich_server)",
        ),
      ).toContain(digest);
      expect(await world.sql("select count(*) from asset")).toBe("1");
      expect(await root("cat /var/lib/ouchi-photos/upgrade.json")).toContain('"state": "good"');
    } finally {
      await next.end();
    }
  });

  it("when a new version drops rows, or fails in its migration: it stops by itself, and the way back brings all back (row 33)", async () => {
    const next = await nextVersions();
    try {
      for (const [version, fault, problem] of [
        ["v3.2.5", "drops-rows", /rows are missing: "asset" has 0 rows, and had 1/],
        ["v3.2.6", "migration-fails", /its container ended \d+ times/],
      ] as const) {
        await next.lock(version, await next.publish(version, fault));
        const failed = await world.engine.up();
        expect(failed.exitCode).not.toBe(0);
        expect(failed.text).toContain(`The upgrade Immich 3.2.4 → ${version.slice(1)} failed: `);
        expect(failed.text).toMatch(problem);
        const wayBack = /cli\/ouchi restore --database (\S+)/.exec(failed.text)!;
        expect(await world.containers()).not.toContain("immich_server");
        expect(await world.containers()).toContain("immich_postgres");
        // Not by a boot either.
        await world.pi.powerCut();
        await world.pi.powerOn();
        await until("The database", 300, async () => {
          const { code } = await world.asRoot(["docker", "exec", "immich_postgres", "pg_isready"]);
          return code === 0;
        });
        await world.asRoot(["systemctl", "start", "ouchi-immich.service"], 10 * minutes);
        expect(await world.containers()).not.toContain("immich_server");

        const back = await world.ouchiOnPi("restore", ["--database", wayBack[1]!]);
        expect(back.code, back.text).toBe(0);
        await world.untilServing(300);
        expect(await world.sql("select count(*) from asset")).toBe("1");
        expect(await world.sql("select to_regclass('half_a_migration')")).toBe("");
        await next.lockAsBefore();
        await up();
        expect(await root("docker inspect --format '{{.Config.Image}}' immich_server")).toContain(
          ":v3.2.4@",
        );
        const { text: after } = await world.engine.preview();
        expect(after).not.toContain("On the Pi,");
      }
    } finally {
      await next.end();
    }
  });

  /** A story in which days go by; `due` is when cron's line comes next. The world's clock is put back after it. */
  const throughDays = async (story: (due: Date) => Promise<void>) => {
    const before = Date.now();
    const then = world.clock.now();
    const due = new Date(Number(await root("date -d 'next Saturday 01:00' +%s")) * 1000);
    try {
      await story(due);
    } finally {
      world.clock.set(new Date(then.getTime() + Date.now() - before));
    }
  };

  it("when HDD2 is not there at the backup's hour: the run fails and is told, nothing lands in its place, and Immich is not touched (row 6)", () =>
    throughDays(async (due) => {
      const starts = await world.containerStarts();
      await world.pi.detachDisk("hdd2");
      await world.advance(due.getTime() - 20_000 - world.clock.now().getTime());
      // By cron alone.
      await untilBackup("failed", 300, (startedAt) => new Date(startedAt) >= due);
      expect((await lastBackup()).message).toMatch(/The backup disk \(.*serial "OUCHI-HDD2".*\)/);
      await untilOver();
      expect(await root("systemctl show -P Result ouchi-backup.service")).toBe("exit-code");
      await told(/The backup of .* failed: The backup disk/);
      expect(await root("findmnt -n /mnt/hdd2 || true; ls -A /mnt/hdd2")).toBe("");
      expect((await world.asRoot(["mkdir", "/mnt/hdd2/borg"])).code).not.toBe(0);
      expect(await world.containerStarts()).toEqual(starts);
      await world.untilServing(60);
      await plugIn("hdd2");
      await anotherHour();
      expect(await backUp()).toBe(0);
      await told(/It is over: The backup of/);
    }));

  it("when the owner's channel is down, and then the Pi is dead: the dead man's switch hears of the first and speaks up at the second (row 48)", () =>
    throughDays(async () => {
      const { pings } = world.receiver;
      expect(await backUp()).toBe(0);
      expect(pings.map(({ signal }) => signal)).toEqual(["start", "success"]);
      await world.pi.detachDisk("hdd2");
      world.receiver.isDown = true;
      expect(await backUp()).not.toBe(0);
      world.receiver.isDown = false;
      expect(pings.map(({ signal }) => signal)).toEqual(["start", "success", "start", "fail"]);
      expect(pings.at(-1)!.body).toContain("The backup disk");
      expect(pings.at(-1)!.body).toContain("OUCHI-HDD2");
      await world.pi.powerCut();
      const now = () => world.clock.now().getTime() / 1000;
      world.clock.advance(7.9 * 86_400_000);
      expect(isLate(pings, now())).toBe(false);
      world.clock.advance(0.2 * 86_400_000);
      expect(isLate(pings, now())).toBe(true);
    }));

  it("when the Pi is off at the backup's hour: the run is made by itself after the boot, once the time is set, and its age is shown until then (row 50)", () =>
    throughDays(async (due) => {
      await world.pi.powerCut();
      world.clock.set(new Date(due.getTime() + 3 * 3_600_000));
      // Without a clock of its own: it knows the time of before the cut, until the network's.
      await world.pi.powerOn({ clock: new Date(0) });
      await world.untilServing(300);
      const { text: shown } = await world.engine.ouchiPlain("status", []);
      expect(shown).toMatch(
        /Last good backup {3}\d{4}-\d\d-\d\d \d\d:\d\d \(\d+ (h|days) ago\): 1 photos/,
      );
      await untilBackup("good", 40 * 60, (startedAt) => new Date(startedAt) > due);
      await untilOver();
      expect(world.receiver.pings.map(({ signal }) => signal)).toEqual(["start", "success"]);
      await world.untilServing(60);
      // A virtual disk cannot sleep.
      expect(await root("journalctl -u ouchi-backup.service --boot --no-pager -o cat")).toContain(
        "the backup disk does not sleep, or does not say so, when it is told to",
      );
      const { text: after } = await world.engine.ouchiPlain("status", []);
      expect(after).toMatch(
        /not mounted, \d+ GB of \d+ GB free; behind its USB bridge it does not sleep, or does not say so/,
      );
    }));
});
