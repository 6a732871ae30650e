/** Immich's API as the resources use it: ready, signed in, and with errors as sentences. */
import * as z from "zod";
import {
  type Call,
  type Credentials,
  ping,
  type ServerState,
  showServer,
  signIn,
  signOut,
} from "./calls.ts";
import { type Connection, OutOfReach, SharedConnection, shown } from "./connection.ts";
import { forwardedFetch } from "./forwarded-fetch.ts";
import { UserError } from "./user-error.ts";

export type { Credentials } from "./calls.ts";

/** Immich said no. */
export class HttpError extends Error {
  readonly status: number;
  /** As it came: JSON as a rule, a page of somebody else's where another server answers. */
  readonly body: string;

  constructor(status: number, body: string) {
    super(`HTTP ${status}`);
    this.status = status;
    this.body = body;
  }
}

/** Something answered, and not as Immich does: nothing of it is taken for a fact. */
export class UnexpectedAnswer extends UserError {}

/** After a first deploy the server's migrations run, on a Pi that has much else to do. */
const readyTime = 10 * 60_000;
const pollInterval = 2000;
/** A Pi that has just started its containers answers some requests with an error before all is well. */
const retryTime = 60_000;
/** The engine ends the plugin without a word, so sessions are ended soon after their last use. */
const sessionIdle = 500;

export class ImmichApi {
  readonly shared: SharedConnection;
  readonly #port: number;
  readonly #host: string;
  readonly #readyTime: number;
  readonly #tokens = new Map<string, Promise<string>>();
  #ready: Promise<void> | undefined;
  #calls = 0;
  #logoutTimer: NodeJS.Timeout | undefined;

  constructor(connection: Connection, times: { readyTime?: number } = {}) {
    this.shared = new SharedConnection(connection);
    this.#port = connection.apiPort ?? 2283;
    this.#host = connection.host;
    this.#readyTime = times.readyTime ?? readyTime;
  }

  /** Calls Immich without signing in, once it answers. */
  async anonymous<T>(call: Call<T>): Promise<T> {
    return this.shared.use(async () => {
      this.#ready ??= this.#untilReady();
      try {
        await this.#ready;
      } catch (error) {
        this.#ready = undefined;
        throw error;
      }
      return this.#request(call);
    });
  }

  /** @throws {UserError} in maintenance mode, in which Immich tells nothing of itself. */
  async server(): Promise<Extract<ServerState, { isInitialized: boolean }>> {
    const state = await this.anonymous(showServer()).catch((error) => {
      throw explain(error, "tell how it is set up");
    });
    return this.#refuseMaintenance(state);
  }

