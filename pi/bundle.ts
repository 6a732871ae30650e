/**
 * What the program sends to the Pi: one bundle per subject, as JSON on the standard input of
 * `/usr/local/libexec/ouchi-photos/apply <subject>`. Text only; `pi/README.md` says what is done with it.
 */

export const bundleFormat = 1;

/** In the order in which they must be applied; each needs the ones before it. */
export const subjects = [
  "system",
  "disks",
  "docker",
  "secrets",
  "immich",
  "tunnel",
  "backup",
] as const;
export type Subject = (typeof subjects)[number];

export interface BundleFile {
  /** Absolute, below /etc or /usr/local. */
  path: string;
  /** Octal, as chmod takes it: `0644`. */
  mode: string;
  /** A user's name or number. */
  owner: string;
  group: string;
  content: string;
  /** Recorded on the Pi by a keyed hash only. */
  secret?: true;
}

export interface BundleDirectory {
  path: string;
  mode: string;
}

export interface BundleUnit {
  name: string;
  /** Started at boot. */
  enable: boolean;
  /** Running when `apply` ends. */
  start: boolean;
  /**
   * What happens to a running unit when a watched file changed: `reload` is reload-or-restart,
   * `none` leaves it to the next boot.
   */
  onChange: "restart" | "reload" | "none";
  /** Paths; a folder stands for every file of any bundle below it. */
  watches: string[];
}

/** How one disk is told from all others; never a /dev/sdX name. */
export interface DiskIdentity {
  /** A name in /dev/disk/by-id or /dev/disk/by-path. */
  id?: string;
  /** The file system's UUID: for a disk that already holds one. */
  uuid?: string;
  /** Format it when it is provably blank. */
  allowFormat?: boolean;
  /** Take over a file system that the kit did not make. */
  adopt?: boolean;
}

export interface SubjectSettings {
  system: { timeZone: string; kernelWords: string[] };
  disks: { main: DiskIdentity; backup: DiskIdentity };
  docker: Record<string, never>;
  secrets: Record<string, never>;
  /** Image references `name:tag@sha256:…` by the lock file's keys. */
  immich: {
    images: Record<string, string>;
    /** The version of a database that is new to this Pi and may be upgraded. */
    upgradeFrom?: string;
  };
  tunnel: { images: Record<string, string> };
  backup: Record<string, never>;
}

export interface Bundle<S extends Subject = Subject> {
  format: typeof bundleFormat;
  subject: S;
  directories: BundleDirectory[];
  files: BundleFile[];
  /** Units that must never run, masked before any package is installed. */
  masked: string[];
  /** Debian packages; installed when missing. */
  packages: string[];
  /** Packages of another origin that cannot stand beside those; removed before these are installed, never purged. */
  replaces: string[];
  units: BundleUnit[];
  settings: SubjectSettings[S];
}
