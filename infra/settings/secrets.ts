import { z } from "zod";

/** What `ouchi`, which has no passphrase, hands over in a secret's place. */
export const unseenSecret = "[secret]";

/** A secret of the stack. Its value is never shown: who knows it reads along, speaks for the Pi, or opens the archives. */
const secret = (key: string, pattern: RegExp, form: string) => {
  const message = `is not ${form}: pulumi config set --secret ouchi-photos:${key}`;
  return z
    .string({ error: message })
    .refine((value) => value === unseenSecret || pattern.test(value), { error: message })
    .optional();
};

/** Every setting that is one. */
export const secretSettings = {
  alarm: secret(
    "alarm",
    /^[a-z][a-z0-9+.-]*:\/\/[^\s/][!-~]*$/i,
    'an address of Apprise\'s such as "ntfys://a-topic-of-yours"',
  ).describe(
    "Where the Pi tells that it has a bad day: an address of Apprise's, such as ntfys://a-topic-of-yours. Without it: its journal, and who signs in on it.",
  ),
  ping: secret(
    "ping",
    /^https?:\/\/[^\s/?#]+\/[!-~]*[^\s/?#]$/i,
    'the address of a check at a dead man\'s switch, such as "https://hc-ping.com/…"',
  ).describe(
    "What is told of each backup, and raises an alarm when it hears of none for eight days: a check of Healthchecks' kind outside the house. Without it nobody notices a Pi that is dead.",
  ),
  borgPassphrase: secret(
    "borgPassphrase",
    /^[^\s\p{Cc}](?:[^\p{Cc}]*[^\s\p{Cc}])?$/u,
    "the archives' passphrase on one line, as the recovery sheet has it",
  ).describe(
    "The passphrase of archives that are older than the state, from the recovery sheet: after a lost state, or in another house. Without it: one that the state makes.",
  ),
  googleClientSecret: secret(
    "googleClientSecret",
    /^[!-~]+$/,
    "the client secret of Google's OAuth client, without spaces",
  ).describe("The secret that belongs to googleClientId."),
  immichAdminPassword: secret(
    "immichAdminPassword",
    /^[^\p{Cc}]+$/u,
    "the password of Immich's administrator on one line",
  ).describe("The password that belongs to immichAdminEmail."),
};

const keys = [
  ...Object.keys(secretSettings).map((key) => `ouchi-photos:${key}`),
  ...["cloudflare:apiToken", "cloudflare:apiKey", "cloudflare:apiUserServiceKey"],
];

export function isSecretSetting(key: string): boolean {
  return keys.includes(key);
}

/** A sentence for a secret that anybody can read who reads the file. */
export function plainSecretProblem(key: string): string {
  return `stands in plain text in the stack file, where everybody reads it who sees the file or a copy of it: type "pulumi config set --secret ${key}", and the value when it asks. Was the file ever handed on, then give the secret a new value where it is from`;
}
