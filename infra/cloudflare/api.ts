import { UserError } from "../settings/user-error.ts";

export const productionApi = "https://api.cloudflare.com/client/v4";

export interface CloudflareApiArgs {
  /** Base URL of Cloudflare's API v4, without a slash at the end. */
  baseUrl: string;
  apiToken: string;
}

export interface Answer<T> {
  status: number;
  body: Envelope<T> | undefined;
}

interface Envelope<T> {
  success: boolean;
  errors?: { code: number; message: string }[];
  result: T;
  result_info?: { page?: number; per_page?: number; total_pages?: number; total_count?: number };
}

const tries = 4;
const longestWaitSeconds = 60;

/** Cloudflare's API v4, for what the kit itself reads and clears away. Making things is the provider's. */
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
   * All pages of a list, as one answer.
   *
   * @throws {UserError} when Cloudflare cannot be reached.
   */
  async list<T>(path: string): Promise<Answer<T[]>> {
    const first = await this.get<T[]>(path);
    const pages = first.body?.result_info?.total_pages ?? 1;
    for (let page = 2; page <= pages; page++) {
      const next = await this.get<T[]>(`${path}${path.includes("?") ? "&" : "?"}page=${page}`);
      if (next.status !== 200 || !next.body?.success) return next;
      first.body!.result.push(...next.body.result);
    }
    return first;
  }

  /**
   * Makes one thing; what may pass is tried again, as a reading is.
   *
   * @throws {UserError} when Cloudflare cannot be reached.
   */
  post<T>(path: string, body: unknown): Promise<Answer<T>> {
    return this.#send("POST", path, body);
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

  async #send<T>(method: string, path: string, sent?: unknown): Promise<Answer<T>> {
    const { baseUrl, apiToken } = this.#args;
    for (let attempt = 1; ; attempt++) {
      let response: Response | undefined;
      let cause = "";
      try {
        response = await fetch(baseUrl + path, {
          method,
          headers: {
            authorization: `Bearer ${apiToken}`,
            ...(sent === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
          signal: AbortSignal.timeout(30_000),
        });
      } catch (error) {
        cause = String((error as Error).cause ?? (error as Error).message);
      }
      const passing = !response || response.status === 429 || response.status >= 500;
      if (!passing) {
        const body = (await response!.json().catch(() => undefined)) as Envelope<T> | undefined;
        return { status: response!.status, body };
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
