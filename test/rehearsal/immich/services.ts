/** A private PostgreSQL and Redis for a test file: temporary folders, a socket and a free port. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { DatabaseOptions } from "../../../rehearsal/immich/database.ts";

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until `check` stops throwing; shows the last error and `logs` when the deadline passes. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T> | T,
  options: { seconds?: number; logs?: () => string } = {},
): Promise<T> {
  const deadline = Date.now() + (options.seconds ?? 30) * 1000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) {
        throw new Error(`${what} did not happen: ${error}\n${options.logs?.() ?? ""}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  const hard = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(hard);
}

/**
 * A server that ends with the test, even with one that was killed: Linux sends it `signal` then.
 * `user` is for initdb and PostgreSQL, which refuse root.
 */
function spawnServer(
  command: string[],
  options: { cwd: string; signal: "INT" | "TERM"; user?: string },
): ChildProcess {
  const as = options.user
    ? [`--reuid=${options.user}`, `--regid=${options.user}`, "--init-groups"]
    : [];
  return spawn("setpriv", [`--pdeathsig=${options.signal}`, ...as, "--", ...command], {
    cwd: options.cwd,
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** As root the cluster runs as the user that Debian's package made. */
const postgresUser = process.getuid?.() === 0 ? "postgres" : undefined;

function postgresBinaries(): string {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const found = versions.find((version) => existsSync(join(root, version, "bin", "initdb")));
  if (!found) throw new Error("PostgreSQL's server is missing: apt-get install postgresql");
  return join(root, found, "bin");
}

export interface Postgres {
  /** A new, empty database. */
  createDatabase(name: string): Promise<DatabaseOptions>;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<Postgres> {
  const binaries = postgresBinaries();
  const folder = mkdtempSync(join(tmpdir(), "ouchi-postgres-"));
  const data = join(folder, "data");
  const identity: { uid?: number; gid?: number } = {};
  if (postgresUser) {
    const id = (flag: string) =>
      Number(execFileSync("id", [flag, postgresUser], { encoding: "utf8" }));
    Object.assign(identity, { uid: id("-u"), gid: id("-g") });
    chownSync(folder, identity.uid!, identity.gid!);
  }
  execFileSync(
    join(binaries, "initdb"),
    ["-D", data, "-U", "immich", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
    { ...identity, cwd: folder, stdio: "pipe" },
  );
  let logs = "";
  const child = spawnServer(
    [
      join(binaries, "postgres"),
      ...["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
    ],
    { cwd: folder, signal: "INT", ...(postgresUser && { user: postgresUser }) },
  );
  child.stderr!.on("data", (text) => {
    logs += text;
  });
  const server = { host: folder, user: "immich", database: "postgres" };
  const query = async (sql: string) => {
    const client = new pg.Client(server);
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  };
  await eventually("PostgreSQL's start", () => query("select 1"), { logs: () => logs });
  return {
    createDatabase: async (name) => {
      await query(`create database "${name}"`);
      return { ...server, database: name };
    },
    stop: async () => {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface RedisServer {
  host: string;
  port: number;
  stop(): Promise<void>;
}

export async function startRedis(): Promise<RedisServer> {
  const binary = ["/usr/bin/valkey-server", "/usr/bin/redis-server"].find((path) =>
    existsSync(path),
  );
  if (!binary) throw new Error("Redis is missing: apt-get install redis-server");
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "ouchi-redis-"));
  const child = spawnServer(
    [binary, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
    { cwd: folder, signal: "TERM" },
  );
  child.stderr!.resume();
  await eventually("Redis' start", async () => {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("data", () => {
        socket.destroy();
        resolve();
      });
      socket.write("PING\r\n");
    });
  });
  return {
    host: "127.0.0.1",
    port,
    stop: async () => {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
