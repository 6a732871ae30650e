import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cachedArtifact } from "../../../rehearsal/pi/artifact-cache.ts";
import { packageStanza } from "../../../rehearsal/pi/package-archive.ts";
import { sourcesFrom, storedName, trixieSourceLines } from "../../../rehearsal/pi/package-cache.ts";
import { lastPartitionOffset, masterBootRecord } from "../../../rehearsal/pi/partition-table.ts";
import { entriesFrom } from "../../../rehearsal/pi/pi-disks.ts";
import { type Machine, qemuArguments } from "../../../rehearsal/pi/qemu-arguments.ts";
import { shellWord } from "../../../rehearsal/pi/secure-shell.ts";

describe("the artifact cache", () => {
  let folder: string;
  const before = process.env.OUCHI_REHEARSAL_CACHE;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "cache-"));
    process.env.OUCHI_REHEARSAL_CACHE = folder;
  });
  afterEach(async () => {
    if (before === undefined) delete process.env.OUCHI_REHEARSAL_CACHE;
    else process.env.OUCHI_REHEARSAL_CACHE = before;
    await rm(folder, { recursive: true });
  });

  it("builds a thing once, also when two ask for it at the same time", async () => {
    let built = 0;
    const build = async (into: string) => {
      built++;
      await writeFile(join(into, "thing"), "");
    };
    const [one, two] = await Promise.all([
      cachedArtifact("thing", "1", build),
      cachedArtifact("thing", "1", build),
    ]);
    expect(built).toBe(1);
    expect(two.folder).toBe(one.folder);
    expect(await readdir(one.folder)).toEqual(["thing"]);
  });

  it("keeps nothing of a build that failed", async () => {
    const failing = cachedArtifact("thing", "1", async (into) => {
      await writeFile(join(into, "half"), "");
      throw new Error("no room");
    });
    await expect(failing).rejects.toThrow("no room");
    expect(await readdir(folder)).toEqual([]);
  });

  it("keeps the three versions that were used last", async () => {
    const hashes = ["1", "2", "3", "4"].map((digit) => digit.repeat(16));
    for (const [index, hash] of hashes.slice(0, 3).entries()) {
      const { folder: version } = await cachedArtifact("thing", hash, async () => {});
      await utimes(version, index, index);
    }
    await cachedArtifact("thing", hashes[0]!, async () => {});
    await cachedArtifact("thing", hashes[3]!, async () => {});
    expect((await readdir(folder)).sort()).toEqual(
      [hashes[0], hashes[2], hashes[3]].map((hash) => `thing-${hash}`),
    );
  });

  it("takes over the lock of a process that is gone", async () => {
    // Beyond the largest process id of Linux.
    await writeFile(join(folder, "thing-1.lock"), "4194305");
    const { cached } = await cachedArtifact("thing", "1", async () => {});
    expect(cached).toBe(false);
  });
});

describe("the package cache", () => {
  it("takes Debian's mirrors from the machine's own sources, and nobody else's", () => {
    const lines = [
      "nodistro https://elsewhere.example/node/",
      "bookworm http://mirror.example/debian/",
      "bookworm-updates http://mirror.example/debian/",
      "bookworm-security https://mirror.example/debian-security/",
    ].join("\n");
    const sources = sourcesFrom(lines);
    expect(sources).toEqual({
      main: "http://mirror.example/debian/",
      security: "https://mirror.example/debian-security/",
    });
    expect(trixieSourceLines(sources!)).toEqual([
      "deb http://mirror.example/debian/ trixie main",
      "deb http://mirror.example/debian/ trixie-updates main",
      "deb http://mirror.example/debian-security/ trixie-security main",
    ]);
    expect(sourcesFrom("nodistro https://elsewhere.example/node/")).toBeUndefined();
  });

  it("keeps every file below its own folder", () => {
    expect(storedName("/debian/pool/main/a/a_1%3a2.deb")).toBe("debian/pool/main/a/a_1%3a2.deb");
    expect(storedName("/../../etc/passwd")).toBe("_/_/etc/passwd");
  });

  it("lists a repacked package by its own fields and the new file's size and sum", () => {
    expect(
      packageStanza("Package: hd-idle\nVersion: 1.21\n", {
        name: "hd-idle_1.21_amd64.deb",
        bytes: 7,
        sha256: "ab",
      }),
    ).toBe(
      "Package: hd-idle\nVersion: 1.21\nFilename: ./hd-idle_1.21_amd64.deb\nSize: 7\nSHA256: ab",
    );
  });
});

