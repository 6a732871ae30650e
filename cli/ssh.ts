import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { shellLine } from "../infra/pi/shell-words.ts";
import { repository } from "../infra/settings/repository.ts";
import type { Settings } from "../infra/settings/schema.ts";
import { UserError } from "../infra/settings/user-error.ts";

/** OpenSSH's command line for `words` on the Pi; only the pinned host key in `knownHosts` is believed. */
export function sshCommand(pi: Settings["pi"], knownHosts: string, words: string[]): string[] {
  return [
    "ssh",
    "-p",
    String(pi.port),
    "-o",
    `UserKnownHostsFile=${knownHosts}`,
    "-o",
    "GlobalKnownHostsFile=/dev/null",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "HostKeyAlias=the-pi",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=20",
    ...(pi.privateKeyFile
      ? [
          "-i",
          resolve(repository, pi.privateKeyFile.replace(/^~(?=\/)/, homedir())),
          "-o",
          "IdentitiesOnly=yes",
        ]
      : []),
    `${pi.user}@${pi.host}`,
    shellLine(words),
  ];
}

/** The command line of one of the kit's programs on the Pi. */
export function piProgram(name: "backup" | "restore", ...words: string[]): string[] {
  return ["sudo", "-n", `/usr/local/libexec/ouchi-photos/${name}`, ...words];
}

/** Runs a command on the Pi, on the terminal. Returns its exit status. */
export async function runOnPi(pi: Settings["pi"], words: string[]): Promise<number> {
  return (await onPi(pi, words, "inherit")).exitCode;
}

/** Runs a command on the Pi that must end well, and returns what it prints. */
export async function readOnPi(pi: Settings["pi"], words: string[]): Promise<string> {
  const { exitCode, stdout } = await onPi(pi, words, "pipe");
  if (exitCode !== 0) {
    throw new UserError(`The Pi at ${pi.host} ended the command with status ${exitCode}.`);
  }
  return stdout;
}

async function onPi(
  pi: Settings["pi"],
  words: string[],
  stdout: "inherit" | "pipe",
): Promise<{ exitCode: number; stdout: string }> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-"));
  try {
    const knownHosts = join(folder, "known_hosts");
    writeFileSync(knownHosts, `the-pi ${pi.hostKey}\n`);
    const [file, ...rest] = sshCommand(pi, knownHosts, words);
    const ran = await execa(file!, rest, {
      stdin: "inherit",
      stdout,
      stderr: "inherit",
      reject: false,
    });
    if (ran.code === "ENOENT") {
      throw new UserError('There is no "ssh" command on this laptop: install OpenSSH\'s client.');
    }
    // 255 is ssh's own failure; what it printed above says why.
    if (ran.exitCode === 255) {
      throw new UserError(
        `The Pi at ${pi.host} port ${pi.port} could not be entered as ${pi.user}. Check that it is switched on, and pi.host, pi.hostKey and the key. Nothing was changed.`,
      );
    }
    return { exitCode: ran.exitCode ?? 1, stdout: String(ran.stdout ?? "") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
