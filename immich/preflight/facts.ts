/** What facts.sh saw, as values. */

/**
 * The command that takes facts.sh on its standard input, in words that every login shell reads alike: sh, fish and csh. One
 * sudo for the whole look: each costs a Raspberry Pi a good part of the time of what it starts.
 */
export const lookCommand =
  "exec sh -c 'if sudo -n true 2>/dev/null; then exec sudo -n sh -s root; else exec sh -s; fi'";

/** Which of facts.sh's sections always hold something on a Debian, and what they are about. */
const asked = {
  os: "its system",
  architecture: "its architecture",
  memory: "its memory",
  clock: "its time",
  rootFree: "the room on its SD card",
  rootDevice: "what it started from",
  route: "the way to the internet",
  addresses: "its addresses",
  blockDevices: "its disks",
} as const;

export interface BlockDevice {
  /** `/dev/sda`: a name until the next boot, never an identity. */
  path: string;
  type: string;
  sizeBytes: number;
  model?: string;
  serial?: string;
  wwn?: string;
  fileSystem?: string;
  label?: string;
  uuid?: string;
  partitionTable?: string;
  mountPoints: string[];
  children: BlockDevice[];
}

export interface Facts {
  /** Debian's name of the userland: arm64, amd64, armhf. */
  architecture: string;
  os: { id: string; version: number; name: string };
  hasPython: boolean;
  hasSudo: boolean;
  hasMemoryCgroup: boolean;
  /** Where the kernel's words stand on a Raspberry Pi; empty on another machine. */
  kernelLine: string;
  memoryBytes: number;
  /** The firmware's bits about power and heat, as vcgencmd(1) has them; 0 where there is no firmware. */
  throttled: number;
  /** How often a USB device was reset since the Pi's start. */
  usbResets: number;
  /** The USB bridges of the disks, as vendor:product. */
  bridges: string[];
  /** Unix time in seconds. */
  clock: number;
  rootFreeBytes: number;
  /** The photos' file system, while it is mounted in its place. */
  mainDisk?: { sizeBytes: number; freeBytes: number };
  /** Where / comes from, `/dev/mmcblk0p2`. */
  rootDevice: string;
  disks: BlockDevice[];
  /** Names in /dev/disk/by-id and by-path, by the device that claims them. */
  links: { device: string; link: string }[];
  /** Disks that show nothing: bytes that are not zero at both ends, and signatures. */
  contents: Record<string, { nonZeroBytes: number; signatures: string[] }>;
  /** Whether there is a way out of the home. */
  hasRoute: boolean;
  /** A Docker that the kit did not set up, and what is in it. */
  docker?: ForeignDocker;
  /** The main version of the PostgreSQL that made the database on HDD1. */
  postgresMajor?: number;
  /** Whether a connector runs as a service of the system, set up by hand. */
  hasConnector: boolean;
  /** cron lines with a Borg of somebody's own, each after its file's name. */
  schedules: string[];
  macAddress: string;
  addresses: string[];
  /** What is no longer as the kit left it, by the subject that mends it; undefined where the kit never was. */
  drift?: Drift[];
  /** What the Pi's own look at its health saw last; empty where the kit never was. */
  problems: Problem[];
  /** The program of the kit that is at work; meanwhile no drift is found. */
  busy?: string;
  /** Names of disks whose format by the kit was cut. */
  formatting: string[];
}

export interface Problem {
  key: string;
  /** Sentences: what happened, what is safe, what to do. */
  what: string;
  safe: string;
  todo: string;
}

export interface Drift {
  subject: string;
  /** A clause, such as `"/etc/fstab" was changed`. */
  what: string;
}

export interface ForeignDocker {
  containers: Container[];
  /** Those of an Immich's .env that the kit asks for; never a password. */
  environment: Record<string, string>;
  /** Of the Immich that used the database last, `2.7.5`. */
  immichVersion?: string;
  admins: string[];
  /** Its database did not answer, so that version and admins are not known: nobody may take them for none. */
  isSilent?: true;
}

