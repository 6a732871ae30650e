/**
 * Command lines for the Pi. sshd hands a line to the user's login shell, whichever that is: sh, bash, zsh, fish, csh. They
 * agree on simple words, and on single quotes around anything but quotes, backslashes, line breaks and csh's "!".
 */

/** One line out of a command's words that every login shell reads alike: the only place where words are quoted for a shell. */
export function shellLine(words: string[]): string {
  const alike = words.every((word) => /^[ -~]*$/.test(word) && !/['\\!]/.test(word));
  return alike ? quoted(words) : inSh(quoted(words));
}

/** As `shellLine`; what the command prints is followed by a mark, so that `answerOf` can tell it from silence. */
export function answeringLine(words: string[]): string {
  return inSh(`echo ${begin}; ${quoted(words)}; status=$?; echo; echo ${end}; exit $status`);
}

const begin = "ouchi-photos-answers";
const end = "ouchi-photos-ends";

/**
 * What the command of an `answeringLine` printed, without what the user's own login scripts printed around it.
 *
 * @returns undefined when the login shell never came to the command's end: that is no answer.
 */
export function answerOf(stdout: string): string | undefined {
  const from = stdout.indexOf(`${begin}\n`);
  const to = stdout.lastIndexOf(`\n${end}\n`);
  return from < 0 || to < from ? undefined : stdout.slice(from + begin.length + 1, to);
}

/** POSIX quoting. A word that begins with "=" or "%" is a command's path to zsh and a job to csh. */
function quoted(words: string[]): string {
  return words
    .map((word) =>
      /^[A-Za-z0-9_/.,:@+-][A-Za-z0-9_/.,:=@%+-]*$/.test(word)
        ? word
        : `'${word.replaceAll("'", `'\\''`)}'`,
    )
    .join(" ");
}

/** Any POSIX line, brought through a login shell as one simple word. Standard input stays the command's. */
function inSh(line: string): string {
  return `exec sh -c 'eval "$(echo $0 | base64 -d)"' ${Buffer.from(line).toString("base64")}`;
}
