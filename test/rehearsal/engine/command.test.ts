import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StandIns } from "../../../rehearsal/engine/provider.ts";
import { Command } from "../../../rehearsal/engine/stand-ins/command/command.ts";
import type { Snapshot } from "../../../rehearsal/engine/state-file.ts";
import { type Properties, reveal, Secret } from "../../../rehearsal/engine/values.ts";
import { SshServer } from "./ssh-server.ts";
import { deploy, empty } from "./stage.ts";

const standIns: StandIns = { command: async (log) => new Command(log) };
const folder = mkdtempSync(join(tmpdir(), "ouchi-command-"));
let sshd: SshServer;
beforeAll(async () => {
  sshd = await SshServer.start();
});
afterAll(() => {
  sshd.stop();
  rmSync(folder, { recursive: true });
});

function up(base: Snapshot, inputs: Properties) {
  return deploy(standIns, base, [
    {
      name: "a",
      type: "command:remote:Command",
      inputs: { connection: new Secret(sshd.connection), ...inputs },
      // As the SDK registers it.
      additionalSecretOutputs: ["connection"],
      replaceOnChanges: ["triggers[*]"],
    },
  ]);
}

const outputs = ({ resources }: Snapshot) => reveal(resources.at(-1)!.outputs) as Properties;

describe("remote.Command", () => {
  it("runs create with stdin over one connection and gives stdout and stderr", async () => {
    const before = sshd.connections;
    const { snapshot, errors } = await up(empty, {
      create: "cat; echo oops >&2",
      stdin: "from stdin\n",
    });
    expect(errors).toEqual([]);
    expect(outputs(snapshot)).toMatchObject({ stdout: "from stdin", stderr: "oops" });
    expect(sshd.connections).toBe(before + 1);

    const again = await up(snapshot, { create: "cat; echo oops >&2", stdin: "from stdin\n" });
    expect(again.steps).toEqual(["same a"]);
    expect(sshd.connections).toBe(before + 1);
  });

  it("runs update in place for a changed stdin, triggers or connection, the pinned key's comment included", async () => {
    const commands = { create: "echo made", update: "echo updated; cat" };
    const first = await up(empty, { ...commands, stdin: "1", triggers: [1] });
    const id = first.snapshot.resources.at(-1)!.id;

    const stdin = await up(first.snapshot, { ...commands, stdin: "2", triggers: [1] });
    expect(stdin.steps).toEqual(["update a"]);
    expect(outputs(stdin.snapshot).stdout).toBe("updated\n2");
    expect(stdin.snapshot.resources.at(-1)!.id).toBe(id);

    const triggers = await up(stdin.snapshot, { ...commands, stdin: "2", triggers: [2] });
    expect(triggers.steps).toEqual(["update a"]);

    const connection = new Secret({
      ...sshd.connection,
      hostKey: sshd.connection.hostKey.replace(/ \S+$/, ""),
    });
    const moved = await up(triggers.snapshot, {
      ...commands,
      stdin: "2",
      triggers: [2],
      connection,
    });
    expect(moved.steps).toEqual(["update a"]);
    expect(moved.told[0]!.diff).toEqual(["~connection"]);
  });

  it("replaces for changed triggers where no update is given, and runs create again for the rest", async () => {
    const first = await up(empty, { create: "echo 1", triggers: [1] });
    const replaced = await up(first.snapshot, { create: "echo 1", triggers: [2] });
    expect(replaced.steps).toEqual(["replace a", "delete-replaced a"]);
    const changed = await up(replaced.snapshot, { create: "echo 2", triggers: [2] });
    expect(changed.steps).toEqual(["update a"]);
    expect(outputs(changed.snapshot).stdout).toBe("2");
  });

  it("runs delete with the stdin of the state, if there is one", async () => {
    const file = join(folder, "deleted");
    const { snapshot } = await up(empty, { create: "true", delete: `cat > ${file}`, stdin: "bye" });
    const gone = await deploy(standIns, snapshot, []);
    expect(gone.steps).toEqual(["delete a"]);
    expect(readFileSync(file, "utf8")).toBe("bye");

    const quiet = await up(empty, { create: "true" });
    const before = sshd.connections;
    await deploy(standIns, quiet.snapshot, []);
    expect(sshd.connections).toBe(before);
  });

  it("prints a failing command line whole, with its status and output, and keeps nothing of it", async () => {
    const failed = await up(empty, { create: 'echo out; echo "err" >&2; exit 3' });
    expect(failed.errors).toHaveLength(1);
    expect(failed.errors[0]).toMatch(
      /^Process exited with status 3: running "echo out; echo \\"err\\" >&2; exit 3":\n/,
    );
    expect(failed.errors[0]).toContain("out\n");
    expect(failed.errors[0]).toContain("err\n");
    expect(failed.snapshot.resources.filter(({ type }) => type.startsWith("command"))).toEqual([]);
  });

  it("keeps the old state when an update fails, and tries it again", async () => {
    const first = await up(empty, { create: "true", update: "test -e nowhere", stdin: "1" });
    const failed = await up(first.snapshot, {
      create: "true",
      update: "test -e nowhere",
      stdin: "2",
    });
    expect(failed.errors[0]).toContain("Process exited with status 1");
    const { inputs } = failed.snapshot.resources.at(-1)!;
    expect(inputs.stdin).toBe("1");
    const again = await up(failed.snapshot, { create: "true", update: "true", stdin: "2" });
    expect(again.steps).toEqual(["update a"]);
  });

  it("shows output as it comes, unless logging says otherwise", async () => {
    const told = async (logging?: string) => {
      const { deployment } = await up(empty, {
        create: "echo out; echo err >&2",
        ...(logging && { logging }),
      });
      return deployment.diagnostics.map(({ message }) => message).sort();
    };
    expect(await told()).toEqual(["err", "out"]);
    expect(await told("stderr")).toEqual(["err"]);
    expect(await told("none")).toEqual([]);
  });

  it("hands the previous output to the next run, unless it is told not to", async () => {
    const update = 'echo "[$PULUMI_COMMAND_STDOUT]"';
    const first = await up(empty, { create: "echo before", update, stdin: "1" });
    const handed = await up(first.snapshot, { create: "echo before", update, stdin: "2" });
    expect(outputs(handed.snapshot).stdout).toBe("[before]");
    const kept = { create: "echo before", update, stdin: "2", addPreviousOutputInEnv: false };
    expect(outputs((await up(handed.snapshot, kept)).snapshot).stdout).toBe("[]");
  });

  it("refuses another host key after the dials that it was given, in bare words", async () => {
    const connection = { ...sshd.connection, hostKey: sshd.publicKey("other") };
    const refused = await up(empty, { create: "true", connection: new Secret(connection) });
    expect(refused.deployment.diagnostics.map(({ message }) => message)).toEqual([
      "Dial 1/2 failed: retrying",
      "Dial 2/2 failed: retrying",
      "after 2 failed attempts: ssh: handshake failed: ssh: host key mismatch",
    ]);
  });

  it("dials ten times by default, and takes any host key where none is pinned", async () => {
    const { hostKey: _, dialErrorLimit: __, ...open } = sshd.connection;
    const { snapshot } = await up(empty, { create: "true", connection: new Secret(open) });
    const { connection } = reveal(snapshot.resources.at(-1)!.inputs) as { connection: Properties };
    expect(connection).toMatchObject({ dialErrorLimit: 10, perDialTimeout: 15, port: sshd.port });
  });

  it("refuses what it does not carry, or the real one does not know", async () => {
    const { errors } = await up(empty, { create: "true", environment: { A: "1" }, shell: "sh" });
    expect(errors.join("\n")).toContain('does not carry "environment"');
    expect(errors.join("\n")).toContain('"shell" is no input of this resource');
    const other = await deploy(standIns, empty, [{ name: "a", type: "command:local:Command" }]);
    expect(other.errors[0]).toContain('does not carry "command:local:Command"');
  });

  it("ends a running command when the deployment is cancelled", async () => {
    const canceled = await deploy(
      standIns,
      empty,
      [
        {
          name: "a",
          type: "command:remote:Command",
          inputs: { connection: sshd.connection, create: "sleep 30" },
        },
      ],
      { during: (deployment) => void setTimeout(() => void deployment.cancel(), 500) },
    );
    expect(canceled.errors[0]).toContain('running "sleep 30"');
  });
});
