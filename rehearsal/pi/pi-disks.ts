/** The virtual Pi's disks as files: made, given their boot files, and read from outside. */

import { existsSync } from "node:fs";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { execa } from "execa";
import { lastPartitionOffset } from "./partition-table.ts";
import { cardLayout } from "./pi-image.ts";

const minutes = (count: number) => ({ timeout: count * 60_000, stdin: "ignore" as const });

/** A disk that starts as `backing` is and keeps its own changes. */
export async function createOverlay(file: string, backing: string): Promise<void> {
  await execa(
    "qemu-img",
    ["create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", file],
    minutes(1),
  );
}

export async function createBlankDisk(file: string, bytes: number): Promise<void> {
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", file, String(bytes)], minutes(1));
}

/** Fills the card's boot partition with the files of `folder`, as the card's writer does. */
export async function writeBootPartition(card: string, folder: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "ouchi-boot-"));
  try {
    const image = join(scratch, "boot.vfat");
    await execa(
      "mkfs.vfat",
      ["-C", "-n", "bootfs", "-F", "32", "-s", "1", image, String(cardLayout.boot.bytes / 1024)],
      minutes(1),
    );
    const files = (await readdir(folder)).map((name) => join(folder, name));
    await execa("mcopy", ["-i", image, "-s", "-Q", ...files, "::/"], minutes(1));
    await execa(
      "qemu-io",
      [
        "-f",
        "qcow2",
        "-c",
        `write -q -s ${image} ${cardLayout.boot.offset} ${cardLayout.boot.bytes}`,
        card,
      ],
      minutes(1),
    );
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** The card's cmdline.txt as it stands now, whoever wrote it last; empty when there is none. */
export async function readCommandLine(card: string): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), "ouchi-boot-"));
  try {
    const image = join(scratch, "boot.vfat");
    const block = 1024 ** 2;
    await execa(
      "qemu-img",
      [
        ...["dd", "-U", "-f", "qcow2", "-O", "raw", `bs=${block}`],
        `skip=${cardLayout.boot.offset / block}`,
        `count=${(cardLayout.boot.offset + cardLayout.boot.bytes) / block}`,
        ...[`if=${card}`, `of=${image}`],
      ],
      minutes(1),
    );
    const found = await execa("mtype", ["-i", image, "::/cmdline.txt"], {
      ...minutes(1),
      reject: false,
    });
    return found.exitCode === 0 ? found.stdout : "";
  } finally {
    await rm(scratch, { recursive: true });
  }
}

export interface OfflineEntry {
  name: string;
  kind: "file" | "folder" | "link" | "other";
  bytes: number;
}

/** What lies at a path of a disk that no machine has in use. */
export type OfflineView =
  | { kind: "missing" }
  | { kind: "folder"; entries: OfflineEntry[] }
  | { kind: "file"; bytes: Buffer };

/**
 * A disk's ext4 file system, from outside: a copy is made and its journal is replayed, as a mount
 * would, so that what the guest had flushed is seen. Close it to remove the copy.
 */
export class OfflineDisk {
  readonly #scratch: string;
  readonly #image: string;

  private constructor(scratch: string, image: string) {
    this.#scratch = scratch;
    this.#image = image;
  }

  static async open(qcow2: string): Promise<OfflineDisk> {
    const scratch = await mkdtemp(join(tmpdir(), `ouchi-offline-${basename(qcow2)}-`));
    try {
      const raw = join(scratch, "disk.raw");
      await execa(
        "qemu-img",
        ["convert", "-U", "-f", "qcow2", "-O", "raw", qcow2, raw],
        minutes(5),
      );
      const image = `${raw}?offset=${await fileSystemOffset(raw)}`;
      await execa("e2fsck", ["-y", "-E", "journal_only", image], { ...minutes(5), reject: false });
      return new OfflineDisk(scratch, image);
    } catch (error) {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  async read(path: string): Promise<OfflineView> {
    const wanted = path === "" ? "/" : path;
    const kind = await this.#kind(wanted);
    if (kind === undefined) return { kind: "missing" };
    if (kind === "folder") return { kind: "folder", entries: await this.#list(wanted) };
    const out = join(this.#scratch, "dumped");
    await rm(out, { force: true });
    await this.#debugfs(`dump ${quoted(wanted)} ${out}`);
    const file = await open(out).catch(() => undefined);
    if (!file) return { kind: "missing" };
    try {
      return { kind: "file", bytes: await file.readFile() };
    } finally {
      await file.close();
    }
  }

  /** Every file below a folder, as paths; the folder itself when it is a file. */
  async files(path: string): Promise<string[]> {
    const view = await this.read(path);
    if (view.kind === "missing") return [];
    if (view.kind === "file") return [path];
    const found: string[] = [];
    for (const entry of view.entries) {
      const below = `${path.replace(/\/$/, "")}/${entry.name}`;
      if (entry.kind === "folder") found.push(...(await this.files(below)));
      else found.push(below);
    }
    return found;
  }

  async close(): Promise<void> {
    if (existsSync(this.#scratch)) await rm(this.#scratch, { recursive: true });
  }

  async #kind(path: string): Promise<OfflineEntry["kind"] | undefined> {
    const stat = await this.#debugfs(`stat ${quoted(path)}`);
    const type = /Type:\s+(\S+)/.exec(stat)?.[1];
    if (type === undefined) return undefined;
    if (type === "directory") return "folder";
    if (type === "regular") return "file";
    return type === "symlink" ? "link" : "other";
  }

  async #list(path: string): Promise<OfflineEntry[]> {
    return entriesFrom(await this.#debugfs(`ls -p ${quoted(path)}`));
  }

  async #debugfs(request: string): Promise<string> {
    const { stdout } = await execa("debugfs", ["-R", request, this.#image], minutes(2));
    return stdout;
  }
}

/** Reads `debugfs ls -p`: /inode/mode/uid/gid/name/bytes/ a line. */
export function entriesFrom(listing: string): OfflineEntry[] {
  const kinds: Record<string, OfflineEntry["kind"]> = {
    "04": "folder",
    "10": "file",
    "12": "link",
  };
  const entries: OfflineEntry[] = [];
  for (const line of listing.split("\n")) {
    const match = /^\/(\d+)\/(\d+)\/\d+\/\d+\/(.+)\/(\d*)\/$/.exec(line);
    if (!match || match[1] === "0") continue;
    const [, , mode = "", name = "", bytes = ""] = match;
    if (name === "." || name === "..") continue;
    entries.push({ name, kind: kinds[mode.slice(0, 2)] ?? "other", bytes: Number(bytes || 0) });
  }
  return entries;
}

function quoted(path: string): string {
  return `"${path.replaceAll('"', '\\"')}"`;
}

/** Where the ext4 file system begins: on the whole disk, or on its last partition. */
async function fileSystemOffset(raw: string): Promise<number> {
  const file = await open(raw);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(65536), 0, 65536, 0);
    return lastPartitionOffset(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
