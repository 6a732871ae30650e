/**
 * An address must pass at two doors. Immich takes what HTML's e-mail field takes: ASCII alone, dots anywhere
 * (`z.regexes.html5Email`, its server/src/validation.ts). Cloudflare's API wants `format: email` of each rule of a policy and of an
 * alert: a mailbox of RFC 5321, whose dots stand alone and between letters.
 */
import { domainToASCII } from "node:url";
import { bare, quoted } from "./text.ts";

const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const lastLabel = "[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])";

/** What both take, for the JSON Schema too. */
export const emailPattern = new RegExp(
  `^(?=.{1,254}$)(?=[^@]{1,64}@)${atom}(?:\\.${atom})*@(?:${label}\\.)+${lastLabel}$`,
);

/** Who has to take an address, and for what somebody gives a second one. */
interface Use {
  takers: string;
  purpose: string;
}
const forPeople: Use = {
  takers: "Immich and Cloudflare take",
  purpose: "for the sign-in code and for Immich",
};
const forAlerts: Use = { takers: "Cloudflare takes", purpose: "for the alerts" };

/** What is wrong with a person's address, and the cure; undefined when Immich and Cloudflare both take it. */
export function emailProblem(value: string): string | undefined {
  return problemOf(value, forPeople);
}

/** What is wrong with the address that alerts go to, and the cure; undefined when Cloudflare takes it. */
export function alertEmailProblem(value: string): string | undefined {
  return problemOf(value, forAlerts);
}

function problemOf(value: string, { takers, purpose }: Use): string | undefined {
  if (emailPattern.test(value)) return undefined;
  const shown = quoted(value);
  const example = "give an e-mail address such as ken@yamada.jp";
  const plain = plainForm(value);
  if (plain !== value && emailPattern.test(plain)) return `is ${shown}: give "${plain}"`;
  const at = value.lastIndexOf("@");
  if (at < 1) return `is ${shown}: ${example}`;
  const local = value.slice(0, at);
  const domain = value.slice(at + 1);
  const ascii = domainToASCII(domain);
  if (!isAscii(domain) && emailPattern.test(`${local}@${ascii}`)) {
    return `is ${shown}: ${takers} a domain in plain letters only, so give the same as "${local}@${ascii}", and sign in with that`;
  }
  if (!isAscii(local)) {
    return `is ${shown}: ${takers} only plain letters, digits and signs before the @, so give another address`;
  }
  const bare = local.replaceAll('"', "");
  if (/^\.|\.\.|\.$/.test(bare) && emailPattern.test(`${bare.replaceAll(".", "")}@${domain}`)) {
    return `is ${shown}: Cloudflare takes no address with two dots in a row, or with a dot at the beginning or right before the @. A carrier may have given it out all the same: give a second address, without such dots, ${purpose}; the carrier's own stays what it is`;
  }
  if (local.length > 64 || value.length > 254) {
    return `is ${shown}: an address has at most 64 characters before the @, and 254 in all`;
  }
  if (emailPattern.test(`ken@${domain}`)) {
    return `is ${shown}, with signs before the @ that are not taken there: ${example}`;
  }
  return `is ${shown}: what follows the @ is not the name of a mail domain; ${example}`;
}

/** Of an account that Immich has already, which no mail has to reach. */
export function immichAccountProblem(value: string, html5Email: RegExp): string | undefined {
  if (html5Email.test(value)) return undefined;
  const plain = plainForm(value);
  if (plain !== value && html5Email.test(plain)) return `is ${quoted(value)}: give "${plain}"`;
  return `is ${quoted(value)}: give the address with which the administrator signs in to Immich, such as ken@yamada.jp`;
}

/** Half-width, without what a copy from a mail program brings along, or a dot at the end. */
function plainForm(value: string): string {
  const text = value.normalize("NFKC").replaceAll(/[\p{Cf}\p{Cc}]/gu, "");
  const [, inBrackets] = /<([^<>]+)>\s*$/.exec(text) ?? [];
  return bare((inBrackets ?? text).replace(/\s*\([^()]*\)\s*$/, ""))
    .replace(/^mailto: ?/i, "")
    .replace(/[.,;]+$/, "");
}

function isAscii(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  return /^[\x00-\x7f]*$/.test(value);
}
