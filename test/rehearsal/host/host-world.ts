/**
 * A Pi without a machine: this machine's own root, seen through an overlay in a mount namespace of its own, with real
 * loop devices as disks. Paths, mounts, file attributes, mkfs, Borg and PostgreSQL are real; systemd, apt and Docker are
 * strict stand-ins.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { Bundle } from "../../../pi/bundle.ts";
import { bundleInput, systemBundle } from "../../../pi/bundles.ts";

const here = dirname(fileURLToPath(import.meta.url));
const standIns = {
  "machine.py": [
    "apprise",
    "systemctl",
    "apt-get",
    "dpkg",
    "dpkg-query",
    "timedatectl",
    "udevadm",
    "journalctl",
    "systemd-run",
  ],
  "disk.py": ["hdparm", "sdparm", "smartctl"],
  "docker.py": ["docker"],
  "borgmatic.py": ["borgmatic"],
  "cut.py": ["cut.py"],
};
export const libexec = "/usr/local/libexec/ouchi-photos";

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export class HostWorld {
  readonly folder: string;
  readonly root: string;
  private readonly holder: ChildProcess;
  /** The first process of the namespaces, by its id out here. */
  readonly inside: string;
  private readonly loops: string[] = [];

  private constructor(folder: string, holder: ChildProcess, inside: string) {
    this.folder = folder;
    this.root = join(folder, "root");
    this.holder = holder;
    this.inside = inside;
  }

  static async start(): Promise<HostWorld> {
    if (process.getuid?.() !== 0)
      throw new Error("The host's tests make mounts: run them as root.");
    const folder = mkdtempSync(join(tmpdir(), "ouchi-host-"));
    for (const each of ["upper", "work", "root"]) mkdirSync(join(folder, each));
    const holder = spawn(
      "unshare",
      [
        "--mount",
        "--net",
        "--uts",
        // The programs look for others at work, which must not be those of another world.
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
        "sh",
        join(here, "stand-ins/world.sh"),
        folder,
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    await new Promise<void>((resolve, reject) => {
      holder.stdout?.once("data", () => resolve());
      holder.once("exit", (code) => reject(new Error(`The world could not be made (${code}).`)));
    });
    const inside = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim();
    const world = new HostWorld(folder, holder, inside);
    for (const [file, names] of Object.entries(standIns)) {
      for (const name of names) {
        world.write(
          `/usr/local/sbin/${name}`,
          readFileSync(join(here, "stand-ins", file), "utf8"),
          0o755,
        );
      }
    }
    return world;
  }

  /** Runs a command inside, as root; never throws for its status. */
  async run(
    argv: string[],
    options: { stdin?: string; env?: Record<string, string> } = {},
  ): Promise<Result> {
    const result = await execa(
      "nsenter",
      ["--mount", "--net", "--uts", "--pid", "--target", this.inside, "chroot", this.root, ...argv],
      {
        input: options.stdin ?? "",
        reject: false,
        extendEnv: false,
        env: {
          PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          HOME: "/root",
          ...options.env,
        },
      },
    );
    return { code: result.exitCode ?? 1, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs a command that must succeed and answers its output. */
  async must(argv: string[], options: { stdin?: string } = {}): Promise<string> {
    const result = await this.run(argv, options);
    if (result.code !== 0)
      throw new Error(`${argv.join(" ")}: ${result.code}\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
  }

  shell(script: string): Promise<string> {
    return this.must(["sh", "-ec", script]);
  }

  /** Only for paths that no mount hides: the overlay itself is seen through the holder's namespace. */
  write(path: string, content: string, mode = 0o644): void {
    const place = this.outside(path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, content, { mode });
  }

  read(path: string): string {
    return readFileSync(this.outside(path), "utf8");
  }

  exists(path: string): boolean {
    return existsSync(this.outside(path));
  }

  json<T = Record<string, unknown>>(path: string): T {
    return JSON.parse(this.read(path)) as T;
  }

  private outside(path: string): string {
    return `/proc/${this.inside}/root${this.root}${path}`;
  }

  /** Lays the programs down, as `system` would, for tests of later subjects. */
  async layPrograms(): Promise<void> {
    for (const file of systemBundle({ timeZone: "Asia/Tokyo", kernelWords: [] }).files) {
      if (file.path.startsWith(libexec))
        this.write(file.path, file.content, Number.parseInt(file.mode, 8));
    }
  }

  apply(bundle: Bundle, env?: Record<string, string>): Promise<Result> {
    return this.run([`${libexec}/apply`, bundle.subject], { stdin: bundleInput(bundle), env });
  }

  program(name: string, ...argv: string[]): Promise<Result> {
    return this.run([`${libexec}/${name}`, ...argv]);
  }

  /** Every call of a stand-in since the last time it was asked. */
  async calls(): Promise<string[][]> {
    const text = await this.shell(
      "cat /run/stand-ins/calls 2>/dev/null || true; rm -f /run/stand-ins/calls",
    );
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as string[]);
  }

  /** A blank disk with a name in /dev/disk/by-id; answers its device. */
  async addDisk(name: string, megabytes = 100): Promise<string> {
    const image = join(this.folder, `${name}.img`);
    const file = openSync(image, "w");
    ftruncateSync(file, megabytes * 1024 * 1024);
    closeSync(file);
    return this.attach(name);
  }

  /** A disk that served in another world, as it was when it was unmounted there. */
  async addDiskOf(other: HostWorld, name: string): Promise<string> {
    await execa("cp", [
      "--sparse=always",
      join(other.folder, `${name}.img`),
      join(this.folder, `${name}.img`),
    ]);
    return this.attach(name);
  }

  async attach(name: string): Promise<string> {
    const { stdout } = await execa("losetup", [
      "--find",
      "--show",
      "--partscan",
      join(this.folder, `${name}.img`),
    ]);
    this.loops.push(stdout);
    await this.shell(
      `mknod ${stdout} b $(cat /sys/block/${stdout.slice(5)}/dev | tr : ' ') 2>/dev/null || true; ln -sf ${stdout} /dev/disk/by-id/${name}`,
    );
    return stdout;
  }

  /** Loop devices have nothing printed on them: from now on lsblk tells of `device` what a USB disk tells of itself. */
  async label(device: string, serial: string, model: string): Promise<void> {
    this.write(
      "/usr/local/sbin/lsblk",
      readFileSync(join(here, "stand-ins/lsblk.py"), "utf8"),
      0o755,
    );
    const file = "/run/stand-ins/labels.json";
    await this.must([
      "python3",
      "-c",
      `import json, os, sys
os.makedirs("/run/stand-ins", exist_ok=True)
labels = json.load(open("${file}")) if os.path.exists("${file}") else {}
labels[sys.argv[1]] = {"serial": sys.argv[2], "model": sys.argv[3]}
json.dump(labels, open("${file}", "w"))`,
      ...[device, serial, model],
    ]);
  }

  /** Pulls a disk that is not mounted any more. */
  async detach(name: string, device: string): Promise<void> {
    await execa("losetup", ["--detach", device]);
    this.loops.splice(this.loops.indexOf(device), 1);
    await this.shell(`rm -f /dev/disk/by-id/${name} ${device}`);
  }

  async stop(): Promise<void> {
    await this.run([
      "sh",
      "-c",
      "for file in /mnt/hdd1/immich/postgres/postmaster.pid; do [ -f $file ] && kill -QUIT $(head -1 $file); done; sleep 0.3; umount /mnt/hdd2 /mnt/hdd1; true",
    ]);
    this.holder.stdin?.end();
    await new Promise((resolve) =>
      this.holder.exitCode === null ? this.holder.once("exit", resolve) : resolve(undefined),
    );
    for (const loop of this.loops) await execa("losetup", ["--detach", loop], { reject: false });
    // The attribute outlives the namespace and keeps the folder from being removed.
    await execa("chattr", ["-R", "-i", join(this.folder, "upper/mnt")], { reject: false });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
