/** Identifiers and secrets in the shapes that Cloudflare gives them. */
import { createHash, randomBytes, randomInt } from "node:crypto";
import { crc32 } from "node:zlib";

/** 32 hexadecimal digits: accounts, zones, DNS records, alerts. */
export function hexId(): string {
  return randomBytes(16).toString("hex");
}

/** An Access application's audience tag. */
export function audienceTag(): string {
  return randomBytes(32).toString("hex");
}

export function clientId(): string {
  return `${hexId()}.access`;
}

/** The format since 2026-08-26; nothing should depend on it. */
export function clientSecret(): string {
  const body = randomString(40);
  return `cfast_${body}${checksum(body)}`;
}

/** The code in a sign-in mail. */
export function oneTimeCode(): string {
  return String(randomInt(1_000_000)).padStart(6, "0");
}

function randomString(length: number): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join("");
}

function checksum(text: string): string {
  // zlib's crc32 came with Node 20.15; before it any eight characters do.
  return typeof crc32 === "function"
    ? (crc32(text) >>> 0).toString(16).padStart(8, "0")
    : createHash("sha256").update(text).digest("hex").slice(0, 8);
}
