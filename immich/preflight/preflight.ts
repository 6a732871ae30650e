/**
 * `immich:index:Preflight`: looks at the Pi before anything is changed anywhere. Its check connects
 * once per run of the program and only looks. When nothing on the Pi has to change, all that it finds
 * is a warning: what is at Cloudflare alone, a lost phone's token above all, can be changed from anywhere.
 */
import { readFileSync } from "node:fs";
import { type Connection, OutOfReach, runCommand, type SharedConnection } from "../connection.ts";
import type { CheckFailure, Context, ResourceKind } from "../resource-kind.ts";
import { UserError } from "../user-error.ts";
import { type Disks, evaluate } from "./evaluate.ts";
import { type Facts, parseFacts } from "./facts.ts";

export interface PreflightInputs {
  connection: Connection;
  disks: Disks;
  contentDigest: string;
}

export interface PreflightOutputs extends PreflightInputs {
  macAddress: string;
  addresses: string[];
}

const script = readFileSync(new URL("facts.sh", import.meta.url), "utf8");

/** By connection: the check's look serves the create or update that follows in the same process. */
const looks = new WeakMap<SharedConnection, Promise<Facts>>();

async function lookAt(connection: SharedConnection): Promise<Facts> {
  const { code, stdout, stderr } = await connection.use((client) =>
    runCommand(client, "sh -s", script),
  );
  if (code !== 0) {
    throw new UserError(
      `The look at the Pi failed (exit ${code}): ${stderr.trim() || "no message"}.`,
      "pi.host",
    );
  }
  return parseFacts(stdout);
}

async function outputsOf(context: Context, inputs: PreflightInputs): Promise<PreflightOutputs> {
  const { shared } = context.api(inputs.connection);
  const look = looks.get(shared) ?? lookAt(shared);
  const { macAddress, addresses } = await look;
  return { ...inputs, macAddress, addresses };
}

export const preflight: ResourceKind<PreflightInputs, PreflightOutputs> = {
  secrets: ["connection.privateKey"],
  computed: ["macAddress", "addresses"],
  compared: ["connection", "disks", "contentDigest"],

  async check(context, olds, news, known) {
    if (!known(news.connection) || !known(news.disks)) return [];
    const mustChange = !olds || olds.contentDigest !== news.contentDigest;
    const { shared } = context.api(news.connection);
    const failures: CheckFailure[] = [];
    try {
      const look = lookAt(shared);
      looks.set(shared, look);
      look.catch(() => looks.delete(shared));
      const facts = await look;
      const verdict = evaluate(facts, news.disks, Date.now() / 1000);
      failures.push(...verdict.failures);
      for (const warning of verdict.warnings) await context.log("warning", warning);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push({
        property: error.setting ?? "pi",
        reason:
          error instanceof OutOfReach
            ? `${error.message.replace(/\.$/, "")}, and something on it must change; nothing was changed. Switch it on, or check pi.host.`
            : error.message,
      });
      if (!mustChange && error instanceof OutOfReach) {
        await context.log(
          "warning",
          `${error.message} Nothing on it has to change, so the rest goes on.`,
        );
        return [];
      }
    }
    if (mustChange) return failures;
    for (const { property, reason } of failures) {
      await context.log(
        "warning",
        `${property}: ${reason} Nothing on the Pi has to change now, so the rest goes on.`,
      );
    }
    return [];
  },

  async create(context, inputs) {
    return { id: "preflight", outputs: await outputsOf(context, inputs) };
  },

  async read(_context, _id, state) {
    return state;
  },

  async update(context, _id, _olds, news) {
    return outputsOf(context, news);
  },

  async delete() {},
};
