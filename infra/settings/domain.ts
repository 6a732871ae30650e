import { createRequire } from "node:module";
import { domainToASCII } from "node:url";
import type * as suffixes from "tldts";
import { bare, looksSecret, quoted } from "./text.ts";

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
export const hostnamePattern = new RegExp(`^${label}$`);
/** Of a whole domain name; which part of it was bought is not to be seen in its letters. */
export const domainPattern = new RegExp(`^(?=.{1,253}$)(?:${label}\\.)+[a-z][a-z0-9-]*[a-z0-9]$`);

const form = "give the domain that you opened at Cloudflare, such as yamada.jp";

/** What is wrong with the name of a zone, and the cure; undefined when it can be one. */
export function domainProblem(value: string): string | undefined {
  const shown = quoted(value);
  if (!domainPattern.test(value)) {
    const plain = plainDomain(value);
    return plain !== value && !looksSecret(value) && domainPattern.test(plain)
      ? `is ${shown}: give "${parsed(plain).domain ?? plain}"`
      : `is ${shown}: ${form}`;
  }
  const { domain, publicSuffix } = parsed(value);
  if (publicSuffix === value) {
    return `is ${shown}, below which everybody's domains are: ${form}`;
  }
  if (domain === dashboard) return `is ${shown}, Cloudflare's own: ${form}`;
  // Cloudflare opens zones for whole domains; a part of one is for its Enterprise plan.
  if (domain !== null && domain !== value) {
    return `is ${shown}, a name in the domain "${domain}": give "${domain}", and what stands before it as hostname; the photos' address is made of both`;
  }
  return undefined;
}

/** What is wrong with the photos' name in the zone, and the cure. */
export function hostnameProblem(value: string): string | undefined {
  if (hostnamePattern.test(value)) return undefined;
  const shown = quoted(value);
  const first = plainDomain(value).split(".")[0]!;
  const isUsable = hostnamePattern.test(first) && !looksSecret(value);
  return `is ${shown}: give one label, such as ${isUsable ? first : "photos"}`;
}

/** Some suffixes, such as eu.org, are private, and give out domains all the same. */
function parsed(domain: string) {
  // The list is large, and of no use to a command that only wants to reach the Pi.
  const { parse } = createRequire(import.meta.url)("tldts") as typeof suffixes;
  return parse(domain, { allowPrivateDomains: true, extractHostname: false });
}

/** Whose pages have the zone in their path: https://dash.cloudflare.com/<account>/yamada.jp/dns. */
const dashboard = "cloudflare.com";

/** The name in an address, or what is left of it; empty for a page of Cloudflare's that is not about a zone. */
function plainDomain(value: string): string {
  const [host, ...path] = bare(value)
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/[?#].*$/s, "")
    .split("/");
  const name = asciiName(host!.replace(/^[^@]*@/, ""));
  if (name !== dashboard && !name.endsWith(`.${dashboard}`)) return name;
  return path.map(asciiName).findLast((each) => domainPattern.test(each)) ?? "";
}

function asciiName(text: string): string {
  const name = text.replace(/:.*$/s, "").replaceAll("。", ".").replace(/\.+$/, "");
  return domainToASCII(name) || name.toLowerCase();
}
