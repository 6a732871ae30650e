// Property values as the engine holds them: JSON, plus secrets and values that a preview cannot know.

const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";
const resourceSignature = "5cf8f73096256a8f31e491e813e4eb8e";
const outputSignature = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const assetSignatures = new Set([
  "c44067f5952c0a294b673a41bacd8c17",
  "0def7320c3a5731c473e5ecbe6d01bc7",
]);

/** Pulumi's sentinel for "not known yet"; providers may send one per type. */
export const unknownSentinel = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const unknownSentinels = new Set([
  unknownSentinel,
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

export class Secret {
  readonly value: Value;
  constructor(value: Value) {
    this.value = value instanceof Secret ? value.value : value;
  }
}

class Unknown {
  readonly kind = "unknown";
}
export const unknown = new Unknown();

export type Value =
  | null
  | boolean
  | number
  | string
  | Secret
  | Unknown
  | Value[]
  | { [key: string]: Value };
export type Properties = { [key: string]: Value };

export function isObject(value: Value | undefined): value is Properties {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Secret) &&
    !(value instanceof Unknown)
  );
}

export function isUnknown(value: Value | undefined): boolean {
  return value instanceof Unknown;
}

export function fromWire(value: unknown): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return unknownSentinels.has(value) ? unknown : value;
  if (typeof value === "number" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.map(fromWire);
  const object = value as Record<string, unknown>;
  const signature = object[signatureKey];
  if (signature === secretSignature) return new Secret(fromWire(object.value));
  if (signature === outputSignature) {
    const inner = "value" in object ? fromWire(object.value) : unknown;
    return object.secret === true ? new Secret(inner) : inner;
  }
  if (typeof signature === "string" && assetSignatures.has(signature)) {
    throw new Error("The rehearsal engine carries no assets or archives; pass the text itself.");
  }
  return propertiesFromWire(object);
}

/** Null at the top level means "not set", as in Pulumi's own engine. */
export function propertiesFromWire(object: Record<string, unknown> | undefined): Properties {
  const properties: Properties = {};
  for (const [key, value] of Object.entries(object ?? {})) {
    if (value !== undefined) properties[key] = fromWire(value);
  }
  return properties;
}

export interface WireOptions {
  secrets: boolean;
  resources: boolean;
}

export function toWire(value: Value, options: WireOptions): unknown {
  if (value instanceof Unknown) return unknownSentinel;
  if (value instanceof Secret) {
    const inner = toWire(value.value, options);
    return options.secrets ? { [signatureKey]: secretSignature, value: inner } : inner;
  }
  if (Array.isArray(value)) return value.map((item) => toWire(item, options));
  if (isObject(value)) {
    if (value[signatureKey] === resourceSignature && !options.resources) {
      return toWire(value.id ?? value.urn ?? null, options);
    }
    return propertiesToWire(value, options);
  }
  return value;
}

export function propertiesToWire(
  properties: Properties,
  options: WireOptions,
): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(properties)) {
    if (value !== undefined) object[key] = toWire(value, options);
  }
  return object;
}

export function some(value: Value | undefined, test: (value: Value) => boolean): boolean {
  if (value === undefined) return false;
  if (test(value)) return true;
  if (value instanceof Secret) return some(value.value, test);
  if (Array.isArray(value)) return value.some((item) => some(item, test));
  if (isObject(value)) return Object.values(value).some((item) => some(item, test));
  return false;
}

export const containsSecret = (value: Value | undefined) => some(value, (v) => v instanceof Secret);
export const containsUnknown = (value: Value | undefined) =>
  some(value, (v) => v instanceof Unknown);

/** The value without its secret marks; for comparing, never for showing. */
export function reveal(value: Value): Value {
  if (value instanceof Secret) return reveal(value.value);
  if (Array.isArray(value)) return value.map(reveal);
  if (isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, reveal(item)]));
  }
  return value;
}

/** JSON for people: "[secret]" and "output<string>" where Pulumi prints them. */
export function show(value: Value, showSecrets = false): unknown {
  if (value instanceof Unknown) return "[unknown]";
  if (value instanceof Secret) return showSecrets ? show(value.value, true) : "[secret]";
  if (Array.isArray(value)) return value.map((item) => show(item, showSecrets));
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, show(item, showSecrets)]),
    );
  }
  return value;
}

export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a === null || b === null) return false;
  if (a instanceof Secret || b instanceof Secret) {
    return a instanceof Secret && b instanceof Secret && equal(a.value, b.value);
  }
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => equal(item, b[index]))
    );
  }
  if (isObject(a) && isObject(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].every((key) => equal(a[key], b[key]));
  }
  return false;
}

/** Top-level keys that differ, with the mark that Pulumi prints before them. */
export function differingKeys(olds: Properties, news: Properties): string[] {
  const keys = [...new Set([...Object.keys(olds), ...Object.keys(news)])].sort();
  return keys.flatMap((key) => {
    const before = olds[key] ?? undefined;
    const after = news[key] ?? undefined;
    if (before === undefined && after === undefined) return [];
    if (before === undefined) return [`+${key}`];
    if (after === undefined) return [`-${key}`];
    return equal(reveal(before), reveal(after)) ? [] : [`~${key}`];
  });
}

/** A provider that was not told of secrets returns plain values: what came from a secret is one again. */
export function markSecretsAs(outs: Properties, ins: Properties): Properties {
  const marked: Properties = { ...outs };
  for (const [key, value] of Object.entries(ins)) {
    const out = marked[key];
    if (out !== undefined) marked[key] = markSecretAs(out, value);
  }
  return marked;
}

function markSecretAs(out: Value, from: Value): Value {
  if (out instanceof Secret) return out;
  if (from instanceof Secret) return new Secret(out);
  if (Array.isArray(out) && Array.isArray(from)) {
    return out.map((item, index) => (index in from ? markSecretAs(item, from[index]!) : item));
  }
  if (isObject(out) && isObject(from)) return markSecretsAs(out, from);
  return out;
}

export function markSecret(properties: Properties, keys: Iterable<string>): Properties {
  const marked = { ...properties };
  for (const key of keys) {
    const value = marked[key];
    if (value !== undefined && !(value instanceof Secret)) marked[key] = new Secret(value);
  }
  return marked;
}

/** The state file's form: a secret is ciphertext of its JSON. */
export function toState(value: Value, encrypt: (plaintext: string) => string): unknown {
  if (value instanceof Unknown) return unknownSentinel;
  if (value instanceof Secret) {
    const plaintext = JSON.stringify(toState(value.value, encrypt));
    return { [signatureKey]: secretSignature, ciphertext: encrypt(plaintext) };
  }
  if (Array.isArray(value)) return value.map((item) => toState(item, encrypt));
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, toState(item, encrypt)]),
    );
  }
  return value;
}

export function fromState(value: unknown, decrypt: (ciphertext: string) => string): Value {
  if (Array.isArray(value)) return value.map((item) => fromState(item, decrypt));
  if (typeof value === "object" && value !== null) {
    const object = value as Record<string, unknown>;
    if (object[signatureKey] === secretSignature) {
      return new Secret(fromState(JSON.parse(decrypt(String(object.ciphertext))), decrypt));
    }
    return Object.fromEntries(
      Object.entries(object).map(([key, item]) => [key, fromState(item, decrypt)]),
    );
  }
  return fromWire(value);
}

/** State for `stack export --show-secrets`. */
export function toPlainState(value: Value): unknown {
  return toState(value, (plaintext) => plaintext);
}
