/**
 * The folders under /data: their `.immich` markers, uploads and the storage template's moves.
 * Like the real server nothing here calls fsync: a photo that was answered 201 may be lost with the
 * power, and the kit has to live with that.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { access, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import type { Readable } from "node:stream";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { getMetadata, type Queryable, setMetadata } from "./database.ts";
import { readExif } from "./exif.ts";
import type { AssetRow, UserRow } from "./rows.ts";
import type { Settings } from "./settings.ts";
import { instantOf, localTime, render, sanitize } from "./storage-template.ts";

export const folders = ["backups", "encoded-video", "library", "profile", "thumbs", "upload"];

/** A fault that no waiting mends: the wrong disk, or none. */
export class StartupError extends Error {}

interface SystemFlags {
  mountChecks: Record<string, boolean>;
}

/** Refuses to start on an empty or foreign disk: a marker that was once written must still be there. */
export async function checkMarkers(db: Queryable, dataDir: string): Promise<void> {
  const flags = (await getMetadata<SystemFlags>(db, "system-flags")) ?? { mountChecks: {} };
  let written = false;
  for (const folder of folders) {
    const marker = join(dataDir, folder, ".immich");
    const shown = `<UPLOAD_LOCATION>/${folder}/.immich`;
    if (!flags.mountChecks[folder]) {
      await mkdir(dirname(marker), { recursive: true });
      await writeFile(marker, String(Date.now()), { flag: "wx" }).catch((error) => {
        if (error.code !== "EEXIST")
          throw new StartupError(`Failed to create "${shown}": ${error}`);
      });
      flags.mountChecks[folder] = true;
      written = true;
    }
    await readFile(marker).catch((error) => {
      throw new StartupError(`Failed to read "${shown}": ${error.message}`);
    });
    await writeFile(marker, String(Date.now())).catch((error) => {
      throw new StartupError(`Failed to write "${shown}": ${error.message}`);
    });
  }
  if (written) await setMetadata(db, "system-flags", flags);
}

export const uploadFolder = (dataDir: string, userId: string) => join(dataDir, "upload", userId);
export const libraryFolder = (dataDir: string, user: Pick<UserRow, "id" | "storageLabel">) =>
  join(dataDir, "library", user.storageLabel ?? user.id);

export interface StoredUpload {
  path: string;
  sha1: Buffer;
  size: number;
}

export async function storeUpload(
  dataDir: string,
  userId: string,
  name: { uuid: string; fileName: string },
  content: Readable,
): Promise<StoredUpload> {
  const folder = join(uploadFolder(dataDir, userId), name.uuid.slice(0, 2), name.uuid.slice(2, 4));
  await mkdir(folder, { recursive: true });
  const path = join(folder, sanitize(`${name.uuid}${extname(name.fileName)}`));
  const hash = createHash("sha1");
  let size = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  try {
    await pipeline(content, count, createWriteStream(path, { flags: "wx" }));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { path, sha1: hash.digest(), size };
}

/**
 * Reads the photo's own date and writes it into its row. `localDateTime` is the clock of the place
 * where the photo was taken, kept as if it were UTC; without an offset the server's zone applies.
 */
export async function extractMetadata(
  db: Queryable,
  asset: AssetRow,
  serverZone: string,
  now: Date,
): Promise<void> {
  const [exif, { size }] = await Promise.all([
    readExif(asset.originalPath),
    stat(asset.originalPath),
  ]);
  const zone = exif.timeZone ?? serverZone;
  let taken = asset.fileCreatedAt;
  let local = new Date(asTimestamp(localTime(taken, zone)));
  if (exif.taken) {
    const shown = asTimestamp(exif.taken);
    const offset = /^UTC([+-]\d+)(?::(\d\d))?$/.exec(exif.timeZone ?? "");
    taken = offset
      ? new Date(
          shown -
            (Number(offset[1]) * 60 +
              (offset[1]!.startsWith("-") ? -1 : 1) * Number(offset[2] ?? 0)) *
              60_000,
        )
      : instantOf(exif.taken, serverZone);
    local = new Date(shown);
  }
  await db.query(
    `insert into "asset_exif" ("assetId", "fileSizeInByte", "dateTimeOriginal", "timeZone", "make", "model")
     values ($1, $2, $3, $4, $5, $6)
     on conflict ("assetId") do update set "fileSizeInByte" = $2, "dateTimeOriginal" = $3,
       "timeZone" = $4, "make" = $5, "model" = $6`,
    [asset.id, size, taken, exif.timeZone ?? null, exif.make ?? null, exif.model ?? null],
  );
  await db.query(
    `update "asset" set "fileCreatedAt" = $2, "localDateTime" = $3, "updatedAt" = $4 where "id" = $1`,
    [asset.id, taken, local, now],
  );
}

function asTimestamp(local: ReturnType<typeof localTime>): number {
  return Date.UTC(local.year, local.month - 1, local.day, local.hour, local.minute, local.second);
}

/** Moves a photo to where the template wants it; a taken name gets `+1`, `+2`, … */
export async function applyTemplate(
  db: Queryable,
  dataDir: string,
  settings: Settings["storageTemplate"],
  asset: AssetRow,
  owner: UserRow,
  serverZone: string,
): Promise<void> {
  if (!settings.enabled) return;
  const extension = extname(asset.originalPath).slice(1);
  const root = libraryFolder(dataDir, owner);
  const wanted = join(
    root,
    render(settings.template, {
      filename: sanitize(asset.originalFileName.replace(new RegExp(`\\.${extension}$`), "")),
      extension,
      id: asset.id,
      isVideo: asset.type === "VIDEO",
      time: localTime(asset.fileCreatedAt, asset.timeZone ?? serverZone),
    }),
  );
  if (!wanted.startsWith(`${root}/`)) return;
  const suffix = asset.originalPath.startsWith(wanted)
    ? asset.originalPath.slice(wanted.length, -extension.length - 1)
    : undefined;
  if (suffix !== undefined && /^(\+\d+)?$/.test(suffix)) return;

  let target = `${wanted}.${extension}`;
  for (let count = 1; await exists(target); count++) target = `${wanted}+${count}.${extension}`;
  await mkdir(dirname(target), { recursive: true });
  await rename(asset.originalPath, target);
  await db.query(`update "asset" set "originalPath" = $2 where "id" = $1`, [asset.id, target]);
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

export async function setFileTime(path: string, modified: Date): Promise<void> {
  await utimes(path, modified, modified).catch(() => undefined);
}
