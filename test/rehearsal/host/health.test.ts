import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { disksBundle, secretsBundle } from "../../../pi/bundles.ts";
import { DeployedWorld, secrets } from "./deployed-world.ts";
import { type HostWorld, libexec } from "./host-world.ts";

interface Problem {
  key: string;
  what: string;
  safe: string;
  todo: string;
  since: string;
}
interface Alarm {
  to: string;
  kind: string;
  title: string;
  text: string;
}

const channel = "ntfys://canary-of-the-alarm";
const hours = 3600;

describe("the Pi's own look at its health", { timeout: 180_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let one: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    one = await world.must(["findmnt", "-n", "-o", "SOURCE", "/mnt/hdd1"]);
    await world.label(one, "NA7YQ1XS", "Elements 25A2");
    await world.must([`${libexec}/apply`, "disks"], {
      stdin: JSON.stringify(disksBundle({ main: { id: "usb-ONE" }, backup: { id: "usb-TWO" } })),
    });
    const told = await world.apply(secretsBundle({ ...secrets, alarm: channel }));
    expect(told).toMatchObject({ code: 0, stderr: "" });
    await house.addPhoto("IMG_1.jpg", "first photo");
    await world.shell("echo once > /run/stand-ins/alarms");
  });
  afterAll(async () => {
    await house?.stop();
  });

  /** Its words go to the journal, as of all that systemd starts. */
  const asService = [
    "sh",
    "-c",
    'exec 3>&1; export JOURNAL_STREAM="$(stat -L -c %d:%i /dev/fd/3)"; exec "$@" 3>&-',
    "sh",
  ];

  /** As the timer starts it, so long after the Pi's start and that much later than now. */
  const look = async (at: { booted?: number; ago?: number } = {}) => {
    const uptime = Number(world.read("/proc/uptime").split(" ")[0]);
    const offset = Math.round((at.booted ?? 2 * hours) - uptime);
    const result = await world.run([
      ...asService,
      ...["unshare", "--time", "--boottime", String(offset)],
      `${libexec}/health`,
    ]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    const text = await world.must(["cat", "/run/ouchi-photos/health.json"]);
    const { ok, problems } = JSON.parse(text) as { ok: boolean; problems: Problem[] };
    expect(ok).toBe(problems.length === 0);
    return { keys: problems.map(({ key }) => key), problems, said: result.stdout };
  };
  /** What arrived since the last time it was asked. */
  const arrived = async () => {
    const text = await world.shell(
      "cat /run/stand-ins/alarms 2>/dev/null || true; rm -f /run/stand-ins/alarms",
    );
    return text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Alarm);
  };
  const forget = () =>
    world.shell(
      "rm -f /run/stand-ins/alarms /run/ouchi-photos/alarms.json /run/ouchi-photos/health.json /var/lib/ouchi-photos/health-told.json /run/ouchi-photos/health-told.json",
    );

  beforeEach(forget);

  it("finds nothing on a good day, says nothing, and writes nothing to the SD card", async () => {
    const before = await world.shell("ls -A --full-time /var/lib/ouchi-photos");
    await world.calls();
    expect(await look()).toMatchObject({ keys: [], said: "" });
    expect(await arrived()).toEqual([]);
    expect(await world.shell("ls -A --full-time /var/lib/ouchi-photos")).toBe(before);
    // One question to each tool.
    expect((await world.calls()).map((call) => call.slice(0, 2).join(" "))).toEqual([
      "systemctl show",
      "docker GET /containers/json HTTP/1.0",
      "timedatectl show",
    ]);
  });

  it("tells a disk that is gone once, by the serial on its label, and once when it is back (rows 8 and 9)", async () => {
    await look();
    await world.shell("systemctl stop ouchi-immich.service; umount /mnt/hdd1");
    const { problems, said } = await look({ booted: 100 });
    expect(problems).toMatchObject([{ key: "main-missing" }]);
    expect(problems[0]!.what).toMatch(
      /^The photos' disk \(Elements 25A2, serial "NA7YQ1XS", UUID "[0-9a-f-]{36}"\) is plugged in, but not mounted/,
    );
    expect(said).toMatch(/^<3>A problem: The photos' disk \(Elements 25A2, serial "NA7YQ1XS"/);
    expect(await arrived()).toMatchObject([
      {
        to: channel,
        kind: "failure",
        title: expect.stringMatching(/: 1 problem$/),
        text: expect.stringMatching(/serial "NA7YQ1XS".*then run "sudo .*start"/),
      },
    ]);
    expect(world.read("/var/lib/ouchi-photos/health-told.json")).toContain("main-missing");
    expect(await world.must(["cat", "/run/motd.d/ouchi-photos"])).toContain("NA7YQ1XS");
    const after = await world.shell("ls -A --full-time /var/lib/ouchi-photos");
    const again = await look({ booted: 230 });
    expect(again).toMatchObject({ keys: ["main-missing"], said: "" });
    expect(again.problems[0]!.since).toBe(problems[0]!.since);
    // Nor after a restart, with the disk still away.
    await world.shell("rm /run/ouchi-photos/health.json /run/ouchi-photos/alarms.json");
    expect(await look({ booted: 90 })).toMatchObject({ keys: ["main-missing"], said: "" });
    expect(await arrived()).toEqual([]);
    expect(await world.shell("ls -A --full-time /var/lib/ouchi-photos")).toBe(after);
    expect(await world.program("start")).toMatchObject({ code: 0, stderr: "" });
    expect(await look({ booted: 400 })).toMatchObject({ keys: [] });
    expect(await arrived()).toMatchObject([
      { kind: "success", title: expect.stringMatching(/: all is well again$/) },
    ]);
    expect((await world.run(["test", "-e", "/run/motd.d/ouchi-photos"])).code).toBe(1);
  });

  it("says the same to a person who runs it, without the journal's mark before each line", async () => {
    await world.shell("systemctl stop ouchi-cloudflared.service");
    const byHand = await world.program("health");
    expect(byHand.stdout).toMatch(/^A problem: /);
    await forget();
    // A service's child whose words go elsewhere.
    const child = await world.run([`${libexec}/health`], { env: { JOURNAL_STREAM: "8:1" } });
    expect(child.stdout).toBe(byHand.stdout);
    await world.shell("systemctl start ouchi-cloudflared.service");
  });

  it("tells again, once a day, what lasts", async () => {
    await world.shell("systemctl stop ouchi-cloudflared.service");
    await look();
    expect(await arrived()).toHaveLength(1);
    await world.shell(
      `sed -i 's/"at": "[^"]*"/"at": "2026-01-01T00:00:00Z"/' /var/lib/ouchi-photos/health-told.json`,
    );
    expect((await look()).said).toMatch(/^<3>Still a problem, since/);
    expect((await look()).said).toBe("");
    expect(await arrived()).toMatchObject([
      { text: expect.stringMatching(/^Still, since .*connector does not run: the photos are/) },
    ]);
    await world.shell("systemctl start ouchi-cloudflared.service");
  });

  it("tells of a restore that was cut and what ends it, and of none that is at work (row 28)", async () => {
    await world.shell(
      `echo '{"stamp": "20260101T000000"}' > /var/lib/ouchi-photos/restore.json; systemctl stop ouchi-immich.service`,
    );
    // Its lock, as host.only_one writes it.
    const holder = await world.shell(
      `printf '{"who": "restore", "pid": 1, "when": "2026-01-01T00:00:00Z"}' > /run/ouchi-photos/lock
       flock --exclusive --no-fork /run/ouchi-photos/lock sleep 600 >/dev/null 2>&1 & echo $!; sleep 0.5`,
    );
    expect(await look()).toMatchObject({ keys: [] });
    await world.shell(`kill ${holder}`);
    const { problems } = await look();
    expect(problems).toMatchObject([{ key: "restore-cut" }]);
    expect(problems[0]).toMatchObject({
      what: "A restore was cut, and half a restore is not served: Immich stays stopped.",
      todo: expect.stringMatching(/cli\/ouchi restore --everything.*cli\/ouchi restore --undo/),
    });
    await world.shell(
      "rm /var/lib/ouchi-photos/restore.json; systemctl start ouchi-immich.service",
    );
    expect(await look()).toMatchObject({ keys: [] });
  });

  it("shows the administrator a problem and its end in Immich itself, and nobody else", async () => {
    await house.sql(
      `update "user" set "isAdmin" = true where "name" = 'ken'; delete from "notification";`,
    );
    await world.shell("systemctl stop ouchi-cloudflared.service");
    await look();
    await look();
    await world.shell("systemctl start ouchi-cloudflared.service");
    await look();
    const shown = await house.sql(
      `select "name", "level", "type", "title", "description" from "notification" join "user" on "user"."id" = "userId" order by "notification"."createdAt";`,
    );
    expect(shown.split("\n")).toEqual([
      expect.stringMatching(
        /^ken\|error\|BackupFailed\|The Pi has a problem\|The tunnel's connector does not run: .* Run "sudo /,
      ),
      expect.stringMatching(
        /^ken\|success\|Custom\|The Pi: a problem is over\|It is over: The tunnel's/,
      ),
    ]);
    // A database without that table, or none at all, hinders nothing.
    await house.sql(
      `alter table "notification" rename to "other"; update "user" set "isAdmin" = false`,
    );
    await world.shell("systemctl stop ouchi-cloudflared.service");
    expect((await look()).said).not.toContain("notification");
    await world.shell("systemctl start ouchi-cloudflared.service");
    await look();
    await house.sql(`alter table "other" rename to "notification"`);
  });

  it("gives a boot its time before it misses a service, and leaves a working program of the kit alone", async () => {
    await world.shell("systemctl stop ouchi-immich.service");
    expect((await look({ booted: 500 })).keys).toEqual([]);
    await world.shell(
      `printf '{"who": "backup"}' > /run/ouchi-photos/lock
       setsid flock -x /run/ouchi-photos/lock sleep 4 >/dev/null 2>&1 & sleep 0.5`,
    );
    expect((await look()).keys).toEqual([]);
    await world.shell("flock -x /run/ouchi-photos/lock true");
    expect((await look()).keys).toEqual(["immich"]);
    // Nor does a lock or a boot end what was found before.
    expect((await look({ booted: 500 })).keys).toEqual(["immich"]);
    await world.shell("systemctl start ouchi-immich.service");
    expect((await look()).keys).toEqual([]);
    expect((await arrived()).map(({ kind }) => kind)).toEqual(["failure", "success"]);
  });

  it("sees a container that is gone or ill in a stack that should run", async () => {
    const state = await world.must(["cat", "/run/stand-ins/docker.json"]);
    await world.shell(`sed -i 's/"immich_redis": "[^"]*", //' /run/stand-ins/docker.json`);
    await world.shell(
      `sed -i 's/^{/{"unhealthy": ["immich_postgres"], /' /run/stand-ins/docker.json`,
    );
    expect((await look()).problems).toMatchObject([
      { key: "immich", what: expect.stringContaining("does not run well (postgres, valkey)") },
    ]);
    await world.must(["tee", "/run/stand-ins/docker.json"], { stdin: state });
    expect((await look()).keys).toEqual([]);
  });

  it("keeps what it could not send, tries at later looks but not at each for ever, and sends it as one", async () => {
    await world.shell("touch /run/stand-ins/offline; systemctl stop ouchi-cloudflared.service");
    await look();
    await world.shell(
      "systemctl start ouchi-cloudflared.service; touch /run/stand-ins/clock-unset",
    );
    await world.calls();
    for (let each = 0; each < 8; each++) await look();
    const tries = (await world.calls()).filter(([name]) => name === "apprise");
    expect(tries).toHaveLength(4);
    // Neither in the journal nor in an argument does the address stand.
    expect(JSON.stringify(tries)).not.toContain("canary");
    await world.shell("rm /run/stand-ins/offline");
    for (let each = 0; each < 8; each++) expect((await look()).said).not.toContain("canary");
    const [only, ...more] = await arrived();
    expect(more).toEqual([]);
    expect(only!.text).toMatch(
      /connector does not run[\s\S]*clock is not set by the network[\s\S]*It is over: The tunnel's/,
    );
    await world.shell("rm /run/stand-ins/clock-unset");
  });

  it("sends no more than six messages an hour of a problem that comes and goes", async () => {
    for (let each = 0; each < 5; each++) {
      await world.shell("touch /run/stand-ins/clock-unset");
      await look();
      await world.shell("rm /run/stand-ins/clock-unset");
      await look();
    }
    expect(await arrived()).toHaveLength(6);
    await look({ booted: 2.9 * hours });
    expect(await arrived()).toEqual([]);
    await look({ booted: 3.1 * hours });
    expect(await arrived()).toMatchObject([{ kind: "success" }]);
  });

  it("says what the last backup found, and that the next good one ends it", async () => {
    const status = "/var/lib/ouchi-photos/backup-status.json";
    world.write(
      status,
      JSON.stringify({
        last: { result: "failed", startedAt: "2026-11-28T01:00:00Z", message: "No such disk." },
      }),
    );
    expect((await look()).problems).toMatchObject([
      { key: "backup-failed", what: "The backup of 2026-11-28T01:00:00Z failed: No such disk." },
    ]);
    await world.must(["rm", status]);
    expect((await look()).keys).toEqual([]);
  });

  it("warns at 85 and at 95 per cent of the photos' disk (row 20)", async () => {
    const fill = (percent: number) =>
      world.shell(
        `rm -f /mnt/hdd1/fill; set -- $(df -B1 --output=used,avail /mnt/hdd1 | tail -n 1)
         fallocate -l $((($1 + $2) * ${percent} / 100 - $1)) /mnt/hdd1/fill`,
      );
    await fill(86);
    expect((await look()).keys).toEqual(["main-filling"]);
    await fill(96);
    expect((await look()).keys).toEqual(["main-full"]);
    await world.shell("rm /mnt/hdd1/fill");
    expect((await look()).keys).toEqual([]);
  });

  describe("when the photos' disk stops taking writes after an error", () => {
    const archives = async () =>
      (await world.program("restore", "--list")).stdout.match(/^(?:immich|frozen)-\S+/gm) ?? [];
    let before: string[];

    beforeAll(async () => {
      await forget();
      expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
      before = await archives();
      await house.addPhoto("IMG_2.jpg", "second photo");
      await world.shell(
        `sync; echo injected > /sys/fs/ext4/${one.slice("/dev/".length)}/trigger_fs_error`,
      );
      expect((await world.run(["touch", "/mnt/hdd1/more"])).code).toBe(1);
    });

    it("says so at the next look, by the serial (row 10)", async () => {
      expect((await look()).problems).toMatchObject([
        { key: "main-read-only", what: expect.stringContaining('serial "NA7YQ1XS"') },
      ]);
      expect(await arrived()).toMatchObject([{ kind: "failure" }]);
    });

    it("backs up what can be read into a new archive, prunes nothing, and leaves the server stopped (row 10)", async () => {
      const result = await world.program("backup", "run");
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(
        /serial "NA7YQ1XS".*takes no writes\..*\d files of the library.*nothing was pruned, and the photo server is stopped/,
      );
      await world.must(["rm", "-rf", "/tmp/out"]);
      const now = await archives();
      expect(now.slice(0, before.length)).toEqual(before);
      expect(now).toHaveLength(before.length + 1);
      await world.shell(
        `mkdir /tmp/out; cd /tmp/out; mount /mnt/hdd2
         BORG_BASE_DIR=/tmp/borg BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase' borg extract /mnt/hdd2/borg/immich::${now.at(-1)}
         umount /mnt/hdd2`,
      );
      expect(
        await world.must([
          "cat",
          "/tmp/out/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/IMG_2.jpg",
        ]),
      ).toBe("second photo");
      expect(
        await world.shell("ls /tmp/out/mnt/hdd1/immich/images/backups/*.sql | wc -l"),
      ).not.toBe("0");
      expect(
        world.json<{ last: { result: string } }>("/var/lib/ouchi-photos/backup-status.json").last
          .result,
      ).toBe("frozen");
      expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
      expect(
        world.json<{ running: object }>("/run/stand-ins/docker.json").running,
      ).not.toHaveProperty("immich_server");
      expect((await look()).keys).toEqual(["main-read-only", "backup-frozen"]);
    });

    it("is checked by `start`, and all goes on: the server, its rows, and a good backup (row 10)", async () => {
      const started = await world.program("start");
      expect(started).toMatchObject({ code: 0, stderr: "" });
      expect(started.stdout).toContain("checking the file system of /mnt/hdd1");
      expect(await house.sql(`select count(*) from "asset";`)).toBe("2");
      expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
      expect((await look()).keys).toEqual([]);
    });
  });

  it("backs up with a full SD card, and says what it could not write there (row 21)", async () => {
    // A card of its own size for what the kit and its tools would write to it.
    await world.shell(
      `cp -a /var/lib/ouchi-photos /run/kept; mount -t tmpfs -o size=1m tmpfs /var/lib/ouchi-photos
       cp -a /run/kept/. /var/lib/ouchi-photos; mkdir -p /run/tmp; mount -t tmpfs -o size=4k tmpfs /tmp
       cat /dev/zero > /tmp/full 2>/dev/null || true
       cat /dev/zero > /var/lib/ouchi-photos/full 2>/dev/null || true`,
    );
    const old = await world.must(["cat", "/var/lib/ouchi-photos/backup-status.json"]);
    await world.calls();
    const program = `${libexec}/backup`;
    const asLaid = world.read(program);
    // The root of this world is never full itself.
    world.write(program, asLaid.replace(/^LEAST_CARD = .*$/m, "LEAST_CARD = 1 << 60"), 0o755);
    const result = await world.program("backup", "run");
    world.write(program, asLaid, 0o755);
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("the backup is good");
    // Held still while its rows are counted and dumped, and not stopped, because it might not start again.
    const docker = (await world.calls())
      .map((call) => call.join(" "))
      .filter((call) => /^docker (stop|start|pause|unpause)|pg_dump/.test(call));
    expect(docker).toEqual([
      "docker pause immich_server",
      expect.stringContaining("pg_dump"),
      "docker unpause immich_server",
    ]);
    expect(result.stderr).toContain(
      '"backup-status.json" could not be written to the SD card (No space left on device) and is kept until the next restart.',
    );
    // The old file is whole, and what counts is the new one.
    expect(await world.must(["cat", "/var/lib/ouchi-photos/backup-status.json"])).toBe(old);
    const status = JSON.parse(await world.must(["cat", "/run/ouchi-photos/backup-status.json"]));
    expect(status.last.result).toBe("good");
    await world.shell("touch /run/stand-ins/clock-unset");
    expect((await world.run([`${libexec}/health`])).stderr).toContain(
      '"health-told.json" could not be written',
    );
    expect(await arrived()).toHaveLength(1);
    await world.run([`${libexec}/health`]);
    expect(await arrived()).toEqual([]);
    await world.shell(
      "rm -f /run/stand-ins/clock-unset; umount /tmp; umount /var/lib/ouchi-photos; rm -f /run/ouchi-photos/backup-status.json /run/ouchi-photos/health-told.json",
    );
  });

  it("prunes nothing while the clock is not set, says so, and counts on (row 32)", async () => {
    await world.shell("touch /run/stand-ins/clock-unset");
    const result = await world.program("backup", "run");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /clock is not set by the network, so the age of an archive is unknown\. "frozen-\S+" was kept and nothing was pruned/,
    );
    expect((await look()).keys).toEqual(["clock", "backup-frozen"]);
    expect((await look({ booted: 300 })).keys).toEqual(["clock", "backup-frozen"]);
    await world.shell("rm /run/stand-ins/clock-unset");
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    expect((await look()).keys).toEqual([]);
    expect((await arrived()).map(({ kind }) => kind)).toEqual(["failure", "success"]);
  });
});
