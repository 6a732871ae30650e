/** Every route of Immich's API that the kit, a phone or immich-go needs; the rest answers 404. */
import { createReadStream } from "node:fs";
import { rm, statfs } from "node:fs/promises";
import { Readable } from "node:stream";
import type {
  ApiKeyCreateResponseDto,
  ApiKeyResponseDto,
  LoginResponseDto,
  SearchResponseDto,
  ServerConfigDto,
  ServerFeaturesDto,
  ServerStatsResponseDto,
  ServerStorageResponseDto,
} from "@immich/sdk";
import { Permission } from "@immich/sdk";
import { z } from "zod";
import { getMetadata, setMetadata } from "./database.ts";
import { ApiError, badRequest, forbidden, notFound, unauthorized } from "./errors.ts";
import { hashPassword, hashToken, newToken, passwordMatches } from "./passwords.ts";
import type { Route, Session } from "./routes.ts";
import { check } from "./routes.ts";
import {
  type AlbumRow,
  type AssetRow,
  mediaTypes,
  mimeTypeOf,
  selectAssets,
  showAlbum,
  showAsset,
  showUser,
  showUserToAdmin,
  type UserRow,
} from "./rows.ts";
import { defaultSettings, difference, parseSettings } from "./settings.ts";
import type { ImmichState } from "./state.ts";
import { setFileTime } from "./storage.ts";
import { sanitize, templateOptions } from "./storage-template.ts";
import { receiveUpload } from "./uploads.ts";

/** The image says which version it is. */
const versionText = process.env.PRETEND_IMMICH_VERSION ?? "v3.2.4";
const [major, minor, patch] = versionText.slice(1).split(".").map(Number);
export const version = { major: major!, minor: minor!, patch: patch!, prerelease: null };

// As Immich's own: what HTML's e-mail field takes.
const email = z.email({ pattern: z.regexes.html5Email }).transform((text) => text.toLowerCase());
const uuid = z.uuid();
const optionalText = z.string().nullish();
const quota = z.int().min(0).nullish();
const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const moment = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

