import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { privateKeyPath, readPrivateKeyFile } from "../infra/pi/private-key-file.ts";
import { answeringLine, answerOf, shellLine } from "../infra/pi/shell-words.ts";
import type { Settings } from "../infra/settings/schema.ts";
import { UserError } from "../infra/settings/user-error.ts";
import { exitStatus } from "./exit-status.ts";
import { inForeground } from "./foreground.ts";

type Pi = Settings["pi"];

/** Files of one connection: the pinned host key, and what ssh says of itself. */
interface SshFiles {
  knownHosts: string;
  log: string;
}

/** OpenSSH's command line for `line` on the Pi; only the pinned host key in `knownHosts` is believed. */
export function sshCommand(pi: Pi, files: SshFiles, line: string): string[] {
  const options = [
    `UserKnownHostsFile=${inOption(files.knownHosts)}`,
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=yes",
    "HostKeyAlias=the-pi",
    "BatchMode=yes",
    "ConnectTimeout=20",
    // A line that breaks on the way is noticed after a minute.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    // A connection that is shared was let in under another host key.
    "ControlPath=none",
    // It then says when the Pi has let it in.
    "LogLevel=VERBOSE",
    ...(pi.privateKeyFile
      ? [`IdentityFile=${inOption(privateKeyPath(pi.privateKeyFile))}`, "IdentitiesOnly=yes"]
      : []),
  ];
  return [
    "ssh",
    ...["-p", String(pi.port), "-E", files.log],
    ...options.flatMap((option) => ["-o", option]),
    `${pi.user}@${pi.host}`,
    line,
  ];
}

/** A path as ssh reads one in an option: blanks end it, and "%" begins a word of ssh's own. */
function inOption(path: string): string {
  return `"${path.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`;
}

/** The command line of one of the kit's programs on the Pi. */
export function piProgram(name: "backup" | "restore", ...words: string[]): string[] {
  return ["sudo", "-n", `/usr/local/libexec/ouchi-photos/${name}`, ...words];
}

/** Runs a command on the Pi, on the terminal. Returns its exit status. */
export async function runOnPi(pi: Pi, words: string[]): Promise<number> {
  return (await onPi(pi, shellLine(words), "inherit")).exitCode;
}

/** Runs a command on the Pi that must end well, and returns what it prints. */
export async function readOnPi(pi: Pi, words: string[]): Promise<string> {
  const { exitCode, stdout } = await onPi(pi, answeringLine(words), "pipe");
  const answer = answerOf(stdout);
  if (answer === undefined) {
    throw new UserError(
      `The Pi at ${pi.host} let ${pi.user} in, but did not come to what was asked for: the login shell of ${pi.user} there (/etc/passwd), or a script that it runs first, ends too early. Nothing was changed.`,
    );
  }
  if (exitCode !== 0) {
    throw new UserError(
      `The Pi at ${pi.host} did not answer, and ended with status ${exitCode}; why, it said above. Where nothing was set up on it yet, type: cli/ouchi up`,
      "unwell",
    );
  }
  return answer.trim();
}

