import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import * as sdk from "@immich/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer, type ImmichServer } from "../../../rehearsal/immich/server.ts";
import { jpeg } from "./photos.ts";
import {
  eventually,
  type Postgres,
  type RedisServer,
  startPostgres,
  startRedis,
} from "./services.ts";

const day = 24 * 60 * 60 * 1000;
let postgres: Postgres;
let redis: RedisServer;
let server: ImmichServer;
let dataDir: string;
let clock = Date.parse("2026-11-23T00:00:00Z");
let admin: sdk.UserAdminResponseDto;
let adminToken: string;

const as = (token: string) => ({
  baseUrl: `${server.url}/api`,
  headers: { authorization: `Bearer ${token}` },
});
const login = async (email: string, password: string) =>
  (await sdk.login({ loginCredentialDto: { email, password } }, { baseUrl: `${server.url}/api` }))
    .accessToken;

async function person(name: string, extra: Partial<sdk.UserAdminCreateDto> = {}) {
  const password = `${name}-password`;
  const user = await sdk.createUserAdmin(
    {
      userAdminCreateDto: {
        email: `${name}@example.com`,
        name,
        password,
        storageLabel: name,
        ...extra,
      },
    },
    as(adminToken),
  );
  return { user, password, token: await login(user.email, password) };
}

const upload = (token: string, content: Buffer, filename: string) =>
  sdk.uploadAsset(
    {
      assetMediaCreateDto: {
        assetData: new File([new Uint8Array(content)], filename),
        fileCreatedAt: "2024-05-06T07:08:09.000Z",
        fileModifiedAt: "2024-05-06T07:08:09.000Z",
      },
    },
    as(token),
  );

async function start(): Promise<ImmichServer> {
  return createServer({
    dataDir,
    database: { ...database },
    redis,
    now: () => clock,
    timeZone: "Asia/Tokyo",
  });
}

let database: Awaited<ReturnType<Postgres["createDatabase"]>>;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  dataDir = mkdtempSync(join(tmpdir(), "ouchi-immich-"));
  database = await postgres.createDatabase("immich");
  server = await start();
}, 300_000);

afterAll(async () => {
  await server?.close();
  await Promise.all([postgres?.stop(), redis?.stop()]);
  rmSync(dataDir, { recursive: true, force: true });
});

describe("the first start", () => {
  it("says that nobody has signed up, and signs up exactly one admin", async () => {
    const opts = { baseUrl: `${server.url}/api` };
    expect(await sdk.getServerConfig(opts)).toMatchObject({
      isInitialized: false,
      isOnboarded: false,
    });
    const signUpDto = { email: "Admin@Example.com", name: "Kit", password: "admin-password" };
    admin = await sdk.signUpAdmin({ signUpDto }, opts);
    expect(admin).toMatchObject({
      email: "admin@example.com",
      isAdmin: true,
      storageLabel: "admin",
      shouldChangePassword: true,
    });
    await expect(sdk.signUpAdmin({ signUpDto }, opts)).rejects.toMatchObject({
      status: 400,
      data: { message: "The server already has an admin", statusCode: 400 },
    });
    await expect(login("admin@example.com", "wrong")).rejects.toMatchObject({
      status: 401,
      data: { message: "Incorrect email or password" },
    });
    adminToken = await login("ADMIN@example.com", "admin-password");
    await sdk.updateAdminOnboarding(
      { adminOnboardingUpdateDto: { isOnboarded: true } },
      as(adminToken),
    );
    expect(await sdk.getServerConfig(opts)).toMatchObject({
      isInitialized: true,
      isOnboarded: true,
    });
  });

  it("writes a marker into each of the six folders", () => {
    for (const folder of ["backups", "encoded-video", "library", "profile", "thumbs", "upload"]) {
      expect(readFileSync(join(dataDir, folder, ".immich"), "utf8")).toMatch(/^\d+$/);
    }
  });
});

describe("people", () => {
  it("refuses a taken address in any case, and an address that is none with its path", async () => {
    await person("ken");
    await expect(person("ken", { email: "KEN@example.com" })).rejects.toMatchObject({
      status: 400,
      data: { message: "User exists" },
    });
    await expect(person("bad", { email: "no address" })).rejects.toMatchObject({
      status: 400,
      data: { errors: [{ path: ["email"] }] },
    });
  });

  it("answers 401 without a token and 403 to a person who is not admin", async () => {
    const ken = await login("ken@example.com", "ken-password");
    await expect(sdk.searchUsersAdmin({}, { baseUrl: `${server.url}/api` })).rejects.toMatchObject({
      status: 401,
      data: { message: "Authentication required" },
    });
    await expect(sdk.searchUsersAdmin({}, as(ken))).rejects.toMatchObject({
      status: 403,
      data: { message: "Forbidden" },
    });
  });
});

