import type { EngineArgs } from "../engine.ts";
import { exitStatus } from "../exit-status.ts";
import { piProgram, readObjectOnPi } from "../ssh.ts";
import { readPi } from "../stack-file.ts";

interface Counted {
  archive: string;
  files: number;
  /** Of the photos' files; absent in what an earlier version of the kit counted. */
  bytes?: number;
  rows: Record<string, number>;
}
interface Disk {
  name: string;
  mounted: boolean;
  free?: number;
  size?: number;
}
/** What `backup status` on the Pi prints; times are UTC, sizes bytes. */
export interface Status {
  now: string;
  health: {
    at: string;
    problems: { what: string; safe: string; todo: string; since: string }[];
  } | null;
  backups: {
    running?: { startedAt: string } | null;
    last?: { result: string; message?: string; startedAt: string; finishedAt: string };
    lastGood?: Counted & { at: string };
    drill?: { result: string; at: string; message?: string };
    /** What the disks told of themselves in the last run. */
    smart?: Record<string, { verdict: string; unreadable: number | null; hours: number | null }>;
    /** Whether HDD2 stood still after it was told to; false behind some USB bridges. */
    backupDiskSleeps?: boolean;
    /** HDD2 as it was when it was last put to sleep. */
    backupDisk?: { free: number; size: number; at: string };
    lastGoodDrill?: { at: string; archive: string; photos: number };
  };
  nextRun: string | null;
  disks: Record<string, Disk>;
}

/** `ouchi status`: how the Pi and its backups are, in a few lines, or as the Pi has it. */
export async function status(args: EngineArgs, { json }: { json?: boolean }): Promise<void> {
  const pi = readPi(args);
  const { text, value: found } = await readObjectOnPi<Status>(pi, piProgram("backup", "status"), {
    name: "status",
    fields: ["health", "backups", "disks"],
  });
  console.log(json ? text : statusLines(found).join("\n"));
  if (!found.health || found.health.problems.length > 0) process.exitCode = exitStatus.unwell;
}

/** The status for a person, times in the laptop's zone. */
export function statusLines({ now, health, backups, nextRun, disks }: Status): string[] {
  const when = (time: string) => `${localTime(time)} (${age(now, time)})`;
  const { last, lastGood, lastGoodDrill, running } = backups;
  return [
    ...(health === null
      ? ["Nobody has looked at this Pi since its start: wait two minutes."]
      : health.problems.length === 0
        ? ["All is well."]
        : health.problems.map(
            ({ what, safe, todo, since }) =>
              `! ${what}\n  ${safe}\n  ${todo}\n  Since ${when(since)}.`,
          )),
    "",
    `Last good backup   ${lastGood ? `${when(lastGood.at)}: ${photos(lastGood)}` : "none yet"}`,
    ...(last && last.result !== "good"
      ? [`Last run           ${last.result}, ${when(last.finishedAt)}`]
      : []),
    ...(running ? [`At work            a backup since ${when(running.startedAt)}`] : []),
    `Next backup        ${nextRun ? localTime(nextRun) : "never: backup.schedule names no day"}`,
    `Last good drill    ${lastGoodDrill ? `${when(lastGoodDrill.at)}: ${lastGoodDrill.archive}, ${lastGoodDrill.photos} photos compared` : "none yet"}`,
    ...Object.entries(disks).map(
      ([role, disk]) =>
        `${(role === "main" ? "Photos' disk" : "Backup disk").padEnd(19)}${disk.name}, ${diskState(role, disk, backups)}${smartWords(backups.smart?.[role])}`,
    ),
  ];
}

function diskState(role: string, { free, size }: Disk, backups: Status["backups"]) {
  if (size && free !== undefined) return room({ free, size });
  if (role === "main") return "not mounted";
  const then = backups.backupDisk ? `, ${room(backups.backupDisk)}` : "";
  return backups.backupDiskSleeps === false
    ? `not mounted${then}; behind its USB bridge it does not sleep, or does not say so`
    : `asleep${then}`;
}

const room = ({ free, size }: { free: number; size: number }) =>
  `${gigabytes(free)} of ${gigabytes(size)} free`;

const smartWords = (told?: { verdict: string; hours: number | null }) =>
  !told || told.verdict === "unknown"
    ? ""
    : `; ${told.verdict}${told.hours === null ? "" : ` after ${told.hours} hours of its life`} (SMART)`;
const photos = ({ files, bytes, rows }: Counted) =>
  `${rows.asset ?? 0} photos of ${rows.user ?? 0} people, ${rows.album ?? 0} albums, ${files} files${bytes === undefined ? "" : `, ${gigabytes(bytes)}`}`;
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;

function localTime(time: string): string {
  return new Date(time).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}

function age(now: string, time: string): string {
  const hours = (Date.parse(now) - Date.parse(time)) / 3_600_000;
  if (hours < 0) return "in the future";
  return hours < 48 ? `${Math.floor(hours)} h ago` : `${Math.floor(hours / 24)} days ago`;
}
