/**
 * What runs in the pretend server's container: `node server.mjs` is the server, and the same bundle
 * is `immich-admin`, as in the real image.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { getMetadata, openDatabase, setMetadata } from "./database.ts";
import { hashPassword, newToken } from "./passwords.ts";
import { showUserToAdmin, type UserRow } from "./rows.ts";
import { createServer, type ImmichServer } from "./server.ts";
import { StartupError } from "./storage.ts";

const { env } = process;

function databaseFromEnvironment() {
  const password = env.DB_PASSWORD_FILE
    ? readFileSync(env.DB_PASSWORD_FILE, "utf8").trim()
    : env.DB_PASSWORD;
  return {
    host: env.DB_HOSTNAME ?? "database",
    port: Number(env.DB_PORT ?? 5432),
    user: env.DB_USERNAME ?? "postgres",
    database: env.DB_DATABASE_NAME ?? "immich",
    ...(password !== undefined && { password }),
  };
}

/** What a bad release may do at its start, as its image says; every version without it is a good one. */
type Fault = "drops-rows" | "migration-fails";

class FaultError extends StartupError {}

async function actOutFault(): Promise<void> {
  const fault = env.PRETEND_IMMICH_FAULT as Fault | undefined;
  if (!fault) return;
  const db = openDatabase(databaseFromEnvironment());
  try {
    switch (fault) {
      case "drops-rows":
        await db.query(
          'delete from "asset" where "id" in (select "id" from "asset" order by "createdAt" desc limit 1)',
        );
        return;
      case "migration-fails":
        await db.query('create table "half_a_migration" ("id" uuid)').catch(() => undefined);
        throw new FaultError('Migration "0002-a-fault-of-the-rehearsal" failed');
      default:
        throw new FaultError(`The pretend server knows no fault "${fault}"`);
    }
  } finally {
    await db.end();
  }
}

const listenPort = Number(env.IMMICH_PORT ?? 2283);
const dataDir = env.IMMICH_MEDIA_LOCATION ?? "/data";

async function serve(): Promise<void> {
  const log = (line: string) => console.log(line);
  let server: ImmichServer | undefined;
  for (let attempt = 1; !server; attempt++) {
    try {
      await actOutFault();
      server = await createServer({
        dataDir,
        database: databaseFromEnvironment(),
        redis: { host: env.REDIS_HOSTNAME ?? "redis", port: Number(env.REDIS_PORT ?? 6379) },
        host: env.IMMICH_HOST ?? "0.0.0.0",
        port: listenPort,
        log,
      });
    } catch (error) {
      // Database and Redis may still be starting.
      const waits = !(error instanceof StartupError) && attempt < 60;
      console.error(`Immich (pretend) cannot start: ${(error as Error).message}`);
      if (!waits) process.exit(1);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  log(`Immich Server (pretend) is listening on port ${listenPort}`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      server.close().finally(() => process.exit(0));
    });
  }
}

async function admin(command: string | undefined): Promise<void> {
  const db = openDatabase(databaseFromEnvironment());
  try {
    switch (command) {
      case "list-users": {
        const { rows } = await db.query<UserRow>(`select * from "user" order by "createdAt"`);
        console.dir(rows.map(showUserToAdmin), { depth: null });
        return;
      }
      case "reset-admin-password": {
        const { rows } = await db.query<UserRow>(
          `select * from "user" where "isAdmin" and "deletedAt" is null order by "createdAt" limit 1`,
        );
        const [user] = rows;
        if (!user) throw new Error("Admin account does not exist");
        console.log(`Found Admin:\n- ID=${user.id}\n- Email=${user.email}\n- Name=${user.name}`);
        const input = createInterface({ input: process.stdin, output: process.stdout });
        const answer = await input.question("? Please choose a new password (optional) ");
        input.close();
        const password = answer.trim() || newToken().slice(0, 24);
        await db.query(`update "user" set "password" = $2 where "id" = $1`, [
          user.id,
          await hashPassword(password),
        ]);
        console.log(
          answer.trim()
            ? "The admin password has been updated."
            : `The admin password has been updated to:\n${password}`,
        );
        return;
      }
      case "enable-maintenance-mode":
      case "disable-maintenance-mode": {
        const wanted = command === "enable-maintenance-mode";
        const mode = await getMetadata<{ isMaintenanceMode: boolean }>(db, "maintenance-mode");
        if ((mode?.isMaintenanceMode ?? false) === wanted) {
          console.log(`Maintenance mode is already ${wanted ? "enabled" : "disabled"}.`);
        } else {
          await setMetadata(db, "maintenance-mode", { isMaintenanceMode: wanted });
          console.log(`Maintenance mode has been ${wanted ? "enabled" : "disabled"}.`);
        }
        return;
      }
      default:
        throw new Error(
          `immich-admin (pretend) knows list-users, reset-admin-password, enable-maintenance-mode and disable-maintenance-mode, not "${command ?? ""}"`,
        );
    }
  } finally {
    await db.end();
  }
}

const [role, ...rest] = process.argv.slice(2);
const run = role === "immich-admin" ? admin(rest[0]) : serve();
run.catch((error) => {
  console.error((error as Error).message);
  process.exit(1);
});
