/** One POSIX shell line out of a command's words: the only place where words are quoted for a shell. */
export function shellLine(words: string[]): string {
  return words
    .map((word) =>
      /^[A-Za-z0-9_/.,:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`,
    )
    .join(" ");
}
