/**
 * The virtual Pi itself, once: what the tests of the kit take for granted of it. It does not prove
 * that a real Pi does the same.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rehearsalKey, VirtualPi } from "../../rehearsal/pi/virtual-pi.ts";

const minutes = 60_000;

describe("the virtual Pi", () => {
  let folder: string;
  let pi: VirtualPi;
  let service: Server;
  const clock = () => new Date("2026-12-24T18:00:00Z");

  const ssh = async (line: string) => {
    const { stdout, stderr, code } = await pi.ssh(line);
    expect(`${code} ${stderr}`).toBe("0 ");
    return stdout.trim();
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "virtual-pi-"));
    service = createServer((_, response) => response.end("from the host"));
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const key = await rehearsalKey();
    // A key and nothing else: sudo and the memory cgroup stay as the card has them.
    await writeFile(
      join(folder, "user-data"),
      [
        "#cloud-config",
        "users:",
        "  - name: pi",
        "    groups: [sudo]",
        "    shell: /bin/bash",
        `    ssh_authorized_keys: ["${key.publicKey}"]`,
        "",
      ].join("\n"),
    );
    await writeFile(join(folder, "meta-data"), "instance-id: test\n");
    await writeFile(join(folder, "cmdline.txt"), "console=tty1 rootwait\n");
    pi = await VirtualPi.start({
      firstBoot: folder,
      privateKeyFile: key.privateKeyFile,
      services: { control: (service.address() as AddressInfo).port },
      clock,
    });
  }, 20 * minutes);

  afterAll(async () => {
    await pi?.stop();
    await new Promise((resolve) => service?.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  it("is bare: sudo asks, root stays out, and the memory cgroup is off", async () => {
    expect((await pi.ssh("sudo -n true")).stderr).toContain("a password is required");
    expect(
      (await pi.asRoot(["sh", "-c", "sshd -T | grep permitrootlogin"])).stdout.trim(),
    ).not.toBe("permitrootlogin yes");
    expect(await ssh("cat /sys/fs/cgroup/cgroup.controllers")).not.toContain("memory");
    expect((await pi.ssh("command -v docker borg")).code).not.toBe(0);
    expect(await ssh("systemctl --failed --plain --no-legend")).toBe("");
  });

  it("has two blank disks that are told apart by their serials, beside its card", async () => {
    expect(await ssh("ls /dev/disk/by-id")).toBe(
      [
        "scsi-0QEMU_QEMU_HARDDISK_OUCHI-HDD1",
        "scsi-0QEMU_QEMU_HARDDISK_OUCHI-HDD2",
        "virtio-OUCHI-SD",
        "virtio-OUCHI-SD-part1",
        "virtio-OUCHI-SD-part2",
      ].join("\n"),
    );
  });

  it("lives by the pretend clock", async () => {
    expect(await ssh("date --utc +%Y-%m-%dT%H")).toBe("2026-12-24T18");
  });

  it("reaches what the rehearsal serves, and nothing else of this machine", async () => {
    expect(await ssh("curl --silent --max-time 20 http://10.0.2.100:8888/")).toBe("from the host");
    const { port } = service.address() as AddressInfo;
    expect((await pi.ssh(`curl --silent --max-time 3 http://10.0.2.2:${port}/`)).code).not.toBe(0);
  });

  it("loses a disk that is pulled out, and finds it when it is back", async () => {
    await pi.detachDisk("hdd2");
    expect(await ssh("udevadm settle; ls /dev/disk/by-id")).not.toContain("OUCHI-HDD2");
    await pi.attachDisk("hdd2");
    await expect.poll(() => ssh("ls /dev/disk/by-id"), { timeout: 30_000 }).toContain("OUCHI-HDD2");
  });

  it("goes back to a snapshot: files, disks and running programs", async () => {
    await pi.detachDisk("hdd1");
    await ssh("echo before > mark; nohup sleep 1000 > /dev/null 2>&1 & echo started");
    await pi.saveSnapshot("marked");
    await ssh("echo after > mark; pkill sleep");
    await pi.attachDisk("hdd1");
    await pi.loadSnapshot("marked");
    expect(await ssh("cat mark; pgrep --count sleep")).toBe("before\n1");
    expect(await ssh("ls /dev/disk/by-id")).not.toContain("OUCHI-HDD1");
    await pi.attachDisk("hdd1");
  });

  it(
    "keeps through a power cut what was flushed, and loses what was not",
    async () => {
      await ssh("echo kept > flushed; sync; echo gone > unflushed");
      await pi.powerCut();
      expect(pi.powered).toBe(false);
      await expect(pi.ssh("true")).rejects.toThrow("The virtual Pi is off");
      expect(await pi.readOffline("sd", "/home/pi/flushed")).toEqual({
        kind: "file",
        bytes: Buffer.from("kept\n"),
      });
      const before = { port: pi.sshPort, key: pi.hostKey };
      await pi.powerOn();
      expect({ port: pi.sshPort, key: pi.hostKey }).toEqual(before);
      expect(await ssh("ls")).toBe("flushed\nmark");
    },
    10 * minutes,
  );
});
