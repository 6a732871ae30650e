import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readPublicKey } from "../../infra/pi/ssh-keys.ts";

const keys = mkdtempSync(join(tmpdir(), "ouchi keys "));
afterAll(() => rmSync(keys, { recursive: true }));
const keygen = (name: string, ...words: string[]) => {
  const file = join(keys, name);
  execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "ken@laptop", "-f", file, ...words]);
  return readFileSync(`${file}.pub`, "utf8");
};
const publicKey = keygen("ed25519", "-t", "ed25519").trim();
const privateKey = readFileSync(join(keys, "ed25519"), "utf8");
const [kind, base64] = publicKey.split(" ") as [string, string];

/** A line with a key of another kind, which this machine's ssh-keygen may not make. */
const lineOf = (type: string, ...fields: (string | Buffer)[]) => {
  const blob = [type, ...fields].map((value) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(value));
    return Buffer.concat([length, Buffer.from(value)]);
  });
  return `${type} ${Buffer.concat(blob).toString("base64")} ken@laptop`;
};

describe("A public key for the card", () => {
  test.each([
    ["-t", "ed25519"],
    ["-t", "ecdsa", "-b", "384"],
    ["-t", "rsa"],
  ])("of the kind %s %s is taken as ssh-keygen wrote it", (...words) => {
    const line = keygen(words.join(""), ...words);
    expect(readPublicKey(line)).toMatchObject({ line: line.trim() });
  });

  test.each([
    ["with the line ends of Windows", `${publicKey}\r\n`, publicKey],
    ["with a mark in front", `\ufeff${publicKey}\n`, publicKey],
    ["without a comment", `${kind} ${base64}`, `${kind} ${base64}`],
    ["with a comment that is not ASCII", `${kind} ${base64} 健のPC\n`, `${kind} ${base64}`],
    ["with a comment in several words", `${publicKey}: "his" #1\n`, `${publicKey}: "his" #1`],
    ["below a remark", `# mine\n\n${publicKey}\n`, publicKey],
  ])("%s is taken", (_, text, line) => {
    expect(readPublicKey(text)).toMatchObject({ line });
  });

  const ecPoint = Buffer.alloc(65, 4);
  test.each([
    [
      "a security key's",
      lineOf("sk-ssh-ed25519@openssh.com", Buffer.alloc(32, 4), "ssh:"),
      "is a security key's (sk-ssh-ed25519@openssh.com)",
    ],
    [
      "a security key's, ECDSA",
      lineOf("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", ecPoint, "ssh:"),
      "is a security key's",
    ],
    [
      "a DSA key",
      lineOf("ssh-dss", Buffer.alloc(128, 5), Buffer.alloc(20, 5), "\x02", "\x03"),
      "is a DSA key",
    ],
    [
      "a short RSA key",
      lineOf("ssh-rsa", "\x03", Buffer.alloc(96, 0x7f)),
      "is an RSA key of 767 bits",
    ],
    [
      "a certificate",
      lineOf("ssh-ed25519-cert-v01@openssh.com", "nonce", Buffer.alloc(32)),
      "is a certificate",
    ],
    [
      "an unknown kind",
      lineOf("ssh-ed448", Buffer.alloc(57, 4)),
      'is a key of the kind "ssh-ed448"',
    ],
    ["a cut key", `${kind} ${base64.slice(0, -8)} ken@laptop`, "is cut or damaged"],
    ["a key with more in it", `${kind} ${base64}AAAA ken@laptop`, "is cut or damaged"],
    ["a key under another name", `ecdsa-sha2-nistp256 ${base64}`, "is cut or damaged"],
    [
      "a point off its curve",
      lineOf("ecdsa-sha2-nistp256", "nistp256", ecPoint),
      "is cut or damaged",
    ],
    ["zeros", `ssh-ed25519 ${"A".repeat(68)} ken@laptop`, "is cut or damaged"],
    ["two keys", `${publicKey}\n${publicKey}\n`, "holds 2 keys"],
    [
      "a key in several lines",
      `${kind} ${base64.slice(0, 40)}\n${base64.slice(40)}`,
      "is more than one line",
    ],
    ["options", `from="192.168.11.0/24" ${publicKey}`, "has options before the key"],
    ["an option", `restrict ${publicKey}`, "has options before the key"],
    ["a known_hosts line", `192.168.11.14 ${publicKey}`, "has options before the key"],
    ["the private key", privateKey, "holds a private key"],
    ["PuTTY's private key", "PuTTY-User-Key-File-3: ssh-ed25519\n", "holds a private key"],
    [
      "PuTTY's public key",
      "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
      "is not in OpenSSH's form",
    ],
    [
      "OpenSSL's public key",
      "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
      "is not in OpenSSH's form",
    ],
    ["UTF-16", Buffer.from(`\ufeff${publicKey}\r\n`, "utf16le"), "is in UTF-16"],
    ["nothing", "\n", "is not one line of an OpenSSH public key"],
    [
      "a fingerprint",
      "256 SHA256:abc ken@laptop (ED25519)",
      "is not one line of an OpenSSH public key",
    ],
    ["a folder's words", `${kind} ken@laptop`, "is not one line of an OpenSSH public key"],
  ])("is refused for %s, and nothing of it shown", (_, text, why) => {
    const { wrong } = readPublicKey(text.toString());
    expect(wrong).toContain(why);
    expect(wrong).not.toContain(privateKey.split("\n")[1]);
  });
});
