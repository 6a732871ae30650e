import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { piConnection } from "../../infra/pi/connection.ts";
import { openToOthers } from "../../infra/pi/private-key-file.ts";

const folder = mkdtempSync(join(tmpdir(), "ouchi-agent-"));
const socket = join(folder, "agent");
const at = (name: string) => join(folder, name);
const agent = createServer((client) => client.end()).listen(socket);

const keygen = (file: string, ...words: string[]) =>
  execFileSync("ssh-keygen", ["-q", "-C", "健@laptop", "-f", at(file), ...words]);
const write = (name: string, text: string) => writeFileSync(at(name), text, { mode: 0o600 });
/** A file in OpenSSH's own form, as this machine's ssh-keygen may not make it: a key of `kind` with `fields`, and no passphrase. */
function openSshForm(kind: string, fields: (string | Buffer)[]): string {
  const text = (value: string | Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const key = Buffer.concat([kind, ...fields].map(text));
  const hidden = Buffer.concat([Buffer.alloc(8), key, text("comment")]);
  const padding = Buffer.from(Array.from({ length: 8 - (hidden.length % 8) }, (_, i) => i + 1));
  const blob = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    ...[text("none"), text("none"), text(""), Buffer.from([0, 0, 0, 1])],
    ...[text(key), text(Buffer.concat([hidden, padding]))],
  ]);
  const lines = blob.toString("base64").replace(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

beforeAll(() => {
  for (const kind of ["ed25519", "ecdsa", "rsa"]) keygen(kind, "-t", kind, "-N", "");
  keygen("rsa-pem", "-t", "rsa", "-m", "PEM", "-N", "");
  keygen("ecdsa-pem", "-t", "ecdsa", "-m", "PEM", "-N", "");
  keygen("short", "-t", "rsa", "-b", "1024", "-N", "");
  keygen("pkcs8", "-t", "rsa", "-m", "PKCS8", "-N", "");
  keygen("locked", "-t", "ed25519", "-N", "secret words");
  keygen("locked-pem", "-t", "rsa", "-m", "PEM", "-N", "secret words");
  keygen("locked-pkcs8", "-t", "rsa", "-m", "PKCS8", "-N", "secret words");
  const key = readFileSync(at("ed25519"), "utf8");
  const other = readFileSync(at("ecdsa"), "utf8");
  write("windows", key.replaceAll("\n", "\r\n"));
  write("unended", key.trimEnd());
  write("indented", key.replace(/^/gm, "  "));
  write("led", `\n${key}`);
  write("two", key + other);
  write("cut", key.replace(/\n[^\n]*\n(?=-----END)/, "\n"));
  write("half", key.slice(0, key.length / 2));
  write("empty", "");
  write("words", "the key is in the drawer\n");
  write("putty", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n");
  const ofASecurityKey = [Buffer.alloc(32, 4), "ssh:", Buffer.from([1]), "handle", ""];
  write("sk", openSshForm("sk-ssh-ed25519@openssh.com", ofASecurityKey));
  write(
    "sk-ecdsa",
    openSshForm("sk-ecdsa-sha2-nistp256@openssh.com", ["nistp256", ...ofASecurityKey]),
  );
  write("dss", openSshForm("ssh-dss", Array(5).fill(Buffer.alloc(20, 5))));
  write("public", readFileSync(at("ed25519.pub"), "utf8"));
  execFileSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", at("openssl")], {
    stdio: "pipe",
  });
});
afterAll(() => {
  agent.close();
  rmSync(folder, { recursive: true });
});

const pi = { host: "192.168.11.14", port: 22, user: "pi", hostKey: "ssh-ed25519 AAAA", lan: true };
const withKey = (name: string) => piConnection({ ...pi, privateKeyFile: at(name) }, {});

