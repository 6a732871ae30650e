/**
 * What the kit relies on of Immich, as a table of request → status, headers, shape. Run against the
 * pretend server in the tests and, unchanged, against a real one by whoever has it. It makes a person, an
 * album and a photo of its own, named by `run`, and removes them at its end; settings are written back
 * as they were read.
 */
import { z } from "zod";

export interface ContractWorld {
  /** Without `/api`. */
  baseUrl: string;
  admin: { email: string; password: string };
  /** Tells this run's person from all others, such as eight random letters. */
  run: string;
  /** What earlier answers gave, for later requests. */
  kept: Record<string, unknown>;
}

export interface ContractCase {
  title: string;
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string | ((world: ContractWorld) => string);
  /** Whose session is sent. @default nobody's */
  as?: "admin" | "person";
  headers?: (world: ContractWorld) => Record<string, string>;
  body?: (world: ContractWorld) => unknown;
  expect: {
    status: number;
    headers?: Record<string, RegExp>;
    /** What the answer must have at least; more is fine. */
    shape?: z.ZodType | ((world: ContractWorld) => z.ZodType);
  };
  /** Names under which parts of the answer are kept. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape was checked just before
  keep?: Record<string, (answer: any, world: ContractWorld) => unknown>;
  /** Repeated until it holds, for what Immich does after it has answered. Seconds. */
  within?: number;
}

const says = (text: string) => z.looseObject({ message: z.literal(text) });
const json = { "content-type": /^application\/json/ };
const uuid = z.uuid();
const moment = z.iso.datetime();
const kept = (name: string) => (world: ContractWorld) => String(world.kept[name]);
const personEmail = (world: ContractWorld) => `contract-${world.run}@example.com`;
const personPassword = (world: ContractWorld) => `first-${world.run}`;

const person = z.looseObject({
  id: uuid,
  email: z.string(),
  name: z.string(),
  storageLabel: z.string().nullable(),
  isAdmin: z.boolean(),
  shouldChangePassword: z.boolean(),
  quotaSizeInBytes: z.number().nullable(),
  quotaUsageInBytes: z.number().nullable(),
  status: z.enum(["active", "removing", "deleted"]),
  createdAt: moment,
  deletedAt: moment.nullable(),
});

const settings = z.looseObject({
  storageTemplate: z.looseObject({
    enabled: z.boolean(),
    hashVerificationEnabled: z.boolean(),
    template: z.string(),
  }),
  server: z.looseObject({ externalDomain: z.string(), publicUsers: z.boolean() }),
  trash: z.looseObject({ enabled: z.boolean(), days: z.number() }),
  user: z.looseObject({ deleteDelay: z.number() }),
  backup: z.looseObject({ database: z.looseObject({ enabled: z.boolean() }) }),
  integrityChecks: z.looseObject({}),
  machineLearning: z.looseObject({ enabled: z.boolean() }),
});

const asset = z.looseObject({
  id: uuid,
  ownerId: uuid,
  originalPath: z.string(),
  originalFileName: z.string(),
  checksum: z.string(),
  fileCreatedAt: moment,
  localDateTime: moment,
  isTrashed: z.boolean(),
  visibility: z.string(),
});

/** A grey pixel; what follows a JPEG's end does no harm and makes every run's bytes its own. */
const photo = (world: ContractWorld) =>
  Buffer.concat([
    Buffer.from(
      "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AR//Z",
      "base64",
    ),
    Buffer.from(world.run),
  ]);

const upload = (world: ContractWorld) => {
  const form = new FormData();
  form.set("fileCreatedAt", "2022-02-03T14:30:00.000Z");
  form.set("fileModifiedAt", "2022-02-03T14:30:00.000Z");
  form.set("assetData", new Blob([new Uint8Array(photo(world))]), `IMG_${world.run}.jpg`);
  return form;
};

