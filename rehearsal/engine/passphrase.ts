// Pulumi's passphrase secrets: PBKDF2 (SHA-256, 1,000,000 rounds) to a key for AES-256-GCM,
// written as v1:<nonce>:<ciphertext and tag>. The salt line proves the passphrase by holding the word "pulumi".
import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { EngineError } from "./engine-error.ts";

const rounds = 1_000_000;
const derive = promisify(pbkdf2);
const keys = new Map<string, Promise<Buffer>>();

export class Passphrase {
  readonly saltLine: string;
  readonly #key: Buffer;
  // The same plaintext keeps its ciphertext, so that an unchanged state file stays byte for byte.
  readonly #ciphertexts = new Map<string, string>();

  private constructor(saltLine: string, key: Buffer) {
    this.saltLine = saltLine;
    this.#key = key;
  }

  static async create(phrase: string): Promise<Passphrase> {
    const salt = randomBytes(8);
    const key = await deriveKey(phrase, salt);
    return new Passphrase(`v1:${salt.toString("base64")}:${encryptWith(key, "pulumi")}`, key);
  }

  static async open(phrase: string, saltLine: string): Promise<Passphrase> {
    const parts = saltLine.split(":");
    if (parts.length !== 5 || parts[0] !== "v1") {
      throw new EngineError(
        `The stack file's "encryptionsalt" is malformed; it reads v1:<salt>:v1:<nonce>:<ciphertext>.`,
      );
    }
    const key = await deriveKey(phrase, Buffer.from(parts[1]!, "base64"));
    let proof: string | undefined;
    try {
      proof = decryptWith(key, parts.slice(2).join(":"));
    } catch {
      proof = undefined;
    }
    if (proof !== "pulumi") throw new EngineError("incorrect passphrase");
    return new Passphrase(saltLine, key);
  }

  encrypt(plaintext: string): string {
    let ciphertext = this.#ciphertexts.get(plaintext);
    if (ciphertext === undefined) {
      ciphertext = encryptWith(this.#key, plaintext);
      this.#ciphertexts.set(plaintext, ciphertext);
    }
    return ciphertext;
  }

  decrypt(ciphertext: string): string {
    const plaintext = decryptWith(this.#key, ciphertext);
    this.#ciphertexts.set(plaintext, ciphertext);
    return plaintext;
  }
}

/** From PULUMI_CONFIG_PASSPHRASE, else the file named by PULUMI_CONFIG_PASSPHRASE_FILE. */
export function passphraseFrom(environment: NodeJS.ProcessEnv): string {
  if (environment.PULUMI_CONFIG_PASSPHRASE !== undefined) {
    return environment.PULUMI_CONFIG_PASSPHRASE;
  }
  const file = environment.PULUMI_CONFIG_PASSPHRASE_FILE;
  if (file) {
    try {
      return readFileSync(file, "utf8").trim();
    } catch (error) {
      throw new EngineError(
        `Could not read the passphrase from "${file}" (PULUMI_CONFIG_PASSPHRASE_FILE): ${(error as Error).message}.`,
      );
    }
  }
  throw new EngineError(
    "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables",
  );
}

// Deriving takes part of a second: one process does it once for each salt.
function deriveKey(phrase: string, salt: Buffer): Promise<Buffer> {
  const name = `${salt.toString("base64")}:${phrase}`;
  let key = keys.get(name);
  if (key === undefined) {
    key = derive(phrase, salt, rounds, 32, "sha256");
    keys.set(name, key);
  }
  return key;
}

function encryptWith(key: Buffer, plaintext: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
  const message = Buffer.concat([sealed, cipher.getAuthTag()]);
  return `v1:${nonce.toString("base64")}:${message.toString("base64")}`;
}

function decryptWith(key: Buffer, ciphertext: string): string {
  const parts = ciphertext.split(":");
  if (parts.length !== 3) throw new Error("bad value");
  if (parts[0] !== "v1") throw new Error("unknown value version");
  const nonce = Buffer.from(parts[1]!, "base64");
  const message = Buffer.from(parts[2]!, "base64");
  if (nonce.length !== 12 || message.length < 16) throw new Error("bad value");
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAuthTag(message.subarray(-16));
  return Buffer.concat([decipher.update(message.subarray(0, -16)), decipher.final()]).toString(
    "utf8",
  );
}
