/** How a route is declared: who may call it, with which API-key permission, and what it answers. */
import type { IncomingMessage } from "node:http";
import type { Permission } from "@immich/sdk";
import type { z } from "zod";
import { invalid } from "./errors.ts";
import type { UserRow } from "./rows.ts";

export interface Session {
  user: UserRow;
  sessionId?: string;
  apiKey?: { id: string; permissions: string[] };
}

export interface Request {
  params: Record<string, string>;
  query: Record<string, string>;
  headers: IncomingMessage["headers"];
  incoming: IncomingMessage;
  /** The body, checked by Immich's rule: unknown keys are dropped without a word. */
  body<T extends z.ZodType>(schema: T): Promise<z.infer<T>>;
  /** Who asks; only on routes that are not public. */
  session: Session;
}

export interface Route {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  access: "public" | "user" | "admin";
  permission?: `${Permission}`;
  /** What is answered when the handler returns no Response of its own. */
  status: number;
  handle(request: Request): Promise<unknown> | unknown;
}

export function check<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalid(parsed.error);
  return parsed.data;
}
