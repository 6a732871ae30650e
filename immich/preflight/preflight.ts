/**
 * `immich:index:Preflight`: looks at the Pi before anything is changed anywhere. Its check connects
 * once per run of the program and only looks. When nothing on the Pi has to change, all that it finds
 * is a warning: what is at Cloudflare alone, a lost phone's token above all, can be changed from anywhere.
 *
 * `immich:index:Deployed` is its other half, registered last: the state holds it only once the whole Pi was
 * brought to what the program says. After an `up` that broke off, its check finds what is still to be done.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, OutOfReach, type SharedConnection, shown } from "../connection.ts";
import {
  type CheckFailure,
  type Context,
  type ResourceKind,
  remembered,
} from "../resource-kind.ts";
import { UserError } from "../user-error.ts";
import { RefusedAdmin } from "../api.ts";
import { type Credentials, showMe } from "../calls.ts";
import { type Disks, evaluate } from "./evaluate.ts";
import { type Facts, lookCommand, NoLook, parseFacts } from "./facts.ts";
import { ofTheHouse, type WantedImmich } from "./handmade.ts";

export interface PreflightInputs {
  connection: Connection;
  disks: Disks;
  /** Whether it runs on the Pi. */
  machineLearning: boolean;
  immich: Omit<WantedImmich, "hasExistingAdmin"> & {
    /** An administrator from before the kit, who lets the kit's account in. */
    existingAdmin?: Credentials;
  };
  contents: Contents;
  /** Set by the check: how often each subject was mended, by its name. */
  repairs?: Repairs;
  /** Set by the check, so that a preview knows them: what it does not know, Pulumi shows as if it were to vanish. */
  macAddress?: string;
  addresses?: string[];
}

export type Repairs = Record<string, number>;

/** By the name of a part of the Pi, a digest of what the program wants there. */
export type Contents = Record<string, string>;

export interface DeployedInputs {
  connection: Connection;
  contents: Contents;
}

export interface PreflightOutputs extends PreflightInputs {
  macAddress: string;
  addresses: string[];
}

/** What the Pi is brought to, in the order in which it is. */
const subjects = ["system", "disks", "docker", "secrets", "immich", "tunnel", "backup"];

const script = readFileSync(new URL("facts.sh", import.meta.url), "utf8");

/** By connection: what was found unfit, for the check of `Deployed`. */
const findings = new WeakMap<SharedConnection, Finding[]>();

interface Finding extends CheckFailure {
  outOfReach: boolean;
}

/** What is new or differs. What is no longer wanted is left as it is, so it changes nothing on the Pi. */
export function toChange(olds: Contents | undefined, news: Contents): string[] {
  return Object.keys(news).filter((part) => olds?.[part] !== news[part]);
}

/**
 * Raises the number of each subject that has drifted. It goes with the subject's bundle, so that `apply` runs again
 * for what differs on the Pi although the program asks for nothing new.
 *
 * @param olds undefined before the first deployment, when nothing can have drifted.
 */
export function repairs(olds: PreflightInputs | undefined, drifted: string[]): Repairs {
  const before = olds?.repairs ?? {};
  if (!olds) return before;
  const raised = drifted.map((subject) => [subject, (before[subject] ?? 0) + 1]);
  return { ...before, ...Object.fromEntries(raised) };
}

/** The subjects that are not as the kit left them, each told to the person. */
async function drifted({ drift, busy }: Facts, context: Context): Promise<string[]> {
  if (busy) {
    await context.log(
      "warning",
      `On the Pi, "${busy}" is at work: what was changed there by hand shows once it has ended.`,
    );
  }
  const subjectsFound = drift?.map(({ subject }) => subject) ?? subjects;
  const sentences = drift?.map(
    ({ subject, what }) => `On the Pi, ${what}: "up" mends it (${subject}).`,
  ) ?? [
    'The Pi holds nothing of the kit, as after a new SD card or an "up" that broke off: "up" lays it all down.',
  ];
  for (const sentence of sentences) await context.log("warning", sentence);
  return subjectsFound;
}

/** A Pi that is busy with a backup takes its time; one whose disk hangs never ends. */
const longestLookSeconds = 180;

async function lookAt(connection: SharedConnection): Promise<Facts> {
  const ran = await connection.run(lookCommand, script, longestLookSeconds);
  try {
    return parseFacts(ran.stdout);
  } catch (error) {
    if (!(error instanceof NoLook)) throw error;
    throw new UserError(noLook(ran, error.message, connection.where), "pi.user");
  }
}

/** One sentence for a look that was none, with what the Pi said in its place. */
export function noLook(
  { code, stdout, stderr }: { code: number; stdout: string; stderr: string },
  why: string,
  where: string,
): string {
  const hasBegun = /^@look$/m.test(stdout);
  const said = (hasBegun ? stderr : `${stderr} ${stdout}`).trim();
  const cause = why
    ? why
    : hasBegun
      ? "it broke off in the middle"
      : "the user's login shell did not run it: it may be no shell (nologin, a menu, a forced command in authorized_keys), or its start-up files (~/.bashrc, ~/.profile, config.fish) end it or ask something";
  return `The look at the Pi failed (exit ${code}), and nothing is known of it: ${cause}. ${said ? `It printed ${shown(said)}. ` : ""}Try "ssh ${where} true" by hand: it must end at once and print nothing. Nothing was changed.`;
}

