/** Bad days of a deployed Pi, each from the same snapshot: what needs a boot, power, systemd, Docker or a disk that goes. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { takePhoto } from "../../rehearsal/story/photo.ts";
import { until } from "../../rehearsal/story/step.ts";
import { World } from "../../rehearsal/world.ts";

const minutes = 60_000;
const repository = join(import.meta.dirname, "../..");

describe("a hard day", { timeout: 20 * minutes }, () => {
  let world: World;
  let snapshot: string;
  let state: string;

  beforeAll(async () => {
    world = await World.build({
      folder: join(repository, ".rehearsal/hard-days"),
      engine: "rehearsal",
      say: (line) => console.log(line),
    });
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    const phone = await world.phone("ken", "iphone");
    await phone.upload(await takePhoto("IMG_0001.jpg", "2022:02:03 08:00:00", "+09:00"));
    state = await readFile(world.engine.stateFile, "utf8");
    snapshot = await world.pi.saveSnapshot("hard-days");
  }, 30 * minutes);
  afterAll(() => world?.close());

  let first = true;
  beforeEach(async () => {
    // The first goes on from where the snapshot was taken.
    if (!first) {
      await world.pi.loadSnapshot(snapshot);
      await world.pi.setClock(world.clock.now());
      await writeFile(world.engine.stateFile, state);
    }
    first = false;
  }, 5 * minutes);

  const root = async (script: string, timeoutMs?: number) => {
    const { stdout, stderr, code } = await world.asRoot(["sh", "-ec", script], timeoutMs);
    expect(`${code} ${stderr}`).toBe("0 ");
    return stdout.trim();
  };
  const up = async () => {
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    return ran.text;
  };

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
    await world.pi.detachDisk("hdd1");
    await until("The end of every container", 180, async () => {
      const { stdout } = await world.asRoot(["sh", "-c", "pgrep -c containerd-shim || true"]);
      return stdout.trim() === "0";
    });
    expect(await root("systemctl is-active docker ouchi-immich ouchi-cloudflared || true")).toBe(
      "inactive\ninactive\ninactive",
    );
    // Nothing begins anew in the empty folder, then or later.
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    expect(await root("ls -A /mnt/hdd1; pgrep -c containerd-shim || true")).toBe("0");
    await world.pi.attachDisk("hdd1");
    await until("The disk", 60, async () => {
      const { code } = await world.asRoot(["sh", "-c", "blkid -L ouchi-hdd1"]);
      return code === 0;
    });
    const started = await world.pi.ssh(["sudo", "-n", "/usr/local/libexec/ouchi-photos/start"], {
      timeoutMs: 15 * minutes,
    });
    expect(`${started.code} ${started.stderr}`).toBe("0 ");
    await world.untilServing(300);
  });
});
