/**
 * The calls of Immich's API that the kit makes, written by hand from what servers were seen to take and to answer. Each answer
 * is checked for the fields that the kit relies on; whatever else is in it is Immich's.
 */
import * as z from "zod";

export interface Call<Answer> {
  method: "GET" | "POST" | "PUT";
  /** Below `/api`. */
  path: string;
  body?: unknown;
  answer: z.ZodType<Answer>;
}

export interface Credentials {
  email: string;
  password: string;
}

const id = z.string().min(1);
const nothing = z.unknown();

const person = z.object({
  id,
  email: z.string().min(1),
  name: z.string(),
  isAdmin: z.boolean(),
  shouldChangePassword: z.boolean(),
  /** The folder of the originals under `library/`; null: the id. */
  storageLabel: z.string().nullable(),
  /** `removing` is being purged. */
  status: z.string(),
  /** Since when the account is on its way out. */
  deletedAt: z.string().nullable(),
  /** Bytes; null: no limit. */
  quotaSizeInBytes: z.number().nullable(),
});
export type Person = z.infer<typeof person>;

/** What of a person an administrator may set. */
export interface PersonValues {
  email?: string;
  name?: string;
  password?: string;
  storageLabel?: string;
  shouldChangePassword?: boolean;
  quotaSizeInBytes?: number | null;
  isAdmin?: boolean;
}

/** In maintenance mode nothing else is told. */
const state = z.union([
  z.object({ maintenanceMode: z.literal(true) }),
  z.object({
    maintenanceMode: z.literal(false).default(false),
    isInitialized: z.boolean(),
    isOnboarded: z.boolean(),
  }),
]);
export type ServerState = z.infer<typeof state>;

/** Whole, with all that the kit does not own: an object without the sections of every Immich is none. */
const section = z.looseObject({});
const settings = z.looseObject({ storageTemplate: section, server: section, trash: section });

function call<Answer>(
  method: Call<Answer>["method"],
  path: string,
  answer: z.ZodType<Answer>,
  body?: unknown,
): Call<Answer> {
  return { method, path, answer, ...(body !== undefined && { body }) };
}

export const ping = () => call("GET", "/server/ping", z.object({ res: z.literal("pong") }));

export const showServer = () => call("GET", "/server/config", state);

/** The first account, which is an administrator; later it is refused. */
export const signUpAdmin = (account: Credentials & { name: string }) =>
  call("POST", "/auth/admin-sign-up", nothing, account);

export const signIn = ({ email, password }: Credentials) =>
  call("POST", "/auth/login", z.object({ accessToken: z.string().min(1), isAdmin: z.boolean() }), {
    email,
    password,
  });

export const signOut = () => call("POST", "/auth/logout", nothing);

export const finishFirstSteps = () =>
  call("POST", "/system-metadata/admin-onboarding", nothing, { isOnboarded: true });

/** The account that asks. */
export const showMe = () => call("GET", "/users/me", person);

/** Everybody, also who is on the way out. */
export const listPeople = () => call("GET", "/admin/users?withDeleted=true", z.array(person));

/** Nobody is told by mail. */
export const makePerson = (values: PersonValues & Credentials & { name: string }) =>
  call("POST", "/admin/users", person, { ...values, notify: false });

export const changePerson = (personId: string, values: PersonValues) =>
  call("PUT", `/admin/users/${encodeURIComponent(personId)}`, person, values);

export const restorePerson = (personId: string) =>
  call("POST", `/admin/users/${encodeURIComponent(personId)}/restore`, person);

export const showSettings = () => call("GET", "/admin/config", settings);

/** Immich takes the whole object only. */
export const writeSettings = (whole: Record<string, unknown>) =>
  call("PUT", "/admin/config", settings, whole);
