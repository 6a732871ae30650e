import type { z } from "zod";
import type { Permission } from "./permissions.ts";
import type { ApiToken, CloudflareState } from "./state.ts";
import type { TunnelServer } from "./tunnel-server.ts";

export interface Call<Body> {
  state: CloudflareState;
  tunnels: Pick<TunnelServer, "connections" | "disconnect" | "pushConfiguration">;
  /** From the path: `:tunnel` and so on. */
  id(name: string): string;
  query: Record<string, string>;
  body: Body;
  /** The API token of the call. */
  token: ApiToken;
}

export interface Reply {
  /** @default 200 */
  status?: number;
  result: unknown;
  /** For lists; see `page`. */
  resultInfo?: ResultInfo;
}

interface ResultInfo {
  page: number;
  per_page: number;
  count: number;
  total_count: number;
  total_pages: number;
}

export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below /client/v4. */
  path: string;
  /** What the API token must hold; undefined: any working token will do. */
  permission: Permission | undefined;
  /** Query parameters that are known; any other is refused by name. */
  query: readonly string[];
  /** undefined: no body is read, as some clients send an empty object to a DELETE. */
  body: z.ZodType | undefined;
  answer(call: Call<unknown>): Reply;
}

export function route<Body = undefined>(
  method: Route["method"],
  path: string,
  permission: Permission | undefined,
  answer: (call: Call<Body>) => Reply,
  options: { query?: readonly string[]; body?: z.ZodType<Body> } = {},
): Route {
  return {
    method,
    path,
    permission,
    query: options.query ?? [],
    body: options.body,
    answer: answer as Route["answer"],
  };
}

export const pagination = ["page", "per_page"] as const;

/** One page of a list, by the query's `page` and `per_page`. */
export function page<T>(items: T[], query: Record<string, string>, perPageDefault = 20): Reply {
  const perPage = Number(query.per_page ?? perPageDefault);
  const number = Number(query.page ?? 1);
  const shown = items.slice((number - 1) * perPage, number * perPage);
  return {
    result: shown,
    resultInfo: {
      page: number,
      per_page: perPage,
      count: shown.length,
      total_count: items.length,
      total_pages: Math.ceil(items.length / perPage),
    },
  };
}
