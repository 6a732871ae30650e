/** A world in which the whole deployment ran, with a small library in a real PostgreSQL. */
import { createHash } from "node:crypto";
import type { ImagesLock } from "../../../pi/bundles.ts";
import {
  backupBundle,
  disksBundle,
  dockerBundle,
  immichBundle,
  secretsBundle,
  tunnelBundle,
} from "../../../pi/bundles.ts";
import { HostWorld, type Result } from "./host-world.ts";

const locked = (image: string, version: string) => ({
  image: `127.0.0.1:5000/${image}:${version}`,
  digest: `sha256:${createHash("sha256")
    .update(image + version)
    .digest("hex")}`,
});

export function imagesLock(version = "v3.2.4", postgres = ""): ImagesLock {
  return {
    "immich-server": locked("immich-app/immich-server", version),
    "immich-machine-learning": locked("immich-app/immich-machine-learning", version),
    // No PostgreSQL major in the tag unless a test gives one: the real one here is Debian 12's.
    postgres: locked("immich-app/postgres", postgres || "rehearsal"),
    valkey: locked("valkey/valkey", "9"),
    cloudflared: locked("cloudflare/cloudflared", "2026.10.0"),
  };
}

export const secrets = {
  databasePassword: "canaryDatabase1",
  borgPassphrase: "canaryBorg2",
  tunnelToken: "canaryTunnel3",
};

export function bundles(images = imagesLock(), own = secrets) {
  return {
    disks: disksBundle({
      main: { id: "usb-ONE", allowFormat: true },
      backup: { id: "usb-TWO", allowFormat: true },
    }),
    docker: dockerBundle(),
    secrets: secretsBundle(own),
    immich: immichBundle({ timeZone: "Asia/Tokyo", lan: false, machineLearning: false, images }),
    tunnel: tunnelBundle({ images }),
    backup: backupBundle({ schedule: "0 1 * * 6", keep: { weekly: 8, monthly: 12, yearly: 5 } }),
  };
}

/** In an `up`'s order. Answers what the first that fails says, or undefined. */
export async function applyAll(
  world: HostWorld,
  all: ReturnType<typeof bundles>,
): Promise<string | undefined> {
  for (const bundle of [all.disks, all.docker, all.secrets, all.immich, all.tunnel, all.backup]) {
    const result = await world.apply(bundle);
    if (result.code !== 0) return `${bundle.subject}: ${result.stderr}`;
  }
  return undefined;
}

/** Immich's tables as far as the kit looks at them, and one that only the dump's order would find. */
export const schema = `
create table "user" ("id" uuid primary key, "name" text not null, "email" text not null unique, "isAdmin" boolean not null default false, "deletedAt" timestamptz);
create table "notification" ("id" uuid primary key default gen_random_uuid(), "createdAt" timestamptz not null default now(), "userId" uuid references "user" on delete cascade,
  "level" varchar not null default 'info', "type" varchar not null default 'info', "data" jsonb, "title" varchar not null, "description" text, "readAt" timestamptz);
create table "asset" ("id" uuid primary key default gen_random_uuid(), "ownerId" uuid not null references "user" on delete cascade,
  "originalPath" text not null, "originalFileName" text not null, "checksum" bytea not null, "duration" integer,
  "livePhotoVideoId" uuid references "asset" on delete set null, "createdAt" timestamptz not null default now(),
  "deletedAt" timestamptz, "status" text not null default 'active',
  "updateId" uuid not null default gen_random_uuid(), unique ("ownerId", "checksum"));
create table "asset_exif" ("assetId" uuid primary key references "asset" on delete cascade, "make" text, "size" bigint generated always as (7) stored);
create table "asset_file" ("id" uuid primary key default gen_random_uuid(), "assetId" uuid not null references "asset" on delete cascade, "type" varchar not null, "path" text not null);
create table "album" ("id" uuid primary key, "albumName" text not null, "albumThumbnailAssetId" uuid references "asset" on delete set null);
create table "album_asset" ("albumId" uuid references "album" on delete cascade, "assetId" uuid references "asset" on delete cascade, primary key ("albumId", "assetId"));
create table "activity" ("id" uuid primary key, "albumId" uuid not null, "assetId" uuid not null, "comment" text,
  foreign key ("albumId", "assetId") references "album_asset" on delete cascade);
create table "version_history" ("createdAt" timestamptz not null default now(), "version" text not null);
insert into "version_history" ("version") values ('3.2.4');
create table "asset_face" ("id" uuid primary key, "assetId" uuid not null references "asset" on delete cascade);
create table "face_search" ("faceId" uuid primary key references "asset_face" on delete cascade, "embedding" float8[]);
insert into "user" ("id", "name", "email") values ('00000000-0000-4000-8000-00000000000a', 'ken', 'ken@example.com'), ('00000000-0000-4000-8000-00000000000b', 'mio', 'mio@example.com');
insert into "album" values ('00000000-0000-4000-8000-0000000000a1', 'そら', null), ('00000000-0000-4000-8000-0000000000a2', '海', null);
`;

