import { EngineError } from "./engine-error.ts";
import { isObject, type Properties, Secret, type Value } from "./values.ts";

/** Whether `pattern` is `path` or holds it: `a` holds `a.b`, and `a[*]` holds `a[0]` but not `a` itself. */
export function covers(pattern: string, path: string): boolean {
  const wanted = pattern.split(/(\[\*\]|\.\*)/).flatMap((part, index) => {
    if (index % 2 === 1) return ["*"];
    return parsePath(part);
  });
  const keys = parsePath(path);
  return (
    keys.length >= wanted.length &&
    wanted.every((key, index) => key === "*" || String(key) === String(keys[index]))
  );
}

/** `a.b[0]["c"]` as its keys. */
export function parsePath(path: string): (string | number)[] {
  const keys: (string | number)[] = [];
  const pattern = /\.?([^.[\]"*]+)|\[(\d+)\]|\["([^"]*)"\]/y;
  while (pattern.lastIndex < path.length) {
    const match = pattern.exec(path);
    if (!match) {
      throw new EngineError(`The rehearsal engine does not know the property path "${path}".`);
    }
    keys.push(match[2] === undefined ? (match[1] ?? match[3] ?? "") : Number(match[2]));
  }
  return keys;
}

export function valueAt(properties: Properties, path: string): Value | undefined {
  let value: Value | undefined = properties;
  for (const key of parsePath(path)) {
    if (value instanceof Secret) value = value.value;
    if (Array.isArray(value) && typeof key === "number") value = value[key];
    else if (isObject(value)) value = value[key];
    else return undefined;
  }
  return value;
}

/** A copy in which `path` holds `value`, or nothing when there is none. */
export function withValueAt(
  properties: Properties,
  path: string,
  value: Value | undefined,
): Properties {
  return placed(properties, parsePath(path), value) as Properties;
}

function placed(into: Value, keys: (string | number)[], value: Value | undefined): Value {
  const [key, ...rest] = keys;
  if (into instanceof Secret) return new Secret(placed(into.value, keys, value));
  if (Array.isArray(into) && typeof key === "number" && key in into) {
    const copy = [...into];
    copy[key] = rest.length > 0 ? placed(copy[key]!, rest, value) : (value ?? null);
    return copy;
  }
  if (!isObject(into) || key === undefined) return into;
  const copy = { ...into };
  if (rest.length > 0) {
    const inner = copy[key];
    if (inner !== undefined) copy[key] = placed(inner, rest, value);
  } else if (value === undefined) delete copy[key];
  else copy[key] = value;
  return copy;
}
