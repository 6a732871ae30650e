import { UserError } from "../settings/user-error.ts";
import type { Permission } from "./permissions.ts";

export const productionApi = "https://api.cloudflare.com/client/v4";

export interface CloudflareApiArgs {
  /** Base URL of Cloudflare's API v4, without a slash at the end. */
  baseUrl: string;
  apiToken: string;
}

export interface Answer<T> {
  status: number;
  body: Envelope<T> | undefined;
  /** When Cloudflare answered, by its own clock; the laptop's may be wrong. */
  at: Date;
}

interface Envelope<T> {
  success: boolean;
  errors?: { code: number; message: string }[];
  result: T;
  result_info?: { page?: number; per_page?: number; total_pages?: number; total_count?: number };
}

/** The most that Cloudflare's lists of Access take; the one of zones takes 50. */
const mostPerPage = 100;
const tries = 4;
const longestWaitSeconds = 60;

/** Cloudflare's API v4, for what the kit itself reads, clears away and ends. Making things is the provider's. */
export class CloudflareApi {
  readonly #args: CloudflareApiArgs;

  constructor(args: CloudflareApiArgs) {
    this.#args = args;
  }

  /**
   * Repeats what may pass: 429 as long as Retry-After says, 5xx and broken connections, four times in all.
   *
   * @throws {UserError} when Cloudflare cannot be reached.
   */
  get<T>(path: string): Promise<Answer<T>> {
    return this.#send("GET", path);
  }

  /**
   * A whole list, page by page: an account may hold other people's things by the hundred.
   *
   * @returns the first answer that is no success, or all that there is
   * @throws {UserError} when Cloudflare cannot be reached.
   */
  async list<T>(path: string, perPage = mostPerPage): Promise<Answer<T[]>> {
    const base = `${path}${path.includes("?") ? "&" : "?"}per_page=${perPage}`;
    const all: T[] = [];
    for (let page = 1; ; page++) {
      const answer = await this.get<T[]>(page === 1 ? base : `${base}&page=${page}`);
      const { status, body } = answer;
      if (status !== 200 || !body?.success) return answer;
      all.push(...body.result);
      const { total_pages, total_count } = body.result_info ?? {};
      const pages = total_pages ?? (total_count === undefined ? undefined : total_count / perPage);
      // Where Cloudflare does not say how many there are, a full page may be followed by another.
      const last = pages === undefined ? body.result.length < perPage : page >= pages;
      if (last) return { ...answer, body: { ...body, result: all } };
    }
  }

  /**
   * The same for what must be seen: what cannot be seen is not taken for unused.
   *
   * @param permission the one that a refusal most likely wants
   * @throws {UserError} when Cloudflare refuses, or cannot be reached.
   */
  async all<T>(path: string, permission: Permission, perPage = mostPerPage): Promise<T[]> {
    const { status, body } = await this.list<T>(path, perPage);
    if (status === 200 && body?.success) return body.result;
    throw notSeen(path, status, permission);
  }

  /**
   * Sends a request; what may pass is tried again, as a reading is, so it must be one that may arrive twice.
   *
   * @throws {UserError} when Cloudflare cannot be reached.
   */
  send<T>(method: "POST" | "PATCH", path: string, body: object): Promise<Answer<T>> {
    return this.#send(method, path, body);
  }

  /**
   * Removes one thing. That it is gone already is no error.
   *
   * @throws {UserError} when Cloudflare refuses, or cannot be reached.
   */
  async remove(path: string): Promise<void> {
    const { status, body } = await this.#send("DELETE", path);
    if (status === 404 || (status < 300 && body?.success)) return;
    throw new UserError(
      `Cloudflare answered ${status} to DELETE ${path}${reasons(body) ? `: ${reasons(body)}` : ""}.`,
    );
  }

  async #send<T>(method: string, path: string, content?: object): Promise<Answer<T>> {
    const { baseUrl, apiToken } = this.#args;
    for (let attempt = 1; ; attempt++) {
      let response: Response | undefined;
      let cause = "";
      try {
        response = await fetch(baseUrl + path, {
          method,
          headers: {
            authorization: `Bearer ${apiToken}`,
            ...(content && { "content-type": "application/json" }),
          },
          ...(content && { body: JSON.stringify(content) }),
          signal: AbortSignal.timeout(30_000),
        });
      } catch (error) {
        cause = String((error as Error).cause ?? (error as Error).message);
      }
      const passing = !response || response.status === 429 || response.status >= 500;
      if (!passing) {
        const body = (await response!.json().catch(() => undefined)) as Envelope<T> | undefined;
        const at = new Date(response!.headers.get("date") ?? Date.now());
        return { status: response!.status, body, at };
      }
      if (attempt === tries) {
        throw new UserError(
          `Cloudflare's API could not be reached: ${method} ${path} ${response ? `answered ${response.status}` : `failed, ${cause}`}, ${tries} times. Check the laptop's network, or try again in some minutes.`,
        );
      }
      await response?.body?.cancel();
      const seconds = retryAfter(response) ?? 2 ** attempt / 2;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** A reading that was not answered; a refusal names the permission that is likely missing. */
export function notSeen(path: string, status: number, permission: Permission): UserError {
  const lacking =
    status === 401 || status === 403
      ? ` The API token in cloudflare:apiToken may lack the permission "${permission}".`
      : "";
  return new UserError(
    `Cloudflare could not answer GET ${path}: status ${status}.${lacking} Nothing was changed.`,
  );
}

/** Cloudflare's own words, such as "Authentication error (10000)". */
export function reasons(body: Answer<unknown>["body"]): string {
  return (body?.errors ?? []).map(({ code, message }) => `${message} (${code})`).join("; ");
}

/** Retry-After as seconds or as a date; in seconds. */
function retryAfter(response: Response | undefined): number | undefined {
  const header = response?.headers.get("retry-after");
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), longestWaitSeconds) : undefined;
}
