/** What tests and the story see and do behind the pretend Cloudflare's back. */
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { Hono } from "hono";
import { z } from "zod";
import {
  deserializeHeaders,
  responseHeaders,
  responseMeta,
} from "../cloudflared/tunnel-protocol.ts";
import type { LoggedCall } from "./api.ts";
import type { Decisions } from "./decisions.ts";
import { durationMs } from "./duration.ts";
import { type Faults, faultSchema } from "./faults.ts";
import { houseBookPage } from "./house-book-page.ts";
import { hexId } from "./ids.ts";
import { isPermission, type Permission } from "./permissions.ts";
import type { CloudflareState } from "./state.ts";
import type { TunnelServer } from "./tunnel-server.ts";

export interface ControlOptions {
  state: CloudflareState;
  faults: Faults;
  calls: LoggedCall[];
  decisions: Decisions;
  tunnels: TunnelServer;
}

const tunnelRequestBody = z.strictObject({
  /** Its proxied record says which tunnel. */
  host: z.string(),
  path: z.string().default("/"),
  method: z.string().default("GET"),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().optional(),
});
export type TunnelRequest = z.input<typeof tunnelRequestBody>;

/** What the connector answered to a request behind Access' back. */
export interface ThroughTunnel {
  status: number;
  headers: [string, string][];
  body: string;
  /** Who answered: "origin", which a filter of the connector counts as, or "cloudflared". */
  source: string | undefined;
}

const clockBody = z.union([
  z.strictObject({ advanceMs: z.number() }),
  z.strictObject({ advance: z.string().refine((text) => durationMs(text) !== undefined) }),
  z.strictObject({ now: z.iso.datetime({ offset: true }) }),
]);

const apiTokenBody = z.strictObject({
  value: z.string().regex(/^[A-Za-z0-9_-]{40,}$/, "must be 40 or more of A-Z a-z 0-9 _ -"),
  permissions: z.array(
    z.custom<Permission>((name) => typeof name === "string" && isPermission(name), {
      error: "unknown permission",
    }),
  ),
  owner: z.enum(["user", "account"]).default("user"),
  status: z.enum(["active", "disabled", "expired"]).default("active"),
  expiresOn: z.iso.datetime({ offset: true }).optional(),
  zones: z.array(z.string()).optional(),
});

export function createControl({ state, faults, calls, decisions, tunnels }: ControlOptions): Hono {
  const app = new Hono();

  app.get("/", (context) => context.html(houseBookPage(state, decisions.list)));
  app.get("/state", (context) => {
    // The keys that sign people in are nobody's business.
    const { signingKeys: _, ...rest } = state.data;
    return context.json(rest);
  });
  app.get("/decisions", (context) => context.json(decisions.list));
  app.get("/mailbox", (context) => context.json(state.data.mailbox));
  app.get("/requests", (context) => context.json(calls));
  app.delete("/requests", (context) => {
    calls.length = 0;
    return context.json({ cleared: true });
  });

  app.get("/faults", (context) => context.json(faults.pending));
  app.post("/faults", async (context) => {
    faults.add(faultSchema.parse(await context.req.json()));
    return context.json(faults.pending);
  });
  app.delete("/faults", (context) => {
    faults.clear();
    return context.json(faults.pending);
  });

  const clock = () => ({
    now: state.clock.now().toISOString(),
    offsetMs: state.clock.offset,
  });
  app.get("/clock", (context) => context.json(clock()));
  app.post("/clock", async (context) => {
    const body = clockBody.parse(await context.req.json());
    if ("now" in body) state.clock.set(new Date(body.now));
    else state.clock.advance("advance" in body ? durationMs(body.advance)! : body.advanceMs);
    return context.json(clock());
  });

  /** Makes an API token, or changes the one of the same value. */
  app.post("/api-tokens", async (context) => {
    const body = apiTokenBody.parse(await context.req.json());
    const known = state.data.apiTokens.find(({ value }) => value === body.value);
    if (known) Object.assign(known, body);
    else state.data.apiTokens.push({ id: hexId(), ...body });
    state.save();
    return context.json({ saved: true });
  });

  app.post("/tunnel-request", async (context) => {
    const request = tunnelRequestBody.parse(await context.req.json());
    const record = state.data.dnsRecords.find(({ name }) => name === request.host);
    const tunnelId = record?.content.replace(/\.cfargotunnel\.com$/, "") ?? "";
    const stream = tunnels.request(
      tunnelId,
      {
        ...request.headers,
        ":method": request.method,
        ":path": request.path,
        ":scheme": "https",
        ":authority": request.host,
      },
      { endStream: request.body === undefined },
    );
    if (!stream) return context.json({ error: `no connector serves ${request.host}` }, 502);
    if (request.body !== undefined) stream.end(request.body);
    return context.json(await readAnswer(stream));
  });

  app.onError((error, context) =>
    context.json(
      { error: error instanceof z.ZodError ? error.issues : String(error) },
      error instanceof z.ZodError || error instanceof SyntaxError ? 400 : 500,
    ),
  );
  app.notFound((context) =>
    context.json({ error: `no control route ${context.req.method} ${context.req.path}` }, 404),
  );
  return app;
}

function readAnswer(stream: ClientHttp2Stream): Promise<ThroughTunnel> {
  return new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    let body = "";
    stream.setEncoding("utf8");
    stream.on("response", (all) => {
      headers = all;
    });
    stream.on("data", (chunk: string) => {
      body += chunk;
    });
    stream.on("error", reject);
    stream.on("end", () => {
      const meta = headers[responseMeta];
      resolve({
        status: Number(headers[":status"]),
        headers: deserializeHeaders(String(headers[responseHeaders] ?? "")),
        body,
        source: typeof meta === "string" ? (JSON.parse(meta) as { src: string }).src : undefined,
      });
    });
  });
}
