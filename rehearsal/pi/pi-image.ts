/**
 * The virtual Pi's memory card: Debian 13 with what Raspberry Pi OS Lite has out of the box, a
 * boot partition and a root partition, built by mmdebstrap from Debian's packages.
 */

import {
  chmod,
  cp,
  mkdir,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { type CachedArtifact, cachedArtifact, recipeHash } from "./artifact-cache.ts";
import { writePackageArchive } from "./package-archive.ts";
import { debianSources, packagesHost, trixieSourceLines } from "./package-cache.ts";
import { masterBootRecord } from "./partition-table.ts";

/** What a bare card holds. What the kit needs beyond this, the kit installs. */
const packages = [
  ...["linux-image-amd64", "initramfs-tools", "zstd", "systemd", "systemd-sysv", "dbus", "udev"],
  ...["systemd-timesyncd", "libpam-systemd", "openssh-server", "sudo", "cloud-init", "python3"],
  ...["cron", "curl", "wget", "ca-certificates", "gnupg", "tzdata", "locales", "apt-utils"],
  ...["iproute2", "iputils-ping", "netbase", "procps", "psmisc", "kmod", "e2fsprogs", "dosfstools"],
  ...["fdisk", "parted", "rsync", "less", "file", "xz-utils", "usbutils", "logrotate"],
  ...["bash-completion", "nano"],
  // The rig's: its hand inside, and the way to its clock.
  ...["qemu-guest-agent", "socat"],
];

/**
 * What the kit installs. Debian's own packages, taken from its archive with its signatures checked,
 * and served to the Pi repacked by zstd from a small archive of their own: unpacking xz
 * and reading lists of 60,000 packages takes an emulated processor minutes.
 */
const kitPackages = [
  ...["docker.io", "docker-cli", "docker-compose", "borgbackup", "borgmatic", "smartmontools"],
  ...["hd-idle", "hdparm", "apparmor", "acl", "lsof", "unattended-upgrades", "apprise", "sdparm"],
];

const absentGenerators = [
  ...["systemd-bless-boot-generator", "systemd-cryptsetup-generator", "systemd-gpt-auto-generator"],
  ...["systemd-hibernate-resume-generator", "systemd-integritysetup-generator"],
  ...["systemd-rc-local-generator", "systemd-run-generator", "systemd-ssh-generator"],
  ...["systemd-system-update-generator", "systemd-tpm2-generator"],
  ...["systemd-veritysetup-generator", "systemd-factory-reset-generator"],
];

export const cardLayout = {
  bytes: 8 * 1024 ** 3,
  diskId: "0c1da7e5",
  boot: { offset: 4 * 1024 ** 2, bytes: 64 * 1024 ** 2 },
  root: { offset: 68 * 1024 ** 2 },
} as const;

/** Where the kernel finds the root partition. */
export const rootPartition = `PARTUUID=${cardLayout.diskId}-02`;

const overlays = ["raspberry-pi-os", "rig"].map((name) => join(import.meta.dirname, name));

/** The hash of everything that the card is made from. */
export function piImageHash(): Promise<string> {
  return recipeHash({
    paths: [
      ...overlays,
      ...["pi-image.ts", "package-archive.ts"].map((name) => join(import.meta.dirname, name)),
    ],
  });
}

/** The folder with `card.qcow2`, `vmlinuz` and `initrd.img`. */
export async function buildPiImage(packageCache: { port: number }): Promise<CachedArtifact> {
  return cachedArtifact("card", await piImageHash(), (folder) => build(folder, packageCache));
}

async function build(folder: string, packageCache: { port: number }): Promise<void> {
  const root = join(folder, "root");
  const fetched = join(folder, "fetched");
  await mkdir(fetched);
  const sources = await debianSources();
  const proxy = `Acquire::http::Proxy "http://127.0.0.1:${packageCache.port}";`;
  // Before the packages: what shapes their installation. The rest would reach into it.
  const early = ["dpkg", "initramfs-tools"].map((name) => join(overlays[1]!, "etc", name));
  await execa(
    "mmdebstrap",
    [
      ...["--mode=root", "--variant=apt", "--architectures=amd64", "--format=directory"],
      `--aptopt=${proxy}`,
      ...['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'],
      `--essential-hook=mkdir -p "$1/etc/initramfs-tools" && cp -a ${early.map(shellQuoted).join(" ")} "$1/etc/"`,
      `--include=${packages.join(",")}`,
      "--customize-hook=" +
        `chroot "$1" apt-get clean && chroot "$1" apt-get -q -o 'Acquire::http::Proxy=http://127.0.0.1:${packageCache.port}' ` +
        `install --yes --no-install-recommends --download-only ${kitPackages.join(" ")} && ` +
        `cp "$1"/var/cache/apt/archives/*.deb ${shellQuoted(fetched)} && chroot "$1" apt-get clean`,
      ...["trixie", root, ...trixieSourceLines(sources)],
    ],
    { timeout: 900_000, stdin: "ignore", stdout: "ignore" },
  );
  await writePackageArchive(fetched, join(folder, "packages"));
  await dress(root, folder);
  await keepKernel(root, folder);
  await writeCard(root, join(folder, "card.qcow2"));
  await rm(root, { recursive: true });
}

/** Lays the files of Raspberry Pi OS and of the rig, and makes it a card that never booted. */
async function dress(root: string, folder: string): Promise<void> {
  await rm(join(root, "etc/resolv.conf"), { force: true });
  for (const overlay of overlays) await cp(overlay, root, { recursive: true });
  await chmod(join(root, "etc/initramfs-tools/hooks/rehearsal"), 0o755);
  await mkdir(join(root, "boot/firmware"), { recursive: true });
  const partition = (number: number) => `PARTUUID=${cardLayout.diskId}-0${number}`;
  await writeFile(
    join(root, "etc/fstab"),
    [
      "proc /proc proc defaults 0 0",
      `${partition(1)} /boot/firmware vfat defaults 0 2`,
      `${partition(2)} / ext4 defaults,noatime 0 1`,
      "",
    ].join("\n"),
  );
  await writeFile(join(root, "etc/locale.gen"), "en_GB.UTF-8 UTF-8\n");
  await writeFile(join(root, "etc/default/locale"), "LANG=en_GB.UTF-8\n");
  await writeFile(join(root, "etc/timezone"), "Europe/London\n");
  const inside = async (...command: string[]) => {
    await execa("chroot", [root, ...command], { timeout: 120_000, stdin: "ignore" });
  };
  await inside("locale-gen");
  await inside("ln", "-sf", "/usr/share/zoneinfo/Europe/London", "/etc/localtime");
  await inside(
    ...["systemctl", "enable", "systemd-networkd.service", "systemd-timesyncd.service"],
    ...["rehearsal-ntp.service", "rehearsal-registry.socket"],
  );
  // Rehearsal: nothing of the system's own wakes up in the middle of a step.
  await inside(
    ...["systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"],
    ...["e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"],
    ...["systemd-networkd-wait-online.service", "serial-getty@ttyS0.service"],
  );
  // Rehearsal: systemd runs these at every boot and reload, a tenth of a second each under emulation,
  // for things that this machine does not have.
  await mkdir(join(root, "etc/systemd/system-generators"), { recursive: true });
  for (const generator of absentGenerators) {
    await symlink("/dev/null", join(root, "etc/systemd/system-generators", generator));
  }
  for (const file of await readdir(join(root, "etc/ssh"))) {
    if (file.startsWith("ssh_host_")) await rm(join(root, "etc/ssh", file));
  }
  await writeFile(join(root, "etc/machine-id"), "");
  // mmdebstrap leaves its own options behind: the way to this machine's cache, and no recommends.
  for (const options of ["etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"]) {
    await rm(join(root, options), { force: true });
  }
  await rm(join(root, "etc/apt/sources.list.d"), { recursive: true, force: true });
  await mkdir(join(root, "etc/apt/sources.list.d"));
  await writeFile(
    join(root, "etc/apt/sources.list"),
    `# Rehearsal: what the kit installs, out of Debian's archive.\n` +
      `deb [trusted=yes] http://${packagesHost}/${basename(folder, ".unfinished")}/packages ./\n`,
  );
  for (const spent of ["var/lib/apt/lists", "var/cache/apt", "var/log/apt"]) {
    await rm(join(root, spent), { recursive: true, force: true });
    await mkdir(join(root, spent), { recursive: true });
  }
}

async function keepKernel(root: string, folder: string): Promise<void> {
  for (const [prefix, name] of [
    ["vmlinuz-", "vmlinuz"],
    ["initrd.img-", "initrd.img"],
  ] as const) {
    const file = (await readdir(join(root, "boot"))).find((entry) => entry.startsWith(prefix));
    if (!file) throw new Error(`The virtual Pi's card has no "/boot/${prefix}…": no kernel came.`);
    await cp(join(root, "boot", file), join(folder, name));
  }
}

/** Two partitions, the boot partition empty, as one qcow2 file. */
async function writeCard(root: string, card: string): Promise<void> {
  const raw = `${card}.raw`;
  const { boot, root: rootAt } = cardLayout;
  const table = masterBootRecord(cardLayout.diskId, [
    { ...boot, type: 0x0c },
    { offset: rootAt.offset, bytes: cardLayout.bytes - rootAt.offset, type: 0x83 },
  ]);
  await writeFile(raw, table);
  await truncate(raw, cardLayout.bytes);
  const kibibytes = Math.floor((cardLayout.bytes - rootAt.offset) / 1024);
  await execa(
    "mke2fs",
    [
      ...["-q", "-t", "ext4", "-L", "rootfs", "-d", root, "-E"],
      `offset=${rootAt.offset},lazy_itable_init=1`,
      ...[raw, `${kibibytes}k`],
    ],
    { timeout: 300_000 },
  );
  const unfinished = `${card}.unfinished`;
  await execa("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, unfinished], {
    timeout: 300_000,
  });
  await rename(unfinished, card);
  await rm(raw);
}

function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
