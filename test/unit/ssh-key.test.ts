import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { utils } from "ssh2";
import { hostKeyProblem, userKeyProblem } from "../../infra/settings/host-key.ts";

/** As ssh-keygen writes it to a file that ends in .pub. */
function publicLine(kind: "ed25519" | "rsa" | "ecdsa", bits = 256): string {
  return utils.generateKeyPairSync(kind as "rsa", { bits, comment: "ken@laptop" } as never).public;
}

const kinds = [
  ["ed25519", 256],
  ["ecdsa", 256],
  ["ecdsa", 384],
  ["ecdsa", 521],
] as const;

describe("SSH keys", () => {
  test.each(kinds)(
    "of the kind %s with %i bits are taken for the Pi and for the kit",
    (kind, bits) => {
      const line = publicLine(kind, bits);
      const [type, data] = line.split(" ");
      expect(hostKeyProblem(`${type} ${data}`)).toBeUndefined();
      expect(userKeyProblem(line)).toBeUndefined();
    },
  );

  test.each(kinds)(
    "of the kind %s with %i bits are refused wherever they are cut",
    (kind, bits) => {
      const [type, data] = publicLine(kind, bits).split(" ");
      for (let length = 1; length < data!.length; length++) {
        const cut = `${type} ${data!.slice(0, length)}`;
        expect(hostKeyProblem(cut), cut).toMatch(/^is cut off or mistyped/);
        expect(userKeyProblem(cut), cut).toBe("is cut off or damaged: copy the file again");
      }
    },
  );

  test("of RSA open a Pi, and are none to know it by", () => {
    const line = publicLine("rsa", 2048);
    expect(userKeyProblem(line)).toBeUndefined();
    expect(hostKeyProblem(line.split(" ").slice(0, 2).join(" "))).toContain("of the kind ssh-rsa");
  });

  test.each([
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
    "ssh-ed25519-cert-v01@openssh.com",
  ])(
    "of the kind %s are refused with the kinds that work, before the card is locked to them",
    (kind) => {
      expect(userKeyProblem(`${kind} AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t ken`)).toBe(
        `is of the kind ${kind}, which Pulumi cannot use, so the Pi would be shut to it: make one by "ssh-keygen -t ed25519" (ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521 or ssh-rsa work)`,
      );
    },
  );

  test("that are private are not shown", () => {
    const { privateKey } = generateKeyPairSync("ed25519", {
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    for (const problem of [hostKeyProblem(privateKey), userKeyProblem(privateKey)]) {
      expect(problem).toMatch(/^is a private key/);
      expect(problem).not.toContain(privateKey.split("\n")[1]);
    }
  });
});
