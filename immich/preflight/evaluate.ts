/** Judges what was seen on the Pi: pure, so that every refusal is a test. */
import type { CheckFailure } from "../resource-kind.ts";
import type { BlockDevice, Facts } from "./facts.ts";
import { judgeHandmade, type WantedImmich } from "./handmade.ts";

export interface Identity {
  /** A name in /dev/disk/by-id or by-path. */
  id?: string;
  /** UUID of a file system. */
  uuid?: string;
  allowFormat?: boolean;
  adopt?: boolean;
}

export interface Disks {
  main: Identity;
  backup: Identity;
}

type Role = keyof Disks;

/** The labels that the kit gives the file systems it makes: a disk that carries one is ours. */
export const labels: Record<Role, string> = { main: "ouchi-hdd1", backup: "ouchi-hdd2" };
const roles: Role[] = ["main", "backup"];

const gibibyte = 2 ** 30;
const leastRootFree = gibibyte / 2;
const wishedRootFree = 2 * gibibyte;
/** Bytes. What "8 GB" is after the firmware took its part, and a 6 GB one hardly passes. */
const leastForMachineLearning = 5.5 * gibibyte;
const fullness = { early: 0.85, late: 0.95 };
/** What the Pi's own health says, too. */
const seenHere = ["main-filling", "main-full", "card-full"];
/** A disk that is plugged in and out may cost a few. */
const fewResets = 3;
/** The first with Docker's client and Compose as packages of its own. */
const oldestDebian = 13;
/** More than any time zone mistake, less than a clock that never was set. */
const clockTolerance = 26 * 60 * 60;

export interface Wanted {
  disks: Disks;
  /** Whether it runs on the Pi. */
  machineLearning: boolean;
  immich: WantedImmich;
}

export interface Verdict {
  failures: CheckFailure[];
  warnings: string[];
  /** What `up` does that nobody can take back. */
  notices: string[];
}

export function evaluate(
  facts: Facts,
  { disks, machineLearning, immich }: Wanted,
  laptopClock: number,
): Verdict {
  const failures: CheckFailure[] = [];
  const warnings: string[] = [];
  const notices: string[] = [];
  const fail = (property: string, reason: string) => failures.push({ property, reason });
  const notify = (notice: string) => notices.push(notice);

  // Only a Debian tells of it.
  if (facts.architecture && facts.architecture !== "arm64" && facts.architecture !== "amd64") {
    fail(
      "pi.host",
      `The Pi runs a 32-bit system ("${facts.architecture}"), and Immich needs a 64-bit one: write "Raspberry Pi OS Lite (64-bit)" to the SD card.`,
    );
  }
  if (!["debian", "raspbian"].includes(facts.os.id) || !(facts.os.version >= oldestDebian)) {
    fail(
      "pi.host",
      `The Pi runs ${facts.os.name}, and the kit knows Debian ${oldestDebian} and newer: write a current "Raspberry Pi OS Lite (64-bit)" to the SD card.`,
    );
  }
  if (!facts.hasSudo) {
    fail(
      "pi.user",
      `The Pi asks for a password at "sudo": prepare the SD card by "cli/ouchi sdcard", or allow it on the Pi by: echo "$USER ALL=(ALL) NOPASSWD: ALL" | sudo tee /etc/sudoers.d/010-ouchi-photos`,
    );
  }
  if (!facts.hasMemoryCgroup && facts.kernelLine) {
    warnings.push(
      `The Pi runs without its memory cgroup, so containers could take all its memory: "up" switches it on in ${facts.kernelLine}, and the Pi restarts once.`,
    );
  } else if (!facts.hasMemoryCgroup) {
    fail(
      "pi.host",
      `The machine runs without its memory cgroup, so containers could not be kept from taking all its memory: add "cgroup_enable=memory" to its kernel's command line and restart it.`,
    );
  }
  if (machineLearning && facts.memoryBytes < leastForMachineLearning) {
    fail(
      "machineLearning",
      `The Pi has ${size(facts.memoryBytes)} of memory, and recognising faces and contents beside the rest wants 6 GB: set machineLearning to off.`,
    );
  }
  if (!facts.hasPython) {
    fail("pi.host", `The Pi has no python3: install it there by "sudo apt-get install python3".`);
  }
  if (facts.rootFreeBytes < leastRootFree) {
    fail(
      "pi.host",
      `The Pi's SD card has ${size(facts.rootFreeBytes)} left, and ${size(leastRootFree)} are the least: free some, for example by "sudo apt-get clean".`,
    );
  } else if (facts.rootFreeBytes < wishedRootFree) {
    warnings.push(`The Pi's SD card has only ${size(facts.rootFreeBytes)} left.`);
  }
  if (Math.abs(facts.clock - laptopClock) > clockTolerance) {
    warnings.push(
      `The Pi's clock says ${new Date(facts.clock * 1000).toISOString().slice(0, 16)}Z: it is not set, and certificates may be refused until it is.`,
    );
  }

  if (!facts.hasRoute) {
    fail(
      "pi.host",
      "The Pi has no way to the internet (no default route): plug its cable into the router, and have the router give it an address.",
    );
  }

  warnings.push(...fullnessWarning(facts), ...powerWarnings(facts));
  warnings.push(
    ...facts.problems
      .filter(({ key }) => !seenHere.includes(key))
      .map(({ what, safe, todo }) => `${what} ${safe} ${todo}`),
  );

  const handmade = judgeHandmade(facts, immich);
  failures.push(...handmade.failures);
  warnings.push(...handmade.warnings);

  const found = Object.fromEntries(
    roles.map((role) => [role, judgeDisk(facts, role, disks[role], fail, notify)]),
  ) as Record<Role, BlockDevice | undefined>;
  if (found.main && found.main === found.backup) {
    fail(
      "disks.backup",
      `disks.main and disks.backup both lead to ${describe(found.main, facts)}: a backup needs a disk of its own.`,
    );
  }
  return { failures, warnings, notices };
}

