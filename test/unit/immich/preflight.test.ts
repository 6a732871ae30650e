import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Disks, evaluate } from "../../../immich/preflight/evaluate.ts";
import {
  type BlockDevice,
  type Facts,
  type ForeignDocker,
  lookCommand,
  NoLook,
  parseFacts,
} from "../../../immich/preflight/facts.ts";

const now = Date.parse("2026-11-23T00:00:00Z") / 1000;
const uuid = "0a1b2c3d-1111-2222-3333-444455556666";

const device = (path: string, values: Partial<BlockDevice> = {}): BlockDevice => ({
  path,
  type: "disk",
  sizeBytes: 1e12,
  mountPoints: [],
  children: [],
  ...values,
});
const partition = (path: string, values: Partial<BlockDevice> = {}) =>
  device(path, { type: "part", ...values });

const card = device("/dev/mmcblk0", {
  sizeBytes: 64e9,
  children: [partition("/dev/mmcblk0p2", { fileSystem: "ext4", mountPoints: ["/"] })],
});

const healthy = (values: Partial<Facts> = {}): Facts => ({
  architecture: "arm64",
  os: { id: "debian", version: 13, name: "Debian GNU/Linux 13 (trixie)" },
  hasPython: true,
  hasSudo: true,
  hasMemoryCgroup: true,
  kernelLine: "/boot/firmware/cmdline.txt",
  memoryBytes: 8e9,
  throttled: 0,
  usbResets: 0,
  bridges: [],
  clock: now,
  rootFreeBytes: 40e9,
  rootDevice: "/dev/mmcblk0p2",
  disks: [card, device("/dev/sda"), device("/dev/sdb")],
  links: [
    { device: "/dev/mmcblk0", link: "/dev/disk/by-id/mmc-CARD" },
    { device: "/dev/sda", link: "/dev/disk/by-id/usb-ONE" },
    { device: "/dev/sdb", link: "/dev/disk/by-id/usb-TWO" },
  ],
  contents: {},
  hasRoute: true,
  hasConnector: false,
  schedules: [],
  macAddress: "dc:a6:32:00:00:01",
  addresses: ["192.168.11.14"],
  problems: [],
  formatting: [],
  ...values,
});

const disks: Disks = {
  main: { id: "usb-ONE", allowFormat: true },
  backup: { id: "usb-TWO", allowFormat: true },
};
const immich = {
  server: "ghcr.io/immich-app/immich-server:v3.2.4",
  postgres: "ghcr.io/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0",
  admin: "admin@yamada.jp",
  hasExistingAdmin: false,
};
const judge = (facts: Partial<Facts>, wanted: Disks = disks) =>
  evaluate(healthy(facts), { disks: wanted, machineLearning: false, immich }, now).failures;
const withMain = (main: Partial<BlockDevice>, contents: Facts["contents"] = {}) => ({
  disks: [card, device("/dev/sda", main), device("/dev/sdb")],
  contents,
});

describe("a Pi that is fit", () => {
  it("passes with two blank disks that may be formatted", () => {
    expect(evaluate(healthy(), { disks, machineLearning: true, immich }, now)).toEqual({
      failures: [],
      warnings: [],
      notices: [
        `"up" formats the main disk, which is blank: usb-ONE (931 GiB, /dev/sda).`,
        `"up" formats the backup disk, which is blank: usb-TWO (931 GiB, /dev/sdb).`,
      ],
    });
  });

  it("announces that a format which was cut goes on, and nothing where it could not look", () => {
    const look = (facts: Partial<Facts>) =>
      evaluate(healthy(facts), { disks, machineLearning: false, immich }, now).notices;
    expect(look({ formatting: ["usb-ONE"] })[0]).toBe(
      `"up" formats the main disk, which it began before: usb-ONE (931 GiB, /dev/sda).`,
    );
    expect(look({ hasSudo: false })).toEqual([]);
  });

  it("passes with disks that the kit has formatted, whatever allowFormat says", () => {
    const ours = (path: string, label: string) => device(path, { fileSystem: "ext4", label });
    expect(
      judge(
        { disks: [card, ours("/dev/sda", "ouchi-hdd1"), ours("/dev/sdb", "ouchi-hdd2")] },
        { main: { id: "usb-ONE" }, backup: { id: "usb-TWO" } },
      ),
    ).toEqual([]);
  });

  it("passes with a disk that was made by hand and is to be taken over", () => {
    const facts = withMain({
      partitionTable: "gpt",
      children: [partition("/dev/sda1", { fileSystem: "ext4", uuid })],
    });
    expect(judge(facts, { ...disks, main: { uuid, adopt: true } })).toEqual([]);
  });
});

