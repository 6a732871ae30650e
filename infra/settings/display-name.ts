import { quoted } from "./text.ts";

/** Immich and its database take any text; its app and its page show it on one line. */
export const longestDisplayName = 64;

/** What is wrong with a name that is shown, and the cure; undefined when people can read it. */
export function displayNameProblem(value: string): string | undefined {
  if (!/[^\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}\u2800]/u.test(value)) {
    return "is empty: give the name that Immich shows, or leave displayName out, and it shows name";
  }
  // Half of an emoji, and what turns the direction of the words after it.
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(value)) {
    return `is ${quoted(value)}, which holds a line break or another sign that is not to be seen: give a name on one line`;
  }
  if (value !== value.trim()) {
    return `is ${quoted(value)}: give it without the space before or after it`;
  }
  const length = [...value].length;
  if (length > longestDisplayName) {
    return `has ${length} characters: give a name of ${longestDisplayName} at most`;
  }
  return undefined;
}
