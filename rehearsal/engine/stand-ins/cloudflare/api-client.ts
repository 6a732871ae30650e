import { setTimeout as sleep } from "node:timers/promises";

/** Cloudflare's refusal, in the words of the real provider's HTTP client. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: number;
  constructor(method: string, url: string, status: number, statusText: string, body: string) {
    super(`failed to make http request: ${method} "${url}": ${status} ${statusText} ${body}`);
    this.status = status;
  }
}

// As the real provider was watched: eleven times in all, over three minutes.
const retries = 10;
const shortestWaitMilliseconds = 2000;
const longestWaitMilliseconds = 30_000;
const longestRetryAfterMilliseconds = 60_000;

/** Tests of what comes after the last try shorten the waits by this, below 1. */
const haste = Number(process.env.OUCHI_REHEARSAL_HASTE ?? 1);

export class ApiClient {
  readonly #baseUrl: string;
  readonly #token: string;
  readonly #abort = new AbortController();

  constructor(baseUrl: string, token: string) {
    this.#baseUrl = baseUrl.replace(/\/$/, "");
    this.#token = token;
  }

  cancel(): void {
    this.#abort.abort();
  }

  /** The envelope's `result`, or null where there is none. Tries again as the real one: broken connections, 408, 409, 429, 5xx. */
  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const url = `${this.#baseUrl}${path}`;
    for (let attempt = 0; ; attempt += 1) {
      const { signal } = this.#abort;
      let response: Response;
      try {
        response = await fetch(url, {
          method,
          signal,
          headers: {
            authorization: `Bearer ${this.#token}`,
            "user-agent": "ouchi-photos-rehearsal",
            ...(body !== undefined && { "content-type": "application/json" }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
      } catch (error) {
        if (signal.aborted) throw new Error("context canceled");
        if (attempt >= retries) {
          const cause = (error as Error).cause;
          const why = cause instanceof Error ? cause.message : (error as Error).message;
          throw new Error(`failed to make http request: ${method} "${url}": ${why}`);
        }
        await this.#wait(backoff(attempt));
        continue;
      }
      const text = await response.text();
      const passing = [408, 409, 429].includes(response.status) || response.status >= 500;
      if (passing && attempt < retries) {
        await this.#wait(retryAfter(response) ?? backoff(attempt));
        continue;
      }
      if (!response.ok) {
        throw new ApiError(method, url, response.status, response.statusText, text);
      }
      return resultOf(text, method, url);
    }
  }

  async #wait(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#abort.signal }).catch(() => {
      throw new Error("context canceled");
    });
  }
}

function resultOf(text: string, method: string, url: string): unknown {
  try {
    return (JSON.parse(text) as { result?: unknown }).result;
  } catch {
    throw new Error(`failed to deserialize http request: ${method} "${url}" answered no JSON`);
  }
}

function backoff(attempt: number): number {
  return haste * Math.min(shortestWaitMilliseconds * 2 ** attempt, longestWaitMilliseconds);
}

function retryAfter(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return wait >= 0 && wait <= longestRetryAfterMilliseconds ? wait : undefined;
}
