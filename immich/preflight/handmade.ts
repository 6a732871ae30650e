/** Judges an Immich that somebody set up on the Pi by hand, before the kit takes it over: pure, as evaluate.ts. */
import type { CheckFailure } from "../resource-kind.ts";
import type { Container, Facts, ForeignDocker } from "./facts.ts";

export interface WantedImmich {
  /** With its tag: `ghcr.io/immich-app/immich-server:v3.2.4`. */
  server: string;
  postgres: string;
  /** The version of a database that may be upgraded. */
  upgradeFrom?: string;
  /** The kit's own account. */
  admin: string;
  /** Whether an administrator from before the kit is given, who lets the kit's account in. */
  hasExistingAdmin: boolean;
}

const disks = ["/mnt/hdd1", "/mnt/hdd2"];
const photos = "/mnt/hdd1/immich/images";
const database = "/mnt/hdd1/immich/postgres";
const goesOn = "It goes on as before.";

/** Its containers, those of their Compose projects, and a connector. */
export function ofTheHouse({ containers }: ForeignDocker): Container[] {
  const onDisks = ({ sources }: Container) =>
    sources.some((source) =>
      disks.some((disk) => source === disk || source.startsWith(`${disk}/`)),
    );
  const projects = new Set(
    containers.flatMap((each) => (each.project && onDisks(each) ? [each.project] : [])),
  );
  return containers.filter(
    (each) =>
      onDisks(each) ||
      (each.project !== undefined && projects.has(each.project)) ||
      each.image.includes("cloudflared") ||
      isImmich(each),
  );
}

const isImmich = ({ name }: Container) => name === "immich_server" || name === "immich_postgres";

export function judgeHandmade(
  facts: Facts,
  wanted: WantedImmich,
): { failures: CheckFailure[]; warnings: string[] } {
  const failures: CheckFailure[] = [];
  const warnings: string[] = [];
  const fail = (property: string, reason: string) => failures.push({ property, reason });

  const major = tagNumbers(wanted.postgres, /^(\d+)\b/)?.[0];
  if (facts.postgresMajor && major && facts.postgresMajor !== major) {
    fail(
      "imagesLock",
      `The database on the main disk was made by PostgreSQL ${facts.postgresMajor}, and the lock file asks for ${major}: that needs a dump and a restore, so put the earlier postgres image into the lock file.`,
    );
  }
  if (facts.hasConnector) {
    warnings.push(
      'A cloudflared that was set up by hand runs on the Pi (cloudflared.service) beside the kit\'s own: once the photos answer through the new one, remove it there by "sudo cloudflared service uninstall".',
    );
  }
  for (const schedule of facts.schedules) {
    const at = schedule.indexOf(":");
    warnings.push(
      `cron starts a Borg on the Pi that is not the kit's (${schedule.slice(0, at)}: "${schedule.slice(at + 1).trim()}"), and both want the backup disk: take the line out there, by "sudo crontab -e" where it is root's. Its archives stay.`,
    );
  }
  if (!facts.docker) return { failures, warnings };

  const house = ofTheHouse(facts.docker);
  const others = facts.docker.containers.filter((each) => each.running && !house.includes(each));
  if (others.length > 0) {
    fail(
      "pi.host",
      `Other containers run on the Pi (${others.map(({ name }) => name).join(", ")}), and would be gone once Docker keeps its data on the main disk: stop and remove them, or move them to another machine.`,
    );
  }
  if (house.some(isImmich)) judgeImmich(facts.docker, house, wanted, fail, warnings);
  return { failures, warnings };
}