/** Uploads stop at a full disk, and so does the database. */
function fullnessWarning({ mainDisk }: Facts): string[] {
  if (!mainDisk) return [];
  const used = 1 - mainDisk.freeBytes / mainDisk.sizeBytes;
  if (used < fullness.early) return [];
  const urgent =
    used < fullness.late ? "" : ", and soon the phones' uploads and the database will stop";
  return [
    `The photos' disk is ${Math.floor(used * 100)} % full, with ${size(mainDisk.freeBytes)} left${urgent}: empty Immich's trash, or move to a larger disk (docs/restore.md).`,
  ];
}

/** What lets disks vanish in the middle of a write. */
function powerWarnings({ throttled, usbResets, bridges }: Facts): string[] {
  const warnings: string[] = [];
  if (throttled & 0x1_0001) {
    warnings.push(
      `The Pi ${throttled & 1 ? "has" : "has had"} too little voltage, at which disks drop out: use the official power supply, and a USB hub with a supply of its own (or disks with theirs) for the two disks.`,
    );
  }
  if (throttled & 0x4_0004) {
    warnings.push(
      `The Pi ${throttled & 4 ? "is" : "was"} slowed down by heat: give it a heat sink or more air.`,
    );
  }
  if (usbResets > fewResets) {
    const setting = bridges.length > 0 ? ` (here: [${bridges.join(", ")}])` : "";
    warnings.push(
      `The Pi's kernel had to reset a USB device ${usbResets} times since its start: use a USB hub with a supply of its own and short cables; if it goes on, set disks.withoutUas to the disks' bridges${setting}.`,
    );
  }
  return warnings;
}

/** The whole disk that `identity` means, when it is one and may be used. */
function judgeDisk(
  facts: Facts,
  role: Role,
  identity: Identity,
  fail: (property: string, reason: string) => void,
  notify: (notice: string) => void,
): BlockDevice | undefined {
  const setting = `disks.${role}`;
  const matches = matching(facts, identity);
  const named = identity.id ?? `UUID ${identity.uuid}`;
  if (matches.length === 0) {
    const present = usableDisks(facts).map((disk) => `\n  ${describe(disk, facts)}`);
    fail(
      setting,
      `The Pi has no disk "${named}": is it plugged in and switched on? ${
        present.length > 0
          ? `Set ${setting} to what one of these is called:${present.join("")}`
          : "It shows no disk but the one it started from."
      }`,
    );
    return undefined;
  }
  if (matches.length > 1) {
    fail(
      setting,
      `"${named}" is the name of ${matches.length} disks on the Pi, so it does not tell which is meant (two disks in one USB stand may report the same serial). Set ${setting} to a name that only one of them has:${matches
        .map(({ disk }) => `\n  ${describe(disk, facts, named)}`)
        .join("")}`,
    );
    return undefined;
  }

  const { disk, device } = matches[0]!;
  const shown = describe(disk, facts);
  if (device !== disk && identity.id && !isLabelled(device)) {
    fail(
      setting,
      `"${named}" is a partition of ${shown}: name the whole disk, without "-part" at the end.`,
    );
    return undefined;
  }
  if (holdsRoot(disk, facts)) {
    fail(setting, `"${named}" is the disk that the Pi started from (${disk.path}): name another.`);
    return undefined;
  }

  const other = role === "main" ? "backup" : "main";
  const all = withChildren(disk);
  if (all.some((each) => hasLabel(each, labels[other]))) {
    fail(
      setting,
      `"${named}" is the kit's ${other} disk (its file system is labelled "${labels[other]}"), not the ${role} disk: exchange disks.main and disks.backup.`,
    );
    return disk;
  }
  if (all.some((each) => hasLabel(each, labels[role]))) return disk;

  if (identity.uuid) {
    if (device.fileSystem !== "ext4") {
      fail(
        setting,
        `The file system with the UUID ${identity.uuid} is ${device.fileSystem ?? "none"}, and only ext4 can be taken over: copy its files elsewhere first, then give the blank disk by its id with its name in disks.allowFormat.`,
      );
    } else if (!identity.adopt) {
      fail(
        setting,
        `The disk with the UUID ${identity.uuid} was not made by the kit: write {uuid: "${identity.uuid}", adopt: true} to take it over with all that is on it.`,
      );
    }
    return disk;
  }

  const isCut = identity.id !== undefined && facts.formatting.includes(identity.id);
  const foreign = foreignContent(disk, facts, isCut);
  if (foreign) {
    const single = all.filter((each) => each.fileSystem === "ext4" && each.uuid);
    fail(
      setting,
      `"${named}" holds something that is not the kit's, so it is left alone: ${foreign}. ${
        single.length === 1
          ? `To take it over with all that is on it, write {uuid: "${single[0]!.uuid}", adopt: true}. `
          : ""
      }To use it empty, save what you need and blank it on the Pi by hand; the kit never formats over data.`,
    );
  } else if (!identity.allowFormat) {
    fail(
      setting,
      `"${named}" is blank (${shown}): add "${identity.id}" to disks.allowFormat, and the kit formats it.`,
    );
  } else if (facts.hasSudo) {
    notify(
      `"up" formats the ${role} disk, which ${isCut ? "it began before" : "is blank"}: ${shown}.`,
    );
  }
  return disk;
}

