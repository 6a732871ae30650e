import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ProjectFolder } from "./project-folder.ts";
import { SshServer } from "./ssh-server.ts";

const repository = join(import.meta.dirname, "../../..");
const folder = new ProjectFolder("remote");
let sshd: SshServer;
beforeAll(async () => {
  sshd = await SshServer.start();
});
afterAll(() => {
  sshd.stop();
  folder.remove();
});

const configure = (create: string) =>
  folder.config({ "house:connection": sshd.connection, "house:command": { create } });

/** An up as it is typed, ended by `signals` once its command runs on the other side. */
async function interrupted(signals: NodeJS.Signals[]) {
  const before = sshd.connections;
  const child = spawn(
    process.execPath,
    [
      ...["--import", "tsx", join(repository, "rehearsal/engine/main.ts"), "up", "--skip-preview"],
      ...["--cwd", folder.path, "--stack", "dev", "--state", folder.stateFile],
    ],
    { cwd: repository, env: { ...process.env, PULUMI_CONFIG_PASSPHRASE: "a passphrase" } },
  );
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  while (sshd.connections === before && child.exitCode === null) await sleep(50);
  if (child.exitCode !== null) throw new Error(`The engine ended by itself:\n${said}`);
  for (const signal of signals) {
    child.kill(signal);
    await sleep(200);
  }
  return ended;
}

const pending = () =>
  (
    JSON.parse(folder.state) as {
      deployment: { pending_operations?: { type: string; resource: { urn: string } }[] };
    }
  ).deployment.pending_operations ?? [];

it("stops in order at Ctrl-C, and the next up goes on from there", async () => {
  configure("sleep 60");
  expect(await interrupted(["SIGINT"])).toBe(130);
  expect(pending()).toEqual([]);

  configure("echo done");
  const next = await folder.update({ skipPreview: true });
  expect(next.steps.map(({ op, name }) => `${op} ${name}`)).toEqual([
    "same house-dev",
    "create command",
  ]);
  expect(next.outputs).toEqual({ stdout: "done" });
});

it("tells after a kill what was under way", async () => {
  configure("sleep 60");
  expect(await interrupted(["SIGKILL"])).toBe(null);
  expect(pending().map(({ type, resource }) => [type, resource.urn.split("::").at(-1)])).toEqual([
    ["updating", "command"],
  ]);

  configure("echo again");
  const next = await folder.update({ skipPreview: true });
  expect(next.diagnostics[0]!.message).toContain("interrupted while updating");
  expect(next.summary.update).toBe(1);
});