export interface Container {
  name: string;
  running: boolean;
  image: string;
  project?: string;
  /** The folder of its docker-compose.yml. */
  folder?: string;
  /** What of the Pi is seen inside. */
  sources: string[];
}

/** What the Pi's `drift` prints. */
interface Look {
  busy?: string | null;
  found?: Drift[];
  problems?: Problem[];
  formatting?: string[];
}

interface LsblkDevice {
  path: string;
  type: string;
  size: number;
  model: string | null;
  serial: string | null;
  wwn: string | null;
  fstype: string | null;
  label: string | null;
  uuid: string | null;
  pttype: string | null;
  mountpoints: (string | null)[];
  children?: LsblkDevice[];
}

interface IpInterface {
  ifname: string;
  address?: string;
  addr_info?: { local?: string; scope?: string }[];
}

/**
 * What facts.sh printed between its two marks; what a login script prints before or after them is no part of it.
 *
 * @throws {NoLook} when it is not whole: nothing in it is then taken for a fact.
 */
export function parseFacts(output: string): Facts {
  const look = /^@look\n(.*?\n)@looked$/ms.exec(output)?.[1];
  if (look === undefined) throw new NoLook();
  const sections = new Map<string, string>();
  for (const part of look.split(/^@(?=\w+$)/m).slice(1)) {
    const end = part.indexOf("\n");
    sections.set(part.slice(0, end), part.slice(end + 1).trim());
  }
  try {
    return factsOf(sections);
  } catch (error) {
    if (error instanceof NoLook) throw error;
    throw new NoLook(`what it told is not as it should be: ${(error as Error).message}`);
  }
}

/** The Pi did not tell, or not to the end; `message` is a clause, empty when nothing is known. */
export class NoLook extends Error {}

function factsOf(sections: Map<string, string>): Facts {
  const text = (name: string) => sections.get(name) ?? "";
  const lines = (name: string) => text(name).split("\n").filter(Boolean);
  const json = <T>(name: string, otherwise: T): T =>
    text(name) ? (JSON.parse(text(name)) as T) : otherwise;
  const os = new Map(
    lines("os").map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1).replace(/^"|"$/g, "")] as const;
    }),
  );
  const pairs = (name: string) =>
    lines(name).map((line) => {
      const [device, link] = line.split(" ");
      return { device: device!, link: link! };
    });
  const silent = Object.entries(asked).filter(([name]) => text(name) === "");
  // Without them it may be no Debian: that, its name says.
  const isDebian = ["debian", "raspbian"].includes(os.get("ID") ?? "");
  const missing = isDebian ? silent : silent.filter(([name]) => name === "os");
  if (missing.length > 0) {
    throw new NoLook(`it told nothing of ${missing.map(([, what]) => what).join(", ")}`);
  }
  for (const name of isDebian ? (["memory", "clock", "rootFree"] as const) : []) {
    // awk may print a large one as 8.2e+09.
    if (!(Number(text(name)) > 0)) throw new NoLook(`it told no number for ${asked[name]}`);
  }
  const look = json<Look>("drift", {});
  const routes = json<{ dev: string }[]>("route", []);
  const [route] = routes;
  const network = json<IpInterface[]>("addresses", []).find((each) => each.ifname === route?.dev);
  // Newer udev also keeps folders there, with names of partitions that are no identity of a disk.
  const links = [...pairs("links"), ...pairs("targets")].filter(({ link }) =>
    /^\/dev\/disk\/by-(id|path)\/[^/]+$/.test(link),
  );

  return {
    architecture: text("architecture"),
    os: {
      id: os.get("ID") ?? "",
      version: Number(os.get("VERSION_ID") ?? Number.NaN),
      name: os.get("PRETTY_NAME") ?? "an unknown system",
    },
    hasPython: text("python3") !== "",
    hasSudo: text("sudo") === "yes",
    hasMemoryCgroup: text("controllers").split(/\s+/).includes("memory"),
    kernelLine: text("kernelLine"),
    memoryBytes: Number(text("memory")),
    throttled: Number(/^throttled=(0x[0-9a-f]+)$/i.exec(text("throttled"))?.[1] ?? 0),
    usbResets: Number(text("resets") || 0),
    bridges: [...new Set(lines("bridges"))],
    clock: Number(text("clock")),
    rootFreeBytes: Number(text("rootFree")),
    rootDevice: text("rootDevice"),
    disks: json<{ blockdevices: LsblkDevice[] }>("blockDevices", {
      blockdevices: [],
    }).blockdevices.map(device),
    links: links.filter(
      (one, i) =>
        links.findIndex((other) => other.device === one.device && other.link === one.link) === i,
    ),
    contents: Object.fromEntries(
      lines("contents").map((line) => {
        const [disk, bytes, signatures] = line.split(" ");
        return [
          disk!,
          {
            nonZeroBytes: Number(bytes),
            signatures: (signatures ?? "").split(",").filter(Boolean),
          },
        ];
      }),
    ),
    ...(text("mainDisk") && { mainDisk: usage(text("mainDisk")) }),
    ...(look.found && { drift: look.found }),
    hasRoute: routes.length > 0,
    ...(sections.has("containers") && { docker: foreignDocker(lines) }),
    ...(text("postgres") && { postgresMajor: Number.parseInt(text("postgres"), 10) }),
    hasConnector: text("connector") === "active",
    schedules: lines("schedules"),
    problems: look.problems ?? [],
    ...(look.busy && { busy: look.busy }),
    formatting: look.formatting ?? [],
    macAddress: network?.address ?? "",
    addresses: (network?.addr_info ?? [])
      .filter((address) => address.scope === "global" && address.local)
      .map((address) => address.local!),
  };
}