function judgeImmich(
  docker: ForeignDocker,
  house: Container[],
  wanted: WantedImmich,
  fail: (property: string, reason: string) => void,
  warnings: string[],
): void {
  const named = (name: string) => house.find((each) => each.name === name);
  const [server, postgres] = [named("immich_server"), named("immich_postgres")];
  const folder = server?.folder ?? postgres?.folder ?? "a folder of its own";
  const immich = `The Immich that was set up by hand in ${folder}`;
  if (!server?.sources.includes(photos) || !postgres?.sources.includes(database)) {
    fail(
      "disks.main",
      `${immich} does not keep its photos at ${photos} and its database at ${database}, and only there can it be taken over: stop it, move the two folders there, correct UPLOAD_LOCATION and DB_DATA_LOCATION in its .env, and start it again. ${goesOn}`,
    );
    return;
  }
  if (postgres?.running && docker.isSilent) {
    fail(
      "pi.host",
      `${immich} has a database that does not answer, so neither its version nor its accounts are known: look at it there by "sudo docker logs immich_postgres", or wait a minute where it has just started. ${goesOn}`,
    );
    return;
  }
  for (const [name, expected] of [
    ["DB_USERNAME", "postgres"],
    ["DB_DATABASE_NAME", "immich"],
  ] as const) {
    const found = docker.environment[name];
    if (found !== undefined && found !== expected) {
      fail(
        "disks.main",
        `${immich} has ${name}=${found} in its .env, and the kit knows ${expected} only: rename it in PostgreSQL and there. ${goesOn}`,
      );
    }
  }

  const version = docker.immichVersion ?? docker.environment.IMMICH_VERSION?.replace(/^v/, "");
  const old = numbers(version ?? "");
  const next = tagNumbers(wanted.server, /^v(\d+)\.(\d+)\.(\d+)/);
  if (old && next) judgeVersion(immich, old, next, wanted.upgradeFrom, fail);
  if (
    docker.admins.length > 0 &&
    !docker.admins.includes(wanted.admin) &&
    !wanted.hasExistingAdmin
  ) {
    fail(
      "immichAdminEmail",
      `${immich} has the administrator ${docker.admins.join(", ")}, and the kit wants an account of its own there (${wanted.admin}): set immichAdminEmail to the administrator's address and, by "pulumi config set --secret ouchi-photos:immichAdminPassword", the password, until this "up" is done. ${goesOn}`,
    );
  }
  warnings.push(
    `${immich}${version ? ` (${version})` : ""} is taken over: its database is dumped, its containers (${house.map(({ name }) => name).join(", ")}) are stopped, and the kit's take their place. Nothing of it is removed.`,
  );
}

/** Immich cannot go back, and a major version may not be skipped: as upgrade-check on the Pi has it. */
function judgeVersion(
  immich: string,
  old: number[],
  next: number[],
  upgradeFrom: string | undefined,
  fail: (property: string, reason: string) => void,
): void {
  const [from, to] = [old.join("."), next.join(".")];
  if (from === to) return;
  if (isLower(next, old)) {
    fail(
      "imagesLock",
      `${immich} is version ${from}, and the lock file asks for ${to}: Immich cannot go back, so put ${from} or a newer one into the lock file. ${goesOn}`,
    );
  } else if (next[0]! > old[0]! + 1) {
    fail(
      "imagesLock",
      `${immich} is version ${from}, and the lock file asks for ${to}: a major version may not be skipped, so bring it to a version ${old[0]! + 1}.x by itself first. ${goesOn}`,
    );
  } else if (upgradeFrom !== from) {
    fail(
      "upgradeFrom",
      `${immich} is version ${from}, the lock file asks for ${to}, and there is no way back from an upgrade: to have it upgraded, set upgradeFrom: "${from}"; else put version ${from} into a lock file of your own (imagesLock). ${goesOn}`,
    );
  }
}

function isLower(one: number[], other: number[]): boolean {
  const index = one.findIndex((number, at) => number !== other[at]);
  return index >= 0 && one[index]! < other[index]!;
}

const numbers = (version: string) => /^(\d+)\.(\d+)\.(\d+)$/.exec(version)?.slice(1, 4).map(Number);

function tagNumbers(reference: string, form: RegExp): number[] | undefined {
  const tag = reference.split("@")[0]!.split(":").at(-1)!;
  return form.exec(tag)?.slice(1).map(Number);
}