export class DeployedWorld {
  readonly world: HostWorld;

  constructor(world: HostWorld) {
    this.world = world;
  }

  /** Two disks and the programs; nothing was applied. @param megabytes of each disk */
  static async blank(megabytes = 100): Promise<DeployedWorld> {
    const world = await HostWorld.start();
    await world.layPrograms();
    await world.addDisk("usb-ONE", megabytes);
    await world.addDisk("usb-TWO", megabytes);
    return new DeployedWorld(world);
  }

  /** @param megabytes of each disk; the reserve that a run asks for is 3 GiB, and the images are sparse */
  static async start(megabytes = 6000): Promise<DeployedWorld> {
    const deployed = await DeployedWorld.blank(megabytes);
    const { world } = deployed;
    const refused = await applyAll(world, bundles());
    if (refused) throw new Error(refused);
    await deployed.sql(schema);
    await world.shell(
      "for each in backups encoded-video library profile thumbs upload; do mkdir -p /mnt/hdd1/immich/images/$each; echo 1 > /mnt/hdd1/immich/images/$each/.immich; done",
    );
    return deployed;
  }

  sql(text: string): Promise<string> {
    return this.world.must(
      [
        ...["docker", "exec", "--interactive", "immich_postgres", "psql", "-X", "--quiet"],
        ...["--tuples-only", "--no-align", "--username=postgres", "--dbname=immich"],
        "--set=ON_ERROR_STOP=1",
      ],
      { stdin: text },
    );
  }

  /** As cron's line starts it. */
  backUp(): Promise<Result> {
    return this.world.run(["systemctl", "start", "ouchi-backup.service"]);
  }

  /** A script beside the repository, `immich`, with what Borg wants to know, and HDD2 mounted meanwhile. */
  borg(script: string): Promise<string> {
    return this.world.shell(
      `mount /mnt/hdd2; trap 'cd /; umount /mnt/hdd2' EXIT
       export BORG_BASE_DIR=/mnt/hdd1/kit/borg BORG_PASSCOMMAND='cat /etc/ouchi-photos/secrets/borg-passphrase'
       cd /mnt/hdd2/borg
       ${script}`,
    );
  }

  /** Unmounts HDD2 after a kill, once what was ended has really let go of it. */
  takeBackupDiskDown(): Promise<string> {
    return this.world.shell(
      `for try in $(seq 300); do
         mountpoint --quiet /mnt/hdd2 || exit 0
         umount /mnt/hdd2 2>/dev/null || sleep 0.1
       done
       exit 1`,
    );
  }

  /** Names, oldest first. */
  async archives(): Promise<string[]> {
    return (await this.borg("borg list --short immich")).split("\n").filter(Boolean);
  }

  /** What the Pi's look for a bad day finds. */
  async problems(): Promise<{ key: string; what: string }[]> {
    const { code, stderr } = await this.world.program("health");
    if (code !== 0) throw new Error(`health: ${stderr}`);
    const found = await this.world.must(["cat", "/run/ouchi-photos/health.json"]);
    return (JSON.parse(found) as { problems: { key: string; what: string }[] }).problems;
  }

  /** A photo as Immich has it: file, row, exif, in the album そら. Answers its id. */
  async addPhoto(name: string, content: string, owner = "a"): Promise<string> {
    const path = `library/ken/2022/2022-02-03/${name}`;
    await this.world.must(
      [
        "sh",
        "-ec",
        'mkdir -p "$(dirname "$1")"; cat > "$1"',
        "sh",
        `/mnt/hdd1/immich/images/${path}`,
      ],
      { stdin: content },
    );
    const checksum = createHash("sha1").update(content).digest("hex");
    return this.sql(`
      with added as (insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum")
        values ('00000000-0000-4000-8000-00000000000${owner}', '/data/${path.replaceAll("'", "''")}', '${name.replaceAll("'", "''")}', '\\x${checksum}') returning "id"),
      exif as (insert into "asset_exif" select "id", 'Canon' from added)
      insert into "album_asset" select '00000000-0000-4000-8000-0000000000a1', "id" from added returning "assetId";`);
  }

  /** Photos of ken's, each with bytes of its own. */
  async addPhotos(...names: string[]): Promise<void> {
    for (const name of names) await this.addPhoto(name, `the bytes of ${name}`);
  }

  async isRunning(container: string): Promise<boolean> {
    const question = ["docker", "inspect", "--format", "{{.State.Running}}", container];
    return (await this.world.must(question)) === "true";
  }

  /** Everything in the database as text, to compare before and after. */
  everyRow(): Promise<string> {
    const tables = [
      "user",
      "asset",
      "asset_exif",
      "album",
      "album_asset",
      "activity",
      "asset_face",
      "face_search",
    ];
    return this.sql(
      tables
        .map(
          (table) =>
            `select '${table}', to_jsonb(t) - 'updateId' from "${table}" t order by to_jsonb(t)::text;`,
        )
        .join("\n"),
    );
  }

  stop(): Promise<void> {
    return this.world.stop();
  }
}
