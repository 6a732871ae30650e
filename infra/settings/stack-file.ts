/** What is in a stack file, as Pulumi understands it. Without a file, a passphrase or the settings' own rules. */
import { type Document, isScalar, type Scalar, visit } from "yaml";
import { namespace } from "./keys.ts";
import { unseenSecret } from "./secrets.ts";
import { UserError } from "./user-error.ts";

const asUtf8 = "Open it in an editor, and save it as UTF-8. Nothing was changed.";

/**
 * The text of a stack file. A mark of UTF-8 at its beginning is no part of it.
 *
 * @param file for the sentence.
 * @throws {UserError} when it is of another encoding, such as what Windows calls Unicode, or Shift_JIS.
 */
export function decodeStackFile(bytes: Uint8Array, file: string): string {
  const [first, second] = bytes;
  // Without a mark, every other byte of mostly Latin letters is zero.
  const isUtf16 =
    (first === 0xff && second === 0xfe) ||
    (first === 0xfe && second === 0xff) ||
    (bytes.length > 1 && (first === 0) !== (second === 0));
  if (isUtf16) {
    throw new UserError(
      `The stack file "${file}" could not be read: it is in UTF-16, which some editors of Windows call Unicode. ${asUtf8}`,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const line =
      bytes.subarray(0, firstForeignByte(bytes)).filter((byte) => byte === 10).length + 1;
    throw new UserError(
      `The stack file "${file}" could not be read: line ${line} holds letters that are not in UTF-8, but perhaps in Shift_JIS or another encoding of one country. ${asUtf8}`,
    );
  }
}

/** The longest beginning that is good UTF-8 ends before it. */
function firstForeignByte(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let index = 0; index < bytes.length; index++) {
    try {
      decoder.decode(bytes.subarray(index, index + 1), { stream: true });
    } catch {
      return index;
    }
  }
  return bytes.length;
}

/** The configuration as the program will get it, but for the secrets, of which one sees only that they are there. */
export interface StackFileConfig {
  /** By `namespace:name`; lists and objects as JSON. */
  values: Record<string, string>;
  /** Keys whose value is encrypted, wholly or in part. */
  secretKeys: Set<string>;
}

/** Changes `document`: a bare time in it becomes what Pulumi makes of it. */
export function stackFileConfig(document: Document): StackFileConfig {
  visit(document, {
    Scalar(_, node) {
      const time = bareTime(node);
      if (time) node.value = `${time.toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
    },
  });
  const config: unknown = (document.toJS() as { config?: unknown } | null)?.config;
  const values: Record<string, string> = {};
  const secretKeys = new Set<string>();
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    return { values, secretKeys };
  }
  for (const [key, value] of Object.entries(config)) {
    const name = fullKey(key);
    if (isCiphertext(value)) values[name] = unseenSecret;
    else values[name] = typeof value === "object" ? JSON.stringify(value) : String(value);
    if (holdsCiphertext(value)) secretKeys.add(name);
  }
  return { values, secretKeys };
}

/** Pulumi takes a name without a namespace for the project's, and knows an older form, `<namespace>:config:<name>`. */
function fullKey(key: string): string {
  return key.includes(":") ? key.replace(/^([^:]+):config:/, "$1:") : `${namespace}:${key}`;
}

function isCiphertext(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.keys(value).length === 1 &&
    typeof (value as { secure?: unknown }).secure === "string"
  );
}

function holdsCiphertext(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return isCiphertext(value) || Object.values(value).some(holdsCiphertext);
}

/** YAML 1.1, which Pulumi reads, takes an unquoted 2026-12-01T00:00:00Z for a time. */
function bareTime(node: Scalar): Date | undefined {
  if (!isScalar(node) || node.type !== "PLAIN" || typeof node.value !== "string") return undefined;
  if (!/^\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]| +)\d{1,2}:\d\d:\d\d.*)?$/.test(node.value)) {
    return undefined;
  }
  const time = new Date(
    node.value
      .replace(/ +/, "T")
      .replace(/^(.*\d)$/, "$1Z")
      .replace(/^(\d{4}-\d{1,2}-\d{1,2})Z$/, "$1"),
  );
  return Number.isNaN(time.getTime()) ? undefined : time;
}
