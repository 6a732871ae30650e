import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lookCommand } from "../../../immich/preflight/facts.ts";
import type { Bundle, BundleFile } from "../../../pi/bundle.ts";
import {
  bootstrapCommand,
  bootstrapInput,
  bundleInput,
  dockerBundle,
  removeEverythingCommand,
  removeTunnelCommand,
  secretsBundle,
  systemBundle,
} from "../../../pi/bundles.ts";
import { bundles, DeployedWorld, imagesLock, secrets } from "./deployed-world.ts";
import { HostWorld, libexec } from "./host-world.ts";
import { openLine, overLine } from "./lost-line.ts";

const file = (path: string, content: string, rest: Partial<BundleFile> = {}): BundleFile => ({
  path,
  mode: "0644",
  owner: "root",
  group: "root",
  content,
  ...rest,
});

/** A small bundle of the subject with the fewest needs. */
const small = (files: BundleFile[]): Bundle<"system"> => ({
  format: 1,
  subject: "system",
  directories: [{ path: "/etc/ouchi-photos/folder", mode: "0700" }],
  files,
  masked: ["borgmatic.timer"],
  packages: ["cron"],
  replaces: [],
  units: [
    {
      name: "cron.service",
      enable: true,
      start: true,
      onChange: "restart",
      watches: ["/etc/ouchi-photos/one"],
    },
  ],
  settings: { timeZone: "Asia/Tokyo", kernelWords: [] },
});