/** What a command on the Pi prints as JSON, with the object that it is; `what` is for the sentence. */
export async function readObjectOnPi<T extends object>(
  pi: Pi,
  words: string[],
  what: { name: string; fields: (keyof T & string)[] },
): Promise<{ text: string; value: T }> {
  const text = await readOnPi(pi, words);
  const value = parsed(text);
  if (!isObject(value) || !what.fields.every((field) => field in value)) {
    throw new UserError(
      `The Pi at ${pi.host} answered, but not with its ${what.name}. Type first: cli/ouchi up`,
    );
  }
  return { text, value: value as T };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

async function onPi(
  pi: Pi,
  line: string,
  stdout: "inherit" | "pipe",
): Promise<{ exitCode: number; stdout: string }> {
  // For the refusal of a key that ssh would not use.
  if (pi.privateKeyFile) readPrivateKeyFile(pi.privateKeyFile);
  const folder = mkdtempSync(join(tmpdir(), "ouchi-"));
  try {
    const files = { knownHosts: join(folder, "known_hosts"), log: join(folder, "log") };
    writeFileSync(files.knownHosts, `the-pi ${pi.hostKey}\n`);
    writeFileSync(files.log, "");
    const [file, ...rest] = sshCommand(pi, files, line);
    const { ended: ran, interrupted } = await inForeground(() =>
      execa(file!, rest, {
        stdin: "inherit",
        stdout,
        stderr: "inherit",
        stripFinalNewline: false,
        reject: false,
      }),
    );
    if (ran.code === "ENOENT") {
      throw new UserError(
        'There is no "ssh" command on this laptop: install OpenSSH\'s client.',
        "settings",
      );
    }
    if (interrupted || ran.signal) {
      throw new UserError(
        "Interrupted. What the Pi was doing may go on there: cli/ouchi status tells.",
        "interrupted",
      );
    }
    // 255 is ssh's own failure.
    if (ran.exitCode === 255) throw notLetIn(pi, readFileSync(files.log, "utf8"));
    return { exitCode: ran.exitCode ?? exitStatus.unwell, stdout: String(ran.stdout ?? "") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Why ssh ended with 255. Its exit status says no more, so its words are read; what they do not say is not guessed. */
export function notLetIn(pi: Pi, log: string): UserError {
  const { host, port, user, privateKeyFile } = pi;
  const pi_ = `The Pi at ${host} port ${port}`;
  if (/^Authenticated to /m.test(log)) {
    return new UserError(
      `The line to the Pi at ${host} was lost on the way. What it was asked for may go on there: cli/ouchi status tells.`,
      "unreachable",
    );
  }
  const cause = refusals(pi).find(([words]) => words.test(log));
  if (cause) return new UserError(`${pi_} ${cause[1]} Nothing was changed.`);
  if (/Permission denied/.test(log)) {
    const cure = privateKeyFile
      ? `the key in pi.privateKeyFile, "${privateKeyFile}": it opens the Pi only if its public half stands in ~${user}/.ssh/authorized_keys there, and it has no passphrase.`
      : `the keys of the SSH agent ("ssh-add -l" lists them): add the one that opens the Pi by "ssh-add <file>", or name its file in pi.privateKeyFile.`;
    return new UserError(
      `${pi_} answers, but did not let ${user} in. Check pi.user, and ${cure} Nothing was changed.`,
    );
  }
  return new UserError(
    `${pi_} is out of reach (${lastWords(log)}). Check that it is switched on and in the same network as this laptop, and pi.host and pi.port. Nothing was changed.`,
    "unreachable",
  );
}

/** What OpenSSH's client says, and what follows from it. An answer is never taken for a Pi that is away. */
function refusals({ user, privateKeyFile }: Pi): [words: RegExp, sentence: string][] {
  return [
    [
      /Too many authentication failures/,
      privateKeyFile
        ? `answers, but ended the attempt after too many keys. Check the key in pi.privateKeyFile, "${privateKeyFile}", and MaxAuthTries in the Pi's sshd_config.`
        : `answers, but refused ${user} before the right key came: the SSH agent offered too many. Name the key's file in pi.privateKeyFile, so that only that one is offered.`,
    ],
    [
      /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No .* host key is known/,
      'answers with another host key than pi.hostKey. After a new SD card that is right: compare it on the Pi\'s own screen, and set pi.hostKey ("ssh-keyscan -t ed25519 <host>" prints it). Otherwise something else has its address.',
    ],
    [
      /no matching (?:host key type|key exchange method|cipher|MAC) found/i,
      'answers, but has no host key of the kind in pi.hostKey, or no cipher that this laptop knows. "ssh-keyscan -t ed25519 <host>" prints its key.',
    ],
    [
      /Could not open a connection to your authentication agent|bad permissions|invalid format|error in libcrypto/,
      "answers, but ssh on this laptop could not use the key. Check pi.privateKeyFile.",
    ],
  ];
}

function lastWords(log: string): string {
  const last = log
    .trimEnd()
    .split(/\r?\n/)
    .at(-1)
    ?.replace(/^ssh: /, "")
    .replace(/\.$/, "");
  return last || "ssh gave no reason";
}