describe("a Pi that is not fit", () => {
  it("is told everything at once, each with its setting", () => {
    const failures = judge({
      architecture: "armhf",
      os: { id: "raspbian", version: 11, name: "Raspbian GNU/Linux 11 (bullseye)" },
      hasSudo: false,
      hasMemoryCgroup: false,
      kernelLine: "",
      hasPython: false,
      rootFreeBytes: 1000,
      disks: [card],
    });
    expect(failures.map(({ property }) => property)).toEqual([
      "pi.host",
      "pi.host",
      "pi.user",
      "pi.host",
      "pi.host",
      "pi.host",
      "disks.main",
      "disks.backup",
    ]);
  });

  it.each([
    [
      "a 32-bit userland",
      { architecture: "armhf" },
      'The Pi runs a 32-bit system ("armhf"), and Immich needs a 64-bit one: write "Raspberry Pi OS Lite (64-bit)" to the SD card.',
    ],
    ["sudo that asks", { hasSudo: false }, 'The Pi asks for a password at "sudo"'],
    [
      "no memory cgroup",
      { hasMemoryCgroup: false, kernelLine: "" },
      'add "cgroup_enable=memory" to its kernel\'s command line',
    ],
  ])("names %s", (_, facts, reason) => {
    const failures = judge(facts);
    expect(failures).toHaveLength(1);
    expect(failures[0]!.reason).toContain(reason);
  });

  it("only warns of a clock that is not set: a Pi has no clock of its own", () => {
    const { failures, warnings } = evaluate(
      healthy({ clock: 0 }),
      { disks, machineLearning: true, immich },
      now,
    );
    expect(failures).toEqual([]);
    expect(warnings).toEqual([
      "The Pi's clock says 1970-01-01T00:00Z: it is not set, and certificates may be refused until it is.",
    ]);
  });
});