function foreignDocker(lines: (name: string) => string[]): ForeignDocker {
  type Shown = [
    string,
    boolean,
    string,
    Record<string, string> | null,
    { Source?: string }[] | null,
  ];
  const project = "com.docker.compose.project";
  const containers = lines("containers").map((line) => {
    const [name, running, image, labels, mounts] = JSON.parse(line) as Shown;
    return {
      name: name.replace(/^\//, ""),
      running,
      image,
      ...(labels?.[project] && { project: labels[project] }),
      ...(labels?.[`${project}.working_dir`] && { folder: labels[`${project}.working_dir`]! }),
      sources: (mounts ?? []).flatMap(({ Source }) => (Source ? [Source] : [])),
    };
  });
  const told = (word: string) =>
    lines("database").flatMap((line) =>
      line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : [],
    );
  const [version] = told("version");
  return {
    containers,
    environment: Object.fromEntries(
      lines("environment").map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1).replace(/^(["'])(.*)\1$/, "$2")];
      }),
    ),
    ...(version && { immichVersion: version.replace(/^v/, "") }),
    admins: told("admin"),
    ...(!lines("database").includes("answers") && { isSilent: true }),
  };
}

function usage(line: string): { sizeBytes: number; freeBytes: number } {
  const [sizeBytes, freeBytes] = line.split(/\s+/).map(Number);
  return { sizeBytes: sizeBytes!, freeBytes: freeBytes! };
}

function device(raw: LsblkDevice): BlockDevice {
  return {
    path: raw.path,
    type: raw.type,
    sizeBytes: raw.size,
    ...(raw.model && { model: raw.model.trim() }),
    ...(raw.serial && { serial: raw.serial.trim() }),
    ...(raw.wwn && { wwn: raw.wwn }),
    ...(raw.fstype && { fileSystem: raw.fstype }),
    ...(raw.label && { label: raw.label }),
    ...(raw.uuid && { uuid: raw.uuid }),
    ...(raw.pttype && { partitionTable: raw.pttype }),
    mountPoints: raw.mountpoints.filter((point) => point !== null),
    children: (raw.children ?? []).map(device),
  };
}
