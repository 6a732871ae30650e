import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { repository } from "../settings/repository.ts";
import { UserError } from "../settings/user-error.ts";

/** Where pi.privateKeyFile leads: from the repository's folder, or from home with `~/`. */
export function privateKeyPath(privateKeyFile: string): string {
  return resolve(repository, privateKeyFile.replace(/^~(?=\/)/, homedir()));
}

/**
 * The text of a private key, under OpenSSH's own rule for its file: what `ouchi status` would refuse, `up` refuses too.
 *
 * @throws {UserError} when it cannot be read, or others on the laptop can open it.
 */
export function readPrivateKeyFile(privateKeyFile: string): string {
  const path = privateKeyPath(privateKeyFile);
  try {
    const text = readFileSync(path, "utf8");
    const others = openToOthers(path, privateKeyFile, statSync(path), process.getuid?.());
    if (others) throw new UserError(others, "settings");
    return text;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `The private key in pi.privateKeyFile, "${privateKeyFile}", could not be read: ${(error as Error).message}. Nothing was changed.`,
      "settings",
    );
  }
}

/**
 * OpenSSH's rule, and its cure as a sentence: a key's file that is the user's own gives nothing to group and others. One of
 * somebody else's is not looked at, and a system without owners (Windows' Node) has no such rule.
 */
export function openToOthers(
  path: string,
  privateKeyFile: string,
  { mode, uid }: { mode: number; uid: number },
  me: number | undefined,
): string | undefined {
  if (me === undefined || uid !== me || (mode & 0o077) === 0) return undefined;
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  const windows = /^\/mnt\/[a-z]\//.test(path)
    ? ` A disk of Windows' keeps no such rights: copy the key into ~/.ssh first, and name it there.`
    : "";
  return `The private key in pi.privateKeyFile, "${privateKeyFile}", can be opened by others on this computer (${octal}), and OpenSSH then does not use it: chmod 600 '${path}'.${windows} Nothing was changed.`;
}
