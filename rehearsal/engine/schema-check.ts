// What every stand-in checks alike: required inputs, unknown inputs, defaults, types.
import type { CheckFailure } from "./stand-in.ts";
import { isObject, isUnknown, type Properties, type Value } from "./values.ts";

export type Kind = "string" | "number" | "boolean" | "list" | "object";

export interface Input {
  kind: Kind;
  required?: boolean;
  default?: Value;
  /** Only a new resource can have another value. */
  replaces?: boolean;
  /** Of an object, or of each object in a list. */
  fields?: Record<string, Input>;
  oneOf?: string[];
  /** The real provider has it; the stand-in does not carry it. */
  notCarried?: boolean;
}

export type Inputs = Record<string, Input>;

export function checkInputs(
  schema: Inputs,
  news: Properties,
): { inputs: Properties; failures: CheckFailure[] } {
  const failures: CheckFailure[] = [];
  const inputs = checkObject(schema, news, "", failures);
  return { inputs, failures };
}

function checkObject(
  schema: Inputs,
  object: Properties,
  path: string,
  failures: CheckFailure[],
): Properties {
  const checked: Properties = {};
  for (const key of Object.keys(object)) {
    if (!(key in schema) && !key.startsWith("__")) {
      failures.push({
        property: path + key,
        reason: `"${path}${key}" is no input of this resource; it has ${Object.keys(schema).join(", ")}`,
      });
    }
  }
  for (const [key, input] of Object.entries(schema)) {
    const value = object[key] ?? input.default;
    if (value === undefined || value === null) {
      if (input.required) {
        failures.push({
          property: path + key,
          reason: `missing required property '${path}${key}'`,
        });
      }
      continue;
    }
    checked[key] = checkValue(input, value, path + key, failures);
  }
  return checked;
}

function checkValue(input: Input, value: Value, path: string, failures: CheckFailure[]): Value {
  if (isUnknown(value)) return value;
  const fail = (reason: string) => failures.push({ property: path, reason });
  if (input.notCarried) {
    fail(`the rehearsal engine's stand-in does not carry "${path}"`);
    return value;
  }
  const kind = kindOf(value);
  if (kind !== input.kind) {
    // Pulumi lets text stand for a number or a truth value, and back.
    const converted = convert(value, input.kind);
    if (converted === undefined) {
      fail(`expected a ${input.kind}, received a ${kind}`);
      return value;
    }
    return converted;
  }
  if (input.oneOf && !input.oneOf.includes(String(value))) {
    fail(
      `expected one of ${input.oneOf.map((item) => `"${item}"`).join(", ")}, received "${value}"`,
    );
  }
  if (input.fields && isObject(value))
    return checkObject(input.fields, value, `${path}.`, failures);
  if (input.fields && Array.isArray(value)) {
    return value.map((item, index) =>
      isObject(item) ? checkObject(input.fields!, item, `${path}[${index}].`, failures) : item,
    );
  }
  return value;
}

function kindOf(value: Value): Kind | "unknown" {
  if (Array.isArray(value)) return "list";
  if (isObject(value)) return "object";
  const kind = typeof value;
  return kind === "string" || kind === "number" || kind === "boolean" ? kind : "unknown";
}

function convert(value: Value, kind: Kind): Value | undefined {
  if (kind === "string" && (typeof value === "number" || typeof value === "boolean")) {
    return String(value);
  }
  if (typeof value !== "string") return undefined;
  if (kind === "number" && value.trim() !== "" && Number.isFinite(Number(value)))
    return Number(value);
  if (kind === "boolean" && (value === "true" || value === "false")) return value === "true";
  return undefined;
}
