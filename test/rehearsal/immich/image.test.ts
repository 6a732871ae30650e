import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as sdk from "@immich/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { immichImageFiles } from "../../../rehearsal/immich/image.ts";
import { eventually, freePort, startPostgres, startRedis, stop } from "./services.ts";

let folder: string;
let bundle: string;
let check: string;
let child: ChildProcess;
let environment: NodeJS.ProcessEnv;
let baseUrl: string;
const ends: (() => Promise<void>)[] = [];

const admin = (command: string, input = "") =>
  execute("node", [bundle, ...command.split(" ")], input);

function execute(
  program: string,
  words: string[],
  input = "",
  env = environment,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const process = execFile(program, words, { env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    );
    // One that reads nothing may have ended before it is written to.
    process.stdin!.on("error", () => undefined);
    process.stdin!.end(input);
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ouchi-immich-image-"));
  const files = await immichImageFiles();
  bundle = join(folder, "server.cjs");
  writeFileSync(bundle, files[0]!.content);
  check = join(folder, "immich-healthcheck");
  const { content } = files.find(({ path }) => path.endsWith("/immich-healthcheck"))!;
  writeFileSync(check, content, { mode: 0o755 });
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "password"), "any\n");
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  ends.push(postgres.stop, redis.stop);
  const database = await postgres.createDatabase("immich");
  const port = await freePort();
  baseUrl = `http://127.0.0.1:${port}/api`;
  environment = {
    PATH: process.env.PATH,
    TZ: "Asia/Tokyo",
    IMMICH_PORT: String(port),
    IMMICH_HOST: "127.0.0.1",
    IMMICH_MEDIA_LOCATION: join(folder, "data"),
    DB_HOSTNAME: database.host,
    DB_USERNAME: database.user,
    DB_DATABASE_NAME: database.database,
    DB_PASSWORD_FILE: join(folder, "password"),
    REDIS_HOSTNAME: redis.host,
    REDIS_PORT: String(redis.port),
  };
  // From a folder without node_modules: the bundle must need none.
  child = spawn("node", [bundle], { cwd: folder, env: environment, stdio: "pipe" });
  let logs = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (text) => {
      logs += text;
    });
  }
  await eventually("the server's start", () => sdk.pingServer({ baseUrl }), {
    logs: () => logs,
  });
}, 300_000);

afterAll(async () => {
  if (child) await stop(child);
  await Promise.all(ends.map((end) => end()));
  rmSync(folder, { recursive: true, force: true });
});

describe("the image's one file", () => {
  it("is healthy by its own check", async () => {
    expect(await execute(check, [])).toEqual({ code: 0, output: "" });
    const elsewhere = { ...environment, IMMICH_PORT: String(await freePort()) };
    expect((await execute(check, [], "", elsewhere)).code).toBe(1);
  });

  it("resets the admin's password to what is typed", async () => {
    const email = "admin@example.com";
    await sdk.signUpAdmin(
      { signUpDto: { email, name: "kit", password: "forgotten" } },
      { baseUrl },
    );
    const { code, output } = await admin("immich-admin reset-admin-password", "typed anew\n");
    expect(code).toBe(0);
    expect(output).toContain("The admin password has been updated.");
    await sdk.login({ loginCredentialDto: { email, password: "typed anew" } }, { baseUrl });
    expect((await admin("immich-admin list-users")).output).toContain(email);
  });

  it("goes into maintenance mode and out of it while it runs", async () => {
    await admin("immich-admin enable-maintenance-mode");
    expect(await sdk.getServerConfig({ baseUrl })).toMatchObject({ maintenanceMode: true });
    await expect(sdk.getMyUser({ baseUrl })).rejects.toMatchObject({ status: 503 });
    expect((await admin("immich-admin enable-maintenance-mode")).output).toContain("already");
    await admin("immich-admin disable-maintenance-mode");
    await expect(sdk.getMyUser({ baseUrl })).rejects.toMatchObject({ status: 401 });
  });

  it("refuses a command that it does not know", async () => {
    expect((await admin("immich-admin fly")).code).toBe(1);
  });

  it("serves a page to sign in on", async () => {
    const response = await fetch(baseUrl.replace("/api", "/"));
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(await response.text()).toContain('name="password" type="password"');
  });
});
