/** What the routes, the jobs and the nightly tasks share. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type pg from "pg";
import { getMetadata, setMetadata } from "./database.ts";
import type { Jobs } from "./jobs.ts";
import { type AssetRow, selectAssets, type UserRow } from "./rows.ts";
import { type Settings, withDefaults } from "./settings.ts";
import { applyTemplate, extractMetadata, libraryFolder } from "./storage.ts";

const day = 24 * 60 * 60 * 1000;

export class ImmichState {
  readonly db: pg.Pool;
  readonly jobs: Jobs;
  readonly dataDir: string;
  readonly now: () => number;
  readonly timeZone: string;
  readonly log: (line: string) => void;

  constructor(parts: {
    db: pg.Pool;
    jobs: Jobs;
    dataDir: string;
    now: () => number;
    timeZone: string;
    log: (line: string) => void;
  }) {
    this.db = parts.db;
    this.jobs = parts.jobs;
    this.dataDir = parts.dataDir;
    this.now = parts.now;
    this.timeZone = parts.timeZone;
    this.log = parts.log;
  }

  async settings(): Promise<Settings> {
    return withDefaults(
      (await getMetadata<Record<string, unknown>>(this.db, "system-config")) ?? {},
    );
  }

  async inMaintenance(): Promise<boolean> {
    const stored = await getMetadata<{ isMaintenanceMode: boolean }>(this.db, "maintenance-mode");
    return stored?.isMaintenanceMode ?? false;
  }

  async setMaintenance(isMaintenanceMode: boolean): Promise<void> {
    await setMetadata(this.db, "maintenance-mode", { isMaintenanceMode });
  }

  async asset(id: string): Promise<AssetRow | undefined> {
    return (await this.db.query<AssetRow>(`${selectAssets} where a."id" = $1`, [id])).rows[0];
  }

  /** First its own date, then its place: the order that Immich's jobs keep. */
  async processUpload(id: string): Promise<void> {
    const asset = await this.asset(id);
    if (!asset) return;
    await extractMetadata(this.db, asset, this.timeZone, new Date(this.now()));
    const { rows } = await this.db.query<UserRow>(`select * from "user" where "id" = $1`, [
      asset.ownerId,
    ]);
    const [owner, dated] = [rows[0], await this.asset(id)];
    if (!owner || !dated) return;
    const { storageTemplate } = await this.settings();
    await applyTemplate(this.db, this.dataDir, storageTemplate, dated, owner, this.timeZone);
  }

  /** Immich's nightly tasks that delete: the trash, and people who were deleted a week ago. */
  async runNightlyTasks(): Promise<void> {
    const settings = await this.settings();
    const trashed = await this.db.query<AssetRow>(
      `${selectAssets} where a."deletedAt" < $1 and a."status" = 'trashed'`,
      [new Date(this.now() - settings.trash.days * day)],
    );
    for (const asset of trashed.rows) await this.purgeAsset(asset);
    const people = await this.db.query<UserRow>(
      `select * from "user" where "deletedAt" < $1 and "status" = 'deleted'`,
      [new Date(this.now() - settings.user.deleteDelay * day)],
    );
    for (const person of people.rows) await this.purgeUser(person);
  }

  async purgeAsset(asset: AssetRow): Promise<void> {
    await this.db.query(`delete from "asset" where "id" = $1`, [asset.id]);
    await this.db.query(
      `update "user" set "quotaUsageInBytes" = greatest(0, "quotaUsageInBytes" - $2) where "id" = $1`,
      [asset.ownerId, asset.fileSizeInByte ?? 0],
    );
    await this.jobs.add({ name: "FileDelete", files: [asset.originalPath] });
  }

  /** What decision 17 of the kit exists for: everything of a person goes, from disk and database. */
  async purgeUser(user: UserRow): Promise<void> {
    this.log(`Deleting user: ${user.id}`);
    const folders = [
      libraryFolder(this.dataDir, user),
      ...["upload", "profile", "thumbs", "encoded-video"].map((name) =>
        join(this.dataDir, name, user.id),
      ),
    ];
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
    await this.db.query(
      `delete from "album" where "id" in
         (select "albumId" from "album_user" where "userId" = $1 and "role" = 'owner')`,
      [user.id],
    );
    await this.db.query(`delete from "user" where "id" = $1`, [user.id]);
  }
}
