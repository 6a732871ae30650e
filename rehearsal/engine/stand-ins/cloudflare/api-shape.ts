// Between the provider's property names and the API's.
import {
  containsUnknown,
  equal,
  isObject,
  isUnknown,
  type Properties,
  type Value,
} from "../../values.ts";
import type { ApiInput, ResourceKind } from "./resource-kinds.ts";

export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function camelCased(value: unknown): Value {
  if (Array.isArray(value)) return value.map(camelCased);
  if (typeof value !== "object" || value === null) return value as Value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [camelCase(key), camelCased(item)]),
  );
}

const wireName = (name: string, input: ApiInput) => input.wire ?? snakeCase(name);

/** The inputs with what the plan adds; sets in their order. */
export function planned(kind: ResourceKind, inputs: Properties): Properties {
  const plan = kind.plan?.(inputs) ?? inputs;
  const result: Properties = {};
  for (const [name, input] of Object.entries(kind.inputs)) {
    const value = plan[name] ?? input.planned;
    if (value !== undefined) result[name] = inOrder(input, value);
  }
  return result;
}

function inOrder(input: ApiInput, value: Value): Value {
  if (isUnknown(value)) return value;
  if (Array.isArray(value)) {
    const items = input.fields
      ? value.map((item) => (isObject(item) ? fieldsInOrder(input.fields!, item) : item))
      : value;
    return input.set ? [...items].sort(bySortingText) : items;
  }
  return input.fields && isObject(value) ? fieldsInOrder(input.fields, value) : value;
}

function fieldsInOrder(fields: Record<string, ApiInput>, object: Properties): Properties {
  return Object.fromEntries(
    Object.entries(object).map(([key, item]) => [
      key,
      inOrder(fields[key] ?? { kind: "object" }, item),
    ]),
  );
}

function bySortingText(a: Value, b: Value): number {
  const [first, second] = [JSON.stringify(a), JSON.stringify(b)];
  return first < second ? -1 : first > second ? 1 : 0;
}

/** The body of a request. A property that was set and no longer is becomes null. */
export function bodyOf(
  inputs: Record<string, ApiInput>,
  plan: Properties,
  before: Properties = {},
): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input.inPath) continue;
    const value = plan[name];
    if (value !== undefined) body[wireName(name, input)] = toApi(input, value);
    else if (before[name] !== undefined && !input.computed) body[wireName(name, input)] = null;
  }
  return body;
}

function toApi(input: ApiInput, value: Value): unknown {
  if (!input.fields) return value;
  if (Array.isArray(value)) {
    return value.map((item) => (isObject(item) ? bodyOf(input.fields!, item) : item));
  }
  return isObject(value) ? bodyOf(input.fields, value) : value;
}

/**
 * The outputs after a write (`planned` holds, the API fills in what it computes) or after a reading (the API
 * holds, except for what it does not give back).
 */
export function outputsOf(
  kind: ResourceKind,
  result: Record<string, unknown>,
  known: Properties,
  after: "write" | "read",
): Properties {
  const outputs: Properties = {};
  for (const [name, input] of Object.entries(kind.inputs)) {
    const before = known[name];
    const told = result[wireName(name, input)];
    const keep = input.inPath || input.noRefresh || (after === "write" && before !== undefined);
    const value = keep ? before : readBack(input, told, before);
    if (value !== undefined && value !== null) outputs[name] = value;
    else if (after === "write" && input.computed && told !== undefined && told !== null) {
      outputs[name] = fromApi(input, told);
    }
  }
  for (const [name, { noRefresh, json }] of Object.entries(kind.computed)) {
    const told = result[snakeCase(name)];
    const kept = told === undefined || told === null ? known[name] : undefined;
    const value = noRefresh && kept !== undefined ? kept : told;
    if (value === undefined || value === null) continue;
    outputs[name] = json ? JSON.stringify(value) : camelCased(value);
  }
  return outputs;
}

// As the real provider: what was never set and comes back false or empty was not set.
function readBack(input: ApiInput, told: unknown, before: Value | undefined): Value | undefined {
  if (told === undefined || told === null) return undefined;
  const value = fromApi(input, told);
  if (before === undefined && !input.computed && !input.emptyDrifts && isZero(value)) {
    return undefined;
  }
  return alike(input, value, before);
}

function isZero(value: Value): boolean {
  if (value === false || value === "" || value === 0 || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every(isZero);
}

// The API expands what it was given by reference: only the fields that were asked for count.
function alike(input: ApiInput, value: Value, before: Value | undefined): Value {
  if (!input.fields) return input.set ? inOrder(input, value) : value;
  if (Array.isArray(value)) {
    const olds = Array.isArray(before) ? before : [];
    const items = value.map((item, index) => {
      const old = input.set ? undefined : olds[index];
      return isObject(item)
        ? fieldsAlike(input.fields!, item, isObject(old) ? old : undefined)
        : item;
    });
    return inOrder(input, items);
  }
  return isObject(value)
    ? fieldsAlike(input.fields, value, isObject(before) ? before : undefined)
    : value;
}

function fieldsAlike(
  fields: Record<string, ApiInput>,
  object: Properties,
  before: Properties | undefined,
): Properties {
  const kept: Properties = {};
  for (const [name, field] of Object.entries(fields)) {
    const old = before?.[name];
    const value = field.noRefresh ? (old ?? object[name]) : object[name];
    if (value === undefined || value === null) continue;
    if (field.notCarried || (before && old === undefined && isZero(value))) continue;
    if (isObject(value) && Object.keys(value).length === 0 && old === undefined && before) continue;
    kept[name] = alike(field, value, old);
  }
  return kept;
}

function fromApi(input: ApiInput, told: unknown): Value {
  if (!input.fields) return camelCased(told);
  const object = (item: Record<string, unknown>): Properties => {
    const properties: Properties = {};
    for (const [name, field] of Object.entries(input.fields!)) {
      const value = item[wireName(name, field)];
      if (value !== undefined && value !== null) properties[name] = fromApi(field, value);
    }
    return properties;
  };
  if (Array.isArray(told)) return told.map((item) => object(item as Record<string, unknown>));
  return object(told as Record<string, unknown>);
}

/** Names of the inputs whose wanted value is not the one that is there. */
export function changedInputs(kind: ResourceKind, there: Properties, wanted: Properties): string[] {
  return Object.entries(kind.inputs).flatMap(([name, input]) => {
    const before = there[name];
    const after = wanted[name];
    if (after === undefined) return before === undefined || input.computed ? [] : [name];
    if (containsUnknown(after)) return [name];
    if (before === undefined) return [name];
    if (input.kind === "string" && sameMoment(before, after)) return [];
    return equal(inOrder(input, before), after) ? [] : [name];
  });
}

function sameMoment(a: Value, b: Value): boolean {
  const moment = /^\d{4}-\d\d-\d\dT/;
  return (
    typeof a === "string" &&
    typeof b === "string" &&
    moment.test(a) &&
    moment.test(b) &&
    Date.parse(a) === Date.parse(b)
  );
}
