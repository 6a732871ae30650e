import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type Document, isMap, isScalar, parseDocument, type Scalar, visit } from "yaml";
import { EngineError } from "./engine-error.ts";
import { Passphrase } from "./passphrase.ts";
import type { Project } from "./project.ts";

export interface StackConfig {
  /** By `namespace:name`, decrypted; what is no plain text is JSON. */
  values: Map<string, string>;
  secretKeys: Set<string>;
  passphrase: Passphrase;
}

/** Reads the stack file as Pulumi does, and gives it an encryption salt if it has none yet. */
export async function readStackConfig(
  file: string,
  project: Project,
  phrase: string,
  saltOfState: string | undefined,
): Promise<StackConfig> {
  const document = readDocument(file);
  const passphrase = await openPassphrase(document, file, phrase, saltOfState);
  const values = new Map<string, string>();
  const secretKeys = new Set<string>();

  for (const [key, declared] of Object.entries(project.config)) {
    values.set(qualified(key, project.name), textOf(projectDefault(key, declared)));
  }
  const config = (document.toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  for (const [key, value] of Object.entries(config)) {
    const name = qualified(key, project.name);
    let secret = false;
    const plain = decryptWithin(value, (ciphertext) => {
      secret = true;
      try {
        return passphrase.decrypt(ciphertext);
      } catch (error) {
        throw new EngineError(
          `failed to decrypt encrypted configuration value '${name}': ${(error as Error).message}\n` +
            "This can occur when a secret is copied from one stack to another. Encryption of secrets is done " +
            "per-stack and it is not possible to share an encrypted configuration value across stacks.\n\n" +
            `You can re-encrypt your configuration by running \`pulumi config set ${name} [value] --secret\` ` +
            "with your new stack selected.\n\nrefusing to proceed",
        );
      }
    });
    values.set(name, textOf(plain));
    if (secret) secretKeys.add(name);
  }
  return { values, secretKeys, passphrase };
}

/** `config set`: keeps the file's comments; a bare timestamp in it is rewritten, as Pulumi would. */
export async function setConfig(options: {
  file: string;
  project: Project;
  phrase: string | undefined;
  key: string;
  value: string;
  secret: boolean;
}): Promise<void> {
  const { file, project, phrase, key, value, secret } = options;
  const document = readDocument(file);
  const path = ["config", qualified(key, project.name)];
  if (!isMap(document.get("config"))) document.set("config", document.createNode({}));
  // The same key may stand there in its short form.
  const short = ["config", key];
  if (document.hasIn(short)) document.deleteIn(short);
  if (secret) {
    const passphrase = await openPassphrase(document, file, phrase ?? "", undefined);
    document.set("encryptionsalt", passphrase.saltLine);
    document.setIn(path, { secure: passphrase.encrypt(value) });
  } else {
    document.setIn(path, coerced(value));
  }
  writeDocument(file, document);
}

/** A long value stays on its line, as Pulumi leaves it. */
function writeDocument(file: string, document: Document): void {
  writeFileSync(file, document.toString({ lineWidth: 0 }));
}

function readDocument(file: string): Document {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "config: {}\n";
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    throw new EngineError(
      `Could not read the stack file "${file}": ${document.errors[0]!.message}`,
    );
  }
  const known = new Set(["config", "encryptionsalt", "secretsprovider", "encryptedkey"]);
  for (const key of Object.keys((document.toJS() ?? {}) as object)) {
    if (!known.has(key)) {
      throw new EngineError(
        `"${file}" holds "${key}", which the rehearsal engine does not know; it reads config and encryptionsalt.`,
      );
    }
  }
  for (const key of ["secretsprovider", "encryptedkey"]) {
    const value = document.get(key);
    if (value !== undefined && value !== "passphrase") {
      throw new EngineError(
        `"${file}" sets ${key} to "${String(value)}"; the rehearsal engine knows only the passphrase.`,
      );
    }
  }
  visit(document, {
    Scalar(_, node) {
      const rewritten = bareTimestamp(node);
      if (rewritten !== undefined) node.value = rewritten;
    },
  });
  return document;
}

async function openPassphrase(
  document: Document,
  file: string,
  phrase: string,
  saltOfState: string | undefined,
): Promise<Passphrase> {
  const saltLine = document.get("encryptionsalt") ?? saltOfState;
  if (saltLine !== undefined) return Passphrase.open(phrase, String(saltLine));
  const passphrase = await Passphrase.create(phrase);
  const fresh = existsSync(file) ? parseDocument(readFileSync(file, "utf8")) : document;
  fresh.set("encryptionsalt", passphrase.saltLine);
  writeDocument(file, fresh);
  document.set("encryptionsalt", passphrase.saltLine);
  return passphrase;
}

function qualified(key: string, projectName: string): string {
  const parts = key.split(":");
  // `ns:config:name` is Pulumi's older form of `ns:name`.
  if (parts.length === 3 && parts[1] === "config") return `${parts[0]}:${parts[2]}`;
  if (parts.length === 1) return `${projectName}:${key}`;
  if (parts.length === 2) return key;
  throw new EngineError(
    `Could not use the configuration key "${key}": it must have the form <namespace>:<name>.`,
  );
}

function projectDefault(key: string, declared: unknown): unknown {
  if (typeof declared !== "object" || declared === null) return declared;
  const { value, default: standard } = declared as { value?: unknown; default?: unknown };
  if (value === undefined && standard === undefined) {
    throw new EngineError(
      `Pulumi.yaml declares the configuration key "${key}" without a value, which the rehearsal engine does not know.`,
    );
  }
  return value ?? standard;
}

function decryptWithin(value: unknown, decrypt: (ciphertext: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => decryptWithin(item, decrypt));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0] === "secure" && typeof entries[0]![1] === "string") {
    return decrypt(entries[0]![1]);
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, decryptWithin(item, decrypt)]));
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return JSON.stringify(sorted(value));
}

// Go writes a map's keys in order; the program may compare the text.
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}

function coerced(value: string): string | boolean | number {
  if (value === "true" || value === "false") return value === "true";
  if (/^-?(0|[1-9]\d*)$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
  return value;
}

/**
 * Go's YAML reads an unquoted timestamp as a time, and Pulumi then writes Go's own form of it:
 * 2026-12-01T00:00:00Z becomes "2026-12-01 00:00:00 +0000 UTC".
 */
export function bareTimestamp(node: Scalar): string | undefined {
  if (!isScalar(node) || node.type !== "PLAIN" || typeof node.value !== "string") return undefined;
  const match =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt]| +)(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?)?$/.exec(
      node.value,
    );
  if (!match) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "", zone] = match;
  const hasTime = match[4] !== undefined;
  if (hasTime && /[Tt]/.test(node.value) !== (zone !== undefined)) return undefined;
  const two = (digits: string | undefined) => String(digits).padStart(2, "0");
  const written = zone === undefined || zone === "Z" ? "+0000 UTC" : undefined;
  const offset = zone?.replace(":", "");
  const decimals = fraction.replace(/\.?0+$/, "");
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}${decimals} ${
    written ?? `${offset} ${offset}`
  }`;
}