describe("The connection to the Pi", () => {
  test("leaves the key to the agent, and the agent's socket out", async () => {
    expect(await piConnection(pi, { SSH_AUTH_SOCK: socket })).toEqual({
      host: pi.host,
      port: pi.port,
      user: pi.user,
      hostKey: pi.hostKey,
    });
  });

  test.each(["ed25519", "ecdsa", "rsa", "rsa-pem", "ecdsa-pem", "short"])(
    "takes the key where it is named, of the kind %s, as it is",
    async (name) => {
      expect((await withKey(name)).privateKey).toBe(readFileSync(at(name), "utf8"));
    },
  );

  test.each([
    ["locked", "has a passphrase"],
    ["locked-pem", "has a passphrase"],
    ["locked-pkcs8", "has a passphrase"],
    ["pkcs8", "is in the form PKCS#8"],
    ["openssl", "is in the form PKCS#8"],
    ["putty", "is in PuTTY's form"],
    ["public", "holds a public key: name the file without .pub"],
    ["sk", "is a security key's (sk-ssh-ed25519@openssh.com)"],
    ["sk-ecdsa", "is a security key's (sk-ecdsa-sha2-nistp256@openssh.com)"],
    ["dss", "is a DSA key"],
    ["windows", "has line ends of Windows"],
    ["unended", "ends without a line end"],
    ["led", "has empty lines or spaces before the key"],
    ["indented", "has empty lines or spaces before the key"],
    ["two", "holds more than one private key"],
    ["cut", "is cut or damaged"],
    ["half", "ends without a line end, or was cut"],
    ["empty", "is empty"],
    ["words", "is no SSH key"],
  ])("refuses a key that not all can use (%s), and shows nothing of it", async (name, why) => {
    const refused = await withKey(name).then(
      () => "",
      (error: Error) => error.message,
    );
    expect(refused).toContain(`pi.privateKeyFile, "${at(name)}", ${why}`);
    expect(refused).toMatch(/Nothing was changed\.$/);
    const secrets = readFileSync(at(name), "utf8").match(/[A-Za-z0-9+/]{20,}/g) ?? [];
    for (const secret of secrets) expect(refused).not.toContain(secret);
  });

  test.each([0o644, 0o640, 0o604, 0o660, 0o610, 0o777])(
    "refuses a key's file of the mode %o, as OpenSSH does",
    async (mode) => {
      chmodSync(at("ed25519"), mode);
      const asked = () =>
        execFileSync("ssh-keygen", ["-y", "-P", "", "-f", at("ed25519")], { stdio: "pipe" });
      expect(asked).toThrow("UNPROTECTED PRIVATE KEY FILE");
      await expect(withKey("ed25519")).rejects.toThrow(
        new RegExp(`can be opened by others .*0${mode.toString(8)}.*chmod 600 '${at("ed25519")}'`),
      );
      await expect(withKey("ed25519")).rejects.toMatchObject({ kind: "settings" });
      chmodSync(at("ed25519"), 0o600);
      expect(asked).not.toThrow();
      await withKey("ed25519");
    },
  );

  test("leaves a key's file of somebody else's to its owner, and knows Windows' disks", () => {
    const open = { mode: 0o100777, uid: 1000 };
    expect(openToOthers("/etc/key", "/etc/key", open, 1001)).toBeUndefined();
    expect(openToOthers("C:\\key", "C:\\key", open, undefined)).toBeUndefined();
    expect(openToOthers("/mnt/c/Users/ken/key", "/mnt/c/Users/ken/key", open, 1000)).toMatch(
      /copy the key into ~\/\.ssh first/,
    );
  });

  test("refuses an agent that is gone, even beside a key", async () => {
    const gone = { SSH_AUTH_SOCK: join(folder, "gone") };
    const withKey = { ...pi, privateKeyFile: at("ed25519") };
    await expect(piConnection(withKey, gone)).rejects.toThrow("unset SSH_AUTH_SOCK");
    await expect(piConnection(pi, gone)).rejects.toThrow("No SSH agent answers");
  });

  test("refuses to go on with neither", async () => {
    await expect(piConnection(pi, {})).rejects.toThrow("name the key's file in pi.privateKeyFile");
  });

  test("refuses a key's file that is not there, or a folder", async () => {
    await expect(withKey("none")).rejects.toThrow(/could not be read: .*ENOENT/);
    await expect(piConnection({ ...pi, privateKeyFile: folder }, {})).rejects.toThrow(
      /could not be read: .*EISDIR/,
    );
  });
});