export const immichContract: ContractCase[] = [
  {
    title: "a server that serves answers a ping",
    method: "GET",
    path: "/server/ping",
    expect: { status: 200, headers: json, shape: z.looseObject({ res: z.literal("pong") }) },
  },
  {
    title: "the version is 3",
    method: "GET",
    path: "/server/version",
    expect: {
      status: 200,
      shape: z.looseObject({ major: z.literal(3), minor: z.number(), patch: z.number() }),
    },
  },
  {
    title: "the public configuration tells whether someone has signed up",
    method: "GET",
    path: "/server/config",
    expect: {
      status: 200,
      shape: z.looseObject({
        isInitialized: z.literal(true),
        isOnboarded: z.boolean(),
        externalDomain: z.string(),
        userDeleteDelay: z.number(),
        trashDays: z.number(),
        maintenanceMode: z.boolean(),
      }),
    },
  },
  {
    title: "there is one first administrator",
    method: "POST",
    path: "/auth/admin-sign-up",
    body: ({ admin }) => ({ ...admin, name: "again" }),
    expect: { status: 400, shape: says("The server already has an admin") },
  },
  {
    title: "a wrong password is refused",
    method: "POST",
    path: "/auth/login",
    body: ({ admin }) => ({ email: admin.email, password: "wrong" }),
    expect: { status: 401, shape: says("Incorrect email or password") },
  },
  {
    title: "the administrator signs in, with the address in any case",
    method: "POST",
    path: "/auth/login",
    body: ({ admin }) => ({ ...admin, email: admin.email.toUpperCase() }),
    expect: {
      status: 201,
      headers: { "set-cookie": /immich_access_token=/ },
      shape: z.looseObject({
        accessToken: z.string(),
        userId: uuid,
        userEmail: z.string(),
        isAdmin: z.literal(true),
        shouldChangePassword: z.boolean(),
        isOnboarded: z.boolean(),
      }),
    },
    keep: { adminToken: (answer) => answer.accessToken },
  },
  {
    title: "a closed route asks for a sign-in",
    method: "GET",
    path: "/admin/users",
    expect: { status: 401, shape: says("Authentication required") },
  },
  {
    title: "a person is made, with the address in lower case",
    method: "POST",
    path: "/admin/users",
    as: "admin",
    body: (world) => ({
      email: personEmail(world).replace("contract", "Contract"),
      name: "Contract",
      password: personPassword(world),
      storageLabel: `contract-${world.run}`,
      shouldChangePassword: true,
      notify: false,
    }),
    expect: {
      status: 201,
      shape: (world) =>
        person.extend({
          email: z.literal(personEmail(world)),
          storageLabel: z.literal(`contract-${world.run}`),
          isAdmin: z.literal(false),
          shouldChangePassword: z.literal(true),
          status: z.literal("active"),
          deletedAt: z.null(),
        }),
    },
    keep: { person: (answer) => answer.id },
  },
  {
    title: "an address is taken once",
    method: "POST",
    path: "/admin/users",
    as: "admin",
    body: (world) => ({ email: personEmail(world), name: "x", password: "x" }),
    expect: { status: 400, shape: says("User exists") },
  },
  {
    title: "what is no address is refused with its path",
    method: "POST",
    path: "/admin/users",
    as: "admin",
    body: () => ({ email: "no address", name: "x", password: "x" }),
    expect: {
      status: 400,
      shape: z.looseObject({
        errors: z.array(z.looseObject({ path: z.tuple([z.literal("email")]) })),
      }),
    },
  },
  {
    title: "people are listed, and the deleted ones when asked for",
    method: "GET",
    path: "/admin/users?withDeleted=true",
    as: "admin",
    expect: { status: 200, shape: z.array(person).min(2) },
  },
  {
    title: "a name is changed in place",
    method: "PUT",
    path: (world) => `/admin/users/${kept("person")(world)}`,
    as: "admin",
    body: () => ({ name: "Renamed" }),
    expect: { status: 200, shape: person.extend({ name: z.literal("Renamed") }) },
  },
  {
    title: "a person signs in with the first password",
    method: "POST",
    path: "/auth/login",
    body: (world) => ({ email: personEmail(world), password: personPassword(world) }),
    expect: { status: 201, shape: z.looseObject({ shouldChangePassword: z.literal(true) }) },
    keep: { personToken: (answer) => answer.accessToken },
  },
  {
    title: "a person who is no administrator sees no list of people",
    method: "GET",
    path: "/admin/users",
    as: "person",
    expect: { status: 403, shape: says("Forbidden") },
  },
  {
    title: "settings are read whole",
    method: "GET",
    path: "/system-config",
    as: "admin",
    expect: { status: 200, shape: settings },
    keep: { settings: (answer) => answer },
  },
  {
    title: "a part of the settings is refused",
    method: "PUT",
    path: "/system-config",
    as: "admin",
    body: ({ kept }) => {
      const { backup: _, ...part } = kept.settings as Record<string, unknown>;
      return part;
    },
    expect: {
      status: 400,
      shape: z.looseObject({
        errors: z.array(z.looseObject({ path: z.tuple([z.literal("backup")]) })),
      }),
    },
  },
  {
    title: "settings are written whole, and answered as they are then",
    method: "PUT",
    path: "/system-config",
    as: "admin",
    body: ({ kept }) => kept.settings,
    expect: { status: 200, shape: settings },
  },
  {
    title: "the storage template's tokens are told",
    method: "GET",
    path: "/system-config/storage-template-options",
    as: "admin",
    expect: {
      status: 200,
      shape: z.looseObject({
        yearOptions: z.array(z.string()),
        presetOptions: z.array(z.string()),
      }),
    },
  },
  {
    title: "the first steps are marked as done without an answer",
    method: "POST",
    path: "/system-metadata/admin-onboarding",
    as: "admin",
    body: () => ({ isOnboarded: true }),
    expect: { status: 204 },
  },
  {
    title: "a photo is taken in",
    method: "POST",
    path: "/assets",
    as: "person",
    body: upload,
    expect: { status: 201, shape: z.looseObject({ id: uuid, status: z.literal("created") }) },
    keep: { asset: (answer) => answer.id },
  },
  {
    title: "the same bytes again are known",
    method: "POST",
    path: "/assets",
    as: "person",
    body: upload,
    expect: {
      status: 200,
      shape: (world) =>
        z.looseObject({
          id: z.literal(kept("asset")(world)),
          status: z.literal("duplicate"),
        }),
    },
  },
  {
    title: "a photo is found with its SHA-1 and its place",
    method: "POST",
    path: "/search/metadata",
    as: "person",
    body: () => ({ withExif: true }),
    expect: {
      status: 200,
      shape: z.looseObject({ assets: z.looseObject({ items: z.tuple([asset]) }) }),
    },
    within: 60,
  },
  {
    title: "a photo comes back as it was sent",
    method: "GET",
    path: (world) => `/assets/${kept("asset")(world)}/original`,
    as: "person",
    expect: { status: 200, headers: { "content-type": /^image\/jpeg/ } },
  },
  {
    title: "an administrator does not see a person's photo",
    method: "GET",
    path: (world) => `/assets/${kept("asset")(world)}`,
    as: "admin",
    expect: { status: 400, shape: says("Not found or no asset.read access") },
  },
  {
    title: "an album names its owner first",
    method: "POST",
    path: "/albums",
    as: "person",
    body: ({ run, kept }) => ({ albumName: `contract ${run}`, assetIds: [kept.asset] }),
    expect: {
      status: 201,
      shape: z.looseObject({
        id: uuid,
        assetCount: z.literal(1),
        shared: z.literal(false),
        albumUsers: z.tuple([z.looseObject({ role: z.literal("owner") })]),
      }),
    },
    keep: { album: (answer) => answer.id },
  },
  {
    title: "nobody has a notification yet",
    method: "GET",
    path: "/notifications",
    as: "person",
    expect: { status: 200, shape: z.array(z.looseObject({ level: z.string() })) },
  },
  {
    title: "the statistics count by person",
    method: "GET",
    path: "/server/statistics",
    as: "admin",
    expect: {
      status: 200,
      shape: z.looseObject({
        photos: z.number(),
        usage: z.number(),
        usageByUser: z.array(z.looseObject({ userId: uuid, photos: z.number() })),
      }),
    },
  },
  {
    title: "an API key is told once",
    method: "POST",
    path: "/api-keys",
    as: "person",
    body: () => ({ name: "contract", permissions: ["asset.read"] }),
    expect: {
      status: 201,
      shape: z.looseObject({ secret: z.string(), apiKey: z.looseObject({ id: uuid }) }),
    },
    keep: { apiKey: (answer) => answer.secret },
  },
  {
    title: "an API key does what its permissions say",
    method: "GET",
    path: (world) => `/assets/${kept("asset")(world)}`,
    headers: (world) => ({ "x-api-key": kept("apiKey")(world) }),
    expect: { status: 200, shape: asset },
  },
  {
    title: "an API key does no more than that",
    method: "GET",
    path: "/users/me",
    headers: (world) => ({ "x-api-key": kept("apiKey")(world) }),
    expect: { status: 403, shape: says("Missing required permission: user.read") },
  },
  {
    title: "a permission that there is not is refused with its path",
    method: "POST",
    path: "/api-keys",
    as: "person",
    body: () => ({ name: "contract", permissions: ["asset.fly"] }),
    expect: {
      status: 400,
      shape: z.looseObject({ errors: z.array(z.looseObject({ path: z.array(z.unknown()) })) }),
    },
  },
  {
    title: "an unknown route is not found",
    method: "GET",
    path: "/ouchi-photos",
    expect: { status: 404, shape: z.looseObject({ message: z.string() }) },
  },
  {
    title: "a deleted person is kept for a while",
    method: "DELETE",
    path: (world) => `/admin/users/${kept("person")(world)}`,
    as: "admin",
    body: () => ({}),
    expect: {
      status: 200,
      shape: person.extend({ status: z.literal("deleted"), deletedAt: moment }),
    },
  },
  {
    title: "a deleted person is not changed",
    method: "PUT",
    path: (world) => `/admin/users/${kept("person")(world)}`,
    as: "admin",
    body: () => ({ name: "Gone" }),
    expect: { status: 400, shape: says("User not found") },
  },
  {
    title: "a deleted person does not sign in",
    method: "POST",
    path: "/auth/login",
    body: (world) => ({ email: personEmail(world), password: personPassword(world) }),
    expect: { status: 401 },
  },
  {
    title: "a deleted person comes back",
    method: "POST",
    path: (world) => `/admin/users/${kept("person")(world)}/restore`,
    as: "admin",
    expect: {
      status: 200,
      shape: person.extend({ status: z.literal("active"), deletedAt: z.null() }),
    },
  },
  {
    title: "the contract's own person goes, with the photo and the album",
    method: "DELETE",
    path: (world) => `/admin/users/${kept("person")(world)}`,
    as: "admin",
    body: () => ({ force: true }),
    expect: { status: 200, shape: person },
  },
  {
    title: "a session ends",
    method: "POST",
    path: "/auth/logout",
    as: "admin",
    expect: { status: 200, shape: z.looseObject({ successful: z.literal(true) }) },
  },
];

