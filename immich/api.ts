/** Immich's API as the resources use it: ready, signed in, and with errors as sentences. */
import * as sdk from "@immich/sdk";
import { type Connection, OutOfReach, SharedConnection } from "./connection.ts";
import { forwardedFetch } from "./forwarded-fetch.ts";
import { UserError } from "./user-error.ts";

export interface Credentials {
  email: string;
  password: string;
}

type Options = NonNullable<Parameters<typeof sdk.pingServer>[0]>;

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
  async anonymous<T>(call: (options: Options) => Promise<T>): Promise<T> {
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

  /** Calls Immich as its administrator. `doing` completes "Immich could not …". */
  async admin<T>(
    admin: Credentials,
    doing: string,
    call: (options: Options) => Promise<T>,
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
          if (attempt === 1 && sdk.isHttpError(error) && error.status === 401) {
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
      token = this.anonymous((options) =>
        sdk.login({ loginCredentialDto: admin }, options).then((answer) => {
          if (!answer.isAdmin) {
            throw new UserError(
              `The account "${admin.email}" is no administrator in Immich, so the kit cannot set up people and settings: make it one in Immich's page under Administration > Users.`,
            );
          }
          return answer.accessToken;
        }),
      ).catch((error) => {
        this.#tokens.delete(key);
        if (sdk.isHttpError(error) && error.status === 401) throw refusedAdmin(admin.email);
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

  async #request<T>(call: (options: Options) => Promise<T>, token?: string): Promise<T> {
    return this.shared.use(async (client) =>
      call({
        baseUrl: `http://127.0.0.1:${this.#port}/api`,
        fetch: sdk.jsonOnly(retrying(forwardedFetch(client, this.#port), retryTime)),
        ...(token && { headers: { authorization: `Bearer ${token}` } }),
      }),
    );
  }

  async #untilReady(): Promise<void> {
    const deadline = Date.now() + this.#readyTime;
    for (;;) {
      try {
        const { res } = await this.#request((options) => sdk.pingServer(options));
        if (res === "pong") break;
      } catch (error) {
        if (error instanceof UserError) throw error;
        if (Date.now() > deadline) {
          throw new UserError(
            `Immich on the Pi at ${this.#host} did not answer within ${Math.round(this.#readyTime / 60_000)} minutes (${(error as Error).message}): look at its log there by "sudo docker logs immich_server". What was set up so far stays; run the same command again.`,
          );
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pollInterval));
    }
    const { maintenanceMode } = await this.#request((options) => sdk.getServerConfig(options));
    if (maintenanceMode) {
      throw new UserError(
        `Immich on the Pi at ${this.#host} is in maintenance mode: when no backup or restore is running, end it there by "sudo docker exec immich_server immich-admin disable-maintenance-mode" and run the same command again.`,
      );
    }
  }

  /** Leaves no sessions behind in the owner's list of signed-in devices. */
  async #logout(): Promise<void> {
    clearTimeout(this.#logoutTimer);
    const tokens = [...this.#tokens.values()];
    this.#tokens.clear();
    for (const token of tokens) {
      // One that cannot be ended is an entry in that list, and no reason to fail.
      await token
        .then((value) => this.#request((options) => sdk.logout(options), value))
        .catch(() => undefined);
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

/** What Immich said, as a sentence; a secret that it might repeat is left out. */
export function explain(error: unknown, doing: string, secrets: string[] = []): Error {
  if (error instanceof UserError) return error;
  if (sdk.isHttpError(error)) {
    const data = error.data as Partial<sdk.ApiExceptionResponse> | undefined;
    const details = (data?.errors ?? []).map(
      ({ path, message }) => `${path.join(".")}: ${message}`,
    );
    const said = [data?.message ?? `HTTP ${error.status}`, ...details].flat().join("; ");
    return new UserError(
      hide(`Immich could not ${doing}: ${said} (HTTP ${error.status}).`, secrets),
    );
  }
  const message = error instanceof Error ? error.message : String(error);
  return new OutOfReach(
    hide(`Immich could not ${doing}: the connection to it broke (${message}).`, secrets),
  );
}

function hide(text: string, secrets: string[]): string {
  return secrets
    .filter((secret) => secret.length > 0)
    .reduce((shown, secret) => shown.replaceAll(secret, "[secret]"), text);
}
