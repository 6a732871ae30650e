/** PostgreSQL, with Immich's own table and column names where the kit or its backup looks at them. */
import pg from "pg";

export interface DatabaseOptions {
  host: string;
  port?: number;
  user: string;
  password?: string;
  database: string;
}

export type Queryable = Pick<pg.Pool, "query">;

/** One entry per change ever made; a number once given stays. */
const migrations: [name: string, sql: string][] = [
  [
    "0001-first-tables",
    `
    create table "user" (
      "id" uuid primary key default gen_random_uuid(),
      "email" text not null unique,
      "password" text not null default '',
      "name" text not null default '',
      "isAdmin" boolean not null default false,
      "shouldChangePassword" boolean not null default true,
      "storageLabel" text unique,
      "profileImagePath" text not null default '',
      "profileChangedAt" timestamptz not null,
      "avatarColor" text,
      "oauthId" text not null default '',
      "quotaSizeInBytes" bigint,
      "quotaUsageInBytes" bigint not null default 0,
      "status" text not null default 'active',
      "createdAt" timestamptz not null,
      "updatedAt" timestamptz not null,
      "deletedAt" timestamptz
    );
    create table "user_metadata" (
      "userId" uuid not null references "user" on delete cascade,
      "key" text not null,
      "value" jsonb not null,
      primary key ("userId", "key")
    );
    create table "session" (
      "id" uuid primary key default gen_random_uuid(),
      "token" bytea not null,
      "userId" uuid not null references "user" on delete cascade,
      "deviceType" text not null default '',
      "deviceOS" text not null default '',
      "createdAt" timestamptz not null,
      "updatedAt" timestamptz not null
    );
    create index "session_token_idx" on "session" ("token");
    create table "api_key" (
      "id" uuid primary key default gen_random_uuid(),
      "name" text not null,
      "key" bytea not null,
      "userId" uuid not null references "user" on delete cascade,
      "permissions" text[] not null,
      "createdAt" timestamptz not null,
      "updatedAt" timestamptz not null
    );
    create table "asset" (
      "id" uuid primary key default gen_random_uuid(),
      "ownerId" uuid not null references "user" on delete cascade,
      "type" text not null,
      "originalPath" text not null,
      "originalFileName" text not null,
      "checksum" bytea not null,
      "fileCreatedAt" timestamptz not null,
      "fileModifiedAt" timestamptz not null,
      "localDateTime" timestamptz not null,
      "duration" integer,
      "isFavorite" boolean not null default false,
      "visibility" text not null default 'timeline',
      "status" text not null default 'active',
      "createdAt" timestamptz not null,
      "updatedAt" timestamptz not null,
      "deletedAt" timestamptz
    );
    create unique index "UQ_assets_owner_checksum" on "asset" ("ownerId", "checksum");
    create table "asset_exif" (
      "assetId" uuid primary key references "asset" on delete cascade,
      "fileSizeInByte" bigint,
      "dateTimeOriginal" timestamptz,
      "timeZone" text,
      "make" text,
      "model" text,
      "description" text not null default ''
    );
    create table "album" (
      "id" uuid primary key default gen_random_uuid(),
      "albumName" text not null,
      "description" text not null default '',
      "isActivityEnabled" boolean not null default true,
      "order" text not null default 'desc',
      "createdAt" timestamptz not null,
      "updatedAt" timestamptz not null,
      "deletedAt" timestamptz
    );
    create table "album_asset" (
      "albumId" uuid not null references "album" on delete cascade,
      "assetId" uuid not null references "asset" on delete cascade,
      "createdAt" timestamptz not null,
      primary key ("albumId", "assetId")
    );
    create table "album_user" (
      "albumId" uuid not null references "album" on delete cascade,
      "userId" uuid not null references "user" on delete cascade,
      "role" text not null,
      primary key ("albumId", "userId")
    );
    create table "system_metadata" ("key" text primary key, "value" jsonb not null);
    create table "version_history" (
      "id" uuid primary key default gen_random_uuid(),
      "createdAt" timestamptz not null,
      "version" text not null
    );
    `,
  ],
  [
    "0002-notifications",
    `
    create table "notification" (
      "id" uuid primary key default gen_random_uuid(),
      "createdAt" timestamptz not null default now(),
      "updatedAt" timestamptz not null default now(),
      "deletedAt" timestamptz,
      "updateId" uuid not null default gen_random_uuid(),
      "userId" uuid references "user" on delete cascade on update cascade,
      "level" varchar not null default 'info',
      "type" varchar not null default 'info',
      "data" jsonb,
      "title" varchar not null,
      "description" text,
      "readAt" timestamptz
    );
    `,
  ],
];

/** Extensions that the real server creates; the pretend one asks for those that are installed. */
const extensions = ["uuid-ossp", "unaccent", "cube", "earthdistance", "pg_trgm", "vector"];

export function openDatabase(options: DatabaseOptions): pg.Pool {
  // As Immich's own client: ten connections, and half a minute to open one.
  const pool = new pg.Pool({ ...options, max: 10, connectionTimeoutMillis: 30_000 });
  // A database that goes away ends idle clients; the next query opens a new one.
  pool.on("error", () => undefined);
  return pool;
}

export async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    // Two servers that start together must not both create the tables.
    await client.query("select pg_advisory_lock(200)");
    await client.query(
      `create table if not exists "kysely_migrations" ("name" text primary key, "timestamp" text not null)`,
    );
    const available = await client.query<{ name: string }>(
      "select name from pg_available_extensions where name = any($1)",
      [extensions],
    );
    const names = new Set(available.rows.map((row) => row.name));
    for (const extension of extensions.filter((name) => names.has(name))) {
      await client.query(`create extension if not exists "${extension}"`);
    }
    const done = await client.query<{ name: string }>(`select "name" from "kysely_migrations"`);
    for (const [name, sql] of migrations) {
      if (done.rows.some((row) => row.name === name)) continue;
      await client.query("begin");
      await client.query(sql);
      await client.query(`insert into "kysely_migrations" values ($1, now()::text)`, [name]);
      await client.query("commit");
    }
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  } finally {
    await client.query("select pg_advisory_unlock(200)").catch(() => undefined);
    client.release();
  }
}

export async function getMetadata<T>(db: Queryable, key: string): Promise<T | undefined> {
  const { rows } = await db.query<{ value: T }>(
    `select "value" from "system_metadata" where "key" = $1`,
    [key],
  );
  return rows[0]?.value;
}

export async function setMetadata(db: Queryable, key: string, value: unknown): Promise<void> {
  await db.query(
    `insert into "system_metadata" values ($1, $2)
     on conflict ("key") do update set "value" = excluded."value"`,
    [key, JSON.stringify(value)],
  );
}
