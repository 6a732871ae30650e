// How long the commands take to their first line, beside what no command can save: starting Node, and one SSH connection.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { stringify } from "yaml";
import { startSshd } from "../test/rehearsal/immich/sshd.ts";
import { keepResult, median, rounded, seconds } from "./result.ts";

const runs = 15;
const ouchi = join(import.meta.dirname, "../cli/ouchi");
const folder = mkdtempSync(join(tmpdir(), "ouchi-bench-"));
const [sudo, login, stackFile] = ["sudo", "login", "stack.yaml"].map((name) => join(folder, name));
const status = { now: new Date().toISOString(), health: { problems: [] }, backups: {}, disks: {} };
writeFileSync(sudo!, `#!/bin/sh\necho '${JSON.stringify(status)}'\n`);
writeFileSync(login!, `#!/bin/sh\nPATH=${folder}:$PATH\neval "$SSH_ORIGINAL_COMMAND"\n`);
for (const file of [sudo!, login!]) chmodSync(file, 0o755);
const sshd = await startSshd({ config: [`ForceCommand ${login}`] });
try {
  const { port, user, hostKey, privateKeyFile } = sshd;
  const pi = { host: "127.0.0.1", port, user, hostKey, privateKeyFile };
  writeFileSync(stackFile!, stringify({ config: { "ouchi-photos:pi": pi } }));
  const anyHostKey = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
  const commands = {
    node: [process.execPath, "-e", "0"],
    help: [ouchi, "--help"],
    ssh: [
      "ssh",
      "-q",
      "-p",
      `${port}`,
      "-i",
      privateKeyFile,
      ...anyHostKey,
      `${user}@127.0.0.1`,
      "true",
    ],
    status: [ouchi, "status", "--config-file", stackFile!],
  };
  // The first start in a clone, or after a change, compiles.
  rmSync(join(ouchi, "../../node_modules/.cache/ouchi"), { recursive: true, force: true });
  const firstHelpSeconds = await seconds(() => run(commands.help));
  const before = sshd.logins();
  await run(commands.status);
  const connectionsOfStatus = sshd.logins() - before;
  const taken = Object.fromEntries(
    Object.keys(commands).map((name) => [name, [] as number[]]),
  ) as Record<keyof typeof commands, number[]>;
  // In turns: what else the machine does then weighs on all alike.
  for (let turn = 0; turn < runs; turn++) {
    for (const name of Object.keys(commands) as (keyof typeof commands)[]) {
      taken[name].push(await seconds(() => run(commands[name])));
    }
  }
  const [node, help, ssh, whole] = [taken.node, taken.help, taken.ssh, taken.status].map(median);
  await keepResult("commands", {
    what: "ouchi --help beside node -e 0, and ouchi status beside ssh true, to their ends",
    runs,
    node: process.versions.node,
    nodeSeconds: rounded(node!),
    helpSeconds: rounded(help!),
    helpAboveNodeSeconds: rounded(help! - node!),
    firstHelpSeconds: rounded(firstHelpSeconds),
    sshSeconds: rounded(ssh!),
    statusSeconds: rounded(whole!),
    statusAboveNodeAndSshSeconds: rounded(whole! - node! - ssh!),
    connectionsOfStatus,
  });
} finally {
  await sshd.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function run([file, ...words]: string[]): Promise<void> {
  await execa(file!, words);
}