/** Milliseconds. A server that was set up by hand and runs answers at once. */
const answerTime = 30_000;

/** Asked before anything is stopped: later the Immich that was set up by hand is no longer there to go on with. */
async function refusedAdmin(
  context: Context,
  { connection, immich: { existingAdmin } }: PreflightInputs,
  { docker }: Facts,
): Promise<CheckFailure[]> {
  const serves =
    docker && ofTheHouse(docker).some((each) => each.name === "immich_server" && each.running);
  if (!serves || !existingAdmin || docker.admins.length === 0) return [];
  const signedIn = context.api(connection).admin(existingAdmin, "show its administrator", showMe());
  try {
    await Promise.race([signedIn, sleep(answerTime, undefined, { ref: false })]);
    return [];
  } catch (error) {
    if (!(error instanceof RefusedAdmin)) return [];
    return [
      {
        property: "immichAdminPassword",
        reason: `The Immich that was set up by hand does not let "${existingAdmin.email}" in with this password: correct immichAdminEmail, and the password by "pulumi config set --secret ouchi-photos:immichAdminPassword".`,
      },
    ];
  }
}

/** Nothing is asked of the Pi: the check has. */
const outputsOf = (inputs: PreflightInputs): PreflightOutputs => ({
  macAddress: "",
  addresses: [],
  ...inputs,
});

export const preflight: ResourceKind<PreflightInputs, PreflightOutputs> = {
  secrets: ["connection.privateKey", "immich.existingAdmin.password"],
  computed: [],
  // Not immich: what of it matters on the Pi is in its bundle, and so in the contents.
  compared: ["connection", "disks", "machineLearning", "contents", "repairs"],

  async check(context, olds, news, known) {
    news.repairs = olds?.repairs ?? {};
    // Of a Pi that is away, what was seen last.
    if (olds?.macAddress !== undefined) news.macAddress = olds.macAddress;
    if (olds?.addresses !== undefined) news.addresses = olds.addresses;
    if (!known(news.connection) || !known(news.disks)) return [];
    const { shared } = context.api(news.connection);
    const found: Finding[] = [];
    findings.set(shared, found);
    try {
      const look = await lookAt(shared);
      news.macAddress = look.macAddress;
      news.addresses = look.addresses;
      const immich = {
        ...news.immich,
        hasExistingAdmin: news.immich.existingAdmin !== undefined,
      };
      const verdict = evaluate(look, { ...news, immich }, Date.now() / 1000);
      if (verdict.failures.length === 0) {
        verdict.failures.push(...(await refusedAdmin(context, news, look)));
      }
      found.push(...verdict.failures.map((failure) => ({ ...failure, outOfReach: false })));
      for (const warning of verdict.warnings) await context.log("warning", warning);
      for (const notice of verdict.notices) await context.log("info", notice);
      // Nothing is mended on a Pi that is unfit: who only revokes a token must not be stopped by it.
      if (found.length === 0 && olds) {
        news.repairs = repairs(olds, await drifted(look, context));
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const outOfReach = error instanceof OutOfReach;
      found.push({ property: error.setting ?? "pi", reason: error.message, outOfReach });
    }
    const changes = toChange(olds?.contents, news.contents);
    // A machine that is not the pinned one stops all: it is another Pi, another card, or somebody in between.
    const another = found.some(({ property }) => property === "pi.hostKey");
    if (changes.length > 0 || another)
      return refusal(found, changes, "something on it must change");
    for (const { property, reason, outOfReach } of found) {
      await context.log(
        "warning",
        `${outOfReach ? "" : `${property}: `}${reason} Nothing new has to go there, so the rest goes on, if the run before came to its end.`,
      );
    }
    return [];
  },

  async create(_context, inputs) {
    return { id: "preflight", outputs: outputsOf(inputs) };
  },

  async read(_context, _id, state) {
    return state;
  },

  async update(_context, _id, _olds, news) {
    return outputsOf(news);
  },

  async delete() {},
};

export const deployed: ResourceKind<DeployedInputs, DeployedInputs> = {
  ...remembered("deployed"),
  secrets: ["connection.privateKey"],
  computed: [],
  compared: ["connection", "contents"],

  async check(context, olds, news, known) {
    if (!known(news.connection)) return [];
    const found = findings.get(context.api(news.connection).shared) ?? [];
    const changes = toChange(olds?.contents, news.contents);
    // The settings may be those of before: what they ask for is not all there.
    return changes.length > 0
      ? refusal(found, changes, "an earlier run did not bring all to its end there")
      : [];
  },
};

function refusal(found: Finding[], changes: string[], why: string): CheckFailure[] {
  return found.map(({ property, reason, outOfReach }) => ({
    property,
    reason: outOfReach
      ? `${reason.replace(/\.$/, "")}, and ${why} (${changes.join(", ")}); nothing was changed. Switch it on, or check pi.host.`
      : reason,
  }));
}
