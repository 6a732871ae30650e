/** Rows of the database, and how the API shows them. */
import type {
  AlbumResponseDto,
  AssetResponseDto,
  UserAdminResponseDto,
  UserResponseDto,
} from "@immich/sdk";
import type { Queryable } from "./database.ts";

export interface UserRow {
  id: string;
  email: string;
  password: string;
  name: string;
  isAdmin: boolean;
  shouldChangePassword: boolean;
  storageLabel: string | null;
  profileImagePath: string;
  profileChangedAt: Date;
  avatarColor: string | null;
  oauthId: string;
  quotaSizeInBytes: string | null;
  quotaUsageInBytes: string;
  status: string;
  createdAt: Date;
  updatedAt: Date;
  deletedAt: Date | null;
}

export interface AssetRow {
  id: string;
  ownerId: string;
  type: string;
  originalPath: string;
  originalFileName: string;
  checksum: Buffer;
  fileCreatedAt: Date;
  fileModifiedAt: Date;
  localDateTime: Date;
  duration: number | null;
  isFavorite: boolean;
  visibility: string;
  status: string;
  createdAt: Date;
  updatedAt: Date;
  deletedAt: Date | null;
  fileSizeInByte: string | null;
  dateTimeOriginal: Date | null;
  timeZone: string | null;
  make: string | null;
  model: string | null;
  description: string | null;
}

export const selectAssets = `
  select a.*, e."fileSizeInByte", e."dateTimeOriginal", e."timeZone", e."make", e."model", e."description"
  from "asset" a left join "asset_exif" e on e."assetId" = a."id"`;

const colors = ["primary", "pink", "red", "yellow", "blue", "green", "purple", "orange", "gray"];

export function showUser(user: UserRow): UserResponseDto {
  const sum = [...user.email].reduce((total, letter) => total + letter.codePointAt(0)!, 0);
  return {
    id: user.id,
    email: user.email,
    name: user.name,
    profileImagePath: user.profileImagePath,
    avatarColor: (user.avatarColor ??
      colors[sum % colors.length]) as UserResponseDto["avatarColor"],
    profileChangedAt: user.profileChangedAt.toISOString(),
  };
}

export function showUserToAdmin(user: UserRow): UserAdminResponseDto {
  return {
    ...showUser(user),
    clusterGroupId: user.id,
    storageLabel: user.storageLabel,
    shouldChangePassword: user.shouldChangePassword,
    isAdmin: user.isAdmin,
    createdAt: user.createdAt.toISOString(),
    updatedAt: user.updatedAt.toISOString(),
    deletedAt: user.deletedAt?.toISOString() ?? null,
    oauthId: user.oauthId,
    quotaSizeInBytes: user.quotaSizeInBytes === null ? null : Number(user.quotaSizeInBytes),
    quotaUsageInBytes: Number(user.quotaUsageInBytes),
    status: user.status as UserAdminResponseDto["status"],
    license: null,
  };
}

const mimeTypes: Record<string, string> = {
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  gif: "image/gif",
  webp: "image/webp",
  heic: "image/heic",
  heif: "image/heif",
  avif: "image/avif",
  dng: "image/x-adobe-dng",
  mp4: "video/mp4",
  mov: "video/quicktime",
  webm: "video/webm",
  avi: "video/x-msvideo",
  "3gp": "video/3gpp",
  mts: "video/mp2t",
};

export function mimeTypeOf(fileName: string): string | undefined {
  return mimeTypes[fileName.split(".").pop()!.toLowerCase()];
}

export const mediaTypes = {
  image: Object.keys(mimeTypes)
    .filter((key) => mimeTypes[key]!.startsWith("image/"))
    .map((key) => `.${key}`),
  video: Object.keys(mimeTypes)
    .filter((key) => mimeTypes[key]!.startsWith("video/"))
    .map((key) => `.${key}`),
  sidecar: [".xmp"],
};

export function showAsset(asset: AssetRow): AssetResponseDto {
  const mimeType = mimeTypeOf(asset.originalFileName);
  return {
    id: asset.id,
    ownerId: asset.ownerId,
    type: asset.type as AssetResponseDto["type"],
    originalPath: asset.originalPath,
    originalFileName: asset.originalFileName,
    ...(mimeType && { originalMimeType: mimeType }),
    checksum: asset.checksum.toString("base64"),
    fileCreatedAt: asset.fileCreatedAt.toISOString(),
    fileModifiedAt: asset.fileModifiedAt.toISOString(),
    localDateTime: asset.localDateTime.toISOString(),
    createdAt: asset.createdAt.toISOString(),
    updatedAt: asset.updatedAt.toISOString(),
    duration: asset.duration,
    hasMetadata: true,
    height: null,
    width: null,
    isArchived: asset.visibility === "archive",
    isEdited: false,
    isFavorite: asset.isFavorite,
    isOffline: false,
    isTrashed: asset.deletedAt !== null,
    libraryId: null,
    livePhotoVideoId: null,
    thumbhash: null,
    visibility: asset.visibility as AssetResponseDto["visibility"],
    exifInfo: {
      fileSizeInByte: asset.fileSizeInByte === null ? null : Number(asset.fileSizeInByte),
      dateTimeOriginal: asset.dateTimeOriginal?.toISOString() ?? null,
      timeZone: asset.timeZone,
      make: asset.make,
      model: asset.model,
      description: asset.description ?? "",
    },
  };
}

export interface AlbumRow {
  id: string;
  albumName: string;
  description: string;
  isActivityEnabled: boolean;
  order: string;
  createdAt: Date;
  updatedAt: Date;
}

/** An album as `viewer` sees it: the owner first, then the viewer, then the others by name. */
export async function showAlbum(
  db: Queryable,
  album: AlbumRow,
  viewer: string,
): Promise<AlbumResponseDto> {
  const people = await db.query<UserRow & { role: "owner" | "editor" | "viewer" }>(
    `select u.*, au."role" from "album_user" au join "user" u on u."id" = au."userId"
     where au."albumId" = $1
     order by au."role" <> 'owner', u."id" <> $2, u."name"`,
    [album.id, viewer],
  );
  const assets = await db.query<{ count: string; thumbnail: string | null }>(
    `select count(*) as count, min(a."id"::text) as thumbnail
     from "album_asset" aa join "asset" a on a."id" = aa."assetId"
     where aa."albumId" = $1 and a."deletedAt" is null`,
    [album.id],
  );
  return {
    id: album.id,
    albumName: album.albumName,
    description: album.description,
    albumThumbnailAssetId: assets.rows[0]!.thumbnail,
    albumUsers: people.rows.map((person) => ({
      role: person.role as AlbumResponseDto["albumUsers"][number]["role"],
      user: showUser(person),
    })),
    assetCount: Number(assets.rows[0]!.count),
    createdAt: album.createdAt.toISOString(),
    updatedAt: album.updatedAt.toISOString(),
    hasSharedLink: false,
    isActivityEnabled: album.isActivityEnabled,
    order: album.order as NonNullable<AlbumResponseDto["order"]>,
    shared: people.rows.length > 1,
  };
}
