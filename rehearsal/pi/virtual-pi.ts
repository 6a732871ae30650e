/**
 * A Raspberry Pi made of QEMU: bare as Raspberry Pi OS Lite after its first boot, reached by SSH on
 * loopback, with a card and two disks. Its power, its disks, its clock and its past are in the
 * rehearsal's hands; everything else is done over SSH, as with a real one.
 */

import { existsSync } from "node:fs";
import { copyFile, link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { cachedArtifact, cacheFolder, recipeHash } from "./artifact-cache.ts";
import { kernelCommandLine } from "./firmware.ts";
import { GuestAgent, type GuestCommandResult } from "./guest-agent.ts";
import { OwnedProcess } from "./owned-process.ts";
import { startPackageCache } from "./package-cache.ts";
import {
  createBlankDisk,
  createOverlay,
  OfflineDisk,
  type OfflineView,
  readCommandLine,
  writeBootPartition,
} from "./pi-disks.ts";
import { buildPiImage, cardLayout, piImageHash, rootPartition } from "./pi-image.ts";
import { freePort } from "./ports.ts";
import {
  blockNode,
  type DiskName,
  qemuArguments,
  type ServiceName,
  scsiDisk,
  wornNode,
} from "./qemu-arguments.ts";
import { QmpClient } from "./qmp-client.ts";
import { type CommandResult, SecureShell } from "./secure-shell.ts";

export { OfflineDisk, type OfflineView } from "./pi-disks.ts";
export type { DiskName, ServiceName } from "./qemu-arguments.ts";
export type { CommandResult } from "./secure-shell.ts";

/** The size of each of the two USB disks, in bytes: thin, so that only what is written takes room. */
export const usbDiskBytes = 32 * 1024 ** 3;

export interface VirtualPiOptions {
  /** A folder with what the boot partition gets: `user-data`, `meta-data`, `cmdline.txt`. */
  firstBoot: string;
  /** The private key whose public half stands in `user-data`. See {@link rehearsalKey}. */
  privateKeyFile: string;
  /** Host ports of the services that the Pi reaches at 10.0.2.100. */
  services: Partial<Record<ServiceName, number>>;
  /** A snapshot's folder to start from. @default the Pi right after its first boot, kept in the cache */
  snapshot?: string;
  /** Boots for the first time even when the cache has that. @default false */
  withoutCache?: boolean;
  /** The pretend clock, set after each snapshot and read at each power on. @default the host's */
  clock?: () => Date;
  /** @default 2048 */
  memoryMiB?: number;
  /** @default 2 */
  cpus?: number;
}

/** What a snapshot's folder says about itself; its disks and memory lie beside it. */
interface SnapshotNotes {
  attached: UsbDisk[];
  hostKey: string;
  memoryMiB: number;
  cpus: number;
  append: string;
}

/** To be raised when a snapshot's folder means something else. */
const snapshotFormat = 1;
const bootDeadlineMs = 420_000;
const usbDisks = ["hdd1", "hdd2"] as const;
const allDisks = ["sd", ...usbDisks] as const;
type UsbDisk = (typeof usbDisks)[number];

export class VirtualPi {
  readonly user = "pi";
  readonly privateKeyFile: string;
  /** What the Pi's serial console printed, over all its boots. */
  readonly consoleLog: string;
  /** Where its disks and snapshots lie while it lives. */
  readonly folder: string;

  readonly #options: VirtualPiOptions;
  readonly #image: string;
  readonly #sockets: string;
  readonly #files: Record<DiskName, string>;
  readonly #attached = new Set<UsbDisk>(usbDisks);
  readonly #nodes: Record<DiskName, string> = { sd: "sd-0", hdd1: "hdd1-0", hdd2: "hdd2-0" };
  readonly #plugged = { hdd1: "hdd1-0", hdd2: "hdd2-0" };
  readonly #memoryMiB: number;
  readonly #cpus: number;
  #append = "";
  #count = 0;
  #hostKey = "";
  #ports: { ssh: number; lan: number } | undefined;
  #qemu: OwnedProcess | undefined;
  #monitor: QmpClient | undefined;
  #agent: GuestAgent | undefined;
  #shell: SecureShell | undefined;
  #stopped = false;
  /** A disk has a serial that neither a start nor a snapshot would give it again. */
  #strange = false;
  /** Set while a reboot that the guest asked for is under way. */
  #reboot: Promise<void> | undefined;

  private constructor(options: VirtualPiOptions, image: string, folder: string, sockets: string) {
    this.#options = options;
    this.#image = image;
    this.#sockets = sockets;
    this.folder = folder;
    this.privateKeyFile = options.privateKeyFile;
    this.consoleLog = join(folder, "console.log");
    this.#memoryMiB = options.memoryMiB ?? 2048;
    this.#cpus = options.cpus ?? 2;
    this.#files = {
      sd: join(folder, "sd-0.qcow2"),
      hdd1: join(folder, "hdd1-0.qcow2"),
      hdd2: join(folder, "hdd2-0.qcow2"),
    };
  }

  /** A Pi that answers SSH. */
  static async start(options: VirtualPiOptions): Promise<VirtualPi> {
    const image = await cardImage(options.services.packages);
    if (options.snapshot || options.withoutCache) return VirtualPi.#create(options, image);
    const hash = await recipeHash({
      texts: [
        await piImageHash(),
        (await execa("qemu-system-x86_64", ["--version"], { timeout: 30_000 })).stdout,
        `${snapshotFormat} ${options.memoryMiB ?? 2048} ${options.cpus ?? 2}`,
      ],
      paths: [
        options.firstBoot,
        ...["qemu-arguments.ts", "firmware.ts"].map((name) => join(import.meta.dirname, name)),
      ],
    });
    const firstBooted = await cachedArtifact("first-boot", hash, async (folder) => {
      const pi = await VirtualPi.#create(options, image);
      try {
        await pi.saveSnapshot(folder);
      } finally {
        await pi.stop();
      }
    });
    return VirtualPi.#create({ ...options, snapshot: firstBooted.folder }, image);
  }

  static async #create(options: VirtualPiOptions, image: string): Promise<VirtualPi> {
    const folder = await runFolder();
    // A unix socket's path has 107 bytes at most; the project's folder may be deep.
    const sockets = await mkdtemp(join(tmpdir(), "ouchi-pi-"));
    const pi = new VirtualPi(options, image, folder, sockets);
    try {
      if (options.snapshot) await pi.loadSnapshot(options.snapshot);
      else {
        await createOverlay(pi.#files.sd, join(image, "card.qcow2"));
        await writeBootPartition(pi.#files.sd, options.firstBoot);
        for (const disk of usbDisks) await createBlankDisk(pi.#files[disk], usbDiskBytes);
        await pi.powerOn();
      }
      return pi;
    } catch (error) {
      await pi.stop();
      throw error;
    }
  }

  /** The loopback port that leads to the Pi's SSH; the same until `stop`. */
  get sshPort(): number {
    if (!this.#ports) throw new Error("The virtual Pi was never powered on.");
    return this.#ports.ssh;
  }

  /** The loopback port that leads to port 2283 of the Pi's LAN address, 10.0.2.15. */
  get lanPort(): number {
    if (!this.#ports) throw new Error("The virtual Pi was never powered on.");
    return this.#ports.lan;
  }

  /** The Pi's ed25519 host key, "ssh-ed25519 AAAA…", read inside and not from the network. */
  get hostKey(): string {
    return this.#hostKey;
  }

  get powered(): boolean {
    return this.#qemu?.running ?? false;
  }

  /** Runs a command as `pi`, over SSH. */
  async ssh(
    command: string | string[],
    options: { stdin?: string | Buffer; timeoutMs?: number } = {},
  ): Promise<CommandResult> {
    await this.#reboot;
    if (!this.#shell) throw new Error("The virtual Pi is off: it cannot be reached by SSH.");
    return this.#shell.run(command, options);
  }

  /** Runs a command as root by the rig's own hand, without SSH: for looking, not for configuring. */
  async asRoot(argv: string[], timeoutMs = 120_000): Promise<GuestCommandResult> {
    await this.#reboot;
    return this.#needAgent().run(argv, timeoutMs);
  }

  /** Steps the Pi's clock. */
  async setClock(date: Date): Promise<void> {
    await this.asRoot(["date", "--utc", "--set", `@${(date.getTime() / 1000).toFixed(3)}`]);
  }

  /**
   * The plug is pulled: QEMU is killed. What the guest had not flushed to its disks is lost with its
   * memory; what it had flushed stays, because the host itself goes on.
   */
  async powerCut(): Promise<void> {
    this.#leave();
    await this.#qemu?.kill();
    this.#qemu = undefined;
  }

  /** The plug is put in; resolves when SSH answers and the boot is finished. `clock` is what the Pi takes for the time. */
  async powerOn(options: { deadlineMs?: number; clock?: Date } = {}): Promise<void> {
    if (this.powered) return;
    this.#refuseStrange();
    const text = await readCommandLine(this.#files.sd);
    this.#append = kernelCommandLine({ cmdlineTxt: text, root: rootPartition });
    await this.#launch(undefined, options.clock);
    await this.#untilReady(options.deadlineMs ?? bootDeadlineMs, true);
  }

  /** Another card in the slot, freshly flashed and with the same first-boot files; the disks stay. Its host key is new. */
  async replaceCard(): Promise<void> {
    await this.powerCut();
    await rm(this.#files.sd, { force: true });
    this.#files.sd = join(this.folder, `sd-${++this.#count}.qcow2`);
    await createOverlay(this.#files.sd, join(this.#image, "card.qcow2"));
    await writeBootPartition(this.#files.sd, this.#options.firstBoot);
    await this.powerOn();
  }

  /** Pulls a disk out while the Pi runs, without a word to it; or keeps it out at the next boot. */
  async detachDisk(disk: UsbDisk): Promise<void> {
    if (!this.#attached.has(disk)) return;
    if (this.powered) {
      const monitor = this.#needMonitor();
      const gone = monitor.waitFor(
        ({ event, data }) => event === "DEVICE_DELETED" && data?.device === disk,
        `removal of ${disk}`,
        30_000,
      );
      await monitor.execute("device_del", { id: disk });
      await gone;
      // A snapshot's overlay goes with its device; what was plugged in by name goes by name.
      await monitor.execute("blockdev-del", { "node-name": this.#plugged[disk] });
    }
    this.#attached.delete(disk);
  }

  /** Plugs in a third disk, blank, behind a real USB controller: the kernel's own xhci and usb-storage serve it. */
  async plugUsbDisk(): Promise<void> {
    const monitor = this.#needMonitor();
    const node = `usb-${++this.#count}`;
    await monitor.execute("blockdev-add", {
      ...{ driver: "null-co", "node-name": node, "read-zeroes": true },
      size: 64 * 1024 ** 2,
    });
    await monitor.execute("device_add", {
      ...{ driver: "usb-storage", id: node, bus: "usb.0", drive: node, serial: "OUCHI-USB" },
    });
  }

  /** Puts a disk back, as it was or with sectors of 512 bytes that cannot be read any more. */
  async attachDisk(disk: UsbDisk, unreadable: number[] = []): Promise<void> {
    if (this.#attached.has(disk)) return;
    if (this.powered) {
      const file = this.#files[disk];
      await this.#plug(disk, (node) =>
        unreadable.length > 0 ? wornNode(node, file, unreadable) : blockNode(node, file),
      );
    }
    this.#attached.add(disk);
  }

  /** Puts another disk in the place of one that was pulled: blank, and with this serial. Until the next snapshot is loaded. */
  async attachBlankDisk(disk: UsbDisk, serial: string): Promise<void> {
    if (this.#attached.has(disk)) throw new Error(`There is a disk in the place of "${disk}".`);
    const file = join(this.folder, `${disk}-${++this.#count}.qcow2`);
    await createBlankDisk(file, usbDiskBytes);
    await rm(this.#files[disk], { force: true });
    this.#files[disk] = file;
    await this.#plug(disk, (node) => blockNode(node, file), serial);
    this.#attached.add(disk);
    this.#strange = true;
  }

  async #plug(
    disk: UsbDisk,
    describe: (node: string) => Record<string, unknown>,
    serial?: string,
  ): Promise<void> {
    const monitor = this.#needMonitor();
    const node = `${disk}-${++this.#count}`;
    await monitor.execute("blockdev-add", describe(node));
    await monitor.execute("device_add", {
      ...scsiDisk(disk, node),
      ...(serial !== undefined && { serial }),
    });
    this.#nodes[disk] = node;
    this.#plugged[disk] = node;
  }

  /**
   * Keeps the running Pi as it is this moment, memory and disks, in a folder: a name is one below
   * this Pi's own folder, which `stop` removes. Nothing is copied but the memory: the disks go on as
   * overlays. A snapshot stands on the one that its Pi was started from.
   */
  async saveSnapshot(nameOrFolder: string): Promise<string> {
    this.#refuseStrange();
    await this.#reboot;
    const monitor = this.#needMonitor();
    const folder = this.#snapshotFolder(nameOrFolder);
    await mkdir(folder, { recursive: true });
    await monitor.execute("stop");
    const actions: object[] = [];
    for (const disk of allDisks) {
      const frozen = join(folder, `${disk}.qcow2`);
      const next = join(this.folder, `${disk}-${++this.#count}.qcow2`);
      const plugged = disk === "sd" || this.#attached.has(disk);
      await rm(frozen, { force: true });
      await linkOrCopy(this.#files[disk], frozen, plugged);
      // Unchecked (-u), because the file below is still in use.
      await execa(
        "qemu-img",
        [
          ...["create", "-q", "-u", "-f", "qcow2", "-b", frozen, "-F", "qcow2", next],
          String(disk === "sd" ? cardLayout.bytes : usbDiskBytes),
        ],
        { timeout: 30_000 },
      );
      if (plugged) {
        const node = `${disk}-${this.#count}`;
        actions.push({
          type: "blockdev-snapshot-sync",
          data: {
            "node-name": this.#nodes[disk],
            "snapshot-node-name": node,
            "snapshot-file": next,
            format: "qcow2",
            mode: "existing",
          },
        });
        this.#nodes[disk] = node;
      }
      this.#files[disk] = next;
    }
    await monitor.execute("transaction", { actions });
    await this.#writeMemory(join(folder, "memory"));
    const notes: SnapshotNotes = {
      attached: [...this.#attached],
      hostKey: this.#hostKey,
      memoryMiB: this.#memoryMiB,
      cpus: this.#cpus,
      append: this.#append,
    };
    await writeFile(join(folder, "snapshot.json"), `${JSON.stringify(notes, null, 2)}\n`);
    await monitor.execute("cont");
    return folder;
  }

  /** Goes on from a snapshot, this Pi's own or another's; what happened since is forgotten. */
  async loadSnapshot(nameOrFolder: string): Promise<void> {
    const folder = this.#snapshotFolder(nameOrFolder);
    const file = join(folder, "snapshot.json");
    if (!existsSync(file)) {
      throw new Error(`The virtual Pi has no snapshot "${nameOrFolder}": there is no "${file}".`);
    }
    const notes = JSON.parse(await readFile(file, "utf8")) as SnapshotNotes;
    if (notes.memoryMiB !== this.#memoryMiB || notes.cpus !== this.#cpus) {
      throw new Error(
        `The snapshot "${nameOrFolder}" is of a Pi with ${notes.memoryMiB} MiB and ${notes.cpus} processors, not ${this.#memoryMiB} MiB and ${this.#cpus}.`,
      );
    }
    await this.powerCut();
    this.#strange = false;
    for (const disk of allDisks) {
      // Nothing stands on what is left behind: a snapshot holds a link of its own.
      await rm(this.#files[disk], { force: true });
      this.#files[disk] = join(this.folder, `${disk}-${++this.#count}.qcow2`);
      await createOverlay(this.#files[disk], join(folder, `${disk}.qcow2`));
    }
    this.#attached.clear();
    for (const disk of notes.attached) this.#attached.add(disk);
    this.#hostKey = notes.hostKey;
    this.#append = notes.append;
    await this.#launch(join(folder, "memory"));
    await this.#monitorUntilLoaded();
    await this.#needMonitor().execute("cont");
    await this.#untilReady(120_000, false);
    await this.setClock(this.#now());
  }

  #refuseStrange(): void {
    if (this.#strange) {
      throw new Error(
        "The virtual Pi holds a blank disk of another serial: load a snapshot first.",
      );
    }
  }

  /** A disk of a Pi that is off (or of a disk that is out), seen without the Pi. */
  async offline(disk: DiskName): Promise<OfflineDisk> {
    if (this.powered && (disk === "sd" || this.#attached.has(disk))) {
      throw new Error(
        `The virtual Pi has "${disk}" in use: cut its power, or detach the disk, before looking at it from outside.`,
      );
    }
    return OfflineDisk.open(this.#files[disk]);
  }

  /** What lies at one path of a disk, seen without the Pi. */
  async readOffline(disk: DiskName, path: string): Promise<OfflineView> {
    const opened = await this.offline(disk);
    try {
      return await opened.read(path);
    } finally {
      await opened.close();
    }
  }

  /** Ends the machine and removes its disks. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.powerCut();
    await rm(this.#sockets, { recursive: true, force: true });
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The end of what the serial console printed. */
  async consoleEnd(lines = 60): Promise<string> {
    const text = await readFile(this.consoleLog, "utf8").catch(() => "");
    return text.replaceAll("\r", "").split("\n").slice(-lines).join("\n");
  }

  #now(): Date {
    return this.#options.clock?.() ?? new Date();
  }

  #snapshotFolder(nameOrFolder: string): string {
    return resolve(join(this.folder, "snapshots"), nameOrFolder);
  }

  #needMonitor(): QmpClient {
    if (!this.#monitor || this.#monitor.closed) throw new Error("The virtual Pi is off.");
    return this.#monitor;
  }

  #needAgent(): GuestAgent {
    if (!this.#agent) throw new Error("The virtual Pi is off.");
    return this.#agent;
  }

  async #launch(incoming?: string, clock = this.#now()): Promise<void> {
    this.#nodes.sd = "sd-0";
    this.#nodes.hdd1 = "hdd1-0";
    this.#nodes.hdd2 = "hdd2-0";
    this.#plugged.hdd1 = "hdd1-0";
    this.#plugged.hdd2 = "hdd2-0";
    const log = join(this.folder, "qemu.log");
    for (let attempt = 0; ; attempt++) {
      this.#ports ??= { ssh: await freePort(), lan: await freePort() };
      const monitorSocket = join(this.#sockets, "monitor");
      await rm(monitorSocket, { force: true });
      await writeFile(log, "");
      const attached = (disk: UsbDisk) =>
        this.#attached.has(disk) ? { [disk]: this.#files[disk] } : {};
      const qemu = OwnedProcess.start(
        "The virtual Pi (QEMU)",
        qemuArguments({
          memoryMiB: this.#memoryMiB,
          cpus: this.#cpus,
          kernel: join(this.#image, "vmlinuz"),
          initrd: join(this.#image, "initrd.img"),
          append: this.#append,
          disks: { sd: this.#files.sd, ...attached("hdd1"), ...attached("hdd2") },
          services: this.#options.services,
          forwards: this.#ports,
          monitorSocket,
          agentSocket: join(this.#sockets, "agent"),
          consoleLog: this.consoleLog,
          pidFile: join(this.folder, "qemu.pid"),
          clock: clock.toISOString().slice(0, 19),
          ...(incoming ? { incoming } : {}),
        }),
        log,
      );
      try {
        const monitor = await qemu.until(
          () => QmpClient.connect(monitorSocket).catch(() => undefined),
          30_000,
        );
        this.#qemu = qemu;
        this.#monitor = monitor;
        this.#agent = new GuestAgent(join(this.#sockets, "agent"));
        this.#watch(qemu, monitor);
        return;
      } catch (error) {
        await qemu.kill();
        const portTaken = /Could not set up host forwarding rule/.test(String(error));
        if (!portTaken || attempt === 5) throw error;
        // The first start may choose again; later ones wait, because the port was given out.
        if (this.#hostKey === "" || incoming) this.#ports = undefined;
        else await sleep(2000);
      }
    }
  }

  /** A guest's reboot ends QEMU: the Pi comes back by itself, as a real one does. */
  #watch(qemu: OwnedProcess, monitor: QmpClient): void {
    let rebooting = false;
    monitor.on("event", ({ event, data }) => {
      if (event === "SHUTDOWN") rebooting = data?.reason === "guest-reset";
    });
    void qemu.ended.then(() => {
      if (this.#qemu !== qemu || this.#stopped) return;
      this.#leave();
      this.#qemu = undefined;
      if (!rebooting) return;
      this.#reboot = this.powerOn().finally(() => {
        this.#reboot = undefined;
      });
      // Who waits for the Pi gets the error; nobody may be waiting.
      this.#reboot.catch(() => {});
    });
  }

  #leave(): void {
    this.#shell?.close();
    this.#shell = undefined;
    this.#agent?.close();
    this.#agent = undefined;
    this.#monitor?.close();
    this.#monitor = undefined;
  }

  async #untilReady(deadlineMs: number, booting: boolean): Promise<void> {
    const qemu = this.#qemu;
    const agent = this.#agent;
    if (!qemu || !agent) throw new Error("The virtual Pi is off.");
    try {
      await qemu.until(() => agent.answers(), deadlineMs);
      if (booting) {
        await qemu.until(
          async () => (await agent.exists("/run/cloud-init/result.json")) || undefined,
          deadlineMs,
        );
        const key = await agent.run(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]);
        this.#hostKey = key.stdout.trim().split(" ").slice(0, 2).join(" ");
      }
      const shell = new SecureShell({
        port: this.sshPort,
        user: this.user,
        privateKeyFile: this.privateKeyFile,
        hostKey: this.#hostKey,
      });
      let refused = "";
      await qemu
        .until(async () => {
          return shell.connection().catch((error: Error) => {
            shell.close();
            refused = error.message;
            return undefined;
          });
        }, deadlineMs)
        .catch((error: Error) => {
          throw new Error(`${error.message}\nSSH said last: ${refused}`);
        });
      this.#shell = shell;
    } catch (error) {
      throw new Error(
        `The virtual Pi did not come up: ${(error as Error).message}\nIts console, "${this.consoleLog}", ends:\n${await this.consoleEnd()}`,
      );
    }
  }

  async #writeMemory(file: string): Promise<void> {
    const monitor = this.#needMonitor();
    // No limit: the machine stands still meanwhile.
    await monitor.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
    await monitor.execute("migrate", { uri: `exec:cat > '${file}'` });
    await this.#migrated("save its memory");
  }

  async #monitorUntilLoaded(): Promise<void> {
    await this.#migrated("load its memory");
  }

  async #migrated(what: string): Promise<void> {
    const monitor = this.#needMonitor();
    const deadline = Date.now() + 120_000;
    for (;;) {
      const { status, "error-desc": why } = await monitor.execute<{
        status?: string;
        "error-desc"?: string;
      }>("query-migrate");
      if (status === "completed") return;
      if (status === "failed" || status === "cancelled" || Date.now() > deadline) {
        throw new Error(`The virtual Pi could not ${what}: ${why ?? status ?? "no answer"}.`);
      }
      await sleep(30);
    }
  }
}

/** A hard link where the file system has them; a plugged disk must not be copied while it changes. */
async function linkOrCopy(from: string, to: string, plugged: boolean): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (plugged) throw error;
    await copyFile(from, to);
  }
}

/**
 * The key pair that every virtual Pi's first boot admits. It opens nothing but virtual machines on
 * loopback, and it is kept, so that the cached first boot stays valid.
 */
export async function rehearsalKey(): Promise<{ privateKeyFile: string; publicKey: string }> {
  const { folder } = await cachedArtifact("ssh-key", "1", async (unfinished) => {
    await execa(
      "ssh-keygen",
      ["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f", join(unfinished, "id_ed25519")],
      { timeout: 30_000 },
    );
  });
  const privateKeyFile = join(folder, "id_ed25519");
  return { privateKeyFile, publicKey: (await readFile(`${privateKeyFile}.pub`, "utf8")).trim() };
}

async function cardImage(packagesPort: number | undefined): Promise<string> {
  if (packagesPort !== undefined) return (await buildPiImage({ port: packagesPort })).folder;
  const cache = await startPackageCache();
  try {
    return (await buildPiImage({ port: cache.port })).folder;
  } finally {
    await cache.stop();
  }
}

/** A folder of this run's own; those of runs that are gone are removed. */
async function runFolder(): Promise<string> {
  const runs = join(cacheFolder(), "..", "run");
  await mkdir(runs, { recursive: true });
  for (const name of await readdir(runs)) {
    const owner = /^pi-(\d+)-/.exec(name)?.[1];
    if (owner && !existsSync(`/proc/${owner}`)) {
      await rm(join(runs, name), { recursive: true, force: true });
    }
  }
  return mkdtemp(join(runs, `pi-${process.pid}-`));
}