/** @throws {Error} when the answer is not what the case expects; the message says what came. */
export async function runCase(world: ContractWorld, each: ContractCase): Promise<void> {
  const deadline = Date.now() + (each.within ?? 0) * 1000;
  for (;;) {
    try {
      await ask(world, each);
      return;
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function ask(world: ContractWorld, each: ContractCase): Promise<void> {
  const path = typeof each.path === "string" ? each.path : each.path(world);
  const body = each.body?.(world);
  const token = each.as && world.kept[`${each.as}Token`];
  const response = await fetch(`${world.baseUrl}/api${path}`, {
    method: each.method,
    headers: {
      accept: "application/json",
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body === undefined || body instanceof FormData
        ? {}
        : { "content-type": "application/json" }),
      ...each.headers?.(world),
    },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const came = `${each.method} ${path} answered ${response.status} ${text.slice(0, 500)}`;
  if (response.status !== each.expect.status) {
    throw new Error(`${came}, not ${each.expect.status}.`);
  }
  for (const [name, pattern] of Object.entries(each.expect.headers ?? {})) {
    const value = response.headers.get(name) ?? "";
    if (!pattern.test(value)) throw new Error(`${came}: its ${name} is "${value}".`);
  }
  const { shape } = each.expect;
  if (!shape && !each.keep) return;
  const answer: unknown = text === "" ? undefined : JSON.parse(text);
  const schema = typeof shape === "function" ? shape(world) : shape;
  const parsed = schema?.safeParse(answer);
  if (parsed && !parsed.success) {
    throw new Error(`${came}:\n${z.prettifyError(parsed.error)}`);
  }
  for (const [name, pick] of Object.entries(each.keep ?? {})) {
    world.kept[name] = pick(answer, world);
  }
}