describe("the virtual disks", () => {
  const mebibyte = 1024 ** 2;

  it("find the last partition of a table, and none on a disk that is one file system", () => {
    const table = masterBootRecord("0c1da7e5", [
      { offset: 4 * mebibyte, bytes: 64 * mebibyte, type: 0x0c },
      { offset: 68 * mebibyte, bytes: 100 * mebibyte, type: 0x83 },
    ]);
    expect(lastPartitionOffset(table)).toBe(68 * mebibyte);
    const ext4 = Buffer.alloc(4096);
    ext4.writeUInt16LE(0xef53, 1080);
    expect(lastPartitionOffset(ext4)).toBe(0);
    expect(lastPartitionOffset(Buffer.alloc(4096))).toBe(0);
  });

  it("are listed with the names that people give files", () => {
    const listing = [
      "/2/040755/0/0/.//",
      "/2/040755/0/0/..//",
      "/12/040700/1000/1000/2022-02-03//",
      "/13/100644/0/0/IMG_そら 1.jpg/2048/",
      "/14/120777/0/0/latest/4/",
      "/0/000000/0/0/deleted/0/",
    ].join("\n");
    expect(entriesFrom(listing)).toEqual([
      { name: "2022-02-03", kind: "folder", bytes: 0 },
      { name: "IMG_そら 1.jpg", kind: "file", bytes: 2048 },
      { name: "latest", kind: "link", bytes: 4 },
    ]);
  });
});

describe("QEMU's command line", () => {
  const machine: Machine = {
    memoryMiB: 2048,
    cpus: 2,
    kernel: "/k",
    initrd: "/i",
    append: "rootwait",
    disks: { sd: "/sd.qcow2", hdd2: "/two,odd.qcow2" },
    services: { registry: 40001, ntp: 40002 },
    forwards: { ssh: 40003, lan: 40004 },
    monitorSocket: "/m",
    agentSocket: "/a",
    consoleLog: "/c",
    pidFile: "/p",
    clock: "2026-11-23T00:00:00",
  };

  it("lets the Pi reach the rehearsal's services and nothing else", () => {
    const argv = qemuArguments(machine);
    expect(argv[argv.indexOf("-netdev") + 1]).toBe(
      "user,id=net,restrict=on," +
        "hostfwd=tcp:127.0.0.1:40003-10.0.2.15:22,hostfwd=tcp:127.0.0.1:40004-10.0.2.15:2283," +
        "guestfwd=tcp:10.0.2.100:5000-cmd:socat -t 30 - TCP4:127.0.0.1:40001," +
        "guestfwd=tcp:10.0.2.100:1123-cmd:socat -t 30 - TCP4:127.0.0.1:40002",
    );
  });

  it("plugs in only the disks that are there, each at its own place", () => {
    const line = qemuArguments(machine).join("\n");
    expect(line).not.toContain("OUCHI-HDD1");
    expect(line).toContain('"scsi-id":2,"drive":"hdd2-0","serial":"OUCHI-HDD2"');
    expect(line).toContain('"filename":"/two,odd.qcow2"');
  });
});

describe("a command for the Pi's shell", () => {
  it("stays one word, whatever it holds", () => {
    expect(shellWord("it's")).toBe("'it'\\''s'");
    expect(shellWord("/mnt/hdd1")).toBe("/mnt/hdd1");
    expect(shellWord("")).toBe("''");
  });
});