  /** Calls Immich as its administrator. `doing` completes "Immich could not …". */
  async admin<T>(
    admin: Credentials,
    doing: string,
    call: Call<T>,
    secrets: string[] = [],
  ): Promise<T> {
    clearTimeout(this.#logoutTimer);
    this.#calls++;
    try {
      for (let attempt = 1; ; attempt++) {
        const token = await this.signIn(admin);
        try {
          return await this.#request(call, token);
        } catch (error) {
          // The session may have been ended in the web page meanwhile.
          if (attempt === 1 && error instanceof HttpError && error.status === 401) {
            this.#tokens.clear();
            continue;
          }
          throw explain(error, doing, [admin.password, ...secrets]);
        }
      }
    } finally {
      this.#calls--;
      if (this.#calls === 0) {
        this.#logoutTimer = setTimeout(() => void this.#logout(), sessionIdle);
        this.#logoutTimer.unref();
      }
    }
  }

  /** @throws {UserError} when Immich does not know this account with this password. */
  async signIn(admin: Credentials): Promise<string> {
    const key = JSON.stringify([admin.email, admin.password]);
    let token = this.#tokens.get(key);
    if (!token) {
      token = this.anonymous(signIn(admin))
        .then((answer) => {
          if (!answer.isAdmin) {
            throw new UserError(
              `The account "${admin.email}" is no administrator in Immich, so the kit cannot set up people and settings: make it one in Immich's page under Administration > Users.`,
            );
          }
          return answer.accessToken;
        })
        .catch((error) => {
          this.#tokens.delete(key);
          if (error instanceof HttpError && error.status === 401) throw refusedAdmin(admin.email);
          throw explain(error, `sign "${admin.email}" in`, [admin.password]);
        });
      this.#tokens.set(key, token);
    }
    return token;
  }

  async close(): Promise<void> {
    await this.#logout();
    await this.shared.close();
  }

  async #request<T>({ method, path, body, answer }: Call<T>, token?: string): Promise<T> {
    const { status, text } = await this.shared.use(async (client) => {
      const fetch = retrying(forwardedFetch(client, this.#port), retryTime);
      const response = await fetch(`http://127.0.0.1:${this.#port}/api${path}`, {
        method,
        headers: {
          accept: "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, text: await response.text() };
    });
    if (status < 200 || status > 299) throw new HttpError(status, text);
    return read(`${method} /api${path.replace(/\?.*/, "")}`, answer, text);
  }

  async #untilReady(): Promise<void> {
    const deadline = Date.now() + this.#readyTime;
    for (;;) {
      try {
        await this.#request(ping());
        break;
      } catch (error) {
        // Whatever answers in Immich's place while it starts may go on to be Immich.
        if (error instanceof UserError && !(error instanceof UnexpectedAnswer)) throw error;
        if (Date.now() > deadline) {
          throw new UserError(
            `Immich on the Pi at ${this.#host} did not answer within ${Math.round(this.#readyTime / 60_000)} minutes (${(error as Error).message}): look at its log there by "sudo docker logs immich_server". What was set up so far stays; run the same command again.`,
          );
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pollInterval));
    }
    this.#refuseMaintenance(await this.#request(showServer()));
  }

  #refuseMaintenance(state: ServerState): Extract<ServerState, { isInitialized: boolean }> {
    if (!state.maintenanceMode) return state;
    throw new UserError(
      `Immich on the Pi at ${this.#host} is in maintenance mode: when no backup or restore is running, end it there by "sudo docker exec immich_server immich-admin disable-maintenance-mode" and run the same command again.`,
    );
  }

  /** Leaves no sessions behind in the owner's list of signed-in devices. */
  async #logout(): Promise<void> {
    clearTimeout(this.#logoutTimer);
    const tokens = [...this.#tokens.values()];
    this.#tokens.clear();
    for (const token of tokens) {
      // One that cannot be ended is an entry in that list, and no reason to fail.
      await token.then((value) => this.#request(signOut(), value)).catch(() => undefined);
    }
  }
}

/**
 * Asks again, for `time` milliseconds at most, after an error inside the server, such as a database that
 * took no connection in time: what asked once or twice has the same effect.
 */
function retrying(fetch: typeof globalThis.fetch, time: number): typeof globalThis.fetch {
  return async (input, options) => {
    const method = options?.method ?? "GET";
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    const repeatable =
      method === "GET" ||
      method === "PUT" ||
      pathname === "/api/auth/login" ||
      pathname === "/api/auth/admin-sign-up";
    const deadline = Date.now() + time;
    for (;;) {
      const answer = await fetch(input, options);
      const passing = [500, 502, 504].includes(answer.status);
      if (!passing || !repeatable || Date.now() > deadline) return answer;
      await new Promise((resolve) => setTimeout(resolve, pollInterval));
    }
  };
}

/** Immich does not know the account with the password. */
export class RefusedAdmin extends UserError {}

function refusedAdmin(email: string): RefusedAdmin {
  return new RefusedAdmin(
    `Immich refused "${email}" with the password that this stack holds. Either the password was changed: reset it on the Pi by "sudo docker exec -it immich_server immich-admin reset-admin-password" and type the stack's password there ("pulumi stack export --show-secrets" holds it under "secrets-admin-password"). Or Immich was set up by hand with another administrator: give that one's address as immichAdminEmail and the password by "pulumi config set --secret ouchi-photos:immichAdminPassword", until the kit's own account is made. Nothing was changed in Immich.`,
  );
}

/** The answer's fields, when it is one. */
function read<T>(call: string, form: z.ZodType<T>, text: string): T {
  let json: unknown;
  try {
    json = text === "" ? undefined : JSON.parse(text);
  } catch {
    // A sign-in's answer holds a token: a beginning of JSON is not shown.
    const said = /^\s*[[{"]/.test(text) ? "JSON that breaks off" : shown(text);
    throw new UnexpectedAnswer(notImmich(call, `it was ${said}`));
  }
  const { data, error } = form.safeParse(json);
  if (!error) return data as T;
  const [first] = error.issues;
  throw new UnexpectedAnswer(
    notImmich(call, `${first?.path.join(".") || "all of it"}: ${first?.message}`),
  );
}

const notImmich = (call: string, why: string) =>
  `The answer to ${call} is not one of the Immich that the kit knows (${why}), so nothing is taken from it. Another program may answer at Immich's port on the Pi, or another version of Immich: compare "sudo docker ps" there with compose/images.lock.json.`;

const refusal = z.object({
  message: z.union([z.string(), z.array(z.string())]).optional(),
  errors: z
    .array(z.object({ path: z.array(z.union([z.string(), z.number()])), message: z.string() }))
    .optional(),
});

/** What Immich said, as a sentence; a secret that it might repeat is left out. */
export function explain(error: unknown, doing: string, secrets: string[] = []): Error {
  if (error instanceof UnexpectedAnswer) {
    return new UnexpectedAnswer(hide(`Immich could not ${doing}. ${error.message}`, secrets));
  }
  if (error instanceof UserError) return error;
  if (error instanceof HttpError) {
    const { message, errors = [] } = refused(error.body);
    const details = errors.map((each) => `${each.path.join(".")}: ${each.message}`);
    const said = [message ?? `HTTP ${error.status}`, ...details].flat().join("; ");
    return new UserError(
      hide(`Immich could not ${doing}: ${said} (HTTP ${error.status}).`, secrets),
    );
  }
  const message = error instanceof Error ? error.message : String(error);
  return new OutOfReach(
    hide(`Immich could not ${doing}: the connection to it broke (${message}).`, secrets),
  );
}

function refused(body: string): z.infer<typeof refusal> {
  try {
    return refusal.parse(JSON.parse(body));
  } catch {
    return body.trim() === "" ? {} : { message: `it was answered ${shown(body)}` };
  }
}

function hide(text: string, secrets: string[]): string {
  return secrets
    .filter((secret) => secret.length > 0)
    .reduce((shown, secret) => shown.replaceAll(secret, "[secret]"), text);
}
