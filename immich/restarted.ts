/** `immich:index:Restarted`: waits for a Pi that has said that it restarts. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, OutOfReach, type SharedConnection } from "./connection.ts";
import type { Context, ResourceKind } from "./resource-kind.ts";
import { UserError } from "./user-error.ts";

export interface RestartedInputs {
  connection: Connection;
  after: string;
}

/** Milliseconds. A Pi takes one minute; one that checks its file systems takes longer. */
const longestRestart = 10 * 60_000;
const pollInterval = 3000;
const answerSeconds = 20;
/** In words that every login shell reads alike. */
const question = "exec sh -c 'echo boot: $(cat /proc/sys/kernel/random/boot_id)'";

/** The boot that ends, when `text` announces it. */
export function endingBoot(text: string): string | undefined {
  return /^restarts: ([0-9a-f-]{36})$/m.exec(text)?.[1];
}

/** The boot that answers; a login that prints something else is none. */
export function answeredBoot(text: string): string | undefined {
  return /^boot: ([0-9a-f-]{36})$/m.exec(text)?.[1];
}

async function bootId(shared: SharedConnection): Promise<string | undefined> {
  try {
    const ran = await shared.run(question, "", answerSeconds);
    return answeredBoot(ran.stdout);
  } catch (error) {
    // Refused logins while it goes down or comes up, too: the host key alone is no passing thing.
    if (
      error instanceof UserError &&
      !(error instanceof OutOfReach) &&
      error.setting === "pi.hostKey"
    )
      throw error;
    return undefined;
  } finally {
    // The next question goes by a connection of its own: this one may lead to the boot that ends.
    void shared.close();
  }
}

async function awaitRestart(
  context: Context,
  { connection, after }: RestartedInputs,
): Promise<void> {
  const before = endingBoot(after);
  if (!before) return;
  const { shared } = context.api(connection);
  await shared.close();
  await context.log("info", "The Pi restarts once; this takes a minute or two.");
  const deadline = Date.now() + longestRestart;
  for (;;) {
    const found = await bootId(shared);
    if (found && found !== before) return;
    if (Date.now() > deadline) {
      throw new UserError(
        `The Pi at ${connection.host} has not come back from its restart within ${longestRestart / 60_000} minutes. Look at its screen; its old kernel line lies on the SD card's boot partition as cmdline.txt.ouchi-before. Then run the same command again.`,
        "pi.host",
      );
    }
    await sleep(pollInterval);
  }
}

export const restarted: ResourceKind<RestartedInputs, RestartedInputs> = {
  secrets: ["connection.privateKey"],
  computed: [],
  compared: ["after"],

  async create(context, inputs) {
    await awaitRestart(context, inputs);
    return { id: "restarted", outputs: inputs };
  },

  async read(_context, _id, state) {
    return state;
  },

  async update(context, _id, _olds, news) {
    await awaitRestart(context, news);
    return news;
  },

  async delete() {},
};
