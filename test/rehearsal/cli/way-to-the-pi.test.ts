import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { freePort } from "../immich/services.ts";
import { makeKey, type Sshd, startSshd } from "../immich/sshd.ts";

const ouchi = join(import.meta.dirname, "../../../cli/ouchi");
const folder = mkdtempSync(join(tmpdir(), "ouchi pi 100% "));
const stackFile = join(folder, "stack.yaml");

const well = {
  now: "2026-11-28T03:00:00Z",
  health: { at: "2026-11-28T02:59:00Z", problems: [] as unknown[] },
  backups: {},
  nextRun: null,
  disks: {},
};

/** `ouchi` against a real SSH server, on which "sudo" is a stand-in for the kit's programs. */
describe("The way to the Pi:", { timeout: 60_000 }, () => {
  let sshd: Sshd;
  let pi: Record<string, unknown>;

  beforeAll(async () => {
    // A login shell that finds the stand-in before the system's sudo.
    const login = join(folder, "login");
    const lines = `PATH='${folder}':$PATH\neval "$SSH_ORIGINAL_COMMAND"`;
    writeFileSync(login, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
    sshd = await startSshd({ config: [`ForceCommand "${login}"`, "MaxAuthTries 3"] });
  });
  afterAll(async () => {
    await sshd.stop();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    const { port, user, hostKey, privateKeyFile } = sshd;
    pi = { host: "127.0.0.1", port, user, hostKey, privateKeyFile };
    onThePi(`cat <<'E'\n${JSON.stringify(well)}\nE`);
  });

  function onThePi(script: string): void {
    writeFileSync(join(folder, "sudo"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, "sudo"), 0o755);
  }

  function type(words: string[], env: NodeJS.ProcessEnv = { SSH_AUTH_SOCK: undefined }) {
    // What is wrong beside "pi" is none of these commands' business.
    const config = { "ouchi-photos:pi": pi, "ouchi-photos:family": [{ name: "ken", email: "?" }] };
    writeFileSync(stackFile, stringify({ config }));
    return execa(ouchi, ["--config-file", stackFile, ...words], { reject: false, env, input: "" });
  }

  test("status takes one connection, and tells well from unwell by its status", async () => {
    const before = sshd.logins();
    const good = await type(["status"]);
    expect([good.stderr, good.exitCode]).toEqual(["", 0]);
    expect(good.stdout).toMatch(/^All is well\.\n/);
    expect(sshd.logins() - before).toBe(1);

    const problem = { what: "HDD2 is full.", safe: "", todo: "", since: well.now };
    const unwell = JSON.stringify({ ...well, health: { at: well.now, problems: [problem] } });
    onThePi(`echo '${unwell}'`);
    const bad = await type(["status", "--json"]);
    expect([bad.stdout, bad.stderr, bad.exitCode]).toEqual([unwell, "", 1]);
  });

  test("restore's options reach the Pi's, with its help, its terminal and its status", async () => {
    onThePi('printf "%s\\n" "$@"; cat; echo asks >&2; exit 2');
    const program = "/usr/local/libexec/ouchi-photos/restore";
    for (const options of [
      ["--list"],
      ["--help"],
      ["--photo", "IMG 1 'の' $HOME.jpg", "--archive", "immich-1"],
      ["--", "--undo"],
    ]) {
      const { stdout, stderr, exitCode } = await type(["restore", ...options]);
      expect(stdout.split("\n")).toEqual([
        ...["-n", program, ...options.filter((each) => each !== "--")],
      ]);
      expect([stderr, exitCode]).toEqual(["asks", 2]);
    }
  });

  test("a list of archives, and the key, are JSON where it is asked for", async () => {
    onThePi(
      'echo "took away the lock of a run that was cut"\necho "frozen-1  2026-11-21T01:00:12.000000"\necho "immich-2  2026-11-28T01:00:12.000000"',
    );
    expect(JSON.parse((await type(["backup", "list", "--json"])).stdout)).toEqual([
      { name: "frozen-1", time: "2026-11-21T01:00:12.000000" },
      { name: "immich-2", time: "2026-11-28T01:00:12.000000" },
    ]);
    const found = { passphrase: "a", key: "b", repository: "c", disk: { words: "d", uuid: "e" } };
    onThePi(`echo '${JSON.stringify(found)}'`);
    expect(JSON.parse((await type(["key", "--json"])).stdout)).toEqual(found);
  });

  test("an answer that the Pi refuses, or that is none, is an error and no fault", async () => {
    onThePi("echo 'There is no backup yet.' >&2; exit 1");
    const refused = await type(["key", "--json"]);
    expect([refused.stdout, refused.exitCode]).toEqual(["", 1]);
    expect(refused.stderr).toMatch(/^There is no backup yet\.\n.*ended with status 1/);

    for (const answer of ["echo Welcome", "echo null", "echo []", "true"]) {
      onThePi(answer);
      const { stdout, stderr, exitCode } = await type(["status"]);
      expect([stdout, exitCode]).toEqual(["", 77]);
      expect(stderr).toContain("not with its status");
    }
  });

  test("a key and a scratch folder may lie in a folder of any name", async () => {
    const privateKeyFile = join(folder, "a key");
    copyFileSync(sshd.privateKeyFile, privateKeyFile);
    pi.privateKeyFile = privateKeyFile;
    const { stderr, exitCode } = await type(["status"], {
      SSH_AUTH_SOCK: undefined,
      TMPDIR: folder,
    });
    expect([stderr, exitCode]).toEqual(["", 0]);
  });

  test("a Pi that is off, or has another name, is out of reach", async () => {
    pi.port = await freePort();
    const off = await type(["status"]);
    expect(off.stderr).toMatch(/^The Pi at 127\.0\.0\.1 port \d+ is out of reach \(.*refused\)\./);
    expect(off.stderr).not.toContain("\n");
    expect([off.stdout, off.exitCode]).toEqual(["", 69]);

    pi.host = "nowhere.invalid";
    const { stderr, exitCode } = await type(["backup", "now"]);
    expect(stderr).toContain("is out of reach (Could not resolve hostname nowhere.invalid");
    expect(exitCode).toBe(69);
  });

  test("a line that is lost on the way is told from a Pi that is off", async () => {
    onThePi("kill -9 $(ps -o ppid= -p $PPID); sleep 1");
    const { stderr, exitCode } = await type(["restore", "--list"]);
    expect(stderr).toMatch(/^The line to the Pi at 127\.0\.0\.1 was lost on the way\./m);
    expect(exitCode).toBe(69);
  });

  test("Ctrl-C ends it with a sentence and its own status, and leaves no file behind", async () => {
    onThePi("echo here; sleep 20");
    writeFileSync(stackFile, stringify({ config: { "ouchi-photos:pi": pi } }));
    const scratch = mkdtempSync(join(folder, "tmp-"));
    const child = spawn(ouchi, ["restore", "--list", "--config-file", stackFile], {
      env: { ...process.env, TMPDIR: scratch },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (text: Buffer) => {
      said += text;
    });
    child.stdout.once("data", () => process.kill(-child.pid!, "SIGINT"));
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect(said).toMatch(/^Interrupted\. What the Pi was doing may go on there/m);
    expect(status).toBe(130);
    expect(readdirSync(scratch).filter((name) => name.startsWith("ouchi-"))).toEqual([]);
  });

  describe("what the Pi refuses is never taken for a Pi that is away:", () => {
    async function refusal(env?: NodeJS.ProcessEnv, status = 77): Promise<string> {
      const { stdout, stderr, exitCode } = await type(["status", "--json"], env);
      expect([stdout, exitCode]).toEqual(["", status]);
      expect(stderr).not.toMatch(/out of reach|fault of|\n/);
      return stderr;
    }

    test("another host key", async () => {
      pi.hostKey = makeKey(join(folder, "other")).publicKey;
      expect(await refusal()).toContain("answers with another host key than pi.hostKey");
    });

    test("a key that it does not know", async () => {
      makeKey(join(folder, "stranger"));
      pi.privateKeyFile = join(folder, "stranger");
      expect(await refusal()).toContain("did not let");
      expect(await refusal()).toContain("Check pi.user, and the key in pi.privateKeyFile");
    });

    test("a key that others can read, before anything is sent", async () => {
      copyFileSync(sshd.privateKeyFile, join(folder, "open"));
      chmodSync(join(folder, "open"), 0o644);
      pi.privateKeyFile = join(folder, "open");
      const before = sshd.logins();
      // The laptop is what has to be mended.
      expect(await refusal(undefined, 78)).toContain("chmod 600");
      expect(sshd.logins()).toBe(before);
    });

    describe("an agent", () => {
      let agent: ChildProcess;
      const SSH_AUTH_SOCK = join(folder, "agent");

      beforeAll(async () => {
        agent = spawn("ssh-agent", ["-D", "-a", SSH_AUTH_SOCK], {
          stdio: ["ignore", "pipe", "ignore"],
        });
        await new Promise((resolve) => agent.stdout!.once("data", resolve));
      });
      afterAll(() => agent.kill());

      const add = (file: string) =>
        execFileSync("ssh-add", ["-q", file], { env: { ...process.env, SSH_AUTH_SOCK } });

      test("with many keys is told from a Pi that is away, and the one key's file is the cure", async () => {
        for (const name of ["one", "two", "three", "four"]) {
          makeKey(join(folder, name));
          add(join(folder, name));
        }
        delete pi.privateKeyFile;
        const message = await refusal({ SSH_AUTH_SOCK });
        expect(message).toContain("the SSH agent offered too many");
        expect(message).toContain("Name the key's file in pi.privateKeyFile");
        // That is the cure.
        pi.privateKeyFile = sshd.privateKeyFile;
        expect((await type(["status"], { SSH_AUTH_SOCK })).exitCode).toBe(0);
      });
    });
  });
});
