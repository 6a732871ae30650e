/**
 * The pretend server's settings: Immich's defaults as @immich/sdk 3.2.2 shapes them, and the strict
 * check of a whole settings object. Only the difference from the defaults is stored, as Immich does.
 */
import type { AdminConfigDto } from "@immich/sdk";
import { z } from "zod";
import { badRequest, invalid } from "./errors.ts";
import { templateTokens } from "./storage-template.ts";

type Plain<T> = T extends string | number | boolean | null | undefined
  ? T extends string
    ? string
    : T extends number
      ? number
      : T
  : { [K in keyof T]: Plain<T[K]> };

/** The SDK's type with its enums widened to the strings that travel. */
export type Settings = Plain<AdminConfigDto>;

const smtpTransport = {
  ignoreCert: false,
  host: "",
  port: 587,
  secure: false,
  username: "",
  password: "",
};

export const defaultSettings: Settings = {
  backup: { database: { enabled: true, cronExpression: "0 02 * * *", keepLastAmount: 14 } },
  ffmpeg: {
    accel: "disabled",
    accelDecode: true,
    acceptedAudioCodecs: ["aac", "mp3", "opus"],
    acceptedContainers: ["mov", "ogg", "webm"],
    acceptedVideoCodecs: ["h264"],
    bframes: -1,
    cqMode: "auto",
    crf: 23,
    gopSize: 0,
    maxBitrate: "0",
    preferredHwDevice: "auto",
    preset: "ultrafast",
    realtime: { enabled: false, resolutions: [480, 720, 1080], videoCodecs: ["h264", "hevc"] },
    refs: 0,
    targetAudioCodec: "aac",
    targetResolution: "720",
    targetVideoCodec: "h264",
    temporalAQ: false,
    threads: 0,
    tonemap: "hable",
    transcode: "required",
    twoPass: false,
  },
  image: {
    colorspace: "p3",
    extractEmbedded: false,
    fullsize: { enabled: false, format: "jpeg", progressive: false, quality: 80 },
    preview: { format: "jpeg", progressive: false, quality: 80, size: 1440 },
    thumbnail: { format: "webp", progressive: false, quality: 80, size: 250 },
  },
  integrityChecks: {
    checksumFiles: {
      cronExpression: "0 03 * * *",
      enabled: true,
      percentageLimit: 1,
      timeLimit: 3_600_000,
    },
    missingFiles: { cronExpression: "0 03 * * *", enabled: true },
    untrackedFiles: { cronExpression: "0 03 * * *", enabled: true },
  },
  job: {
    backgroundTask: { concurrency: 5 },
    editor: { concurrency: 2 },
    faceDetection: { concurrency: 2 },
    integrityCheck: { concurrency: 1 },
    library: { concurrency: 5 },
    metadataExtraction: { concurrency: 5 },
    migration: { concurrency: 5 },
    notifications: { concurrency: 5 },
    ocr: { concurrency: 1 },
    search: { concurrency: 5 },
    sidecar: { concurrency: 5 },
    smartSearch: { concurrency: 2 },
    thumbnailGeneration: { concurrency: 3 },
    videoConversion: { concurrency: 1 },
    workflow: { concurrency: 5 },
  },
  library: {
    scan: { cronExpression: "0 00 * * *", enabled: true },
    watch: { enabled: false },
  },
  logging: { enabled: true, level: "log" },
  machineLearning: {
    availabilityChecks: { enabled: true, interval: 30_000, timeout: 2000 },
    clip: { enabled: true, modelName: "ViT-B-32__openai" },
    duplicateDetection: { enabled: true, maxDistance: 0.01 },
    enabled: true,
    facialRecognition: {
      enabled: true,
      maxDistance: 0.5,
      minFaces: 3,
      minScore: 0.7,
      modelName: "buffalo_l",
    },
    ocr: {
      enabled: true,
      maxResolution: 736,
      minDetectionScore: 0.5,
      minRecognitionScore: 0.8,
      modelName: "PP-OCRv5_mobile",
    },
    urls: ["http://immich-machine-learning:3003"],
  },
  map: {
    darkStyle: "https://tiles.immich.cloud/v1/style/dark.json",
    enabled: true,
    lightStyle: "https://tiles.immich.cloud/v1/style/light.json",
  },
  metadata: { faces: { import: false } },
  newVersionCheck: { channel: "stable", enabled: true },
  nightlyTasks: {
    clusterNewFaces: true,
    databaseCleanup: true,
    generateMemories: true,
    missingThumbnails: true,
    startTime: "00:00",
    syncQuotaUsage: true,
  },
  notifications: {
    smtp: { enabled: false, from: "", replyTo: "", transport: smtpTransport },
  },
  oauth: {
    allowInsecureRequests: false,
    autoLaunch: false,
    autoRegister: true,
    buttonText: "Login with OAuth",
    clientId: "",
    clientSecret: "",
    defaultStorageQuota: null,
    enabled: false,
    endSessionEndpoint: "",
    issuerUrl: "",
    mobileOverrideEnabled: false,
    mobileRedirectUri: "",
    profileSigningAlgorithm: "none",
    prompt: "",
    roleClaim: "immich_role",
    scope: "openid email profile",
    signingAlgorithm: "RS256",
    storageLabelClaim: "preferred_username",
    storageQuotaClaim: "immich_quota",
    timeout: 30_000,
    tokenEndpointAuthMethod: "client_secret_post",
  },
  passwordLogin: { enabled: true },
  reverseGeocoding: { enabled: true },
  server: { externalDomain: "", loginPageMessage: "", publicUsers: true },
  storageTemplate: {
    enabled: false,
    hashVerificationEnabled: true,
    template: "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
  },
  templates: { email: { albumInviteTemplate: "", albumUpdateTemplate: "", welcomeTemplate: "" } },
  theme: { customCss: "" },
  trash: { days: 30, enabled: true },
  user: { deleteDelay: 7 },
};

