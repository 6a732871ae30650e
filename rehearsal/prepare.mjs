// Readies this machine: the npm packages by the lock file, Debian's packages by apt.
// Plain JavaScript on Node's own modules, because it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
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
  fish: "a login shell that is no sh",
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
  tcsh: "a login shell that is no sh",
  mtools: "the virtual SD card's boot folder",
  dosfstools: "the virtual SD card's boot folder",
  "libimage-exiftool-perl": "photos with and without an EXIF offset",
};

const install = ["install", "--yes", "--no-install-recommends"];
// Services that a package would start are none of this machine's business.
const unattended = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };

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
  const missing = Object.keys(debianPackages).filter(
    (name) => asked("dpkg-query", ["-W", "-f=${db:Status-Status}", name]) !== "installed",
  );
  if (missing.length > 0) installMissing(missing);
  if (process.getuid() === 0 && /^VERSION_ID="12"$/m.test(release)) installNewerQemu();
}

function installMissing(missing) {
  if (process.getuid() !== 0) {
    stop(
      `The rehearsal needs some of Debian's packages. Type:\n  sudo apt-get update && sudo apt-get ${[...install, ...missing].join(" ")}`,
    );
  }
  console.log(`Installing Debian's packages: ${missing.join(" ")} …`);
  run("apt-get", ["-qq", "update"], { env: unattended });
  run("apt-get", ["-qq", "-o", "Dpkg::Use-Pty=0", ...install, ...missing], {
    env: unattended,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/**
 * A process starts on the virtual Pi in a fifth of the time with the QEMU of Debian 12's backports. They are asked once, beside this
 * machine's own sources; where they cannot be had, its own QEMU does.
 */
function installNewerQemu() {
  const names = [
    "qemu-system-x86",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-utils",
    "seabios",
  ];
  const version = asked("dpkg-query", ["-W", "-f=${Version}", names[0]]);
  if (!/^1:[1-7]\./.test(version)) return;
  const targets = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
  const [mirror] = asked("apt-get", [...targets, "Codename: bookworm", "Component: main"]).split(
    "\n",
  );
  if (!mirror) return;
  console.log("Installing a newer QEMU of Debian 12's backports …");
  const folder = mkdtempSync(join(tmpdir(), "newer-qemu-"));
  const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
  const list = join(folder, "sources.list");
  mkdirSync(join(folder, "lists", "partial"), { recursive: true });
  writeFileSync(list, `deb [signed-by=${keys}] ${mirror} bookworm-backports main\n`);
  const apart = [
    `Dir::Etc::SourceList=${list}`,
    "Dir::Etc::SourceParts=/dev/null",
    `Dir::State::Lists=${join(folder, "lists")}`,
    "APT::Sandbox::User=root",
    "APT::Default-Release=bookworm-backports",
  ];
  const options = apart.flatMap((option) => ["-o", option]);
  const quietly = (words) =>
    spawnSync("apt-get", ["-qq", ...words], {
      cwd: folder,
      env: unattended,
      stdio: ["ignore", "ignore", "inherit"],
    }).status === 0;
  const packages = () =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".deb"))
      .map((name) => `./${name}`);
  const done =
    quietly([...options, "update"]) &&
    quietly([...options, "download", ...names]) &&
    quietly(["-o", "Dpkg::Use-Pty=0", ...install, ...packages()]);
  rmSync(folder, { recursive: true });
  if (!done) console.log("It could not be had: the virtual Pi is slower, and otherwise the same.");
}

/** What a command answers; nothing when it fails. */
function asked(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout.trim() : "";
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