describe("apply on a bare Pi", () => {
  let world: HostWorld;
  beforeEach(async () => {
    world = await HostWorld.start();
  });
  afterEach(async () => {
    await world.stop();
  });

  it("brings itself along for its first subject", async () => {
    const [, , python, flag, loader] = bootstrapCommand();
    const result = await world.run([python!, flag!, loader!], {
      stdin: bootstrapInput(systemBundle({ timeZone: "Asia/Tokyo", kernelWords: [] })),
    });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(world.read(`${libexec}/apply`)).toBe(
      readFileSync(new URL("../../../pi/libexec/apply", import.meta.url), "utf8"),
    );
    expect(await world.must(["readlink", "/etc/localtime"])).toBe("/usr/share/zoneinfo/Asia/Tokyo");
  });

  describe("with its programs", () => {
    beforeEach(async () => {
      await world.layPrograms();
    });

    const one = file("/etc/ouchi-photos/one", "old one\n");
    const dropIn = file("/etc/systemd/system/cron.service.d/10-ouchi.conf", "[Service]\nNice=1\n");
    const before = small([one, dropIn, file("/etc/ouchi-photos/folder/gone", "gone\n")]);
    const after = small([
      { ...one, content: "new one\n", mode: "0640" },
      { ...dropIn, content: "[Service]\nNice=2\n" },
      file("/etc/ouchi-photos/folder/added", "added\n"),
    ]);

    it("writes, removes, starts and restarts only what changed", async () => {
      expect(await world.apply(before)).toMatchObject({ code: 0, stderr: "" });
      expect(await world.must(["stat", "-c", "%a", "/etc/ouchi-photos/folder"])).toBe("700");
      await world.calls();
      const same = await world.apply(before);
      expect(same.stdout).toBe("system: 3 files in place, nothing to change");
      expect((await world.calls()).map((call) => call.slice(0, 2).join(" "))).toEqual([
        "systemctl is-active",
        "dpkg-query --show",
        "systemctl is-enabled",
        "systemctl is-active",
      ]);
      const changed = await world.apply(after);
      expect(changed.stdout).toBe(
        [
          "wrote /etc/ouchi-photos/one",
          "wrote /etc/systemd/system/cron.service.d/10-ouchi.conf",
          "wrote /etc/ouchi-photos/folder/added",
          "removed /etc/ouchi-photos/folder/gone",
          "restarted cron.service",
          "system: 3 files in place, changed",
        ].join("\n"),
      );
      expect(await world.calls()).toContainEqual(["systemctl", "daemon-reload"]);
      expect(await world.must(["stat", "-c", "%a", "/etc/ouchi-photos/one"])).toBe("640");
      await world.shell("systemctl stop cron.service");
      expect((await world.apply(after)).stdout).toBe(
        "started cron.service\nsystem: 3 files in place, changed",
      );
    });

    it("has systemd read all its units only when one of them changed", async () => {
      await world.apply(before);
      await world.calls();
      const { files } = before;
      const changed = await world.apply({
        ...before,
        files: files.map((each) => (each === one ? { ...one, content: "new one\n" } : each)),
      });
      expect(changed.stdout).toContain("restarted cron.service");
      expect(await world.calls()).not.toContainEqual(["systemctl", "daemon-reload"]);
    });

    it("converges after a cut at every single step, with files old or new and never half", async () => {
      await world.apply(before);
      const states = [
        { bundle: after, one: "new one\n", folder: "added" },
        { bundle: before, one: "old one\n", folder: "gone" },
      ];
      // There and back: each cut starts from the whole other state.
      let [step, ended] = [0, 0];
      while (ended < 2) {
        step++;
        for (const { bundle, one, folder } of states) {
          await world.calls();
          const result = await world.run(["cut.py", String(step), `${libexec}/apply`, "system"], {
            stdin: bundleInput(bundle),
          });
          if (result.code === 0) ended++;
          else expect(result.code).toBe(137);
          expect(["old one\n", "new one\n"]).toContain(world.read("/etc/ouchi-photos/one"));
          const again = await world.apply(bundle);
          expect(again, `after a cut at step ${step}`).toMatchObject({ code: 0, stderr: "" });
          expect(world.read("/etc/ouchi-photos/one")).toBe(one);
          expect(await world.shell("ls -A /etc/ouchi-photos/folder")).toBe(folder);
          // Restarted with the new file, by the run that was cut or by the next.
          const calls = (await world.calls()).map((call) => call.join(" "));
          expect(calls).toContain("systemctl restart cron.service");
        }
      }
      const left = await world.shell("find /etc /var/lib/ouchi-photos -name '*.ouchi-new'");
      expect(left).toBe("");
      expect(step).toBeGreaterThan(25);
    }, 300_000);

    it("converges after SSH was lost at every single step, and frees its lock (row 35)", async () => {
      await world.apply(before);
      await openLine(world);
      const overSsh = (step: number, bundle: Bundle) =>
        overLine(world, step, [`${libexec}/apply`, "system"], bundleInput(bundle));
      const states = [
        { bundle: after, one: "new one\n", folder: "added" },
        { bundle: before, one: "old one\n", folder: "gone" },
      ];
      let [step, whole] = [0, 0];
      while (whole < 2) {
        step++;
        for (const { bundle, one, folder } of states) {
          const result = await overSsh(step, bundle);
          if (result.code === 0) whole++;
          else expect(result.code, result.stderr).toBe(255);
          expect(["old one\n", "new one\n"]).toContain(world.read("/etc/ouchi-photos/one"));
          const again = await world.apply(bundle);
          expect(again, `after a cut at step ${step}`).toMatchObject({ code: 0, stderr: "" });
          expect(world.read("/etc/ouchi-photos/one")).toBe(one);
          expect(await world.shell("ls -A /etc/ouchi-photos/folder")).toBe(folder);
        }
      }
      expect(await world.shell("find /etc /var/lib/ouchi-photos -name '*.ouchi-new'")).toBe("");
      expect(step).toBeGreaterThan(25);
    }, 300_000);

    it("tells of a full disk in one sentence, with files old or new and none left over, and converges when there is room (row 35)", async () => {
      expect(await world.apply(before)).toMatchObject({ code: 0 });
      for (const folder of ["/etc/ouchi-photos", "/var/lib/ouchi-photos"]) {
        const hold = await world.shell(
          `mkdir -p /run/disk; cp -a ${folder}/. /run/disk; mount -t tmpfs -o size=128k,mode=755 tmpfs ${folder}
           cp -a /run/disk/. ${folder}; rm -r /run/disk; dd if=/dev/zero of=${folder}/fill bs=1024 2>/dev/null || true
           find ${folder} ! -name fill -type f | sort | xargs sha256sum`,
        );
        const large = small([
          { ...one, content: `new one ${"x".repeat(20_000)}\n` },
          file("/etc/ouchi-photos/folder/added", "added\n"),
        ]);
        const full = await world.apply(large);
        expect(full.code, full.stderr).toBe(1);
        expect(full.stderr.trim().split("\n")).toEqual([
          expect.stringMatching(
            new RegExp(
              `^The disk at "${folder}" is full, so "${folder}/.* could not be written: make room there, .* run "pulumi up" again\\. Each file is as it was`,
            ),
          ),
        ]);
        expect(
          await world.shell(`find ${folder} ! -name fill -type f | sort | xargs sha256sum`),
        ).toBe(hold);
        await world.shell(`rm ${folder}/fill`);
        expect(await world.apply(large)).toMatchObject({ code: 0, stderr: "" });
        expect(await world.shell(`cat /etc/ouchi-photos/one; ls /etc/ouchi-photos/folder`)).toMatch(
          /^new one x+\nadded$/,
        );
        expect(await world.apply(before)).toMatchObject({ code: 0, stderr: "" });
        await world.shell(`umount ${folder}`);
        expect(await world.apply(before)).toMatchObject({ code: 0, stderr: "" });
      }
    }, 300_000);

    const asNobody = (words: string[], stdin: string) =>
      world.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...words], {
        stdin,
      });
    const lookAsNobody = async () => {
      const facts = new URL("../../../immich/preflight/facts.sh", import.meta.url);
      return (await asNobody(["sh", "-c", lookCommand], readFileSync(facts, "utf8"))).stdout;
    };

    it("changes nothing where sudo is refused, and nothing without it (row 35)", async () => {
      const refused = await asNobody(
        ["sudo", "-n", `${libexec}/apply`, "system"],
        bundleInput(before),
      );
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/a password is required|not allowed/);
      const plain = await asNobody([`${libexec}/apply`, "system"], bundleInput(before));
      expect(plain).toMatchObject({
        code: 1,
        stderr: '"apply" must run as root: start it with sudo.',
      });
      expect(world.exists("/etc/ouchi-photos")).toBe(false);
      expect(world.exists("/var/lib/ouchi-photos")).toBe(false);
      // What the preflight sends finds it out before anything is sent to "apply".
      expect(await lookAsNobody()).toContain("@sudo\nno\n");
    });

    it("finds a Borg in a crontab that only root may read", async () => {
      await world.shell(
        `echo 'nobody ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/nobody
         mkdir -p /var/spool/cron/crontabs; chmod 1730 /var/spool/cron/crontabs
         printf '# borg was here\n0 1 * * 6 /immich-borg.sh\n' > /var/spool/cron/crontabs/root
         echo '0 1 * * 6 root borg' > /etc/cron.d/ouchi-photos`,
      );
      expect(await lookAsNobody()).toContain(
        "@schedules\n/var/spool/cron/crontabs/root:0 1 * * 6 /immich-borg.sh\n@",
      );
      await world.shell(
        "rm /etc/sudoers.d/nobody /var/spool/cron/crontabs/root /etc/cron.d/ouchi-photos",
      );
    });

    it("is not kept out by a lock of an earlier boot, nor by one whose holder was killed (row 35)", async () => {
      const holder = { who: "backup", pid: 1, when: "2026-11-23T01:00:00Z", bootId: "another" };
      await world.shell(
        `mkdir -p /run/ouchi-photos; echo '${JSON.stringify(holder)}' >/run/ouchi-photos/lock`,
      );
      expect(await world.apply(before)).toMatchObject({ code: 0, stderr: "" });
      expect(world.read("/run/ouchi-photos/lock")).not.toContain("another");
      const held = await world.shell(
        "flock -x --no-fork /run/ouchi-photos/lock sleep 600 >/dev/null 2>&1 & echo $!; sleep 0.5",
      );
      expect((await world.apply(before)).stderr).toMatch(/could not begin/);
      await world.shell(`kill -9 ${held}`);
      expect(await world.apply(before)).toMatchObject({ code: 0, stderr: "" });
    }, 300_000);

    it("names the one who holds the lock", async () => {
      const holder = await world.shell(
        `flock -x /run/ouchi-photos/lock true 2>/dev/null || mkdir -p /run/ouchi-photos
         printf '{"who": "backup", "pid": 4242, "when": "2026-11-23T01:00:00Z"}' > /run/ouchi-photos/lock
         setsid flock -x /run/ouchi-photos/lock sleep 90 >/dev/null 2>&1 & echo $!; sleep 0.5`,
      );
      const result = await world.apply(before);
      await world.shell(`pkill -P ${holder} sleep || true`);
      expect(result.code).toBe(1);
      expect(result.stderr).toBe(
        '"apply system" could not begin: "backup" (process 4242) has been at work since 2026-11-23T01:00:00Z. Wait for it to end and try again; nothing was changed.',
      );
    }, 300_000);

    it("ignores what follows the bundle, and refuses half of one, another subject's, and paths that are not its own", async () => {
      const trailing = await world.run([`${libexec}/apply`, "system"], {
        stdin: `${bundleInput(before)}trailing`,
      });
      expect(trailing.code).toBe(0);
      const half = await world.run([`${libexec}/apply`, "system"], {
        stdin: bundleInput(before).slice(0, 200),
      });
      expect(half.stderr).toBe('The bundle for "system" is not whole JSON. Nothing was changed.');
      const other = await world.run([`${libexec}/apply`, "backup"], { stdin: bundleInput(before) });
      expect(other.stderr).toMatch(/says format 1 and subject "system"/);
      const escaping = await world.apply(small([file("/etc/../home/pi/x", "x")]));
      expect(escaping.stderr).toMatch(/wants to write "\/etc\/\.\.\/home\/pi\/x"/);
    });

    it("writes the kernel's words and restarts for them once, after it has answered", async () => {
      const line = "console=tty1 root=PARTUUID=1-02 usb-storage.quirks=dead:beef:u";
      const wanted = {
        ...before,
        settings: {
          timeZone: "Asia/Tokyo",
          kernelWords: ["ouchi.a=1", "usb-storage.quirks=1:2:u"],
        },
      };
      await world.shell("rm -rf /boot/firmware /boot/cmdline.txt");
      const elsewhere = await world.apply(wanted);
      expect(elsewhere.stderr).toMatch(
        /there is no \/boot\/firmware\/cmdline.txt .* no Raspberry Pi/,
      );

      world.write("/boot/firmware/cmdline.txt", `${line}\n`);
      await world.calls();
      const result = await world.apply(wanted);
      expect(result).toMatchObject({ code: 0, stderr: "" });
      expect(result.stdout).toMatch(/^restarts: [0-9a-f-]{36}$/m);
      expect((await world.calls()).at(-1)?.join(" ")).toBe(
        "systemd-run --collect --unit=ouchi-restart --on-active=5 systemctl reboot",
      );
      expect(world.read("/boot/firmware/cmdline.txt")).toBe(
        "console=tty1 root=PARTUUID=1-02 ouchi.a=1 usb-storage.quirks=1:2:u\n",
      );
      expect(world.read("/boot/firmware/cmdline.txt.ouchi-before")).toBe(`${line}\n`);

      // Another boot, and still without: no second restart.
      await world.shell(
        `sed -i 's/"boot": "[^"]*"/"boot": "another"/' /var/lib/ouchi-photos/applied.json`,
      );
      for (let run = 0; run < 2; run++) {
        const again = await world.apply(wanted);
        expect(again.stderr).toMatch(/was restarted to run with "ouchi\.a=1 .*still runs without/);
      }
      expect((await world.calls()).filter(([name]) => name === "systemd-run")).toEqual([]);
    });

    it("reads the archive's lists once for an hour's installations, and anew after one that failed", async () => {
      const withPackage = (name: string) => world.apply({ ...before, packages: ["cron", name] });
      const asked = async () =>
        (await world.calls())
          .filter(([name]) => name === "apt-get")
          .map((call) => call.find((word) => ["update", "install"].includes(word)));
      await world.calls();
      for (const name of ["hdparm", "curl"]) {
        expect(await withPackage(name)).toMatchObject({ code: 0, stderr: "" });
      }
      expect(await asked()).toEqual(["update", "install", "install"]);
      // What the lists name is no longer in the archive.
      await world.shell("printf old > /run/stand-ins/package-lists");
      expect((await withPackage("sdparm")).stderr).toMatch(/apt-get .*404 {2}Not Found/);
      expect(await withPackage("sdparm")).toMatchObject({ code: 0, stderr: "" });
      expect(await asked()).toEqual(["install", "update", "install"]);
      await world.shell("touch --date='2 hours ago' /run/ouchi-photos/package-lists-read");
      expect(await withPackage("iproute2")).toMatchObject({ code: 0, stderr: "" });
      expect(await asked()).toEqual(["update", "install"]);
    });

    it("does not install Docker before HDD1 is there", async () => {
      const result = await world.apply(dockerBundle());
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/The main disk \(.*\) is not mounted at "\/mnt\/hdd1"/);
      expect((await world.calls()).filter(([name]) => name === "apt-get")).toEqual([]);
    });

    it("refuses a time zone that the Pi does not know", async () => {
      const result = await world.apply({
        ...before,
        settings: { timeZone: "Asia/Tokio", kernelWords: [] },
      });
      expect(result.stderr).toMatch(/"Asia\/Tokio" \(timeZone\) is not known/);
    });
  });
});