const emptyOrUrl = z
  .string()
  .refine((text) => text === "" || z.url().safeParse(text).success, "Must be empty or a valid URL");
const cron = z.string().regex(/^\S+( \S+){4,5}$/, "Invalid cron expression");
const oneOf = (...values: [string, ...string[]]) => z.enum(values);

/** Where the type of the default says too little. Paths of the settings, `*` for any key. */
const narrower: Record<string, z.ZodType> = {
  "backup.database.cronExpression": cron,
  "backup.database.keepLastAmount": z.int().min(1),
  "ffmpeg.accel": oneOf("nvenc", "qsv", "vaapi", "rkmpp", "disabled"),
  "ffmpeg.targetVideoCodec": oneOf("h264", "hevc", "vp9", "av1"),
  "ffmpeg.transcode": oneOf("all", "optimal", "bitrate", "required", "disabled"),
  "ffmpeg.crf": z.int().min(0).max(51),
  "image.fullsize.progressive": z.boolean().optional(),
  "image.preview.progressive": z.boolean().optional(),
  "image.thumbnail.progressive": z.boolean().optional(),
  "integrityChecks.checksumFiles.cronExpression": cron,
  "integrityChecks.missingFiles.cronExpression": cron,
  "integrityChecks.untrackedFiles.cronExpression": cron,
  "integrityChecks.checksumFiles.percentageLimit": z.number().min(0).max(1),
  "job.*.concurrency": z.int().min(1),
  "library.scan.cronExpression": cron,
  "logging.level": oneOf("verbose", "debug", "log", "warn", "error", "fatal"),
  "machineLearning.urls": z.array(z.string()).min(1),
  "map.darkStyle": z.url(),
  "map.lightStyle": z.url(),
  "newVersionCheck.channel": oneOf("stable", "releaseCandidate"),
  "nightlyTasks.startTime": z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "HH:MM expected"),
  "oauth.defaultStorageQuota": z.int().min(0).nullable(),
  "oauth.issuerUrl": emptyOrUrl,
  "server.externalDomain": emptyOrUrl,
  "trash.days": z.int().min(0),
  "user.deleteDelay": z.int().min(1),
};

function schemaOf(value: unknown, path: string[]): z.ZodType {
  const named =
    narrower[path.join(".")] ?? narrower[path.map((key, i) => (i === 1 ? "*" : key)).join(".")];
  if (named) return named;
  if (Array.isArray(value)) return z.array(typeof value[0] === "number" ? z.number() : z.string());
  if (value !== null && typeof value === "object") {
    // Immich's own objects drop unknown keys without a word; so does z.object.
    return z.object(
      Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, schemaOf(item, [...path, key])]),
      ),
    );
  }
  if (typeof value === "number") return z.number();
  if (typeof value === "boolean") return z.boolean();
  return z.string();
}

const settingsSchema = schemaOf(defaultSettings, []);

/** A whole settings object, checked; a part of one is refused as Immich refuses it. */
export function parseSettings(body: unknown): Settings {
  const parsed = settingsSchema.safeParse(body);
  if (!parsed.success) throw invalid(parsed.error);
  const settings = parsed.data as Settings;
  const unknown = [...settings.storageTemplate.template.matchAll(/\{\{\s*([^}]*?)\s*\}\}/g)]
    .map((match) => match[1]!)
    .filter((token) => !templateTokens.has(token) && !/^[#/]|^else$/.test(token));
  if (unknown.length > 0) {
    throw badRequest(`Invalid storage template: Error: "${unknown[0]}" not defined`);
  }
  return settings;
}

type Tree = { [key: string]: unknown };
const isTree = (value: unknown): value is Tree =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** What of `settings` differs from the defaults: the row that Immich stores. */
export function difference(settings: Tree, base: Tree = defaultSettings): Tree {
  const changed: Tree = {};
  for (const [key, value] of Object.entries(settings)) {
    const original = base[key];
    if (isTree(value) && isTree(original)) {
      const inner = difference(value, original);
      if (Object.keys(inner).length > 0) changed[key] = inner;
    } else if (JSON.stringify(value) !== JSON.stringify(original)) changed[key] = value;
  }
  return changed;
}

export function withDefaults(stored: Tree, base: Tree = defaultSettings): Settings {
  const whole: Tree = { ...base };
  for (const [key, value] of Object.entries(stored)) {
    const original = base[key];
    whole[key] = isTree(value) && isTree(original) ? withDefaults(value, original) : value;
  }
  return whole as Settings;
}
