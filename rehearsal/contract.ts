/**
 * A contract is a table of request → status, headers, shape. The pretend servers are held to it in the
 * tests; whoever has a real one runs the same table against that:
 *
 *   npm run contract -- cloudflare --base-url URL --account ID --zone NAME [--token-env NAME]
 *   npm run contract -- immich --base-url URL --admin ADDRESS [--password-env NAME]
 */
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";

export interface ContractCase {
  /** A sentence that states what the kit relies on. */
  name: string;
  request: {
    method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
    /** Below the base URL. `{name}` stands for a variable, here and everywhere in headers and body. */
    path: string;
    headers?: Record<string, string>;
    /** Sent as JSON. */
    body?: unknown;
  };
  expect: {
    status: number;
    headers?: Record<string, RegExp>;
    /** What the answer must have at least; more is fine. */
    shape?: z.ZodType;
  };
  /** Variables that the request names and an earlier answer gave. */
  needs?: readonly string[];
  /** Variables to keep for later requests, by the dotted path in the answer. */
  keep?: Record<string, string>;
  /** Removes what the contract made: tried even when something before it failed. */
  cleansUp?: boolean;
}

export interface ContractWorld {
  /** Without a slash at the end. */
  baseUrl: string;
  /** On every request that does not say otherwise. */
  headers: Record<string, string>;
  variables: Record<string, string>;
}

/** @throws {Error} when the answer is not what the case expects; the message says what came. */
export async function runCase(world: ContractWorld, each: ContractCase): Promise<void> {
  const { request, expect } = each;
  for (const name of each.needs ?? []) {
    if (world.variables[name] === undefined) {
      throw new Error(`"${each.name}" could not be asked: no answer before it gave "${name}".`);
    }
  }
  const path = fill(request.path, world.variables) as string;
  const body = request.body === undefined ? undefined : fill(request.body, world.variables);
  const response = await fetch(world.baseUrl + path, {
    method: request.method,
    headers: {
      ...world.headers,
      ...(fill(request.headers ?? {}, world.variables) as Record<string, string>),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const came = `${request.method} ${path} answered ${response.status} ${text.slice(0, 500)}`;
  if (response.status !== expect.status) throw new Error(`${came}, not ${expect.status}.`);
  for (const [name, pattern] of Object.entries(expect.headers ?? {})) {
    const value = response.headers.get(name) ?? "";
    if (!pattern.test(value)) throw new Error(`${came}: its ${name} is "${value}".`);
  }
  if (!expect.shape && !each.keep) return;
  const answer: unknown = JSON.parse(text);
  const parsed = expect.shape?.safeParse(answer);
  if (parsed && !parsed.success) throw new Error(`${came}:\n${z.prettifyError(parsed.error)}`);
  for (const [name, dotted] of Object.entries(each.keep ?? {})) {
    const value = dotted
      .split(".")
      .reduce<unknown>((part, key) => (part as Record<string, unknown> | undefined)?.[key], answer);
    if (typeof value !== "string") throw new Error(`${came}: it has no ${dotted} to keep.`);
    world.variables[name] = value;
  }
}

function fill(value: unknown, variables: Record<string, string>): unknown {
  if (typeof value === "string") {
    return value.replace(/\{(\w+)\}/g, (whole, name: string) => variables[name] ?? whole);
  }
  if (Array.isArray(value)) return value.map((one) => fill(one, variables));
  if (value && typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, fill(one, variables)]),
    );
  }
  return value;
}

/** Eight letters that tell one run's things from all others. */
export function runName(): string {
  return randomBytes(6).toString("hex").slice(0, 8);
}

interface Row {
  name: string;
  cleansUp: boolean;
  run: () => Promise<void>;
}

/** Runs a table to its end or its first failure; what cleans up is tried in any case. */
async function runRows(rows: readonly Row[]): Promise<boolean> {
  let failed = false;
  for (const row of rows) {
    if (failed && !row.cleansUp) continue;
    try {
      await row.run();
      console.log(`✓ ${row.name}`);
    } catch (error) {
      console.log(`✗ ${row.name}\n  ${(error as Error).message}`);
      failed = true;
    }
  }
  return !failed;
}

async function cloudflareRows(options: Record<string, string | undefined>): Promise<Row[]> {
  const { cloudflareContract, cloudflareWorld } = await import("./cloudflare/contract.ts");
  const world = cloudflareWorld({
    baseUrl: need(options, "base-url"),
    accountId: need(options, "account"),
    zoneName: need(options, "zone"),
    apiToken: fromEnvironment(options["token-env"] ?? "CLOUDFLARE_API_TOKEN"),
    run: runName(),
  });
  return cloudflareContract.map((each) => ({
    name: each.name,
    cleansUp: each.cleansUp ?? false,
    run: () => runCase(world, each),
  }));
}

async function immichRows(options: Record<string, string | undefined>): Promise<Row[]> {
  const { immichContract, runCase: runImmichCase } = await import("./immich/contract.ts");
  const world = {
    baseUrl: need(options, "base-url"),
    admin: {
      email: need(options, "admin"),
      password: fromEnvironment(options["password-env"] ?? "IMMICH_ADMIN_PASSWORD"),
    },
    run: runName(),
    kept: {},
  };
  return immichContract.map((each) => ({
    name: each.title,
    cleansUp: each.method === "DELETE",
    run: () => runImmichCase(world, each),
  }));
}

function need(options: Record<string, string | undefined>, name: string): string {
  const value = options[name];
  if (!value) throw new Usage(`The contract cannot be run without --${name}.`);
  return value.replace(/\/$/, "");
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Usage(`The contract cannot be run: the environment variable "${name}" is not set.`);
  }
  return value;
}

class Usage extends Error {}

async function main(words: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      "base-url": { type: "string" },
      "token-env": { type: "string" },
      account: { type: "string" },
      zone: { type: "string" },
      admin: { type: "string" },
      "password-env": { type: "string" },
    },
  });
  const [which] = positionals;
  if (which !== "cloudflare" && which !== "immich") {
    throw new Usage(`There is no contract "${which ?? ""}": say cloudflare or immich.`);
  }
  const rows = await (which === "cloudflare" ? cloudflareRows(values) : immichRows(values));
  return (await runRows(rows)) ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    const isUsage =
      error instanceof Usage ||
      String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
    if (!isUsage) throw error;
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