describe("a Pi that will not last", () => {
  const warned = (facts: Partial<Facts>) =>
    evaluate(healthy(facts), { disks, machineLearning: false, immich }, now).warnings;

  it.each([
    [0x1, /^The Pi has too little voltage.*a USB hub with a supply of its own/],
    [0x50000, /^The Pi has had too little voltage/],
    [0x50005, /^The Pi has too little voltage/],
    [0x80000, undefined],
    [0x4, /^The Pi is slowed down by heat/],
    [0x40000, /^The Pi was slowed down by heat/],
  ])("is named with the cure by the firmware's bits 0x%x (row 49)", (throttled, warning) => {
    const [first] = warned({ throttled });
    if (warning) expect(first).toMatch(warning);
    else expect(first).toBeUndefined();
  });

  it("is named with its disks' bridges when the USB is reset again and again (row 49)", () => {
    expect(warned({ usbResets: 3, bridges: ["152d:0578"] })).toEqual([]);
    expect(warned({ usbResets: 4, bridges: ["152d:0578"] })).toEqual([
      expect.stringMatching(/ 4 times .* set disks\.withoutUas .* \(here: \[152d:0578\]\)/),
    ]);
  });

  it.each([
    [0.84, undefined],
    [0.86, /^The photos' disk is 86 % full, with 130 GiB left: empty Immich's trash/],
    [0.96, /96 % full.*, and soon the phones' uploads and the database will stop:/],
    [1, /100 % full, with 0 bytes left/],
  ])("is told how full its photos' disk is, at %d", (used, warning) => {
    const sizeBytes = 1e12;
    const mainDisk = { sizeBytes, freeBytes: Math.round(sizeBytes * (1 - used)) };
    const [first] = warned({ mainDisk });
    if (warning) expect(first).toMatch(warning);
    else expect(first).toBeUndefined();
  });

  it("is told what the Pi itself sees, and nothing twice", () => {
    const problem = (key: string) => ({ key, what: `${key} is.`, safe: "Photos.", todo: "Look." });
    expect(warned({ problems: [problem("main-full"), problem("backup-failed")] })).toEqual([
      "backup-failed is. Photos. Look.",
    ]);
  });

  it("is told that it restarts once where its memory cgroup is off", () => {
    expect(warned({ hasMemoryCgroup: false })).toEqual([
      expect.stringContaining('"up" switches it on in /boot/firmware/cmdline.txt'),
    ]);
  });

  it("is too small for machine learning, and not without it", () => {
    const small = healthy({ memoryBytes: 4e9 });
    const judged = (machineLearning: boolean) =>
      evaluate(small, { disks, machineLearning, immich }, now).failures;
    expect(judged(false)).toEqual([]);
    expect(judged(true)).toEqual([
      { property: "machineLearning", reason: expect.stringContaining("set machineLearning to") },
    ]);
    expect(
      evaluate(healthy({ memoryBytes: 6.2e9 }), { disks, machineLearning: true, immich }, now)
        .failures,
    ).toEqual([]);
  });
});

describe("a disk", () => {
  const reasons = (facts: Partial<Facts>, wanted: Disks = disks) =>
    judge(facts, wanted).map(({ property, reason }) => `${property}: ${reason}`);

  it("that is missing is answered by what there is", () => {
    expect(reasons({}, { ...disks, main: { id: "usb-GONE" } })).toEqual([
      'disks.main: The Pi has no disk "usb-GONE": is it plugged in and switched on? Set disks.main to what one of these is called:\n  usb-ONE (931 GiB, /dev/sda)\n  usb-TWO (931 GiB, /dev/sdb)',
    ]);
  });

  it("that is blank is not formatted without leave", () => {
    expect(reasons({}, { ...disks, main: { id: "usb-ONE" } })).toEqual([
      'disks.main: "usb-ONE" is blank (usb-ONE (931 GiB, /dev/sda)): add "usb-ONE" to disks.allowFormat, and the kit formats it.',
    ]);
  });

  it.each<[string, Partial<BlockDevice>, string]>([
    [
      "an NTFS",
      { fileSystem: "ntfs", label: "Photos" },
      '/dev/sda has a ntfs file system labelled "Photos"',
    ],
    ["a partition table only", { partitionTable: "dos" }, "/dev/sda has a partition table (dos)"],
    [
      "what is mounted, whatever it is",
      { mountPoints: ["/mnt/usb"] },
      "/dev/sda is mounted at /mnt/usb",
    ],
    [
      "XFS that is mounted",
      { fileSystem: "xfs", mountPoints: ["/mnt/usb"] },
      "/dev/sda has a xfs file system and is mounted at /mnt/usb",
    ],
    [
      "LVM in a partition",
      { children: [partition("/dev/sda1", { fileSystem: "LVM2_member" })] },
      "/dev/sda1 has a LVM2_member file system",
    ],
    [
      "a partition of nothing known",
      { children: [partition("/dev/sda1")] },
      "/dev/sda1 is a partition on it",
    ],
  ])("with %s is left alone, even where formatting is allowed", (_, main, seen) => {
    expect(reasons(withMain(main))).toEqual([
      `disks.main: "usb-ONE" holds something that is not the kit's, so it is left alone: ${seen}. To use it empty, save what you need and blank it on the Pi by hand; the kit never formats over data.`,
    ]);
  });

  it("with someone's ext4 is left alone, and the way to take it over is told", () => {
    expect(reasons(withMain({ fileSystem: "ext4", uuid }))[0]).toContain(
      `To take it over with all that is on it, write {uuid: "${uuid}", adopt: true}.`,
    );
  });

  it.each([
    ["bytes", { nonZeroBytes: 3, signatures: [] }, "its ends are not zeros"],
    ["a signature", { nonZeroBytes: 3, signatures: ["zfs_member"] }, "signs of zfs_member"],
  ])("that shows nothing but has %s is left alone", (_, content, seen) => {
    expect(reasons(withMain({}, { "/dev/sda": content }))[0]).toContain(seen);
  });

  it("whose format by the kit was cut is formatted again, and no other", () => {
    const facts = withMain({}, { "/dev/sda": { nonZeroBytes: 3, signatures: ["ext4"] } });
    expect(reasons({ ...facts, formatting: ["usb-ONE"] })).toEqual([]);
    expect(reasons({ ...facts, formatting: ["usb-TWO"] })).toHaveLength(1);
    const another = withMain({ fileSystem: "xfs", uuid });
    expect(reasons({ ...another, formatting: ["usb-ONE"] })).toHaveLength(1);
  });

  it("of the kit in the other's place is not used", () => {
    const failures = reasons(withMain({ fileSystem: "ext4", label: "ouchi-hdd2" }));
    expect(failures).toEqual([
      'disks.main: "usb-ONE" is the kit\'s backup disk (its file system is labelled "ouchi-hdd2"), not the main disk: exchange disks.main and disks.backup.',
    ]);
  });

  it("that the Pi started from is refused", () => {
    expect(reasons({}, { ...disks, main: { id: "mmc-CARD", allowFormat: true } })).toEqual([
      'disks.main: "mmc-CARD" is the disk that the Pi started from (/dev/mmcblk0): name another.',
    ]);
  });

  it("cannot be both", () => {
    const links = [
      ...healthy().links,
      { device: "/dev/sda", link: "/dev/disk/by-path/platform-usb-1" },
    ];
    expect(
      reasons({ links }, { ...disks, backup: { id: "platform-usb-1", allowFormat: true } }),
    ).toEqual([
      "disks.backup: disks.main and disks.backup both lead to usb-ONE or platform-usb-1 (931 GiB, /dev/sda): a backup needs a disk of its own.",
    ]);
  });

  it("whose name two disks have is refused, with what tells them apart", () => {
    const same = { serial: "DB98765432", model: "TWO-BAY STAND" };
    const facts = {
      disks: [card, device("/dev/sda", same), device("/dev/sdb", same)],
      links: [
        { device: "/dev/sda", link: "/dev/disk/by-id/usb-STAND-0:0" },
        { device: "/dev/sdb", link: "/dev/disk/by-id/usb-STAND-0:0" },
        { device: "/dev/sda", link: "/dev/disk/by-path/usb-0:2:1.0-scsi-0:0:0:0" },
        { device: "/dev/sdb", link: "/dev/disk/by-path/usb-0:2:1.0-scsi-0:0:0:1" },
      ],
    };
    const wanted = {
      main: { id: "usb-STAND-0:0", allowFormat: true },
      backup: { id: "usb-0:2:1.0-scsi-0:0:0:1", allowFormat: true },
    };
    expect(reasons(facts, wanted)).toEqual([
      'disks.main: "usb-STAND-0:0" is the name of 2 disks on the Pi, so it does not tell which is meant (two disks in one USB stand may report the same serial). Set disks.main to a name that only one of them has:\n  usb-0:2:1.0-scsi-0:0:0:0 (TWO-BAY STAND, serial DB98765432, 931 GiB, /dev/sda)\n  usb-0:2:1.0-scsi-0:0:0:1 (TWO-BAY STAND, serial DB98765432, 931 GiB, /dev/sdb)',
    ]);
  });

  it("named by a copied UUID is refused too", () => {
    const copy = { fileSystem: "ext4", uuid };
    const facts = { disks: [card, device("/dev/sda", copy), device("/dev/sdb", copy)] };
    expect(reasons(facts, { ...disks, main: { uuid, adopt: true } })[0]).toContain(
      "is the name of 2 disks",
    );
  });

  it("that is to be taken over must be ext4, and must be meant", () => {
    const other = withMain({ fileSystem: "btrfs", uuid });
    expect(reasons(other, { ...disks, main: { uuid, adopt: true } })[0]).toContain(
      "is btrfs, and only ext4 can be taken over",
    );
    const unmeant = withMain({ fileSystem: "ext4", uuid });
    expect(reasons(unmeant, { ...disks, main: { uuid } })[0]).toContain("adopt: true");
  });

  it("is named whole, not by a partition of it", () => {
    const links = [
      ...healthy().links,
      { device: "/dev/sda1", link: "/dev/disk/by-id/usb-ONE-part1" },
    ];
    const facts = {
      ...withMain({ children: [partition("/dev/sda1", { fileSystem: "ext4" })] }),
      links,
    };
    expect(reasons(facts, { ...disks, main: { id: "usb-ONE-part1" } })[0]).toContain(
      'name the whole disk, without "-part" at the end',
    );
  });
});

/** What facts.sh prints at the least on a Debian, with more sections. */
const printed = (more: string) => `@look
@architecture
arm64
@os
ID=debian
VERSION_ID="13"
@memory
8.2e+09
@clock
1795877006
@rootFree
40000000000
@route
[]
@addresses
[]
@rootDevice
/dev/mmcblk0p2
@blockDevices
{"blockdevices": []}
${more.trimEnd()}
@looked
`;

describe("facts.sh's output", () => {
  it("is nothing at all unless it is whole, from its first mark to its last", () => {
    const whole = printed("@contents");
    expect(parseFacts(`Welcome!\n@os\n${whole}Bye!\n`)).toMatchObject({
      architecture: "arm64",
      memoryBytes: 8.2e9,
      disks: [],
    });
    for (let length = 0; length < whole.trimEnd().length; length++) {
      expect(() => parseFacts(whole.slice(0, length))).toThrow(NoLook);
    }
    for (const length of [1, 6, 20]) expect(() => parseFacts(whole.slice(length))).toThrow(NoLook);
  });

  it.each([
    "architecture",
    "os",
    "memory",
    "clock",
    "rootFree",
    "route",
    "addresses",
    "rootDevice",
    "blockDevices",
  ])("is no look where it says nothing of %s, and no Pi without it", (name) => {
    const silent = printed("").replace(new RegExp(`^(@${name})\\n[^@]*`, "m"), "$1\n");
    expect(() => parseFacts(silent)).toThrow(/^it told nothing of (its|the|what|its) /);
  });

  it("of another system than Debian says that alone", () => {
    const facts = parseFacts('@look\n@os\nID=fedora\nPRETTY_NAME="Fedora Linux 43"\n@looked\n');
    expect(judge(facts)[0]?.reason).toMatch(
      /^The Pi runs Fedora Linux 43, and the kit knows Debian 13/,
    );
    expect(JSON.stringify(judge(facts))).not.toContain("32-bit");
  });

  it("has names of disks only, none of the folders that newer udev keeps beside them", () => {
    const facts = parseFacts(
      printed(`@links
/dev/sda /dev/disk/by-id/usb-ONE
/dev/sda1 /dev/disk/by-path/usb-0:1-part/by-label/rootfs
@targets
/dev/sda /dev/disk/by-id/usb-ONE
@contents
/dev/sda 12 vfat,dos,
/dev/sdb 0 
`),
    );
    expect(facts.links).toEqual([{ device: "/dev/sda", link: "/dev/disk/by-id/usb-ONE" }]);
    expect(facts.contents).toEqual({
      "/dev/sda": { nonZeroBytes: 12, signatures: ["vfat", "dos"] },
      "/dev/sdb": { nonZeroBytes: 0, signatures: [] },
    });
  });
});

describe("facts.sh", () => {
  it("runs on this machine and its output is understood", () => {
    const script = fileURLToPath(new URL("../../../immich/preflight/facts.sh", import.meta.url));
    const input = readFileSync(script);
    const facts = parseFacts(execFileSync("sh", ["-c", lookCommand], { input, encoding: "utf8" }));
    expect(facts.architecture).toMatch(/^[a-z0-9]+$/);
    expect(facts.os.id).not.toBe("");
    expect(Math.abs(facts.clock - Date.now() / 1000)).toBeLessThan(3600);
    expect(facts.rootFreeBytes).toBeGreaterThan(0);
  });
});

describe("an Immich that was set up by hand", () => {
  const container = (name: string, sources: string[] = [], values: object = {}) => ({
    name,
    running: true,
    image: `ghcr.io/${name}:release`,
    project: "immich",
    folder: "/home/pi/immich-app",
    sources,
    ...values,
  });
  const server = container("immich_server", ["/mnt/hdd1/immich/images"]);
  const postgres = container("immich_postgres", ["/mnt/hdd1/immich/postgres"]);
  const docker = (values: Partial<ForeignDocker> = {}): ForeignDocker => ({
    containers: [server, postgres, container("immich_redis")],
    environment: { IMMICH_VERSION: "release" },
    immichVersion: "3.2.4",
    admins: ["ken@yamada.jp"],
    ...values,
  });
  const judgeIt = (facts: Partial<Facts>, wanted: object = {}) =>
    evaluate(
      healthy(facts),
      {
        disks,
        machineLearning: false,
        immich: { ...immich, hasExistingAdmin: true, ...wanted },
      },
      now,
    );
  const refusals = (facts: Partial<Facts>, wanted: object = {}) =>
    judgeIt(facts, wanted).failures.map(({ property, reason }) => `${property}: ${reason}`);

  it("is taken over at its own version, and that is said", () => {
    const { failures, warnings } = judgeIt({ docker: docker(), postgresMajor: 14 });
    expect(failures).toEqual([]);
    expect(warnings).toEqual([
      expect.stringContaining(
        "in /home/pi/immich-app (3.2.4) is taken over: its database is dumped, its containers (immich_server, immich_postgres, immich_redis) are stopped",
      ),
    ]);
  });

  it("is upgraded only when the stack file names its version", () => {
    const older = { docker: docker({ immichVersion: "2.7.5" }) };
    expect(refusals(older)).toEqual([
      expect.stringMatching(/^upgradeFrom: .*version 2\.7\.5.*set upgradeFrom: "2\.7\.5"/),
    ]);
    expect(refusals(older, { upgradeFrom: "2.7.4" })).toHaveLength(1);
    expect(refusals(older, { upgradeFrom: "2.7.5" })).toEqual([]);
  });

  it.each([
    ["newer than the lock file's", "3.2.5", /^imagesLock: .*Immich cannot go back, so put 3\.2\.5/],
    ["of a skipped major", "1.137.0", /^imagesLock: .*bring it to a version 2\.x by itself first/],
  ])("is refused when it is %s", (_, immichVersion, reason) => {
    expect(refusals({ docker: docker({ immichVersion }) }, { upgradeFrom: immichVersion })).toEqual(
      [expect.stringMatching(reason)],
    );
  });

  it("tells its version by its .env where the database does not", () => {
    const told = docker({ environment: { IMMICH_VERSION: "v2.7.5" } });
    delete told.immichVersion;
    expect(refusals({ docker: told })).toEqual([expect.stringContaining("is version 2.7.5")]);
  });

  it("wants its administrator, once, unless that is the kit's own account", () => {
    const without = { hasExistingAdmin: false };
    expect(refusals({ docker: docker() }, without)).toEqual([
      expect.stringMatching(
        /^immichAdminEmail: .*administrator ken@yamada\.jp.*immichAdminPassword/,
      ),
    ]);
    expect(refusals({ docker: docker({ admins: [immich.admin] }) }, without)).toEqual([]);
  });

  it("is refused while its running database says nothing: that is no Immich without accounts", () => {
    const silent = docker({ admins: [], isSilent: true });
    delete silent.immichVersion;
    expect(refusals({ docker: silent }, { hasExistingAdmin: false })).toEqual([
      expect.stringMatching(/^pi\.host: .*database that does not answer, so neither its version/),
    ]);
    // One that was stopped is started and dumped by the Pi itself.
    const stopped = { ...silent, containers: [server, { ...postgres, running: false }] };
    expect(refusals({ docker: stopped })).toEqual([]);
  });

  it("is refused where its folders, its database's names or its PostgreSQL are others", () => {
    const onTheCard = container("immich_server", ["/home/pi/immich-app/library"]);
    expect(refusals({ docker: docker({ containers: [onTheCard, postgres] }) })).toEqual([
      expect.stringMatching(/^disks\.main: .*correct UPLOAD_LOCATION and DB_DATA_LOCATION/),
    ]);
    expect(refusals({ docker: docker({ environment: { DB_USERNAME: "ken" } }) })).toEqual([
      expect.stringContaining("has DB_USERNAME=ken in its .env, and the kit knows postgres only"),
    ]);
    expect(refusals({ docker: docker(), postgresMajor: 16 })).toEqual([
      expect.stringMatching(/^imagesLock: .*made by PostgreSQL 16, and the lock file asks for 14/),
    ]);
  });

  it("is not taken over beside other containers, which would be gone", () => {
    const pihole = container("pihole", ["/srv/pihole"], { project: undefined });
    const containers = [server, postgres, pihole];
    expect(refusals({ docker: docker({ containers }) })).toEqual([
      expect.stringContaining("Other containers run on the Pi (pihole)"),
    ]);
    const stopped = [server, postgres, { ...pihole, running: false }];
    expect(refusals({ docker: docker({ containers: stopped }) })).toEqual([]);
  });

  it("leaves a connector and a Borg of its own, which are named until they are gone", () => {
    const { failures, warnings } = judgeIt({
      hasConnector: true,
      schedules: ["/var/spool/cron/crontabs/root:0 1 * * 6 /immich-borg.sh"],
    });
    expect(failures).toEqual([]);
    expect(warnings).toEqual([
      expect.stringContaining('by "sudo cloudflared service uninstall"'),
      expect.stringMatching(/crontabs\/root: "0 1 \* \* 6 \/immich-borg\.sh"\).*Its archives stay/),
    ]);
  });

  it("is read as facts.sh prints it, without an environment", () => {
    const labels = {
      "com.docker.compose.project": "immich",
      "com.docker.compose.project.working_dir": "/home/pi/immich-app",
    };
    const mounts = [{ Type: "bind", Source: "/mnt/hdd1/immich/postgres" }];
    const facts = parseFacts(
      printed(
        [
          "@containers",
          JSON.stringify(["/immich_postgres", true, "ghcr.io/postgres:14", labels, mounts]),
          JSON.stringify(["/pihole", false, "pihole", null, null]),
          "@environment",
          'IMMICH_VERSION="v2.7.5"',
          "@database",
          "answers",
          "version v2.7.5",
          "admin ken@yamada.jp",
          "@postgres",
          "14",
          "@connector",
          "active",
        ].join("\n"),
      ),
    );
    expect(facts).toMatchObject({
      docker: {
        containers: [
          {
            name: "immich_postgres",
            running: true,
            project: "immich",
            folder: "/home/pi/immich-app",
            sources: ["/mnt/hdd1/immich/postgres"],
          },
          { name: "pihole", running: false, sources: [] },
        ],
        environment: { IMMICH_VERSION: "v2.7.5" },
        immichVersion: "2.7.5",
        admins: ["ken@yamada.jp"],
      },
      postgresMajor: 14,
      hasConnector: true,
      schedules: [],
    });
  });
});

it("names a Pi without a way to the internet", () => {
  expect(judge({ hasRoute: false })).toEqual([
    { property: "pi.host", reason: expect.stringContaining("plug its cable into the router") },
  ]);
});
