/** Cloudflare's API v4, as far as the kit uses it; everything else is refused by name. */

import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { ApiError, refuse } from "./errors.ts";
import type { Faults } from "./faults.ts";
import { permits } from "./permissions.ts";
import type { Reply, Route } from "./route.ts";
import { accessApplications } from "./routes/access-applications.ts";
import { accessPolicies } from "./routes/access-policies.ts";
import { alerts } from "./routes/alerts.ts";
import { dnsRecords } from "./routes/dns-records.ts";
import { identityProviders } from "./routes/identity-providers.ts";
import { organizations } from "./routes/organizations.ts";
import { serviceTokens } from "./routes/service-tokens.ts";
import { tokenStatus, tokens } from "./routes/tokens.ts";
import { tunnels } from "./routes/tunnels.ts";
import { zones } from "./routes/zones.ts";
import type { ApiToken, CloudflareState } from "./state.ts";
import type { TunnelServer } from "./tunnel-server.ts";

export const routes: readonly Route[] = [
  ...tokens,
  ...zones,
  ...dnsRecords,
  ...tunnels,
  ...organizations,
  ...identityProviders,
  ...serviceTokens,
  ...accessPolicies,
  ...accessApplications,
  ...alerts,
];

/** One line of the API's call log. */
export interface LoggedCall {
  at: string;
  method: string;
  path: string;
  status: number;
  errors: string[];
  /** What the control API made happen instead of, or besides, the answer. */
  fault?: string;
}

export interface ApiOptions {
  state: CloudflareState;
  tunnels: Pick<TunnelServer, "connections" | "disconnect" | "pushConfiguration">;
  faults: Faults;
  calls: LoggedCall[];
  log: (line: string) => void;
}

type Api = { Bindings: HttpBindings };

export function createApi({ state, tunnels, faults, calls, log }: ApiOptions): Hono<Api> {
  const app = new Hono<Api>().basePath("/client/v4");

  app.use(async (context, next) => {
    const { method } = context.req;
    const path = new URL(context.req.url).pathname.replace(/^\/client\/v4/, "");
    context.header("date", state.clock.now().toUTCString());
    const entry: LoggedCall = { at: state.timestamp(), method, path, status: 0, errors: [] };
    calls.push(entry);
    const fault = faults.take(method, path);
    if (fault) entry.fault = fault.kind;
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    if (fault?.kind === "cut") {
      context.env.incoming.socket.destroy();
      return context.body(null);
    }
    if (fault?.kind === "status" || fault?.kind === "unsuccessful") {
      // A 200 whose envelope says no is told apart by `success` alone.
      const status = fault.kind === "unsuccessful" ? 200 : fault.status;
      entry.status = status;
      return context.json(
        envelope(null, [{ code: fault.code, message: fault.message }]),
        status as ContentfulStatusCode,
        fault.retryAfterSeconds === undefined
          ? {}
          : { "retry-after": String(fault.retryAfterSeconds) },
      );
    }
    await next();
    entry.status = context.res.status;
    entry.errors = (context.get("errors" as never) as string[] | undefined) ?? [];
    if (fault?.kind === "lost-reply") {
      context.env.incoming.socket.destroy();
    }
    return undefined;
  });

  for (const route of routes) {
    app.on(route.method, route.path, async (context) => {
      const token = authorize(context, route, state);
      checkIds(context, state, token);
      const reply = route.answer({
        state,
        tunnels,
        id: (name) => context.req.param(name)!,
        query: checkQuery(context, route),
        token,
        body: route.body ? await readBody(context, route.body) : undefined,
      });
      return context.json(replyEnvelope(reply), (reply.status ?? 200) as ContentfulStatusCode);
    });
  }

  app.notFound((context) => {
    const path = new URL(context.req.url).pathname.replace(/^\/client\/v4/, "");
    const what = `${context.req.method} ${path}`;
    log(`The pretend Cloudflare has no route ${what}.`);
    return answerError(
      context,
      new ApiError(400, [
        {
          code: 7003,
          message: `Could not route to ${what}, perhaps your object identifier is invalid?`,
        },
        { code: 7000, message: "No route for that URI" },
      ]),
    );
  });
  app.onError((error, context) => {
    if (error instanceof ApiError) {
      if (error.status !== 404) {
        log(
          `${context.req.method} ${new URL(context.req.url).pathname} was refused: ${error.message}`,
        );
      }
      return answerError(context, error);
    }
    log(`The pretend Cloudflare failed: ${error.stack}`);
    return answerError(context, refuse(500, 10001, `Internal error: ${error.message}`));
  });
  return app;
}

