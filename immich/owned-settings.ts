/** The part of Immich's settings that the kit owns, apart from the rest, which is the owner's. */

export type SettingsTree = { [key: string]: unknown };

const isTree = (value: unknown): value is SettingsTree =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** `whole` with the keys of `owned` in it; lists are taken as one value. */
export function mergeOwned(whole: SettingsTree, owned: SettingsTree): SettingsTree {
  const merged: SettingsTree = { ...whole };
  for (const [key, value] of Object.entries(owned)) {
    const current = whole[key];
    merged[key] = isTree(value) && isTree(current) ? mergeOwned(current, value) : value;
  }
  return merged;
}

/** What `whole` says at the keys of `owned`. */
export function ownedPart(whole: SettingsTree, owned: SettingsTree): SettingsTree {
  const part: SettingsTree = {};
  for (const [key, value] of Object.entries(owned)) {
    const current = whole[key];
    if (isTree(value) && isTree(current)) part[key] = ownedPart(current, value);
    else if (current !== undefined) part[key] = current;
  }
  return part;
}

/** Paths of `owned` that Immich does not know: it would drop them without a word. */
export function unknownKeys(whole: SettingsTree, owned: SettingsTree, at = ""): string[] {
  return Object.entries(owned).flatMap(([key, value]) => {
    const path = at ? `${at}.${key}` : key;
    if (!(key in whole)) return [path];
    const current = whole[key];
    return isTree(value) && isTree(current) ? unknownKeys(current, value, path) : [];
  });
}
