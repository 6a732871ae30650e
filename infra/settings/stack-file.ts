import { namespace } from "./keys.ts";
import { unseenSecret } from "./secrets.ts";

/** A stack file's configuration as the program gets it, but for the secrets, of which one sees only that they are there. */
export interface StackFileConfig {
  /** By `namespace:name`; lists and objects as JSON. */
  values: Record<string, string>;
  /** Whether such a key's value is encrypted, wholly or in part. */
  isSecret: (key: string) => boolean;
}

/** @param config what stands below `config:`, as YAML has it. */
export function stackFileConfig(config: Record<string, unknown>): StackFileConfig {
  const values: Record<string, string> = {};
  const secretKeys = new Set<string>();
  for (const [key, value] of Object.entries(config)) {
    const name = wholeKey(key);
    if (isCiphertext(value)) values[name] = unseenSecret;
    // A line without a value is one without a text to Pulumi.
    else if (value === null) values[name] = "";
    else values[name] = typeof value === "string" ? value : JSON.stringify(value);
    if (holdsCiphertext(value)) secretKeys.add(name);
  }
  return { values, isSecret: (key) => secretKeys.has(key) };
}

/** Pulumi takes a name without a namespace for the project's, and knows an older form, `<namespace>:config:<name>`. */
export function wholeKey(key: string): string {
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