function answerError(context: Context, error: ApiError) {
  context.set("errors", error.errors.map(({ code, message }) => `${message} (${code})`) as never);
  return context.json(
    envelope(null, error.errors),
    error.status as ContentfulStatusCode,
    error.headers,
  );
}

function envelope(result: unknown, errors: unknown[] = []) {
  return { success: errors.length === 0, errors, messages: [], result };
}

function replyEnvelope({ result, resultInfo }: Reply) {
  return resultInfo ? { ...envelope(result), result_info: resultInfo } : envelope(result);
}

/** Bearer tokens only: the kit takes no global API key. */
function authorize(context: Context, route: Route, state: CloudflareState): ApiToken {
  const header = context.req.header("authorization");
  if (header === undefined) {
    throw refuse(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers");
  }
  const value = /^Bearer ([A-Za-z0-9_-]{40,})$/.exec(header)?.[1];
  if (value === undefined) {
    throw new ApiError(400, [
      {
        code: 6003,
        message: "Invalid request headers",
        error_chain: [{ code: 6111, message: "Invalid format for Authorization header" }],
      },
    ]);
  }
  const token = state.data.apiTokens.find((one) => one.value === value);
  const verifying = route.path.endsWith("/tokens/verify");
  if (!token || (verifying && token.owner !== ownerOf(route))) {
    if (verifying) throw refuse(401, 1000, "Invalid API Token");
    throw route.path.startsWith("/zones")
      ? refuse(403, 9109, "Invalid access token")
      : refuse(403, 10000, "Authentication error");
  }
  if (verifying) return token;
  if (tokenStatus(token, state) !== "active") {
    throw refuse(403, 9109, "Invalid access token");
  }
  if (route.permission && !permits(token.permissions, route.permission)) {
    throw route.permission.startsWith("Zone ")
      ? refuse(403, 9109, "Unauthorized to access requested resource")
      : refuse(403, 10000, "Authentication error");
  }
  return token;
}

function ownerOf(route: Route): ApiToken["owner"] {
  return route.path.startsWith("/user") ? "user" : "account";
}

/** An account that is not the token's own is an authentication error at Cloudflare, not a 404. */
function checkIds(context: Context, state: CloudflareState, token: ApiToken): void {
  const account = context.req.param("account");
  if (account !== undefined && account !== state.data.accountId) {
    if (!/^[0-9a-f]{32}$/.test(account)) {
      throw refuse(
        400,
        7003,
        `Could not route to /accounts/${account}, perhaps your object identifier is invalid?`,
      );
    }
    throw refuse(403, 10000, "Authentication error");
  }
  const zone = context.req.param("zone");
  const known = state.data.zones.find(({ id }) => id === zone);
  if (zone !== undefined && !(known && (token.zones?.includes(known.name) ?? true))) {
    if (!/^[0-9a-f]{32}$/.test(zone)) {
      throw refuse(
        400,
        7003,
        `Could not route to /zones/${zone}, perhaps your object identifier is invalid?`,
      );
    }
    throw refuse(403, 10000, "Authentication error");
  }
}

function checkQuery(context: Context, route: Route): Record<string, string> {
  const query = context.req.query();
  for (const name of Object.keys(query)) {
    if (!route.query.includes(name)) {
      throw refuse(400, 1001, `Invalid query parameter "${name}" of ${route.method} ${route.path}`);
    }
  }
  for (const name of ["page", "per_page"]) {
    const text = query[name];
    const valid = text === undefined || (/^[1-9]\d*$/.test(text) && Number(text) <= 1000);
    if (!valid) throw refuse(400, 1001, `Invalid value "${text}" for parameter "${name}"`);
  }
  return query;
}

async function readBody(context: Context, schema: z.ZodType): Promise<unknown> {
  let json: unknown;
  try {
    json = await context.req.json();
  } catch {
    throw refuse(400, 6007, "Malformed JSON in request body");
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ApiError(
    400,
    parsed.error.issues.map((issue) => ({
      code: 1001,
      message: `Invalid request body: ${issue.path.length ? `${issue.path.join(".")}: ` : ""}${issue.message}`,
    })),
  );
}
