import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readCommandLine, UsageError } from "../../../rehearsal/cloudflared/command-line.ts";
import { matchRule, readConfiguration } from "../../../rehearsal/cloudflared/ingress.ts";
import {
  deserializeHeaders,
  serializeHeaders,
} from "../../../rehearsal/cloudflared/tunnel-protocol.ts";
import { account_id, House, host, until } from "./house.ts";

describe("the connector, asked behind Access' back", () => {
  let house: House;
  const ask = (headers: Record<string, string> = {}, at = host) =>
    house.control.throughTunnel({ host: at, path: "/api/server/ping", headers });
  const token = (claims: object = {}) =>
    house.world.tokens.sign({ type: "app", aud: [house.aud], ...claims }, 60_000);

  beforeAll(async () => {
    house = await House.build({ strict: true });
  });
  beforeEach(() => {
    house.seen.length = 0;
  });
  afterAll(() => house.close());

  test("answers 403 without a JWT and to one for another application (row 43)", async () => {
    expect(await ask()).toMatchObject({ status: 403, body: "" });
    const other = await token({ aud: ["0".repeat(64)] });
    expect(await ask({ "cf-access-jwt-assertion": other })).toMatchObject({ status: 403 });
    expect(house.seen).toEqual([]);
  });

  test("passes one that Access signed, also after Access' keys were rotated", async () => {
    expect(await ask({ "cf-access-jwt-assertion": await token() })).toMatchObject({ status: 200 });
    await house.world.tokens.rotateKeys();
    expect(await ask({ "cf-access-jwt-assertion": await token() })).toMatchObject({ status: 200 });
  });

  test("answers 502, as the real one does, to one that is forged, expired or not one at all", async () => {
    const good = await token();
    const [head, payload, signature] = good.split(".");
    const forged = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(payload!, "base64url").toString()), email: "x" }),
    ).toString("base64url");
    for (const jwt of [`${head}.${forged}.${signature}`, "nonsense"]) {
      expect(await ask({ "cf-access-jwt-assertion": jwt })).toMatchObject({
        status: 502,
        source: "cloudflared",
      });
    }
    house.clock.advance(61_000);
    expect(await ask({ "cf-access-jwt-assertion": good })).toMatchObject({ status: 502 });
    expect(house.seen).toEqual([]);
  });

  test("fails closed when the keys cannot be read, and with no audience refuses everybody", async () => {
    house.connect("http://127.0.0.1:9");
    await house.untilConnected();
    expect(await ask({ "cf-access-jwt-assertion": await token() })).toMatchObject({ status: 502 });
    house.connect();
    await house.untilConnected();
    await house.configure({ required: true, teamName: "family", audTag: [] });
    await house.untilConnected();
    expect(await ask({ "cf-access-jwt-assertion": await token() })).toMatchObject({ status: 403 });
    await house.configure();
    await house.untilConnected();
    expect(house.seen).toEqual([]);
  });

  test("lets go of an idle connection to the origin after the time in the settings", async () => {
    const ports = async (idleMs: number) => {
      house.seen.length = 0;
      const headers = { "cf-access-jwt-assertion": await token() };
      for (const pause of [0, idleMs]) {
        await new Promise((resolve) => setTimeout(resolve, pause));
        expect(await ask(headers)).toMatchObject({ status: 200 });
      }
      return new Set(house.seen.map(({ port }) => port)).size;
    };
    const access = { required: true, teamName: "family", audTag: [house.aud] };
    await house.configure(access, { keepAliveTimeout: 1 });
    await house.untilConnected();
    expect(await ports(1500)).toBe(2);
    await house.configure(access);
    await house.untilConnected();
    expect(await ports(1500)).toBe(1);
  });

  test("stays connected while nobody asks: the edge's pings are signs of life", async () => {
    const ids = async () => {
      const { connections } = await house.api.zeroTrust.tunnels.cloudflared.get(house.tunnelId, {
        account_id,
      });
      return connections!.map(({ id }) => id).sort();
    };
    await house.untilConnected();
    const before = await ids();
    await new Promise((resolve) => setTimeout(resolve, 22_000));
    expect(await ids()).toEqual(before);
    expect(before).toHaveLength(4);
  });

  test("the bundle runs without node_modules, says when it is ready, and ends with a bad token", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-cloudflared-"));
    try {
      const outfile = join(folder, "cloudflared.mjs");
      await build({
        entryPoints: ["rehearsal/cloudflared/main.ts"],
        outfile,
        bundle: true,
        platform: "node",
        format: "esm",
        target: "node20",
        logLevel: "error",
      });
      writeFileSync(join(folder, "token"), `${house.tunnelToken}\n`, { mode: 0o400 });
      const metrics = `127.0.0.1:${await freePort()}`;
      const run = (token: string) =>
        spawn(process.execPath, [outfile, "--no-autoupdate", "tunnel", "run"], {
          cwd: folder,
          env: {
            PATH: process.env.PATH,
            TUNNEL_TOKEN_FILE: token,
            TUNNEL_METRICS: metrics,
            PRETEND_EDGE: `127.0.0.1:${house.world.tunnelPort}`,
            PRETEND_EDGE_CERTS: `http://127.0.0.1:${house.world.certsPort}`,
          },
          stdio: ["ignore", "ignore", "pipe"],
        });
      house.connector.stop();
      await house.untilDisconnected();
      const connector = run(join(folder, "token"));
      let said = "";
      connector.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      try {
        await until(`readiness of a connector that said: ${said}`, async () => {
          const answer = await fetch(`http://${metrics}/ready`).catch(() => undefined);
          const { readyConnections } = ((await answer?.json()) ?? {}) as Record<string, number>;
          return answer?.status === 200 && readyConnections === 4;
        });
        const answer = await house.send("/", { headers: house.phoneHeaders() });
        expect(answer.status).toBe(200);
        expect(said).toMatch(/INF Registered tunnel connection connIndex=0 /);
        expect(said).not.toContain(house.tunnelToken);
      } finally {
        connector.kill("SIGTERM");
        expect(await ended(connector)).toBe(0);
      }
      const wrong = { a: "x", t: "y", s: "z" };
      writeFileSync(join(folder, "wrong"), Buffer.from(JSON.stringify(wrong)).toString("base64"));
      expect(await ended(run(join(folder, "wrong")))).toBe(1);
      expect(await ended(run(join(folder, "missing")))).toBe(1);
    } finally {
      rmSync(folder, { recursive: true });
      house.connect();
      await house.untilConnected();
    }
  });
});

