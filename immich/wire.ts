/** Pulumi's values as they travel: secrets are wrapped, and what is not known yet is a sentinel. */

const signature = "4dabf18193072939515e22adb298388d";
const secretMark = "1b47061264138c4ac30d75fd1eb44270";
const unknownSentinel = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export type Wire = { [key: string]: unknown };

const isTree = (value: unknown): value is Wire =>
  value !== null && typeof value === "object" && !Array.isArray(value);

export const isSecret = (value: unknown): value is { value: unknown } =>
  isTree(value) && value[signature] === secretMark;

export const asSecret = (value: unknown): unknown =>
  isSecret(value) || value === undefined ? value : { [signature]: secretMark, value };

/** The plain value at every depth. */
export function plain(value: unknown): unknown {
  if (isSecret(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (isTree(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

export function hasUnknown(value: unknown): boolean {
  if (value === unknownSentinel) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isTree(value) && Object.values(value).some(hasUnknown);
}

/** `values` with every path secret that is secret in `like`. */
export function secretLike(values: unknown, like: unknown): unknown {
  if (isSecret(like)) return asSecret(values);
  if (isTree(values) && isTree(like)) {
    return Object.fromEntries(
      Object.entries(values).map(([key, item]) => [key, secretLike(item, like[key])]),
    );
  }
  return values;
}

export function sameValue(one: unknown, other: unknown): boolean {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, i) => sameValue(item, other[i]));
  }
  if (isTree(one) && isTree(other)) {
    const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
    return [...keys].every((key) => sameValue(one[key], other[key]));
  }
  return one === other;
}
