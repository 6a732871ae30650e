import { createRequire } from "node:module";
import type { ParsedKey } from "ssh2";
import { bare, quoted } from "./text.ts";

// The very parser that will read it when the Pi is called; all of ssh2 takes four times as long to load.
const { parseKey } = createRequire(import.meta.url)("ssh2/lib/protocol/keyParser.js") as {
  parseKey(text: string): ParsedKey | ParsedKey[] | Error;
};

/** Not ssh-rsa: pulumi-command would ask for signatures by SHA-1, which OpenSSH refuses. */
const hostKinds = [
  "ssh-ed25519",
  ...["256", "384", "521"].map((bits) => `ecdsa-sha2-nistp${bits}`),
];
/** A key by which one logs in may be of RSA. */
const userKinds = [...hostKinds, "ssh-rsa"];

export const hostKeyForm =
  'give the Pi\'s host key as printed by "ssh-keyscan -t ed25519 <host>", without the host: "ssh-ed25519 AAAA…"';
export const hostKeyPattern = new RegExp(`^(?:${hostKinds.join("|")}) [A-Za-z0-9+/]+={0,2}$`);

/** What is wrong with a host key, and the cure; undefined when ssh2 and pulumi-command can both use it. */
export function hostKeyProblem(value: string): string | undefined {
  if (/PRIVATE KEY/.test(value)) {
    return `is a private key, which belongs in no stack file: ${hostKeyForm}`;
  }
  const words = bare(value).split(" ");
  const position = words.findIndex((word) => isKind(word));
  const kind = words[position];
  const shown = quoted(value);
  if (kind === undefined) {
    return /^SHA256:|^(?:[0-9a-f]{2}:){15}/.test(words.at(-1)!)
      ? `is the key's fingerprint, not the key: ${hostKeyForm}`
      : `is ${shown}: ${hostKeyForm}`;
  }
  if (!hostKinds.includes(kind)) {
    return `is a key of the kind ${kind}, which cannot be used to know the Pi by: give one of ${listed(hostKinds)}, as printed by "ssh-keyscan -t ed25519 <host>"`;
  }
  const key = `${kind} ${words[position + 1] ?? ""}`;
  if (!isWhole(key)) {
    return `is cut off or mistyped, as no program can read it: ${hostKeyForm}, whole and on one line`;
  }
  if (value === key) return undefined;
  if (position > 0) return `begins with the host that it is of: give the rest alone, "${key}"`;
  if (words.length > 2) return `ends with a comment: give the key without it, "${key}"`;
  return value.trim().split(/\s+/).join(" ") === key
    ? `has spaces that do not belong there: give "${key}"`
    : `has signs that do not belong there, such as quotes: give "${key}"`;
}

/**
 * What is wrong with the public key by which the kit is to log in, as it stands in a file that ends in .pub; undefined when the
 * kit can use the key that belongs to it. It completes "The key in … ".
 */
export function userKeyProblem(line: string): string | undefined {
  if (/PRIVATE KEY/.test(line)) return "is a private key: name the file that ends in .pub";
  const [kind = "", data = ""] = line.trim().split(/\s+/);
  if (!isKind(kind))
    return "is not one line of an OpenSSH public key: name the file that ends in .pub";
  if (!userKinds.includes(kind)) {
    return `is of the kind ${kind}, which Pulumi cannot use, so the Pi would be shut to it: make one by "ssh-keygen -t ed25519" (${listed(userKinds)} work)`;
  }
  return isWhole(`${kind} ${data}`) ? undefined : "is cut off or damaged: copy the file again";
}

function isKind(word: string): boolean {
  return /^(?:ssh|ecdsa|sk)-[a-z0-9@.-]+$/.test(word);
}

/** Whether ssh2 reads the key, and nothing follows in it, which pulumi-command does not take. */
function isWhole(key: string): boolean {
  const parsed = parseKey(key);
  if (parsed instanceof Error || Array.isArray(parsed)) return false;
  return `${parsed.type} ${parsed.getPublicSSH().toString("base64")}` === key;
}

function listed(kinds: string[]): string {
  return `${kinds.slice(0, -1).join(", ")} or ${kinds.at(-1)}`;
}