export function apiRoutes(state: ImmichState): Route[] {
  const { db, dataDir } = state;
  const now = () => new Date(state.now());

  const findUser = async (id: string, withDeleted = false) => {
    check(uuid, id);
    const { rows } = await db.query<UserRow>(
      `select * from "user" where "id" = $1 ${withDeleted ? "" : `and "deletedAt" is null`}`,
      [id],
    );
    if (!rows[0]) throw badRequest("User not found");
    return rows[0];
  };
  const userByEmail = async (address: string) =>
    (
      await db.query<UserRow>(`select * from "user" where "email" = $1 and "deletedAt" is null`, [
        address,
      ])
    ).rows[0];
  const hasAdmin = async () =>
    (await db.query(`select 1 from "user" where "isAdmin" and "deletedAt" is null limit 1`)).rows
      .length > 0;

  const createUser = async (values: {
    email: string;
    name: string;
    password: string;
    storageLabel?: string | null;
    isAdmin?: boolean;
    shouldChangePassword?: boolean;
    quotaSizeInBytes?: number | null;
  }) => {
    if (await userByEmail(values.email)) throw badRequest("User exists");
    if (!values.isAdmin && !(await hasAdmin())) {
      throw badRequest("The first registered account must the administrator.");
    }
    const label = values.storageLabel ? sanitize(values.storageLabel.replaceAll(".", "")) : null;
    // A soft-deleted person with the same address, or a taken label, meets the table's unique
    // constraint and is a 500 in the real server too.
    const { rows } = await db.query<UserRow>(
      `insert into "user" ("email", "name", "password", "storageLabel", "isAdmin",
         "shouldChangePassword", "quotaSizeInBytes", "profileChangedAt", "createdAt", "updatedAt")
       values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8) returning *`,
      [
        values.email,
        values.name,
        await hashPassword(values.password),
        label,
        values.isAdmin ?? false,
        values.shouldChangePassword ?? true,
        values.quotaSizeInBytes ?? null,
        now(),
      ],
    );
    return rows[0]!;
  };

  const updateUser = async (id: string, changes: Record<string, unknown>) => {
    const entries = Object.entries({ ...changes, updatedAt: now() }).filter(
      ([, value]) => value !== undefined,
    );
    const { rows } = await db.query<UserRow>(
      `update "user" set ${entries.map(([key], i) => `"${key}" = $${i + 2}`).join(", ")}
       where "id" = $1 returning *`,
      [id, ...entries.map(([, value]) => value)],
    );
    return rows[0]!;
  };

  const ownAssets = async (session: Session, ids: string[], withShared = false) => {
    const { rows } = await db.query<AssetRow>(
      `${selectAssets} where a."id" = any($1) and (a."ownerId" = $2 ${
        withShared
          ? `or (a."deletedAt" is null and exists (select 1 from "album_asset" aa
               join "album_user" au on au."albumId" = aa."albumId"
               where aa."assetId" = a."id" and au."userId" = $2))`
          : ""
      })`,
      [ids, session.user.id],
    );
    return rows;
  };
  const findAsset = async (session: Session, id: string, access: string) => {
    check(uuid, id);
    const [asset] = await ownAssets(session, [id], true);
    if (!asset) throw badRequest(`Not found or no ${access} access`);
    return asset;
  };

  const findAlbum = async (session: Session, id: string, roles: string[], access: string) => {
    check(uuid, id);
    const { rows } = await db.query<AlbumRow>(
      `select a.* from "album" a join "album_user" au on au."albumId" = a."id"
       where a."id" = $1 and a."deletedAt" is null and au."userId" = $2 and au."role" = any($3)`,
      [id, session.user.id, roles],
    );
    if (!rows[0]) throw badRequest(`Not found or no ${access} access`);
    return rows[0];
  };
  const anyRole = ["owner", "editor", "viewer"];

  const addToAlbum = async (session: Session, albumId: string, ids: string[]) => {
    const own = new Set((await ownAssets(session, ids)).map((asset) => asset.id));
    const results = [];
    for (const id of ids) {
      if (!own.has(id)) {
        results.push({ id, success: false, error: "no_permission" });
        continue;
      }
      const added = await db.query(
        `insert into "album_asset" values ($1, $2, $3) on conflict do nothing`,
        [albumId, id, now()],
      );
      results.push(
        added.rowCount === 1 ? { id, success: true } : { id, success: false, error: "duplicate" },
      );
    }
    await db.query(`update "album" set "updatedAt" = $2 where "id" = $1`, [albumId, now()]);
    return results;
  };

  const sendFile = async (asset: AssetRow) => {
    const size = await import("node:fs/promises").then(({ stat }) =>
      stat(asset.originalPath).catch(() => {
        throw notFound("Asset media not found");
      }),
    );
    return new Response(Readable.toWeb(createReadStream(asset.originalPath)) as ReadableStream, {
      headers: {
        "content-type": mimeTypeOf(asset.originalPath) ?? "application/octet-stream",
        "content-length": String(size.size),
        "content-disposition": `inline; filename*=UTF-8''${encodeURIComponent(asset.originalFileName)}`,
        "cache-control": "private, max-age=86400, no-transform",
      },
    });
  };

  const showKey = (key: {
    id: string;
    name: string;
    permissions: string[];
    createdAt: Date;
    updatedAt: Date;
  }): ApiKeyResponseDto => ({
    id: key.id,
    name: key.name,
    permissions: key.permissions as Permission[],
    createdAt: key.createdAt.toISOString(),
    updatedAt: key.updatedAt.toISOString(),
  });

  const loginAnswer = async (user: UserRow, token: string): Promise<LoginResponseDto> => ({
    accessToken: token,
    userId: user.id,
    userEmail: user.email,
    name: user.name,
    isAdmin: user.isAdmin,
    profileImagePath: user.profileImagePath,
    shouldChangePassword: user.shouldChangePassword,
    isOnboarded:
      (
        await db.query<{ value: { isOnboarded: boolean } }>(
          `select "value" from "user_metadata" where "userId" = $1 and "key" = 'onboarding'`,
          [user.id],
        )
      ).rows[0]?.value.isOnboarded ?? false,
  });

  const serverRoutes: Route[] = [
    {
      method: "GET",
      path: "/server/ping",
      access: "public",
      status: 200,
      handle: () => ({ res: "pong" }),
    },
    {
      method: "GET",
      path: "/server/version",
      access: "public",
      status: 200,
      handle: () => version,
    },
    {
      method: "GET",
      path: "/server/version-history",
      access: "public",
      status: 200,
      handle: async () =>
        (await db.query(`select * from "version_history" order by "createdAt" desc`)).rows,
    },
    {
      method: "GET",
      path: "/server/config",
      access: "public",
      status: 200,
      handle: async (): Promise<ServerConfigDto> => {
        const settings = await state.settings();
        return {
          loginPageMessage: settings.server.loginPageMessage,
          trashDays: settings.trash.days,
          userDeleteDelay: settings.user.deleteDelay,
          oauthButtonText: settings.oauth.buttonText,
          isInitialized: await hasAdmin(),
          isOnboarded:
            (await getMetadata<{ isOnboarded: boolean }>(db, "admin-onboarding"))?.isOnboarded ??
            false,
          externalDomain: settings.server.externalDomain,
          publicUsers: settings.server.publicUsers,
          mapDarkStyleUrl: settings.map.darkStyle,
          mapLightStyleUrl: settings.map.lightStyle,
          maintenanceMode: await state.inMaintenance(),
          minFaces: settings.machineLearning.facialRecognition.minFaces,
        };
      },
    },
    {
      method: "GET",
      path: "/server/features",
      access: "public",
      status: 200,
      handle: async (): Promise<ServerFeaturesDto> => {
        const settings = await state.settings();
        const { machineLearning } = settings;
        const learns = (task: { enabled: boolean }) => machineLearning.enabled && task.enabled;
        return {
          configFile: false,
          duplicateDetection: learns(machineLearning.duplicateDetection),
          email: settings.notifications.smtp.enabled,
          facialRecognition: learns(machineLearning.facialRecognition),
          importFaces: settings.metadata.faces.import,
          map: settings.map.enabled,
          oauth: settings.oauth.enabled,
          oauthAutoLaunch: settings.oauth.autoLaunch,
          ocr: learns(machineLearning.ocr),
          passwordLogin: settings.passwordLogin.enabled,
          realtimeTranscoding: settings.ffmpeg.realtime.enabled,
          reverseGeocoding: settings.reverseGeocoding.enabled,
          search: true,
          sidecar: true,
          smartSearch: learns(machineLearning.clip),
          trash: settings.trash.enabled,
        };
      },
    },
    {
      method: "GET",
      path: "/server/media-types",
      access: "public",
      status: 200,
      handle: () => mediaTypes,
    },
    {
      method: "GET",
      path: "/server/about",
      access: "user",
      permission: "server.about",
      status: 200,
      handle: () => ({
        version: versionText,
        versionUrl: "https://github.com/immich-app/immich/releases",
        licensed: false,
        nodejs: process.version,
        repository: "pretend Immich server of ouchi-photos, for rehearsals only",
        build: "pretend",
      }),
    },
    {
      method: "GET",
      path: "/server/storage",
      access: "user",
      permission: "server.storage",
      status: 200,
      handle: async (): Promise<ServerStorageResponseDto> => {
        const disk = await statfs(dataDir);
        const [total, available] = [disk.blocks * disk.bsize, disk.bavail * disk.bsize];
        const used = total - disk.bfree * disk.bsize;
        const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
        return {
          diskSizeRaw: total,
          diskAvailableRaw: available,
          diskUseRaw: used,
          diskSize: gib(total),
          diskAvailable: gib(available),
          diskUse: gib(used),
          diskUsagePercentage: Math.round((used / total) * 10_000) / 100,
        };
      },
    },
    {
      method: "GET",
      path: "/server/statistics",
      access: "admin",
      permission: "server.statistics",
      status: 200,
      handle: async (): Promise<ServerStatsResponseDto> => {
        const { rows } = await db.query<{
          userId: string;
          userName: string;
          quotaSizeInBytes: string | null;
          photos: string;
          videos: string;
          usagePhotos: string;
          usageVideos: string;
        }>(
          `select u."id" as "userId", u."name" as "userName", u."quotaSizeInBytes",
             count(a."id") filter (where a."type" = 'IMAGE') as photos,
             count(a."id") filter (where a."type" = 'VIDEO') as videos,
             coalesce(sum(e."fileSizeInByte") filter (where a."type" = 'IMAGE'), 0) as "usagePhotos",
             coalesce(sum(e."fileSizeInByte") filter (where a."type" = 'VIDEO'), 0) as "usageVideos"
           from "user" u
           left join "asset" a on a."ownerId" = u."id" and a."deletedAt" is null
           left join "asset_exif" e on e."assetId" = a."id"
           where u."deletedAt" is null group by u."id" order by u."createdAt"`,
        );
        const usageByUser = rows.map((row) => ({
          userId: row.userId,
          userName: row.userName,
          photos: Number(row.photos),
          videos: Number(row.videos),
          usagePhotos: Number(row.usagePhotos),
          usageVideos: Number(row.usageVideos),
          usage: Number(row.usagePhotos) + Number(row.usageVideos),
          quotaSizeInBytes: row.quotaSizeInBytes === null ? null : Number(row.quotaSizeInBytes),
        }));
        const total = (key: "photos" | "videos" | "usage" | "usagePhotos" | "usageVideos") =>
          usageByUser.reduce((sum, row) => sum + row[key], 0);
        return {
          photos: total("photos"),
          videos: total("videos"),
          usage: total("usage"),
          usagePhotos: total("usagePhotos"),
          usageVideos: total("usageVideos"),
          usageByUser,
        };
      },
    },
  ];

  const authRoutes: Route[] = [
    {
      method: "POST",
      path: "/auth/admin-sign-up",
      access: "public",
      status: 201,
      handle: async (request) => {
        const body = await request.body(
          z.object({ email, name: z.string(), password: z.string() }),
        );
        if (await hasAdmin()) throw badRequest("The server already has an admin");
        return showUserToAdmin(await createUser({ ...body, isAdmin: true, storageLabel: "admin" }));
      },
    },
    {
      method: "POST",
      path: "/auth/login",
      access: "public",
      status: 201,
      handle: async (request) => {
        const body = await request.body(z.object({ email, password: z.string() }));
        const settings = await state.settings();
        if (!settings.passwordLogin.enabled) throw unauthorized("Password login has been disabled");
        const user = await userByEmail(body.email);
        if (!user || !(await passwordMatches(body.password, user.password))) {
          throw unauthorized("Incorrect email or password");
        }
        const token = newToken();
        await db.query(
          `insert into "session" ("token", "userId", "deviceType", "createdAt", "updatedAt")
           values ($1, $2, $3, $4, $4)`,
          [hashToken(token), user.id, request.headers["user-agent"] ?? "", now()],
        );
        const headers = new Headers({ "content-type": "application/json" });
        const cookie = "Path=/; HttpOnly; SameSite=Lax; Max-Age=34560000";
        headers.append("set-cookie", `immich_access_token=${token}; ${cookie}`);
        headers.append("set-cookie", `immich_auth_type=password; ${cookie}`);
        headers.append(
          "set-cookie",
          "immich_is_authenticated=true; Path=/; SameSite=Lax; Max-Age=34560000",
        );
        return new Response(JSON.stringify(await loginAnswer(user, token)), {
          status: 201,
          headers,
        });
      },
    },
    {
      method: "POST",
      path: "/auth/logout",
      access: "user",
      status: 200,
      handle: async ({ session }) => {
        if (session.sessionId) {
          await db.query(`delete from "session" where "id" = $1`, [session.sessionId]);
        }
        const headers = new Headers({ "content-type": "application/json" });
        for (const name of ["access_token", "auth_type", "is_authenticated"]) {
          headers.append("set-cookie", `immich_${name}=; Path=/; Max-Age=0`);
        }
        return new Response(
          JSON.stringify({ successful: true, redirectUri: "/auth/login?autoLaunch=0" }),
          { headers },
        );
      },
    },
    {
      method: "POST",
      path: "/auth/validateToken",
      access: "user",
      status: 200,
      handle: () => ({ authStatus: true }),
    },
    {
      method: "POST",
      path: "/auth/change-password",
      access: "user",
      permission: "auth.changePassword",
      status: 200,
      handle: async (request) => {
        const body = await request.body(
          z.object({
            password: z.string(),
            newPassword: z.string().min(8),
            invalidateSessions: z.boolean().optional(),
          }),
        );
        const { user, sessionId } = request.session;
        if (!(await passwordMatches(body.password, user.password))) {
          throw badRequest("Wrong password");
        }
        if (body.invalidateSessions) {
          await db.query(`delete from "session" where "userId" = $1 and "id" is distinct from $2`, [
            user.id,
            sessionId ?? null,
          ]);
        }
        return showUserToAdmin(
          await updateUser(user.id, {
            password: await hashPassword(body.newPassword),
            shouldChangePassword: false,
          }),
        );
      },
    },
  ];

  const createSchema = z.object({
    email,
    name: z.string(),
    password: z.string(),
    storageLabel: optionalText,
    quotaSizeInBytes: quota,
    shouldChangePassword: z.boolean().optional(),
    isAdmin: z.boolean().optional(),
    notify: z.boolean().optional(),
  });
  const updateSchema = createSchema.omit({ notify: true }).partial();

  const userRoutes: Route[] = [
    {
      method: "GET",
      path: "/admin/users",
      access: "admin",
      permission: "adminUser.read",
      status: 200,
      handle: async ({ query }) => {
        const filter = check(
          z.object({ withDeleted: flag.optional(), id: uuid.optional() }),
          query,
        );
        const { rows } = await db.query<UserRow>(
          `select * from "user" where ($1 or "deletedAt" is null) and ($2::uuid is null or "id" = $2)
           order by "createdAt" desc`,
          [filter.withDeleted ?? false, filter.id ?? null],
        );
        return rows.map(showUserToAdmin);
      },
    },
    {
      method: "POST",
      path: "/admin/users",
      access: "admin",
      permission: "adminUser.create",
      status: 201,
      handle: async (request) =>
        showUserToAdmin(await createUser(await request.body(createSchema))),
    },
    {
      method: "GET",
      path: "/admin/users/:id",
      access: "admin",
      permission: "adminUser.read",
      status: 200,
      handle: async ({ params }) => showUserToAdmin(await findUser(params.id!, true)),
    },
    {
      method: "PUT",
      path: "/admin/users/:id",
      access: "admin",
      permission: "adminUser.update",
      status: 200,
      handle: async (request) => {
        const { password, ...changes } = await request.body(updateSchema);
        const user = await findUser(request.params.id!);
        const taken = async (column: string, value: string) =>
          (
            await db.query(`select 1 from "user" where "${column}" = $1 and "id" <> $2`, [
              value,
              user.id,
            ])
          ).rows.length > 0;
        if (
          changes.isAdmin !== undefined &&
          changes.isAdmin !== request.session.user.isAdmin &&
          request.session.user.id === user.id
        ) {
          throw badRequest("Admin status can only be changed by another admin");
        }
        if (changes.email && (await taken("email", changes.email))) {
          throw badRequest("Email already in use by another account");
        }
        if (changes.storageLabel && (await taken("storageLabel", changes.storageLabel))) {
          throw badRequest("Storage label already in use by another account");
        }
        return showUserToAdmin(
          await updateUser(user.id, {
            ...changes,
            ...(changes.storageLabel === "" && { storageLabel: null }),
            ...(password && { password: await hashPassword(password) }),
          }),
        );
      },
    },
    {
      method: "DELETE",
      path: "/admin/users/:id",
      access: "admin",
      permission: "adminUser.delete",
      status: 200,
      handle: async (request) => {
        const { force } = await request.body(z.object({ force: z.boolean().optional() }));
        const user = await findUser(request.params.id!);
        if (request.session.user.id === user.id) throw forbidden("Cannot delete your own account");
        const deleted = await updateUser(user.id, {
          status: force ? "removing" : "deleted",
          deletedAt: now(),
        });
        if (force) await state.purgeUser(deleted);
        return showUserToAdmin(deleted);
      },
    },
    {
      method: "POST",
      path: "/admin/users/:id/restore",
      access: "admin",
      permission: "adminUser.delete",
      status: 200,
      handle: async ({ params }) => {
        const user = await findUser(params.id!, true);
        return showUserToAdmin(await updateUser(user.id, { status: "active", deletedAt: null }));
      },
    },
    {
      method: "GET",
      path: "/users",
      access: "user",
      permission: "user.read",
      status: 200,
      handle: async ({ session }) => {
        const settings = await state.settings();
        if (!session.user.isAdmin && !settings.server.publicUsers) return [showUser(session.user)];
        const { rows } = await db.query<UserRow>(
          `select * from "user" where "deletedAt" is null order by "createdAt" desc`,
        );
        return rows.map(showUser);
      },
    },
    {
      method: "GET",
      path: "/notifications",
      access: "user",
      permission: "notification.read",
      status: 200,
      handle: async ({ session }) => {
        const { rows } = await db.query(
          `select "id", "createdAt", "level", "type", "title", "description", "data", "readAt" from "notification"
           where "userId" = $1 and "deletedAt" is null and "readAt" is null order by "createdAt" desc`,
          [session.user.id],
        );
        // What is null is left out.
        return rows.map((row: object) =>
          Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)),
        );
      },
    },
    {
      method: "GET",
      path: "/users/me",
      access: "user",
      permission: "user.read",
      status: 200,
      handle: ({ session }) => showUserToAdmin(session.user),
    },
    {
      method: "PUT",
      path: "/users/me",
      access: "user",
      permission: "user.update",
      status: 200,
      handle: async (request) => {
        const body = await request.body(
          z.object({
            email: email.optional(),
            name: z.string().optional(),
            password: z.string().optional(),
          }),
        );
        const { password, ...changes } = body;
        const { user } = request.session;
        if (changes.email) {
          const other = await userByEmail(changes.email);
          if (other && other.id !== user.id) {
            throw badRequest("Email already in use by another account");
          }
        }
        return showUserToAdmin(
          await updateUser(user.id, {
            ...changes,
            ...(password && {
              password: await hashPassword(password),
              shouldChangePassword: false,
            }),
          }),
        );
      },
    },
    {
      method: "GET",
      path: "/users/:id",
      access: "user",
      permission: "user.read",
      status: 200,
      handle: async ({ params }) => showUser(await findUser(params.id!)),
    },
    {
      method: "GET",
      path: "/users/me/onboarding",
      access: "user",
      permission: "userOnboarding.read",
      status: 200,
      handle: async ({ session }) => ({
        isOnboarded: (await loginAnswer(session.user, "")).isOnboarded,
      }),
    },
    {
      method: "PUT",
      path: "/users/me/onboarding",
      access: "user",
      permission: "userOnboarding.update",
      status: 200,
      handle: async (request) => {
        const body = await request.body(z.object({ isOnboarded: z.boolean() }));
        await db.query(
          `insert into "user_metadata" values ($1, 'onboarding', $2)
           on conflict ("userId", "key") do update set "value" = excluded."value"`,
          [request.session.user.id, JSON.stringify(body)],
        );
        return body;
      },
    },
    {
      method: "GET",
      path: "/api-keys",
      access: "user",
      permission: "apiKey.read",
      status: 200,
      handle: async ({ session }) =>
        (
          await db.query(`select * from "api_key" where "userId" = $1 order by "createdAt"`, [
            session.user.id,
          ])
        ).rows.map(showKey),
    },
    {
      method: "POST",
      path: "/api-keys",
      access: "user",
      permission: "apiKey.create",
      status: 201,
      handle: async (request): Promise<ApiKeyCreateResponseDto> => {
        const body = await request.body(
          z.object({
            name: z.string().optional(),
            permissions: z.array(z.enum(Permission)).min(1),
          }),
        );
        const { apiKey, user } = request.session;
        if (apiKey && !body.permissions.every((wanted) => grants(apiKey.permissions, wanted))) {
          throw badRequest("Cannot grant permissions you do not have");
        }
        const secret = newToken();
        const { rows } = await db.query(
          `insert into "api_key" ("name", "key", "userId", "permissions", "createdAt", "updatedAt")
           values ($1, $2, $3, $4, $5, $5) returning *`,
          [body.name ?? "API Key", hashToken(secret), user.id, body.permissions, now()],
        );
        const key = showKey(rows[0]);
        return { secret, apiKey: key, ...key };
      },
    },
    {
      method: "GET",
      path: "/api-keys/me",
      access: "user",
      status: 200,
      handle: async ({ session }) => {
        if (!session.apiKey) throw forbidden("Not authenticated with an API Key");
        const { rows } = await db.query(`select * from "api_key" where "id" = $1`, [
          session.apiKey.id,
        ]);
        return showKey(rows[0]);
      },
    },
    {
      method: "DELETE",
      path: "/api-keys/:id",
      access: "user",
      permission: "apiKey.delete",
      status: 204,
      handle: async ({ params, session }) => {
        check(uuid, params.id);
        const gone = await db.query(`delete from "api_key" where "id" = $1 and "userId" = $2`, [
          params.id,
          session.user.id,
        ]);
        if (gone.rowCount === 0) throw badRequest("API Key not found");
      },
    },
  ];

  const settingsRoutes: Route[] = ["/system-config", "/admin/config"].flatMap((path): Route[] => {
    const old = path === "/system-config";
    return [
      {
        method: "GET",
        path,
        access: "admin",
        permission: old ? "systemConfig.read" : "adminConfig.read",
        status: 200,
        handle: () => state.settings(),
      },
      {
        method: "GET",
        path: `${path}/defaults`,
        access: "admin",
        permission: old ? "systemConfig.read" : "adminConfig.read",
        status: 200,
        handle: () => defaultSettings,
      },
      {
        method: "PUT",
        path,
        access: "admin",
        permission: old ? "systemConfig.update" : "adminConfig.update",
        status: 200,
        handle: async (request) => {
          const settings = parseSettings(await request.body(z.unknown()));
          await setMetadata(db, "system-config", difference(settings));
          return state.settings();
        },
      },
    ];
  });
  settingsRoutes.push(
    {
      method: "GET",
      path: "/system-config/storage-template-options",
      access: "admin",
      permission: "systemConfig.read",
      status: 200,
      handle: () => templateOptions,
    },
    {
      method: "GET",
      path: "/system-metadata/admin-onboarding",
      access: "admin",
      permission: "systemMetadata.read",
      status: 200,
      handle: async () => ({
        isOnboarded:
          (await getMetadata<{ isOnboarded: boolean }>(db, "admin-onboarding"))?.isOnboarded ??
          false,
      }),
    },
    {
      method: "POST",
      path: "/system-metadata/admin-onboarding",
      access: "admin",
      permission: "systemMetadata.update",
      status: 204,
      handle: async (request) => {
        const body = await request.body(z.object({ isOnboarded: z.boolean() }));
        await setMetadata(db, "admin-onboarding", body);
      },
    },
    {
      method: "POST",
      path: "/admin/maintenance",
      access: "admin",
      permission: "maintenance",
      status: 201,
      handle: async (request) => {
        const { action } = await request.body(z.object({ action: z.enum(["start", "end"]) }));
        await state.setMaintenance(action === "start");
      },
    },
  );

  const assetRoutes: Route[] = [
    {
      method: "POST",
      path: "/assets",
      access: "user",
      permission: "asset.upload",
      status: 201,
      handle: async (request) => {
        const { user } = request.session;
        const idOf = async (sha1: Buffer) =>
          (
            await db.query<{ id: string }>(
              `select "id" from "asset" where "ownerId" = $1 and "checksum" = $2`,
              [user.id, sha1],
            )
          ).rows[0]?.id;
        const duplicate = (id: string) => Response.json({ id, status: "duplicate" });

        const announced = request.headers["x-immich-checksum"];
        if (typeof announced === "string") {
          const known = await idOf(
            Buffer.from(announced, announced.length === 28 ? "base64" : "hex"),
          );
          if (known) {
            request.incoming.resume();
            return duplicate(known);
          }
        }
        const { fields, file } = await receiveUpload(request.incoming, dataDir, user.id);
        try {
          const body = check(
            z.object({
              fileCreatedAt: moment,
              fileModifiedAt: moment,
              isFavorite: flag.optional(),
              visibility: z.enum(["archive", "timeline", "hidden", "locked"]).optional(),
              duration: z.coerce.number().int().min(0).optional(),
            }),
            fields,
          );
          const available =
            user.quotaSizeInBytes === null
              ? Number.POSITIVE_INFINITY
              : Number(user.quotaSizeInBytes) - Number(user.quotaUsageInBytes);
          if (file.size > available) throw badRequest("Quota has been exceeded!");
          const { rows } = await db.query<{ id: string }>(
            `insert into "asset" ("ownerId", "type", "originalPath", "originalFileName", "checksum",
               "fileCreatedAt", "fileModifiedAt", "localDateTime", "isFavorite", "visibility",
               "duration", "createdAt", "updatedAt")
             values ($1, $2, $3, $4, $5, $6, $7, $6, $8, $9, $10, $11, $11)
             on conflict do nothing returning "id"`,
            [
              user.id,
              mimeTypeOf(file.fileName)!.startsWith("video/") ? "VIDEO" : "IMAGE",
              file.path,
              file.fileName,
              file.sha1,
              body.fileCreatedAt,
              body.fileModifiedAt,
              body.isFavorite ?? false,
              body.visibility ?? "timeline",
              body.duration ?? null,
              now(),
            ],
          );
          if (!rows[0]) {
            await rm(file.path, { force: true });
            return duplicate((await idOf(file.sha1))!);
          }
          await setFileTime(file.path, body.fileModifiedAt);
          await db.query(
            `insert into "asset_exif" ("assetId", "fileSizeInByte") values ($1, $2)
             on conflict do nothing`,
            [rows[0].id, file.size],
          );
          await db.query(
            `update "user" set "quotaUsageInBytes" = "quotaUsageInBytes" + $2 where "id" = $1`,
            [user.id, file.size],
          );
          await state.jobs.add({ name: "AssetExtractMetadata", id: rows[0].id });
          return { id: rows[0].id, status: "created" };
        } catch (error) {
          if (error instanceof ApiError) await rm(file.path, { force: true });
          throw error;
        }
      },
    },
    {
      method: "POST",
      path: "/assets/bulk-upload-check",
      access: "user",
      permission: "asset.upload",
      status: 200,
      handle: async (request) => {
        const { assets } = await request.body(
          z.object({ assets: z.array(z.object({ id: z.string(), checksum: z.string() })) }),
        );
        const results = [];
        for (const { id, checksum } of assets) {
          const { rows } = await db.query<{ id: string; deletedAt: Date | null }>(
            `select "id", "deletedAt" from "asset" where "ownerId" = $1 and "checksum" = $2`,
            [
              request.session.user.id,
              Buffer.from(checksum, checksum.length === 28 ? "base64" : "hex"),
            ],
          );
          results.push(
            rows[0]
              ? {
                  id,
                  action: "reject",
                  reason: "duplicate",
                  assetId: rows[0].id,
                  isTrashed: rows[0].deletedAt !== null,
                }
              : { id, action: "accept" },
          );
        }
        return { results };
      },
    },
    {
      method: "GET",
      path: "/assets/statistics",
      access: "user",
      permission: "asset.statistics",
      status: 200,
      handle: async ({ session, query }) => {
        const { isTrashed } = check(z.object({ isTrashed: flag.optional() }), query);
        const { rows } = await db.query<{ images: string; videos: string }>(
          `select count(*) filter (where "type" = 'IMAGE') as images,
             count(*) filter (where "type" = 'VIDEO') as videos
           from "asset" where "ownerId" = $1 and ("deletedAt" is not null) = $2`,
          [session.user.id, isTrashed ?? false],
        );
        const [images, videos] = [Number(rows[0]!.images), Number(rows[0]!.videos)];
        return { images, videos, total: images + videos };
      },
    },
    {
      method: "GET",
      path: "/assets/:id",
      access: "user",
      permission: "asset.read",
      status: 200,
      handle: async ({ params, session }) =>
        showAsset(await findAsset(session, params.id!, "asset.read")),
    },
    {
      method: "GET",
      path: "/assets/:id/original",
      access: "user",
      permission: "asset.download",
      status: 200,
      handle: async ({ params, session }) =>
        sendFile(await findAsset(session, params.id!, "asset.download")),
    },
    {
      method: "GET",
      path: "/assets/:id/thumbnail",
      access: "user",
      permission: "asset.view",
      status: 200,
      handle: async ({ params, session }) =>
        sendFile(await findAsset(session, params.id!, "asset.view")),
    },
    {
      method: "DELETE",
      path: "/assets",
      access: "user",
      permission: "asset.delete",
      status: 204,
      handle: async (request) => {
        const body = await request.body(
          z.object({ ids: z.array(uuid), force: z.boolean().optional() }),
        );
        const own = await ownAssets(request.session, body.ids);
        if (own.length !== new Set(body.ids).size) {
          throw badRequest("Not found or no asset.delete access");
        }
        const settings = await state.settings();
        if (body.force || !settings.trash.enabled) {
          for (const asset of own) await state.purgeAsset(asset);
        } else {
          await db.query(
            `update "asset" set "deletedAt" = $2, "status" = 'trashed' where "id" = any($1)`,
            [body.ids, now()],
          );
        }
      },
    },
    {
      method: "POST",
      path: "/trash/restore/assets",
      access: "user",
      permission: "asset.delete",
      status: 200,
      handle: async (request) => {
        const { ids } = await request.body(z.object({ ids: z.array(uuid) }));
        const restored = await db.query(
          `update "asset" set "deletedAt" = null, "status" = 'active'
           where "id" = any($1) and "ownerId" = $2 and "deletedAt" is not null`,
          [ids, request.session.user.id],
        );
        return { count: restored.rowCount ?? 0 };
      },
    },
    {
      method: "POST",
      path: "/trash/empty",
      access: "user",
      permission: "asset.delete",
      status: 200,
      handle: async ({ session }) => {
        const { rows } = await db.query<AssetRow>(
          `${selectAssets} where a."ownerId" = $1 and a."deletedAt" is not null`,
          [session.user.id],
        );
        for (const asset of rows) await state.purgeAsset(asset);
        return { count: rows.length };
      },
    },
    {
      method: "POST",
      path: "/search/metadata",
      access: "user",
      permission: "asset.read",
      status: 200,
      handle: async (request): Promise<SearchResponseDto> => {
        const body = await request.body(
          z.object({
            id: uuid.optional(),
            albumIds: z.array(uuid).optional(),
            checksum: z.string().optional(),
            originalFileName: z.string().optional(),
            originalPath: z.string().optional(),
            takenAfter: moment.optional(),
            takenBefore: moment.optional(),
            trashedAfter: moment.optional(),
            withDeleted: z.boolean().optional(),
            withExif: z.boolean().optional(),
            order: z.enum(["asc", "desc"]).optional(),
            page: z.int().min(1).optional(),
            size: z.int().min(1).max(1000).optional(),
          }),
        );
        const [page, size] = [body.page ?? 1, body.size ?? 250];
        const values: unknown[] = [request.session.user.id];
        const where = [`a."ownerId" = $1`];
        const add = (sql: string, value: unknown) =>
          where.push(sql.replace("?", `$${values.push(value)}`));
        if (body.id) add(`a."id" = ?`, body.id);
        if (body.checksum) {
          const encoding = body.checksum.length === 28 ? "base64" : "hex";
          add(`a."checksum" = ?`, Buffer.from(body.checksum, encoding));
        }
        if (body.originalFileName)
          add(`a."originalFileName" ilike '%' || ? || '%'`, body.originalFileName);
        if (body.originalPath) add(`a."originalPath" = ?`, body.originalPath);
        if (body.takenAfter) add(`a."fileCreatedAt" >= ?`, body.takenAfter);
        if (body.takenBefore) add(`a."fileCreatedAt" <= ?`, body.takenBefore);
        if (body.trashedAfter) add(`a."deletedAt" >= ?`, body.trashedAfter);
        if (body.albumIds) {
          add(
            `exists (select 1 from "album_asset" aa where aa."assetId" = a."id" and aa."albumId" = any(?))`,
            body.albumIds,
          );
        }
        if (!body.withDeleted && !body.trashedAfter) where.push(`a."deletedAt" is null`);
        const { rows } = await db.query<AssetRow>(
          `${selectAssets} where ${where.join(" and ")}
           order by a."fileCreatedAt" ${body.order ?? "desc"}, a."id"
           limit ${size + 1} offset ${(page - 1) * size}`,
          values,
        );
        const items = rows.slice(0, size).map(showAsset);
        return {
          albums: { total: 0, count: 0, items: [], facets: [] },
          assets: {
            total: items.length,
            count: items.length,
            items,
            facets: [],
            nextPage: rows.length > size ? String(page + 1) : null,
            nextCursor: null,
          },
        };
      },
    },
  ];

  const albumUser = z.object({
    userId: uuid,
    role: z.enum(["editor", "owner", "viewer"]).default("editor"),
  });
  const addUsers = async (albumId: string, people: z.infer<typeof albumUser>[]) => {
    for (const { userId, role } of people) {
      if (role === "owner") throw badRequest("Cannot add another owner");
      const { rows } = await db.query(
        `select 1 from "user" where "id" = $1 and "deletedAt" is null`,
        [userId],
      );
      if (rows.length === 0) throw badRequest("Invalid user");
      // Someone who is in it already keeps the role that they have, as since Immich 3.0.
      await db.query(`insert into "album_user" values ($1, $2, $3) on conflict do nothing`, [
        albumId,
        userId,
        role,
      ]);
    }
  };

  const albumRoutes: Route[] = [
    {
      method: "GET",
      path: "/albums",
      access: "user",
      permission: "album.read",
      status: 200,
      handle: async ({ query, session }) => {
        const filter = check(
          z.object({
            assetId: uuid.optional(),
            id: uuid.optional(),
            isOwned: flag.optional(),
            isShared: flag.optional(),
            name: z.string().optional(),
          }),
          query,
        );
        const { rows } = await db.query<AlbumRow & { role: string }>(
          `select a.*, au."role" from "album" a join "album_user" au on au."albumId" = a."id"
           where a."deletedAt" is null and au."userId" = $1
             and ($2::uuid is null or exists (select 1 from "album_asset" aa
               where aa."albumId" = a."id" and aa."assetId" = $2))
             and ($3::uuid is null or a."id" = $3)
             and ($4::text is null or a."albumName" = $4)
           order by a."createdAt" desc`,
          [session.user.id, filter.assetId ?? null, filter.id ?? null, filter.name ?? null],
        );
        const albums = [];
        for (const row of rows) {
          const album = await showAlbum(db, row, session.user.id);
          if (filter.isOwned !== undefined && filter.isOwned !== (row.role === "owner")) continue;
          if (filter.isShared !== undefined && filter.isShared !== album.shared) continue;
          albums.push(album);
        }
        return albums;
      },
    },
    {
      method: "POST",
      path: "/albums",
      access: "user",
      permission: "album.create",
      status: 201,
      handle: async (request) => {
        const body = await request.body(
          z.object({
            albumName: z.string(),
            description: optionalText,
            albumUsers: z.array(albumUser).optional(),
            assetIds: z.array(uuid).optional(),
          }),
        );
        const me = request.session.user.id;
        const { rows } = await db.query<AlbumRow>(
          `insert into "album" ("albumName", "description", "createdAt", "updatedAt")
           values ($1, $2, $3, $3) returning *`,
          [body.albumName, body.description ?? "", now()],
        );
        const album = rows[0]!;
        await db.query(`insert into "album_user" values ($1, $2, 'owner')`, [album.id, me]);
        try {
          await addUsers(
            album.id,
            (body.albumUsers ?? []).filter(({ userId }) => userId !== me),
          );
        } catch (error) {
          await db.query(`delete from "album" where "id" = $1`, [album.id]);
          throw error;
        }
        await addToAlbum(request.session, album.id, body.assetIds ?? []);
        return showAlbum(db, album, me);
      },
    },
    {
      method: "GET",
      path: "/albums/:id",
      access: "user",
      permission: "album.read",
      status: 200,
      handle: async ({ params, session }) =>
        showAlbum(db, await findAlbum(session, params.id!, anyRole, "album.read"), session.user.id),
    },
    {
      method: "DELETE",
      path: "/albums/:id",
      access: "user",
      permission: "album.delete",
      status: 204,
      handle: async ({ params, session }) => {
        const album = await findAlbum(session, params.id!, ["owner"], "album.delete");
        await db.query(`delete from "album" where "id" = $1`, [album.id]);
      },
    },
    {
      method: "PUT",
      path: "/albums/:id/assets",
      access: "user",
      permission: "albumAsset.create",
      status: 200,
      handle: async (request) => {
        const { ids } = await request.body(z.object({ ids: z.array(uuid) }));
        const album = await findAlbum(
          request.session,
          request.params.id!,
          ["owner", "editor"],
          "albumAsset.create",
        );
        return addToAlbum(request.session, album.id, ids);
      },
    },
    {
      method: "DELETE",
      path: "/albums/:id/assets",
      access: "user",
      permission: "albumAsset.delete",
      status: 200,
      handle: async (request) => {
        const { ids } = await request.body(z.object({ ids: z.array(uuid) }));
        const album = await findAlbum(
          request.session,
          request.params.id!,
          ["owner", "editor"],
          "albumAsset.delete",
        );
        const results = [];
        for (const id of ids) {
          const removed = await db.query(
            `delete from "album_asset" where "albumId" = $1 and "assetId" = $2`,
            [album.id, id],
          );
          results.push(
            removed.rowCount === 1
              ? { id, success: true }
              : { id, success: false, error: "not_found" },
          );
        }
        return results;
      },
    },
    {
      method: "PUT",
      path: "/albums/:id/users",
      access: "user",
      permission: "albumUser.create",
      status: 200,
      handle: async (request) => {
        const body = await request.body(z.object({ albumUsers: z.array(albumUser).min(1) }));
        const album = await findAlbum(
          request.session,
          request.params.id!,
          ["owner"],
          "album.share",
        );
        await addUsers(album.id, body.albumUsers);
        return showAlbum(db, album, request.session.user.id);
      },
    },
    {
      method: "PUT",
      path: "/albums/:id/user/:userId",
      access: "user",
      permission: "albumUser.update",
      status: 204,
      handle: async (request) => {
        const { role } = await request.body(z.object({ role: z.enum(["editor", "viewer"]) }));
        const album = await findAlbum(
          request.session,
          request.params.id!,
          ["owner"],
          "album.share",
        );
        if (request.params.userId === request.session.user.id) throw badRequest("User is owner");
        await db.query(
          `update "album_user" set "role" = $3 where "albumId" = $1 and "userId" = $2`,
          [album.id, request.params.userId, role],
        );
      },
    },
    {
      method: "DELETE",
      path: "/albums/:id/user/:userId",
      access: "user",
      permission: "albumUser.delete",
      status: 204,
      handle: async ({ params, session }) => {
        const userId = params.userId === "me" ? session.user.id : params.userId!;
        const mine = userId === session.user.id;
        const album = await findAlbum(
          session,
          params.id!,
          mine ? anyRole : ["owner"],
          "album.share",
        );
        const { rows } = await db.query<{ role: string }>(
          `select "role" from "album_user" where "albumId" = $1 and "userId" = $2`,
          [album.id, userId],
        );
        if (!rows[0]) throw badRequest("Album not shared with user");
        if (rows[0].role === "owner") throw badRequest("Cannot remove the last album owner");
        await db.query(`delete from "album_user" where "albumId" = $1 and "userId" = $2`, [
          album.id,
          userId,
        ]);
      },
    },
  ];

  return [
    ...serverRoutes,
    ...authRoutes,
    ...userRoutes,
    ...settingsRoutes,
    ...assetRoutes,
    ...albumRoutes,
  ];
}

export const grants = (permissions: string[], wanted: string) =>
  permissions.includes("all") || permissions.includes(wanted);
