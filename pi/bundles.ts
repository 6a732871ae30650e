/**
 * Each subject's bundle, from plain settings and the real files of `pi/` and `compose/`. Pure but for reading those
 * files; the same settings give the same bytes.
 */
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import {
  type Bundle,
  type BundleFile,
  type BundleUnit,
  bundleFormat,
  type DiskIdentity,
  type Subject,
  type SubjectSettings,
} from "./bundle.ts";

/** `compose/images.lock.json`, or another of the same shape. */
export type ImagesLock = Record<ImageName, LockedImage>;
export const imageNames = [
  "immich-server",
  "immich-machine-learning",
  "postgres",
  "valkey",
  "cloudflared",
] as const;
export type ImageName = (typeof imageNames)[number];
export interface LockedImage {
  /** With its tag: `ghcr.io/immich-app/immich-server:v3.2.4`. */
  image: string;
  digest: string;
}

const libexec = "/usr/local/libexec/ouchi-photos";
const units = "/etc/systemd/system";
const secretsFolder = "/etc/ouchi-photos/secrets";
const tunnelTokenFile = `${secretsFolder}/tunnel-token`;
const databasePasswordFile = `${secretsFolder}/database-password`;

/** cloudflared's user inside its container. */
const connectorUser = "65532";

const programs = [
  "apply",
  "backup",
  "disks",
  "drift",
  "handmade",
  "health",
  "restore",
  "scrub",
  "stack",
  "start",
  "upgrade-check",
] as const;
const modules = [
  "alarm.py",
  "archives.py",
  "backup_status.py",
  "cron_schedule.py",
  "disk_health.py",
  "drill.py",
  "dumps.py",
  "host.py",
  "photos.py",
  "upgrade.py",
] as const;

function source(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

function textFile(path: string, content: string): BundleFile {
  return { path, mode: "0644", owner: "root", group: "root", content };
}

/** A file that lies in `pi/` under the path it has on the Pi. */
function hostFile(path: string): BundleFile {
  return textFile(path, source(`.${path}`));
}

function secretFile(path: string, secret: string): BundleFile {
  return { ...textFile(path, secret), mode: "0600", secret: true };
}

function bundle<S extends Subject>(
  subject: S,
  settings: SubjectSettings[S],
  parts: Partial<Omit<Bundle, "format" | "subject" | "settings">>,
): Bundle<S> {
  return {
    format: bundleFormat,
    subject,
    directories: parts.directories ?? [],
    files: parts.files ?? [],
    masked: parts.masked ?? [],
    packages: parts.packages ?? [],
    replaces: parts.replaces ?? [],
    units: parts.units ?? [],
    settings,
  };
}

function unit(name: string, rest: Partial<BundleUnit>): BundleUnit {
  return { name, enable: true, start: true, onChange: "none", watches: [], ...rest };
}

export function imageReference(image: LockedImage): string {
  return `${image.image}@${image.digest}`;
}

function imageReferences(lock: ImagesLock, names: ImageName[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, imageReference(lock[name])]));
}

/** `immich-server` → `IMMICH_SERVER_IMAGE`. */
function imagesEnvironment(references: Record<string, string>): string {
  const lines = Object.entries(references).map(
    ([name, reference]) => `${name.toUpperCase().replaceAll("-", "_")}_IMAGE=${reference}`,
  );
  return `${lines.join("\n")}\n`;
}

function withValues(environment: string, values: Record<string, string>): string {
  return Object.entries(values).reduce((text, [name, value]) => {
    const line = new RegExp(`^${name}=.*$`, "m");
    if (!line.test(text)) throw new Error(`The file holds no line "${name}=".`);
    return text.replace(line, () => `${name}=${value}`);
  }, environment);
}

