/** The part of cloudflared's command line that a container uses. */

export type Command =
  | { name: "run"; tokenFlag?: string; tokenFileFlag?: string; metrics?: string }
  | { name: "ready"; metrics?: string }
  | { name: "version" };

/** Told as the real one does, with exit status 1. */
export class UsageError extends Error {}

const tunnelFlags = new Map<string, "value" | "switch">([
  ["no-autoupdate", "switch"],
  ["no-prechecks", "switch"],
  ["metrics", "value"],
  ["loglevel", "value"],
  ["transport-loglevel", "value"],
  ["protocol", "value"],
  ["edge-ip-version", "value"],
  ["grace-period", "value"],
  ["retries", "value"],
  ["label", "value"],
]);
const runFlags = new Map<string, "value" | "switch">([
  ["token", "value"],
  ["token-file", "value"],
]);

/** @throws {UsageError} */
export function readCommandLine(words: readonly string[]): Command {
  const rest = [...words];
  const flags = takeFlags(
    rest,
    new Map([
      ["no-autoupdate", "switch"],
      ["version", "switch"],
    ]),
  );
  if (flags.has("version") || rest[0] === "version") return { name: "version" };
  if (rest.shift() !== "tunnel") {
    throw new UsageError('the rehearsal knows "cloudflared tunnel run" and "tunnel ready" only');
  }
  const tunnel = takeFlags(rest, tunnelFlags);
  const subcommand = rest.shift();
  const metrics = tunnel.get("metrics");
  if (subcommand === "ready") {
    takeFlags(rest, new Map());
    return { name: "ready", metrics };
  }
  if (subcommand !== "run") {
    throw new UsageError(`the rehearsal has no command "tunnel ${subcommand ?? ""}"`);
  }
  const run = takeFlags(rest, runFlags);
  if (rest.length > 0) {
    throw new UsageError(`the rehearsal runs a tunnel by its token, not by its name "${rest[0]}"`);
  }
  return {
    name: "run",
    metrics,
    tokenFlag: run.get("token"),
    tokenFileFlag: run.get("token-file"),
  };
}

function takeFlags(words: string[], known: Map<string, "value" | "switch">): Map<string, string> {
  const taken = new Map<string, string>();
  while (words[0]?.startsWith("-")) {
    const [flag, inline] = words.shift()!.replace(/^--?/, "").split(/=(.*)/s);
    const kind = known.get(flag!);
    if (kind === undefined) throw new UsageError(`flag provided but not defined: -${flag}`);
    if (kind === "switch") {
      taken.set(flag!, inline ?? "true");
      continue;
    }
    const value = inline ?? words.shift();
    if (value === undefined) throw new UsageError(`flag needs an argument: -${flag}`);
    taken.set(flag!, value);
  }
  return taken;
}