describe("apply on a deployed Pi", () => {
  let house: DeployedWorld;
  let world: HostWorld;
  // One house for all: each test leaves it deployed.
  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
  });
  beforeEach(async () => {
    await world.calls();
  });
  afterAll(async () => {
    await house?.stop();
  });

  it("touches no container the second time", async () => {
    const all = bundles();
    for (const bundle of [all.docker, all.secrets, all.immich, all.tunnel, all.backup]) {
      expect(await world.apply(bundle)).toMatchObject({ code: 0, stderr: "" });
    }
    const changing = (await world.calls()).filter(
      ([name, ...words]) =>
        (name === "docker" &&
          words.some((word) => ["up", "stop", "start", "pull", "down"].includes(word))) ||
        (name === "systemctl" && !["is-active", "is-enabled"].includes(words[0]!)),
    );
    expect(changing).toEqual([]);
  });

  it("keeps secrets to their files: mode, owner, and only a keyed hash in the record", async () => {
    expect(await world.shell("cd /etc/ouchi-photos/secrets; stat -c '%a %u:%g %n' . *")).toBe(
      [
        "700 0:0 .",
        "600 0:0 borg-passphrase",
        "600 0:0 database-password",
        "400 65532:65532 tunnel-token",
      ].join("\n"),
    );
    const record = world.read("/var/lib/ouchi-photos/applied.json");
    for (const secret of Object.values(secrets)) expect(record).not.toContain(secret);
    const files = world.json<{ subjects: { secrets: { files: Record<string, object> } } }>(
      "/var/lib/ouchi-photos/applied.json",
    ).subjects.secrets.files;
    expect(Object.keys(files["/etc/ouchi-photos/secrets/tunnel-token"]!).sort()).toEqual([
      "group",
      "hmac",
      "mode",
      "owner",
    ]);
    const seen = (await world.shell("cat /run/stand-ins/calls || true")) + record;
    for (const secret of Object.values(secrets)) expect(seen).not.toContain(secret);
  });

  it("lays down the owner's channel and installs what speaks it, only where there is one", async () => {
    const packages = () =>
      world.json<{ subjects: { secrets: { packages: string[] } } }>(
        "/var/lib/ouchi-photos/applied.json",
      ).subjects.secrets.packages;
    expect(packages()).toEqual([]);
    await world.calls();
    const told = await world.apply(secretsBundle({ ...secrets, alarm: "ntfys://canary4" }));
    expect(told).toMatchObject({ code: 0, stderr: "" });
    expect(packages()).toEqual(["apprise"]);
    expect(await world.must(["stat", "-c", "%a %u", "/etc/ouchi-photos/secrets/alarm"])).toBe(
      "600 0",
    );
    expect(await world.must(["cat", "/etc/ouchi-photos/secrets/alarm"])).toBe("ntfys://canary4");
    const seen = told.stdout + JSON.stringify(await world.calls());
    expect(seen + world.read("/var/lib/ouchi-photos/applied.json")).not.toContain("canary4");
    expect((await world.apply(bundles().secrets)).stdout).toBe(
      "removed /etc/ouchi-photos/secrets/alarm\nsecrets: 3 files in place, changed",
    );
  });

  it("restarts the connector, and nothing else, for a new tunnel token", async () => {
    const result = await world.apply(secretsBundle({ ...secrets, tunnelToken: "another" }));
    expect(result.stdout).toBe(
      [
        "wrote /etc/ouchi-photos/secrets/tunnel-token",
        "restarted ouchi-cloudflared.service",
        "secrets: 3 files in place, changed",
      ].join("\n"),
    );
    expect((await world.apply(bundles().tunnel)).stdout).toMatch(/nothing to change/);
    await world.apply(bundles().secrets);
  });

  it("never writes another passphrase over the one that the archives open with", async () => {
    const another = secretsBundle({ ...secrets, borgPassphrase: "of a new state" });
    await world.shell("echo '{}' >/var/lib/ouchi-photos/repository.json");
    const refused = await world.apply(another);
    await world.shell("rm /var/lib/ouchi-photos/repository.json");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/the state has another one[\s\S]*ouchi-photos:borgPassphrase/);
    expect(await world.shell("cat /etc/ouchi-photos/secrets/borg-passphrase")).toBe(
      secrets.borgPassphrase,
    );
  });

  it("removes the connector, twice, and lays it down again", async () => {
    const remove = removeTunnelCommand().slice(2);
    expect(await world.run(remove)).toMatchObject({ code: 0, stderr: "" });
    expect(world.exists("/etc/systemd/system/ouchi-cloudflared.service")).toBe(false);
    expect(world.exists("/etc/ouchi-photos/compose/cloudflared")).toBe(false);
    expect(await house.isRunning("cloudflared")).toBe(false);
    expect(await world.run(remove)).toMatchObject({ code: 0, stderr: "" });
    expect(await world.apply(bundles().tunnel)).toMatchObject({ code: 0 });
    const other = await world.program("apply", "remove", "immich");
    expect(other.stderr).toMatch(/wants one subject .* "remove tunnel" or "remove everything"/);
  });

  it("leaves photos, backups and keys when everything is removed, twice, and lays it down again (row 46)", async () => {
    await house.addPhoto("stays.jpg", "stays");
    const rows = await house.everyRow();
    const photo = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/stays.jpg";
    const record = () =>
      world.json<{ disks: object; subjects: object }>("/var/lib/ouchi-photos/applied.json");
    const { disks } = record();
    const first = await world.run(removeEverythingCommand().slice(2));
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toMatch(/the photos and their database, on the disk with the UUID/);
    expect(record()).toMatchObject({ disks, subjects: {} });
    expect(world.read(photo)).toBe("stays");
    expect(await world.shell("ls /etc/ouchi-photos/secrets")).toBe(
      "borg-passphrase\ndatabase-password",
    );
    const laid = await world.shell(
      "ls /etc/systemd/system/ouchi-* /etc/cron.d/ouchi-photos /etc/docker/daemon.json 2>/dev/null || true; find /etc/systemd/system -lname /dev/null -name 'borgmatic*' -o -lname /dev/null -name 'smartmontools*'",
    );
    expect(laid).toBe("");
    expect(world.json("/run/stand-ins/docker.json")).toMatchObject({ running: {} });
    const stopped = (await world.calls()).map((call) => call.join(" "));
    expect(stopped).toContain("systemctl disable --now docker.service");
    expect(stopped).not.toContain("systemctl disable --now cron.service");

    expect(await world.program("apply", "remove", "everything")).toMatchObject({ code: 0 });
    const all = bundles();
    for (const bundle of [all.disks, all.docker, all.secrets, all.immich, all.tunnel, all.backup]) {
      expect(await world.apply(bundle)).toMatchObject({ code: 0, stderr: "" });
    }
    expect(await house.everyRow()).toBe(rows);
    await house.sql(`delete from "asset" where "originalFileName" = 'stays.jpg'`);
  });

  it("lays no file and touches no container when an image cannot be pulled, and a boot then starts what it knows (row 34)", async () => {
    const next = bundles({
      ...imagesLock("v3.3.0"),
      cloudflared: { ...imagesLock().cloudflared, digest: `sha256:${"c".repeat(64)}` },
    });
    const laid = () => world.shell("cd /etc/ouchi-photos/compose; sha256sum */* */.env");
    const before = await laid();
    await world.shell("touch /run/stand-ins/registry-down");
    for (const bundle of [next.immich, next.tunnel]) {
      await world.calls();
      const result = await world.apply(bundle);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(
        /^The image ".*" could not be pulled: Error response from daemon: .* Is the Pi online, and the registry up\? Run "pulumi up" again when they are\. Nothing was changed: what ran goes on as it was\.$/,
      );
      expect(await laid()).toBe(before);
      const calls = (await world.calls()).map((call) => call.join(" "));
      expect(calls.filter((call) => / (up|stop|start|restart|down)( |$)/.test(call))).toEqual([]);
    }
    for (const unit of ["ouchi-immich.service", "ouchi-cloudflared.service"])
      await world.must(["systemctl", "restart", unit]);
    await world.shell("rm /run/stand-ins/registry-down");
    const floating = await world.apply({
      ...next.tunnel,
      settings: { images: { cloudflared: "cloudflare/cloudflared:latest" } },
    });
    expect(floating.stderr).toMatch(/is not pinned by a digest\. Nothing was changed/);
    for (const bundle of [bundles().immich, bundles().tunnel])
      expect((await world.apply(bundle)).stdout).toMatch(/nothing to change/);
  });

  it("goes on with the old server when the new files find no room (row 35)", async () => {
    const running = async () =>
      (
        JSON.parse(await world.shell("cat /run/stand-ins/docker.json")) as {
          running: Record<string, string>;
        }
      ).running.immich_server;
    const before = await running();
    const folder = "/etc/ouchi-photos/compose/immich";
    await world.shell(
      `mkdir /run/disk; cp -a ${folder}/. /run/disk; mount -t tmpfs -o size=64k,mode=755 tmpfs ${folder}
       cp -a /run/disk/. ${folder}; dd if=/dev/zero of=${folder}/fill bs=1024 2>/dev/null || true`,
    );
    const full = await world.apply(bundles(imagesLock("v3.2.5")).immich);
    await world.shell(`umount ${folder}; rm -r /run/disk`);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(
      /^The disk at "\/etc\/ouchi-photos\/compose\/immich" is full, so ".*images\.env" could/,
    );
    expect(await running()).toBe(before);
    expect(await world.apply(bundles().immich)).toMatchObject({ code: 0, stderr: "" });
  });

  it("upgrades nothing when the database cannot be dumped", async () => {
    await world.must(["docker", "compose", "--project-name", "immich", "stop"]);
    const before = world.read("/etc/ouchi-photos/compose/immich/images.env");
    const result = await world.apply(bundles(imagesLock("v3.3.0")).immich);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /could not be dumped, so Immich was not upgraded.*Nothing was changed\.$/s,
    );
    expect(world.read("/etc/ouchi-photos/compose/immich/images.env")).toBe(before);
    await world.must(["systemctl", "reload-or-restart", "ouchi-immich.service"]);
  });

  it("starts nothing and writes nothing without HDD1, and everything with one command when it is back", async () => {
    await world.must(["systemctl", "stop", "ouchi-immich.service"]);
    await world.must(["systemctl", "stop", "ouchi-cloudflared.service"]);
    await world.must(["umount", "/mnt/hdd1"]);
    expect((await world.program("stack", "immich", "up")).stderr).toMatch(
      /main disk \(UUID "[0-9a-f-]+"\) is not mounted/,
    );
    expect(await world.shell("ls -A /mnt/hdd1")).toBe("");
    expect(await world.program("start")).toMatchObject({ code: 0, stderr: "" });
    for (const name of ["immich_server", "immich_postgres", "cloudflared"]) {
      expect(await house.isRunning(name)).toBe(true);
    }
  });

  it("lists after an unclean boot the photos that a power cut left empty (row 31)", async () => {
    await house.addPhoto("whole.jpg", "whole");
    await house.addPhoto("empty.jpg", "was here");
    await house.addPhoto("other.jpg", "other");
    await house.addPhoto("gone.jpg", "gone");
    const recent = "/mnt/hdd1/immich/images/library/ken/2022/2022-02-03";
    await world.shell(
      `cd ${recent}; truncate -s 0 empty.jpg; printf rehto > other.jpg; rm gone.jpg`,
    );
    // As at a shutdown, when the disk is pulled out, when Immich has to be killed; after a power cut it was never stopped.
    const shutDown = "touch /run/stand-ins/shutting-down";
    const stop = "systemctl stop ouchi-immich.service";
    const start = "rm -f /run/stand-ins/shutting-down; systemctl start ouchi-immich.service";
    await world.shell(`${shutDown}; ${stop}; ${start}`);
    const clean = await world.program("scrub");
    expect(clean.stdout).toBe("the last stop was clean; nothing to look for");
    const cleanly = `${shutDown}; ${stop}; rm /run/stand-ins/shutting-down`;
    // Before each start of Docker; a cut before the scrub leaves a mark of another boot.
    const begin = `${libexec}/scrub --begin`;
    await world.shell(`${cleanly}; ${begin}; ${start}`);
    expect((await world.program("scrub")).stdout).toBe(clean.stdout);
    const cutBefore = `${cleanly}; ${begin}; sed -i 's/^[^ ]*/an-earlier-boot/' /var/lib/ouchi-photos/boot-in-use; ${begin}; ${start}`;
    const againInThisBoot = `${cleanly}; ${begin}; ${begin}; ${start}`;
    const killed = `SERVICE_RESULT=timeout ${libexec}/scrub --clean-stop`;
    for (const how of [
      `${stop}; ${start}`,
      `${shutDown}; ${killed}; ${start}`,
      cutBefore,
      againInThisBoot,
      "true",
    ]) {
      await world.shell(`rm -f /var/lib/ouchi-photos/damaged.json; ${how}`);
      expect(await world.program("scrub")).toMatchObject({ code: 0, stderr: "" });
      const { looked, photos } = world.json<{ looked: number; photos: object[] }>(
        "/var/lib/ouchi-photos/damaged.json",
      );
      expect(looked).toBe(4);
      expect(photos).toHaveLength(3);
      expect(photos).toEqual(
        expect.arrayContaining(
          [
            ["empty.jpg", "empty"],
            ["other.jpg", "differs from its checksum"],
            ["gone.jpg", "missing"],
          ].map(([name, problem]) => expect.objectContaining({ owner: "ken", name, problem })),
        ),
      );
    }
    await world.shell(
      `cd ${recent}; printf other > other.jpg; printf gone > gone.jpg; touch -d '+2 seconds' other.jpg gone.jpg`,
    );
    // The Pi tells of them until they are back.
    const told = async () => (await house.problems()).filter(({ key }) => key === "photos-damaged");
    expect((await told())[0]!.what).toBe(
      "1 photos came to harm when the power went (ken: empty.jpg).",
    );
    await world.shell(
      "sleep 1; echo back > /mnt/hdd1/immich/images/library/ken/2022/2022-02-03/empty.jpg",
    );
    expect(await told()).toEqual([]);
  });

  it("takes a verified dump before an upgrade, and refuses a lower version, a skipped major and another PostgreSQL", async () => {
    const upgraded = await world.apply(bundles(imagesLock("v3.3.0")).immich);
    expect(upgraded).toMatchObject({ code: 0 });
    expect(upgraded.stdout).toMatch(
      /^Immich 3\.2\.4 → 3\.3\.0: dumping the database first\ndumped the database/m,
    );
    const dumps = await world.shell("ls /mnt/hdd1/immich/images/backups");
    expect(dumps).toMatch(/kit-immich-db-backup-\d{8}T\d{6}-v3\.2\.4-pg15/);
    const lower = await world.apply(bundles(imagesLock("v3.2.4")).immich);
    expect(lower.stderr).toMatch(
      /Immich 3\.3\.0 runs on the Pi and the lock file asks for 3\.2\.4: Immich cannot go back/,
    );
    const skipped = await world.apply(bundles(imagesLock("v5.0.0")).immich);
    expect(skipped.stderr).toMatch(
      /a major version may not be skipped\. Go to a version 4\.x first/,
    );
    const postgres = await world.apply(bundles(imagesLock("v3.3.0", "16-vectorchord0.4.3")).immich);
    expect(postgres.stderr).toMatch(/made by PostgreSQL 15, but the lock file asks for 16/);
    expect(world.read("/etc/ouchi-photos/compose/immich/images.env")).toContain("v3.3.0@");
  });
});