function matching(facts: Facts, identity: Identity): { disk: BlockDevice; device: BlockDevice }[] {
  const name = identity.id?.replace(/^\/dev\/disk\/by-(id|path)\//, "");
  const claims = new Set(
    facts.links
      .filter(({ link }) => link.split("/").pop() === name)
      .map(({ device: path }) => path),
  );
  return facts.disks.flatMap((disk) =>
    withChildren(disk)
      .filter((each) =>
        identity.uuid
          ? each.uuid?.toLowerCase() === identity.uuid.toLowerCase()
          : claims.has(each.path),
      )
      .map((each) => ({ disk, device: each })),
  );
}

const withChildren = (disk: BlockDevice): BlockDevice[] => [
  disk,
  ...disk.children.flatMap(withChildren),
];

const hasLabel = (each: BlockDevice, label: string) =>
  each.fileSystem === "ext4" && each.label?.toLowerCase() === label;
const isLabelled = (each: BlockDevice) =>
  Object.values(labels).some((label) => hasLabel(each, label));

const holdsRoot = (disk: BlockDevice, facts: Facts) =>
  withChildren(disk).some(
    (each) => each.path === facts.rootDevice || each.mountPoints.includes("/"),
  );

/**
 * What stands on a disk, in words; undefined when it is blank as far as can be seen.
 *
 * @param isCut The kit's own format of it was cut, so its bytes tell nothing; the Pi knows whether it is the same disk.
 */
function foreignContent(disk: BlockDevice, facts: Facts, isCut: boolean): string | undefined {
  const seen: string[] = [];
  for (const each of withChildren(disk)) {
    const parts = [
      each.fileSystem && `a ${each.fileSystem} file system`,
      each.label && `labelled "${each.label}"`,
      each.uuid && `with the UUID ${each.uuid}`,
      each.partitionTable && each === disk && `a partition table (${each.partitionTable})`,
    ].filter(Boolean);
    const mounted = each.mountPoints.length > 0 && `is mounted at ${each.mountPoints.join(", ")}`;
    const said = [parts.length > 0 && `has ${parts.join(" ")}`, mounted].filter(Boolean);
    if (said.length > 0) seen.push(`${each.path} ${said.join(" and ")}`);
    else if (each !== disk)
      seen.push(`${each.path} is a ${each.type === "part" ? "partition" : each.type} on it`);
  }
  const content = isCut ? undefined : facts.contents[disk.path];
  if (content?.signatures.length) {
    seen.push(`${disk.path} has signs of ${content.signatures.join(", ")}`);
  } else if (content && content.nonZeroBytes > 0 && seen.length === 0) {
    seen.push(`${disk.path} shows no file system, but its ends are not zeros`);
  }
  return seen.length > 0 ? seen.join("; ") : undefined;
}

const usableDisks = (facts: Facts) =>
  facts.disks.filter(
    (disk) => disk.type === "disk" && disk.sizeBytes >= 2 ** 20 && !holdsRoot(disk, facts),
  );

function describe(disk: BlockDevice, facts: Facts, except?: string): string {
  const shared = (link: string) =>
    facts.links.some((other) => other.link === link && other.device !== disk.path);
  const names = facts.links
    .filter(({ device, link }) => device === disk.path && !shared(link))
    .sort((one, other) => one.link.localeCompare(other.link)) // by-id before by-path
    .map(({ link }) => link.split("/").pop()!)
    .filter((name) => name !== except);
  const about = [
    disk.model,
    disk.serial && `serial ${disk.serial}`,
    disk.wwn && `WWN ${disk.wwn}`,
    size(disk.sizeBytes),
    disk.path,
  ]
    .filter(Boolean)
    .join(", ");
  return names.length > 0 ? `${names.join(" or ")} (${about})` : about;
}

function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
