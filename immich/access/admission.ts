/**
 * `immich:index:Admission`: whom the gate lets in, as the state remembers it. Its check compares that with what the
 * program wants before anything is changed, and counts for whom sessions that are open must end: a counter for each
 * person who leaves, and one for the application, whose revocation alone ends the session of a phone.
 *
 * `immich:index:Revocation` is its other half, registered after policies and tokens: it ends the sessions, and the
 * state holds a counter of it only once that was done. After a cut between the two, the next run does it.
 */
import {
  type CheckFailure,
  type Context,
  type ResourceKind,
  remembered,
} from "../resource-kind.ts";
import { UserError } from "../user-error.ts";
import { AccessApi, type CloudflareAccount } from "./access-api.ts";

export interface AdmittedPhone {
  person: string;
  /** The person's e-mail address. */
  email: string;
  phone: string;
  /** As the stack file has it, and 1 where it has none. */
  secretVersion: number;
  /** ISO 8601 in UTC. */
  overlapUntil?: string;
}

export interface AdmissionInputs {
  cloudflare: CloudflareAccount;
  /** E-mail addresses. */
  people: string[];
  /** By "<person>-<phone>". */
  phones: Record<string, AdmittedPhone>;
  /** Whether the account judges service tokens strictly once this run has ended: a phone then gets no cookie. */
  strict: boolean;
  /** Whether it does so as this run begins. */
  strictBefore: boolean;
  /** Set by the check: whose sessions were to end, and how often. */
  revocations?: Revocations;
  /** Set by the check: no phone can hold a cookie, not even one of before strictness. */
  withoutCookies?: boolean;
  /** Set by the check: by phone, the highest version of its secret that was used. */
  usedVersions?: Record<string, number>;
}

/** By what is to be revoked: an e-mail address, or `application`. */
export type Revocations = Record<string, Due>;

export interface Due {
  /** Raised each time that it must be revoked. */
  count: number;
  /** By a phone that it was for, in words: at which count. */
  phones: Record<string, number>;
}

const application = "application";

export const admission: ResourceKind<AdmissionInputs, AdmissionInputs> = {
  ...remembered("admission"),
  secrets: ["cloudflare.apiToken"],
  computed: [],
  compared: ["people", "phones", "strict", "revocations", "withoutCookies", "usedVersions"],

  async check(_context, olds, news, known) {
    if (!known(news)) return [];
    news.revocations = olds?.revocations ?? {};
    news.usedVersions = usedVersions(olds, news);
    // What was open before the first run, Revocation's creation ends.
    news.withoutCookies =
      news.strict && (!olds || (news.strictBefore && olds.withoutCookies === true));
    if (!olds) return [];
    const failures = versionsThatWereUsed(olds, news);
    if (failures.length > 0) return failures;
    try {
      await count(olds, news, new AccessApi(news.cloudflare));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return [{ property: error.setting ?? "cloudflare", reason: error.message }];
    }
    return [];
  },
};

/** Raises the counters, once the API token was found to be allowed what they will ask for. */
async function count(
  olds: AdmissionInputs,
  news: AdmissionInputs,
  api: Pick<AccessApi, "now" | "mayRevokePeople" | "mayRevokeApplication">,
): Promise<void> {
  const leaving = olds.people.filter((email) => !news.people.includes(email));
  const { gone, rotated } = phonesThatEnd(olds, news);
  const phones = [...gone, ...(rotated.length > 0 ? await ended(rotated, api) : [])];
  // Whoever has a phone has the browser in it that its owner is signed in with.
  const owners = new Set(phones.map(({ email }) => email));
  const people = [...new Set([...leaving, ...owners])];
  if (people.length > 0) await api.mayRevokePeople();
  for (const email of people) {
    raise(news, email, phones.filter((phone) => phone.email === email).map(words));
  }
  if (phones.length === 0 || news.withoutCookies) return;
  await api.mayRevokeApplication();
  raise(news, application, phones.map(words));
  news.withoutCookies = news.strict;
}

/** Of phones with an end of their old secret, those whose end has come. Cloudflare's time decides: the laptop's may be wrong. */
async function ended(
  rotated: AdmittedPhone[],
  api: Pick<AccessApi, "now">,
): Promise<AdmittedPhone[]> {
  const now = (await api.now()).getTime();
  return rotated.filter(({ overlapUntil }) => Date.parse(overlapUntil!) <= now);
}

function raise(news: AdmissionInputs, target: string, phones: string[]): void {
  const before = news.revocations?.[target];
  const count = (before?.count ?? 0) + 1;
  const counted = Object.fromEntries(phones.map((phone) => [phone, count]));
  news.revocations = {
    ...news.revocations,
    [target]: { count, phones: { ...before?.phones, ...counted } },
  };
}

