// Readies this machine: the npm packages by the lock file, Debian's packages by apt.
// Plain JavaScript on Node's own modules, because it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What the rehearsal and its tests run on the laptop's side, with what for. */
const debianPackages = {
  borgbackup: "archives in the tests of the host's scripts",
  borgmatic: "their configuration's reader",
  chromium: "a browser at the gate",
  "cryptsetup-bin": "disks that hold something already",
  "docker-registry": "images pulled by digest",
  e2fsprogs: "file systems of the virtual disks",
  exfatprogs: "disks that hold something already",
  lvm2: "disks that hold something already",
  "ntfs-3g": "disks that hold something already",
  "apt-cacher-ng": "Debian's packages for the virtual Pi, fetched once",
  mmdebstrap: "the virtual Pi's system and the containers' base",
  "debian-archive-keyring": "Debian 13's signatures",
  "netcat-openbsd": "the virtual Pi's way to services on this machine",
  "openssh-client": "keys, and a shell on the virtual Pi",
  "openssh-server": "a real SSH server for the tests",
  openssl: "certificates of the pretend edge",
  postgresql: "a real database for the tests of the pretend Immich",
  procps: "processes that a test ends, by their names",
  "qemu-system-x86": "the virtual Pi",
  "qemu-utils": "its disks, seen from outside",
  "redis-server": "a real queue for the tests of the pretend Immich",
  shellcheck: "the reader of shell scripts",
  skopeo: "images into the registry",
  socat: "the virtual Pi's way to services on this machine",
  sudo: "the virtual Pi's rights, checked by visudo",
  mtools: "the virtual SD card's boot folder",
  dosfstools: "the virtual SD card's boot folder",
  "libimage-exiftool-perl": "photos with and without an EXIF offset",
};

requireNode(20, 19);
installNpmPackages();
if (process.argv[2] === "rehearse") installDebianPackages();

function requireNode(major, minor) {
  const [have, haveMinor] = process.versions.node.split(".").map(Number);
  if (have > major || (have === major && haveMinor >= minor)) return;
  stop(
    `Node ${process.versions.node} is too old: install Node ${major}.${minor} or newer (24 is a good choice).`,
  );
}

function installNpmPackages() {
  const lock = join(root, "package-lock.json");
  const wanted = createHash("sha256").update(readFileSync(lock)).digest("hex");
  const mark = join(root, "node_modules", ".ouchi-lock");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  console.log("Installing the npm packages that package-lock.json names …");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: root });
  writeFileSync(mark, wanted);
}

function installDebianPackages() {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID=debian$/m.test(release) || !/^VERSION_ID="1[23]"$/m.test(release)) {
    stop(
      "The rehearsal needs Debian 12 or 13 on amd64. The deployment itself runs from macOS, Linux or WSL2.",
    );
  }
  const missing = Object.keys(debianPackages).filter((name) => {
    const { stdout } = spawnSync("dpkg-query", ["-W", "-f=${db:Status-Status}", name], {
      encoding: "utf8",
    });
    return stdout !== "installed";
  });
  if (missing.length === 0) return;
  const install = ["install", "--yes", "--no-install-recommends", ...missing];
  if (process.getuid() !== 0) {
    stop(
      `The rehearsal needs some of Debian's packages. Type:\n  sudo apt-get update && sudo apt-get ${install.join(" ")}`,
    );
  }
  console.log(`Installing Debian's packages: ${missing.join(" ")} …`);
  // Services that a package would start are none of this machine's business.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  run("apt-get", ["-qq", "update"], { env });
  run("apt-get", ["-qq", "-o", "Dpkg::Use-Pty=0", ...install], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (status !== 0)
    stop(
      `"${command} ${args.join(" ")}" failed${error ? `: ${error.message}` : ` with status ${status}`}.`,
    );
}

function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}