describe("the connector's pure parts", () => {
  test("ingress rules match host and path from top to bottom", () => {
    const rules = readConfiguration({
      ingress: [
        { hostname: "photos.example.com", path: "^/api/", service: "http://localhost:1" },
        { hostname: "photos.example.com", service: "http://localhost:2" },
        { hostname: "*.example.com", service: "http://localhost:3" },
        { service: "http_status:404" },
      ],
    });
    const service = (host: string, path = "/") => matchRule(rules, host, path).service;
    expect(service("photos.example.com", "/api/x")).toBe("http://localhost:1");
    expect(service("Photos.example.com:443")).toBe("http://localhost:2");
    expect(service("a.example.com")).toBe("http://localhost:3");
    expect(service("example.com")).toBe("http_status:404");
    expect(matchRule(readConfiguration({}), "x", "/").service).toBe("http_status:503");
    expect(() => readConfiguration({ ingress: [{ hostname: "x", service: "http://y" }] })).toThrow(
      "The last ingress rule must match all URLs",
    );
  });

  test("headers survive the tunnel byte by byte", () => {
    const pairs: [string, string][] = [
      ["Set-Cookie", "a=1; Path=/"],
      ["Set-Cookie", "b=:;="],
      ["X-Latin", "caf\u00e9"],
      ["X-Empty", ""],
    ];
    expect(deserializeHeaders(serializeHeaders(pairs))).toEqual(pairs);
  });

  test("the command line is the real one's, and an unknown flag is refused", () => {
    expect(readCommandLine(["--no-autoupdate", "tunnel", "run"])).toEqual({ name: "run" });
    expect(
      readCommandLine(["tunnel", "--metrics", "127.0.0.1:1", "run", "--token-file=/t"]),
    ).toEqual({ name: "run", metrics: "127.0.0.1:1", tokenFileFlag: "/t" });
    expect(readCommandLine(["tunnel", "--metrics=x:1", "ready"])).toEqual({
      name: "ready",
      metrics: "x:1",
    });
    for (const words of [
      ["--colour", "tunnel", "run"],
      ["tunnel", "run", "--url", "x"],
      ["access"],
    ]) {
      expect(() => readCommandLine(words)).toThrow(UsageError);
    }
  });
});

function ended(child: ReturnType<typeof spawn>): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once("exit", resolve);
  });
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
