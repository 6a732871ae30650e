import { promise, type Step, until } from "./step.ts";

export const backupRuns: Step = {
  number: 7,
  title: "the backup runs as cron starts it, encrypted, and leaves HDD2 unmounted",
  async live(world) {
    const phone = await world.phone("ken", "iphone");
    const photo = world.photos.get("IMG_0002.jpg")!;
    await phone.read("POST", "/api/albums", { albumName: "そら", assetIds: [photo.id] });

    const table = (await world.asRoot(["cat", "/etc/cron.d/ouchi-photos"])).stdout;
    const line = /^0 1 \* \* 6 root (.+)$/m.exec(table);
    promise(line !== null, `cron has no line "0 1 * * 6 root …":\n${table}`);
    // cron's own surroundings: a bare environment and /bin/sh.
    const started = await world.asRoot(
      [
        "env",
        "-i",
        "HOME=/root",
        "LOGNAME=root",
        "SHELL=/bin/sh",
        "PATH=/usr/bin:/bin",
        "/bin/sh",
        "-c",
        line[1]!,
      ],
      40 * 60_000,
    );
    promise(started.code === 0, `It ended with ${started.code}: ${started.stderr}`);
    await until("The end of the backup", 40 * 60, async () => {
      const { stdout } = await world.asRoot(["systemctl", "is-active", "ouchi-backup.service"]);
      return stdout.trim() !== "active" && stdout.trim() !== "activating";
    });
    const log = (
      await world.asRoot(["journalctl", "-u", "ouchi-backup.service", "-n", "60", "--no-pager"])
    ).stdout;
    const result = (
      await world.asRoot(["systemctl", "show", "-P", "Result", "ouchi-backup.service"])
    ).stdout;
    promise(result.trim() === "success", `The backup failed:\n${log}`);

    const mounted = await world.asRoot(["findmnt", "/mnt/hdd2"]);
    promise(mounted.code !== 0, "HDD2 is still mounted.");
    const archives = await world.archives();
    promise(archives.length === 1, `There should be one archive: ${archives.join(", ")}.\n${log}`);
    const config = await world.onBackupDisk(["cat", "/mnt/hdd2/borg/immich/config"]);
    promise(/^key\s*=/m.test(config), `The repository is not encrypted:\n${config}`);
    const told = await world.asRoot(["cat", "/var/lib/ouchi-photos/backup-status.json"]);
    const { drill } = JSON.parse(told.stdout) as { drill?: { result: string; archive: string } };
    promise(
      drill?.result === "good" && archives[0]!.startsWith(drill.archive),
      `The first run's drill was not good:\n${told.stdout}`,
    );
    return `${archives[0]}, encrypted, and restored beside the house; HDD2 is unmounted`;
  },
};

export const diskIsMissing: Step = {
  number: 12,
  title: "without HDD1 nothing starts and nothing is written; with it all comes back",
  async live(world) {
    await world.pi.powerCut();
    await world.pi.detachDisk("hdd1");
    await world.pi.powerOn();
    const hello = await world.pi.ssh(["uptime", "--pretty"]);
    promise(hello.code === 0, "SSH does not answer.");
    // Longer than it takes for anything to start by itself.
    await new Promise((resolve) => setTimeout(resolve, 45_000));
    const running = await world.asRoot([
      "sh",
      "-c",
      "pgrep -l 'containerd-shim|cloudflared|postgres|immich' || true",
    ]);
    promise(running.stdout.trim() === "", `Something runs without its disk:\n${running.stdout}`);

    await world.pi.powerCut();
    for (const path of ["/mnt/hdd1", "/var/lib/docker"]) {
      const view = await world.pi.readOffline("sd", path);
      const names =
        view.kind === "folder"
          ? view.entries.map(({ name }) => name)
          : view.kind === "missing"
            ? []
            : [path];
      promise(
        names.length === 0,
        `The SD card holds something under ${path}: ${names.join(", ")}.`,
      );
    }

    await world.pi.powerOn();
    await world.pi.attachDisk("hdd1");
    await until("The disk", 60, async () => {
      const { code } = await world.asRoot([
        "test",
        "-e",
        "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_OUCHI-HDD1",
      ]);
      return code === 0;
    });
    const started = await world.pi.ssh(["sudo", "-n", "/usr/local/libexec/ouchi-photos/start"], {
      timeoutMs: 900_000,
    });
    promise(started.code === 0, `start ended with ${started.code}: ${started.stderr}`);
    await world.untilServing(300);
    return "SSH answered, no container, no byte on the card; back with one command";
  },
};
