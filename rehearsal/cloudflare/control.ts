/** What tests and the story see and do behind the pretend Cloudflare's back. */
import { Hono } from "hono";
import { z } from "zod";
import type { LoggedCall } from "./api.ts";
import { durationMs } from "./duration.ts";
import { type Faults, faultSchema } from "./faults.ts";
import { hexId } from "./ids.ts";
import { isPermission, type Permission } from "./permissions.ts";
import type { CloudflareState } from "./state.ts";

export interface ControlOptions {
  state: CloudflareState;
  faults: Faults;
  calls: LoggedCall[];
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

export function createControl({ state, faults, calls }: ControlOptions): Hono {
  const app = new Hono();

  app.get("/state", (context) => {
    // The keys that sign people in are nobody's business.
    const { signingKeys: _, ...rest } = state.data;
    return context.json(rest);
  });
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