export function systemBundle(settings: {
  timeZone: string;
  /** Words that the kernel's command line must have; the Pi restarts once for those that it lacks. */
  kernelWords: string[];
}): Bundle<"system"> {
  const sshd = "/etc/ssh/sshd_config.d/10-ouchi-photos.conf";
  const journald = "/etc/systemd/journald.conf.d/90-ouchi-photos.conf";
  const sysctl = "/etc/sysctl.d/90-ouchi-photos.conf";
  return bundle("system", settings, {
    directories: [
      { path: "/etc/ouchi-photos", mode: "0755" },
      { path: libexec, mode: "0755" },
    ],
    files: [
      ...programs.map((name) => ({
        ...textFile(`${libexec}/${name}`, source(`./libexec/${name}`)),
        mode: "0755",
      })),
      ...modules.map((name) => textFile(`${libexec}/${name}`, source(`./libexec/${name}`))),
      hostFile(journald),
      hostFile("/etc/systemd/system.conf.d/90-ouchi-photos.conf"),
      hostFile(`${units}/systemd-time-wait-sync.service.d/10-ouchi-cap.conf`),
      hostFile(`${units}/ouchi-health.service`),
      hostFile(`${units}/ouchi-health.timer`),
      hostFile(sysctl),
      hostFile(sshd),
      hostFile("/etc/apt/apt.conf.d/52ouchi-photos"),
      hostFile("/etc/rpi/swap.conf.d/90-ouchi-photos.conf"),
    ],
    packages: [
      "ca-certificates",
      "cron",
      "curl",
      "e2fsprogs",
      "hdparm",
      "iproute2",
      "python3",
      "systemd-timesyncd",
      "unattended-upgrades",
      "util-linux",
    ],
    units: [
      unit("cron.service", {}),
      unit("systemd-journald.service", { enable: false, onChange: "restart", watches: [journald] }),
      unit("systemd-sysctl.service", { enable: false, onChange: "restart", watches: [sysctl] }),
      unit("ssh.service", { enable: false, start: false, onChange: "reload", watches: [sshd] }),
      // Not started now: it would wait for the right time, and only a boot needs it.
      unit("systemd-time-wait-sync.service", { start: false }),
      unit("ouchi-health.timer", {}),
    ],
  });
}

export function disksBundle(settings: {
  main: DiskIdentity;
  backup: DiskIdentity;
}): Bundle<"disks"> {
  return bundle("disks", settings, {});
}

export function dockerBundle(): Bundle<"docker"> {
  const files = [
    hostFile("/etc/docker/daemon.json"),
    hostFile(`${units}/docker.service.d/10-ouchi-hdd1.conf`),
  ];
  return bundle(
    "docker",
    {},
    {
      files,
      packages: ["docker.io", "docker-cli", "docker-compose"],
      // Docker's own packages, as its get.docker.com script installs them.
      replaces: [
        ...["docker-ce", "docker-ce-cli", "docker-ce-rootless-extras", "containerd.io"],
        ...["docker-buildx-plugin", "docker-compose-plugin", "docker-model-plugin"],
      ],
      units: [
        unit("docker.service", { onChange: "restart", watches: files.map((file) => file.path) }),
      ],
    },
  );
}

export function secretsBundle(secrets: {
  databasePassword: string;
  borgPassphrase: string;
  tunnelToken: string;
  /** An address of Apprise's, where the Pi tells its owner of a bad day. */
  alarm?: string | undefined;
  /** The web address of a dead man's switch, which is told of each backup. */
  ping?: string | undefined;
}): Bundle<"secrets"> {
  return bundle(
    "secrets",
    {},
    {
      directories: [{ path: secretsFolder, mode: "0700" }],
      files: [
        secretFile(databasePasswordFile, secrets.databasePassword),
        secretFile(`${secretsFolder}/borg-passphrase`, secrets.borgPassphrase),
        {
          ...secretFile(tunnelTokenFile, secrets.tunnelToken),
          mode: "0400",
          owner: connectorUser,
          group: connectorUser,
        },
        ...(secrets.alarm ? [secretFile(`${secretsFolder}/alarm`, `${secrets.alarm}\n`)] : []),
        ...(secrets.ping ? [secretFile(`${secretsFolder}/ping`, `${secrets.ping}\n`)] : []),
      ],
      packages: secrets.alarm ? ["apprise"] : [],
      // They may not be there yet; the ones that run take up what changed.
      units: [
        unit("ouchi-cloudflared.service", {
          enable: false,
          start: false,
          onChange: "restart",
          watches: [tunnelTokenFile],
        }),
        unit("ouchi-immich.service", {
          enable: false,
          start: false,
          onChange: "restart",
          watches: [databasePasswordFile],
        }),
      ],
    },
  );
}

