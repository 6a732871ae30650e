/**
 * A pretend Immich server: the part of Immich 3.2's API and behaviour that the kit relies on, held to
 * @immich/sdk 3.2.2, on a real PostgreSQL and a real Redis or Valkey.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import type pg from "pg";
import { apiRoutes, grants, version } from "./api.ts";
import { type DatabaseOptions, migrate, openDatabase } from "./database.ts";
import { ApiError, badRequest, forbidden, notFound, unauthorized } from "./errors.ts";
import { Jobs, type RedisOptions } from "./jobs.ts";
import { hashToken } from "./passwords.ts";
import { check, type Route, type Session } from "./routes.ts";
import type { UserRow } from "./rows.ts";
import { ImmichState } from "./state.ts";
import { checkMarkers } from "./storage.ts";
import { page } from "./web.ts";

export interface ServerOptions {
  /** The folder that the container mounts at /data. */
  dataDir: string;
  database: DatabaseOptions;
  redis: RedisOptions;
  /** @default "127.0.0.1" */
  host?: string;
  /** @default 0, a free one */
  port?: number;
  /** Unix time in milliseconds. @default Date.now */
  now?: () => number;
  /** The zone of photos without an offset. @default the process's own */
  timeZone?: string;
  log?: (line: string) => void;
}

export interface ImmichServer {
  /** Without `/api`. */
  url: string;
  port: number;
  state: ImmichState;
  /** Resolves when no upload waits for its date or its place any more. */
  settled(): Promise<void>;
  runNightlyTasks(): Promise<void>;
  close(): Promise<void>;
}