/** Phones that are no longer there, and phones whose previous secret was given an end. */
function phonesThatEnd(olds: AdmissionInputs, news: AdmissionInputs) {
  const gone = Object.entries(olds.phones)
    .filter(([key]) => !news.phones[key])
    .map(([, phone]) => phone);
  const rotated = Object.entries(news.phones)
    .filter(([key, { secretVersion, overlapUntil }]) => {
      const before = olds.phones[key];
      if (!before || overlapUntil === undefined) return false;
      return secretVersion !== before.secretVersion || overlapUntil !== before.overlapUntil;
    })
    .map(([, phone]) => phone);
  return { gone, rotated };
}

const words = ({ person, phone }: AdmittedPhone) => `${person}'s ${phone}`;

/** A phone without its two lines of a rotation keeps the secret that it has, and the version of that. */
function usedVersions(
  olds: AdmissionInputs | undefined,
  news: AdmissionInputs,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(news.phones).map(([key, { secretVersion }]) => [
      key,
      Math.max(secretVersion, olds?.usedVersions?.[key] ?? 1),
    ]),
  );
}

/** A version that was used already would make no new secret, and the old one would go on. */
function versionsThatWereUsed(olds: AdmissionInputs, news: AdmissionInputs): CheckFailure[] {
  return Object.entries(news.phones).flatMap(([key, phone]) => {
    const before = olds.phones[key];
    const used = olds.usedVersions?.[key] ?? 1;
    if (!before || phone.overlapUntil === undefined) return [];
    const again = before.overlapUntil === undefined && phone.secretVersion <= used;
    if (!again && phone.secretVersion >= used) return [];
    return [
      {
        property: "family",
        reason: `secretVersion of ${words(phone)} is ${phone.secretVersion}, and version ${used} was used already: Cloudflare would make no new secret. Give secretVersion: ${used + 1}. Nothing was changed.`,
      },
    ];
  });
}

export interface RevocationInputs {
  cloudflare: CloudflareAccount;
  /** The host behind the gate. */
  host: string;
  /** The id of its application. */
  application: string;
  /** Whether that was there before the state was: its sessions are older than the kit. */
  adopted: boolean;
  revocations: Revocations;
}

export const revocation: ResourceKind<RevocationInputs, RevocationInputs> = {
  secrets: ["cloudflare.apiToken"],
  computed: [],
  compared: ["application", "revocations"],

  async check(context, olds, news, known) {
    if (!known(news.revocations)) return [];
    if (!olds && news.adopted) {
      await context.log(
        "warning",
        `Sessions at ${news.host} from before are ended: everyone signs in once more, and phones go on by their headers.`,
      );
    }
    if (olds) await tell(context, olds, news);
    return [];
  },

  /** Whatever was open before the state knew the application: a new one has nothing open. */
  async create(_context, inputs) {
    const api = new AccessApi(inputs.cloudflare);
    await api.revokeApplication(inputs.application);
    // Who has left since a first run that did not come as far as this.
    for (const target of Object.keys(inputs.revocations)) {
      if (target !== application) await api.revokePerson(target);
    }
    return { id: "revocation", outputs: inputs };
  },

  async read(_context, _id, state) {
    return state;
  },

  // Immich's own sessions are to end here, too, once it has people's keys.
  async update(context, _id, olds, news) {
    const api = new AccessApi(news.cloudflare);
    for (const target of due(olds, news)) {
      if (target === application) {
        // A host that moves has both, until the old one goes at the end of the run.
        for (const id of new Set([olds.application, news.application])) {
          await api.revokeApplication(id);
        }
      } else await api.revokePerson(target);
      // What was said before stays on the screen of an `up`, as if it were still so.
      const whose =
        target === application ? `Every session at ${news.host}` : `What ${target} had open`;
      await context.log("info", `${whose} is ended.`);
    }
    return news;
  },

  async delete() {},
};

/** What has been counted and not been done. */
function due(olds: RevocationInputs, news: RevocationInputs): string[] {
  return Object.keys(news.revocations).filter(
    (target) => news.revocations[target]!.count !== olds.revocations[target]?.count,
  );
}

async function tell(
  context: Context,
  olds: RevocationInputs,
  news: RevocationInputs,
): Promise<void> {
  for (const target of due(olds, news)) {
    const done = olds.revocations[target]?.count ?? 0;
    const { phones: counted } = news.revocations[target]!;
    const phones = Object.keys(counted).filter((phone) => counted[phone]! > done);
    const holder = phones.length > 0 ? `Whoever has ${phones.join(", ")}` : target;
    await context.log(
      "warning",
      target === application
        ? `${holder} may still be inside by a cookie. "up" ends every session at ${news.host}: the others sign in once more there, and their phones go on by their headers.`
        : `${holder} may still be signed in${phones.length > 0 ? ` as ${target}` : ""}. "up" ends that, in all applications of this Cloudflare account, and not only at ${news.host}.${phones.length > 0 ? " Whoever stays in the family signs in once more." : ""}`,
    );
  }
}