export function immichBundle(settings: {
  timeZone: string;
  lan: boolean;
  machineLearning: boolean;
  images: ImagesLock;
  upgradeFrom?: string | undefined;
}): Bundle<"immich"> {
  const folder = "/etc/ouchi-photos/compose/immich";
  const names: ImageName[] = ["immich-server", "postgres", "valkey"];
  if (settings.machineLearning) names.push("immich-machine-learning");
  const images = imageReferences(settings.images, names);
  const compose = (name: string) =>
    textFile(`${folder}/${name}`, source(`../compose/immich/${name}`));
  return bundle(
    "immich",
    { images, ...(settings.upgradeFrom !== undefined && { upgradeFrom: settings.upgradeFrom }) },
    {
      files: [
        compose("compose.yaml"),
        ...(settings.lan ? [compose("compose.lan.yaml")] : []),
        ...(settings.machineLearning ? [compose("compose.machine-learning.yaml")] : []),
        textFile(
          `${folder}/.env`,
          withValues(source("../compose/immich/.env"), { TZ: settings.timeZone }),
        ),
        textFile(`${folder}/images.env`, imagesEnvironment(images)),
        hostFile(`${units}/ouchi-immich.service`),
        hostFile(`${units}/ouchi-scrub.service`),
      ],
      units: [
        unit("ouchi-immich.service", { onChange: "reload", watches: [folder] }),
        unit("ouchi-scrub.service", {}),
      ],
    },
  );
}

export function tunnelBundle(settings: { images: ImagesLock }): Bundle<"tunnel"> {
  const folder = "/etc/ouchi-photos/compose/cloudflared";
  const images = imageReferences(settings.images, ["cloudflared"]);
  return bundle(
    "tunnel",
    { images },
    {
      directories: [{ path: folder, mode: "0755" }],
      files: [
        textFile(`${folder}/compose.yaml`, source("../compose/cloudflared/compose.yaml")),
        textFile(`${folder}/images.env`, imagesEnvironment(images)),
        hostFile(`${units}/ouchi-cloudflared.service`),
      ],
      units: [unit("ouchi-cloudflared.service", { onChange: "reload", watches: [folder] })],
    },
  );
}

export function backupBundle(settings: {
  /** Five cron fields, in the Pi's time zone. */
  schedule: string;
  keep: { weekly: number; monthly: number; yearly: number };
}): Bundle<"backup"> {
  return bundle(
    "backup",
    {},
    {
      files: [
        textFile("/etc/cron.d/ouchi-photos", cronFile(settings.schedule)),
        textFile("/etc/ouchi-photos/borgmatic.yaml", borgmaticFile(settings.keep)),
        hostFile(`${units}/ouchi-backup.service`),
        hostFile(`${units}/ouchi-backup-catchup.service`),
        hostFile(`${units}/ouchi-backup-catchup.timer`),
      ],
      // Debian's borgmatic starts a daily run of its own, which would wake HDD2 every night.
      // smartd would wake it, too, and stay in memory; each run asks the disks itself.
      masked: ["borgmatic.timer", "smartmontools.service"],
      packages: ["borgbackup", "borgmatic", "sdparm", "smartmontools"],
      units: [unit("ouchi-backup-catchup.timer", {})],
    },
  );
}

function cronFile(schedule: string): string {
  return source("./etc/cron.d/ouchi-photos").replace(/^\S+(?: \S+){4}(?= root )/m, () => schedule);
}

function borgmaticFile(keep: { weekly: number; monthly: number; yearly: number }): string {
  const document = parseDocument(source("./etc/ouchi-photos/borgmatic.yaml"));
  document.set("keep_weekly", keep.weekly);
  document.set("keep_monthly", keep.monthly);
  document.set("keep_yearly", keep.yearly);
  return document.toString({ lineWidth: 0 });
}

/** What the command's standard input carries for every subject but `system`. */
export function bundleInput(bundle: Bundle): string {
  return `${JSON.stringify(bundle)}\n`;
}

/** The same for `system`, which brings the program along that is not on the Pi yet. */
export function bootstrapInput(bundle: Bundle<"system">): string {
  const program = {
    apply: source("./libexec/apply"),
    "host.py": source("./libexec/host.py"),
    "photos.py": source("./libexec/photos.py"),
    "upgrade.py": source("./libexec/upgrade.py"),
  };
  return `${JSON.stringify({ program, bundle })}\n`;
}

/** Command lines, unquoted. The bundle goes to their standard input. */
export function bootstrapCommand(): string[] {
  // On one line, which every login shell takes in quotes.
  const statements = source("./bootstrap.py").trim().replaceAll("\n", "; ");
  return ["sudo", "-n", "python3", "-c", statements];
}

export function applyCommand(subject: Exclude<Subject, "system">): string[] {
  return ["sudo", "-n", `${libexec}/apply`, subject];
}

export function removeTunnelCommand(): string[] {
  return ["sudo", "-n", `${libexec}/apply`, "remove", "tunnel"];
}

/** All that runs, and the files; photos, backups, keys and packages stay. */
export function removeEverythingCommand(): string[] {
  return ["sudo", "-n", `${libexec}/apply`, "remove", "everything"];
}