export async function createServer(options: ServerOptions): Promise<ImmichServer> {
  const log = options.log ?? (() => undefined);
  const now = options.now ?? Date.now;
  const db = openDatabase(options.database);
  const jobs = new Jobs(options.redis, `immich_bull:${options.database.database}`);
  try {
    await migrate(db);
    await checkMarkers(db, options.dataDir);
    await recordVersion(db, new Date(now()));
    await jobs.connect();
  } catch (error) {
    await jobs.close();
    await db.end();
    throw error;
  }

  const state = new ImmichState({
    db,
    jobs,
    dataDir: options.dataDir,
    now,
    timeZone: options.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    log,
  });
  jobs.start(
    async (job) => {
      if (job.name === "FileDelete") {
        const { rm } = await import("node:fs/promises");
        for (const file of job.files) await rm(file, { force: true });
      } else await state.processUpload(job.id);
    },
    (job, error) => log(`Unable to run job ${job.name}: ${error}`),
  );

  const app = buildApp(state, log);
  const server = createHttpServer(getRequestListener(app.fetch));
  const sockets = new Set<Duplex>();
  server.on("upgrade", (request, socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    acceptWebSocket(state, request, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
  });
  const stopNightly = nightlyAtMidnight(state);
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    state,
    settled: async () => {
      while ((await jobs.pending()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    runNightlyTasks: () => state.runNightlyTasks(),
    close: async () => {
      stopNightly();
      for (const socket of sockets) socket.destroy();
      await closeHttp(server);
      await jobs.close();
      await db.end();
    },
  };
}

function buildApp(state: ImmichState, log: (line: string) => void) {
  const app = new Hono<{ Bindings: HttpBindings }>();
  const openInMaintenance = new Set(["/server/ping", "/server/version", "/server/config"]);

  for (const route of apiRoutes(state)) {
    app.on(route.method, `/api${route.path}`, async (c) => {
      if (!openInMaintenance.has(route.path) && (await state.inMaintenance())) {
        throw new ApiError(503, "Immich is in maintenance mode");
      }
      const session =
        route.access === "public" ? undefined : await authenticate(state.db, c, route);
      const result = await route.handle({
        params: c.req.param() as Record<string, string>,
        query: c.req.query(),
        headers: c.env.incoming.headers,
        incoming: c.env.incoming,
        session: session as Session,
        body: async (schema) => check(schema, await readJson(c)),
      });
      if (result instanceof Response) return result;
      if (result === undefined) return c.body(null, route.status as 200);
      return c.json(result as object, route.status as 200);
    });
  }

  app.get("/.well-known/immich", (c) => c.json({ api: { endpoint: "/api" } }));
  app.get("/", (c) => c.html(page));
  app.get("/auth/login", (c) => c.html(page));
  app.get("/photos", (c) => c.html(page));

  app.notFound((c) =>
    failure(c, notFound(`Cannot ${c.req.method} ${new URL(c.req.url).pathname}`)),
  );
  app.onError((error, c) => {
    if (error instanceof ApiError) return failure(c, error);
    log(`Unknown error: ${error.stack ?? error}`);
    return failure(c, new ApiError(500, "Internal server error"));
  });
  return app;
}

function failure(c: Context, error: ApiError) {
  const id = randomUUID().replaceAll("-", "").slice(0, 8);
  c.header("X-Correlation-ID", id);
  return c.json(error.body(id), error.status as 400);
}

async function readJson(c: Context<{ Bindings: HttpBindings }>): Promise<unknown> {
  const text = await c.req.text();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest("Unexpected token in JSON body");
  }
}

async function authenticate(
  db: pg.Pool,
  c: Context<{ Bindings: HttpBindings }>,
  route: Route,
): Promise<Session> {
  const session = await findSession(db, c.env.incoming, c.req.query());
  if (route.access === "admin" && !session.user.isAdmin) throw forbidden("Forbidden");
  if (session.apiKey && route.permission && !grants(session.apiKey.permissions, route.permission)) {
    throw forbidden(`Missing required permission: ${route.permission}`);
  }
  return session;
}

async function findSession(
  db: pg.Pool,
  request: IncomingMessage,
  query: Record<string, string>,
): Promise<Session> {
  const header = (name: string) => {
    const value = request.headers[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const cookies = new Map(
    (request.headers.cookie ?? "").split(/;\s*/).map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
  const token =
    header("x-immich-user-token") ??
    header("x-immich-session-token") ??
    query.sessionKey ??
    /^Bearer (.+)$/i.exec(header("authorization") ?? "")?.[1] ??
    cookies.get("immich_access_token");
  if (token) {
    const { rows } = await db.query<UserRow & { sessionId: string }>(
      `select u.*, s."id" as "sessionId" from "session" s join "user" u on u."id" = s."userId"
       where s."token" = $1 and u."deletedAt" is null`,
      [hashToken(token)],
    );
    if (!rows[0]) throw unauthorized("Invalid user token");
    return { user: rows[0], sessionId: rows[0].sessionId };
  }
  const key = header("x-api-key") ?? query.apiKey;
  if (key) {
    const { rows } = await db.query<UserRow & { keyId: string; permissions: string[] }>(
      `select u.*, k."id" as "keyId", k."permissions" from "api_key" k
       join "user" u on u."id" = k."userId" where k."key" = $1 and u."deletedAt" is null`,
      [hashToken(key)],
    );
    if (!rows[0]) throw unauthorized("Invalid API key");
    return {
      user: rows[0],
      apiKey: { id: rows[0].keyId, permissions: rows[0].permissions },
    };
  }
  throw unauthorized("Authentication required");
}

/** The app's live connection: the upgrade and Engine.IO's first packet, which is what a probe sees. */
function acceptWebSocket(state: ImmichState, request: IncomingMessage, socket: Duplex): void {
  socket.on("error", () => undefined);
  socket.on("end", () => socket.end());
  const { pathname } = new URL(request.url ?? "/", "http://immich");
  const key = request.headers["sec-websocket-key"];
  if (!/^\/api\/socket\.io\/?$/.test(pathname) || typeof key !== "string") {
    socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    return;
  }
  const accept = createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  const open = Buffer.from(
    `0${JSON.stringify({ sid: randomUUID(), upgrades: [], pingInterval: 25_000, pingTimeout: 20_000 })}`,
  );
  socket.write(Buffer.concat([Buffer.from([0x81, open.length]), open]));
  state.log("A client opened its websocket");
  socket.on("data", (frame: Buffer) => {
    if ((frame[0]! & 0x0f) === 0x8) socket.end(Buffer.from([0x88, 0]));
  });
}

async function recordVersion(db: pg.Pool, now: Date): Promise<void> {
  const text = `${version.major}.${version.minor}.${version.patch}`;
  const { rows } = await db.query<{ version: string }>(
    `select "version" from "version_history" order by "createdAt" desc limit 1`,
  );
  if (rows[0]?.version === text) return;
  await db.query(`insert into "version_history" ("createdAt", "version") values ($1, $2)`, [
    now,
    text,
  ]);
}

/** Looks every half minute whether a day has begun: a clock that is stepped forward counts. */
function nightlyAtMidnight(state: ImmichState): () => void {
  const today = () => new Date(state.now()).toDateString();
  let done = today();
  const timer = setInterval(() => {
    if (today() === done) return;
    done = today();
    state.runNightlyTasks().catch((error) => state.log(`Nightly tasks failed: ${error}`));
  }, 30_000);
  timer.unref();
  return () => clearInterval(timer);
}

async function closeHttp(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