describe("settings", () => {
  it("stores a whole object and refuses a part of one", async () => {
    const settings = await sdk.getConfig(as(adminToken));
    expect(settings.storageTemplate).toEqual({
      enabled: false,
      hashVerificationEnabled: true,
      template: "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    });
    const { backup: _, ...part } = settings;
    await expect(
      sdk.updateConfig({ adminConfigDto: part as sdk.AdminConfigDto }, as(adminToken)),
    ).rejects.toMatchObject({ status: 400, data: { errors: [{ path: ["backup"] }] } });
    await sdk.updateConfig(
      {
        adminConfigDto: {
          ...settings,
          storageTemplate: { ...settings.storageTemplate, enabled: true },
        },
      },
      as(adminToken),
    );
    expect((await sdk.getConfig(as(adminToken))).storageTemplate.enabled).toBe(true);
  });
});

describe("uploads", () => {
  it("moves a photo to its own date in its own zone, or in the server's without an offset", async () => {
    const token = await login("ken@example.com", "ken-password");
    const taken = "2022:02:03 23:30:00";
    for (const [name, offset] of [
      ["IMG_そら 1.jpg", "+09:00"],
      ["IMG_2.jpg", undefined],
    ] as const) {
      const photo = jpeg({ taken, ...(offset && { offset }), comment: name });
      const { id, status } = await upload(token, photo, name);
      expect(status).toBe("created");
      await server.settled();
      const asset = await sdk.getAssetInfo({ id }, as(token));
      expect(asset.originalPath).toBe(join(dataDir, `library/ken/2022/2022-02-03/${name}`));
      expect(asset.localDateTime).toBe("2022-02-03T23:30:00.000Z");
      expect(asset.fileCreatedAt).toBe("2022-02-03T14:30:00.000Z");
      expect(asset.checksum).toBe(createHash("sha1").update(photo).digest("base64"));
      expect(readFileSync(asset.originalPath)).toEqual(photo);
    }
  });

  it("knows the same bytes again, per owner, and numbers files of the same name", async () => {
    const token = await login("ken@example.com", "ken-password");
    const first = jpeg({ taken: "2023:01:01 10:00:00", comment: "first" });
    const { id } = await upload(token, first, "A.jpg");
    await server.settled();
    expect(await upload(token, first, "B.jpg")).toEqual({ id, status: "duplicate" });
    const second = await upload(
      token,
      jpeg({ taken: "2023:01:01 11:00:00", comment: "second" }),
      "A.jpg",
    );
    await server.settled();
    const asset = await sdk.getAssetInfo({ id: second.id }, as(token));
    expect(asset.originalPath).toBe(join(dataDir, "library/ken/2023/2023-01-01/A+1.jpg"));
    const mio = await person("mio");
    expect((await upload(mio.token, first, "A.jpg")).status).toBe("created");
    await server.settled();
  });

  it("leaves nothing of an upload that was cut off", async () => {
    const ken = await login("ken@example.com", "ken-password");
    const folder = join(dataDir, "upload", (await sdk.getMyUser(as(ken))).id);
    const files = () =>
      readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
        entry.isFile(),
      );
    const before = files().length;
    await new Promise<void>((resolve) => {
      const sending = request(`${server.url}/api/assets`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${ken}`,
          "content-type": "multipart/form-data; boundary=cut",
          "content-length": "1000000",
        },
      });
      sending.on("error", () => resolve());
      sending.write(
        '--cut\r\nContent-Disposition: form-data; name="assetData"; filename="cut.jpg"\r\n\r\nhalf a photo',
      );
      void eventually("the file's begin", () => expect(files().length).toBe(before + 1)).then(() =>
        sending.destroy(),
      );
    });
    await eventually("the file's removal", () => expect(files().length).toBe(before));
  });

  it("refuses what is no photo, and a person without room", async () => {
    const token = await login("ken@example.com", "ken-password");
    await expect(upload(token, Buffer.from("x"), "notes.txt")).rejects.toMatchObject({
      status: 400,
    });
    const small = await person("small", { quotaSizeInBytes: 10 });
    await expect(upload(small.token, jpeg(), "a.jpg")).rejects.toMatchObject({
      data: { message: "Quota has been exceeded!" },
    });
  });
});

describe("albums", () => {
  it("shows a viewer the shared photos and no others", async () => {
    const ken = await login("ken@example.com", "ken-password");
    const { user, token } = await person("baaba");
    const shared = await upload(ken, jpeg({ comment: "shared" }), "shared.jpg");
    const own = await upload(ken, jpeg({ comment: "own" }), "own.jpg");
    await server.settled();
    const album = await sdk.createAlbum(
      {
        createAlbumDto: {
          albumName: "そら",
          albumUsers: [{ userId: user.id, role: sdk.AlbumUserRole.Viewer }],
          assetIds: [shared.id],
        },
      },
      as(ken),
    );
    expect(album).toMatchObject({ assetCount: 1, shared: true });
    expect(album.albumUsers.map(({ role }) => role)).toEqual(["owner", "viewer"]);
    expect(await sdk.getAllAlbums({ isShared: true }, as(token))).toHaveLength(1);
    expect((await sdk.getAssetInfo({ id: shared.id }, as(token))).id).toBe(shared.id);
    await expect(sdk.getAssetInfo({ id: own.id }, as(token))).rejects.toMatchObject({
      status: 400,
    });
    expect((await sdk.searchAssets({ metadataSearchDto: {} }, as(token))).assets.items).toEqual([]);
    await expect(
      sdk.addAssetsToAlbum({ id: album.id, bulkIdsDto: { ids: [own.id] } }, as(token)),
    ).rejects.toMatchObject({ status: 400 });
  });
});

describe("the danger that decision 17 is about", () => {
  it("purges a deleted person's photos after seven days, and not before", async () => {
    const gone = await person("gone");
    const { id } = await upload(gone.token, jpeg({ comment: "gone" }), "gone.jpg");
    await server.settled();
    const { originalPath } = await sdk.getAssetInfo({ id }, as(gone.token));
    await sdk.deleteUserAdmin({ id: gone.user.id, userAdminDeleteDto: {} }, as(adminToken));
    clock += 6 * day;
    await server.runNightlyTasks();
    expect(readFileSync(originalPath).length).toBeGreaterThan(0);
    clock += 2 * day;
    await server.runNightlyTasks();
    expect(() => readFileSync(originalPath)).toThrow("ENOENT");
    expect(
      (await sdk.searchUsersAdmin({ withDeleted: true }, as(adminToken))).map(({ id }) => id),
    ).not.toContain(gone.user.id);
  });
});

describe("a start on the wrong disk", () => {
  it("is refused when a marker that was once written is missing", async () => {
    await server.close();
    const marker = join(dataDir, "library", ".immich");
    rmSync(marker);
    await expect(start()).rejects.toThrow('Failed to read "<UPLOAD_LOCATION>/library/.immich"');
    writeFileSync(marker, "");
    server = await start();
  });
});

describe("other doors", () => {
  it("answers an unknown route with Nest's 404", async () => {
    const response = await fetch(`${server.url}/api/nothing`);
    expect(response.status).toBe(404);
    expect(response.headers.get("x-correlation-id")).toMatch(/^\w+$/);
    expect(await response.json()).toMatchObject({
      message: "Cannot GET /api/nothing",
      error: "Not Found",
      statusCode: 404,
    });
  });

  it("opens a websocket for the app", async () => {
    const url = `${server.url}/api/socket.io/?EIO=4&transport=websocket`;
    const socket = await new Promise<Duplex>((resolve, reject) => {
      request(url, {
        headers: {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
      })
        .once("upgrade", (response, socket) => {
          // The key and its answer are RFC 6455's own example.
          expect(response.headers["sec-websocket-accept"]).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
          resolve(socket);
        })
        .once("error", reject)
        .end();
    });
    socket.destroy();
  });

  it("lets an API key do what its permissions say", async () => {
    const ken = await login("ken@example.com", "ken-password");
    const { secret } = await sdk.createApiKey(
      { apiKeyCreateDto: { name: "import", permissions: [sdk.Permission.AssetRead] } },
      as(ken),
    );
    const opts = { baseUrl: `${server.url}/api`, headers: { "x-api-key": secret } };
    await sdk.searchAssets({ metadataSearchDto: {} }, opts);
    await expect(sdk.getMyUser(opts)).rejects.toMatchObject({
      status: 403,
      data: { message: "Missing required permission: user.read" },
    });
  });
});
