import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const repository = join(import.meta.dirname, "../../..");
const ouchi = join(repository, "cli/ouchi");
const folder = mkdtempSync(join(tmpdir(), "ouchi-usage-"));
const stackFile = join(folder, "stack.yaml");

/** In Pulumi's place, by its name on the PATH. */
function pulumiIs(script: string): void {
  writeFileSync(join(folder, "pulumi"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "pulumi"), 0o755);
}

const env = { PATH: `${folder}:${process.env.PATH}` };
const type = (...words: string[]) => execa(ouchi, words, { reject: false, env, cwd: folder });

beforeAll(() => {
  writeFileSync(
    stackFile,
    `config:
  domain: yamada.jp
  accountId: 0123456789abcdef0123456789abcdef
  timeZone: Asia/Tokyo
  pi: { host: 192.168.11.14, hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINEAzwGq0GGx3pcxCzGWqhTzZrXKkgZv4QhcnH5xLxQ4 }
  disks: { main: usb-WDC_WD10EZEX_1234-0:0, backup: usb-WDC_WD10EZEX_5678-0:0 }
  family: [{ name: ken, email: ken@yamada.jp }]
`,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("A slip in the command line is one line, with the status for it:", () => {
  test.each([
    [["deploy"], 'no command "deploy"; "cli/ouchi up" is perhaps meant'],
    [["destory"], "there are up, preview, adopt, secrets, status, backup, key, restore"],
    [["statsu"], 'no command "statsu"; "cli/ouchi status" is perhaps meant'],
    [["Status"], 'no command "Status"; "cli/ouchi status" is perhaps meant'],
    [["install"], '"cli/ouchi install-pulumi" is perhaps meant'],
    [["version"], '"cli/ouchi --version" is perhaps meant'],
    [["--config-file=", "status"], "--config-file names no file"],
    [
      ["backup", "acept"],
      'cli/ouchi backup: there is no command "acept"; there are now, list, drill.',
    ],
    [["backup", "makeroom"], "there are now, list, drill."],
    [["status", "--jsno"], "cli/ouchi status: unknown option '--jsno' (Did you mean --json?)"],
    [["status", "everything"], "too many arguments"],
    [["secrets"], "missing required argument 'person'"],
    [["sdcard", "/x"], "required option '--public-key <file>' not specified"],
    [["up", "--stack"], "option '-s, --stack <name>' argument missing"],
    [["--engine", "x", "up"], "Allowed choices are pulumi, rehearsal."],
  ])("%j", async (words, sentence) => {
    const { stdout, stderr, exitCode } = await type(...words);
    expect(stderr).toContain(sentence);
    expect(stderr).toMatch(/^cli\/ouchi.*--help" .*\.$/);
    // A list of the commands names none that takes something away.
    expect(stderr).not.toMatch(/destroy|accept|make-room/);
    expect([stdout, exitCode]).toEqual(["", 64]);
  });

  test("while a call for help or for the version is none", async () => {
    const help = await type("--help");
    expect(help.exitCode).toBe(0);
    for (const status of [0, 1, 64, 69, 70, 77, 78, 130]) {
      expect(help.stdout).toMatch(new RegExp(`^ {2}${status} +\\S`, "m"));
    }
    expect(await type("backup", "list", "--help")).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await type("--version")).toMatchObject({ exitCode: 0, stdout: "0.1.0" });
    // Alone it asks for nothing, and helps.
    const alone = await type();
    expect(alone).toMatchObject({ exitCode: 64, stdout: "" });
    expect(alone.stderr).toContain("Commands:");
  });
});

describe("Pulumi gets", () => {
  const words = async (...typed: string[]) => {
    pulumiIs('printf "%s\\n" "$@"; exit 7');
    const { stdout, stderr, exitCode } = await type(...typed);
    expect([stderr, exitCode]).toEqual(["", 7]);
    return stdout.split("\n");
  };
  const stack = ["--stack", "yama", "--config-file", stackFile];

  test("the options that it knows, before and after our own, with and without --", async () => {
    expect(await words("up", "--yes", "--target", "urn:x", ...stack)).toEqual([
      ...["--cwd", repository, "up", "--yes", "--target", "urn:x", ...stack],
    ]);
    expect(await words(...stack, "preview", "--refresh", "--diff", "--", "--json")).toEqual([
      ...["--cwd", repository, "preview", "--refresh", "--diff", "--json", ...stack],
    ]);
  });

  test("no destroy before it was looked whether others use what would go; the way without the look is said", async () => {
    pulumiIs('case "$*" in *destroy*) echo Pulumi was called;; esac; exit 7');
    const ran = await type("destroy", "--yes", "--exclude-protected", ...stack);
    expect([ran.stdout, ran.exitCode]).toEqual(["", 77]);
    expect(ran.stderr).toContain("type: pulumi destroy --exclude-protected");
  });

  test("the place of the settings from where the owner is", async () => {
    expect(await words("up", "--config-file", "stack.yaml")).toContain(stackFile);
  });

  test("nothing of a destroy that was not meant", async () => {
    pulumiIs("echo Pulumi was called");
    for (const typed of [["destroy"], ["destroy", "--yes"], ["destroy", "--", "--yes"]]) {
      const { stdout, stderr, exitCode } = await type(...typed, ...stack.slice(0, 2));
      expect([stdout, exitCode]).toEqual(["", 77]);
      expect(stderr).toContain("cli/ouchi destroy --exclude-protected");
    }
  });

  test("Ctrl-C, and is waited for, with its status", async () => {
    pulumiIs(
      'trap "sleep 0.3; echo ended in order; exit 8" INT; echo up; while :; do sleep 0.1; done',
    );
    const child = spawn(ouchi, ["up", ...stack], {
      env: { ...process.env, ...env },
      // A group of its own, as a terminal has one for what it runs.
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    child.stdout.on("data", (text: Buffer) => {
      printed += text;
      if (printed === "up\n") process.kill(-child.pid!, "SIGINT");
    });
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect([printed, status]).toEqual(["up\nended in order\n", 8]);
  });
});

test("Without Node it says what it needs", async () => {
  const empty = join(folder, "no-node");
  mkdirSync(empty);
  for (const name of ["dirname", "readlink"]) symlinkSync(`/usr/bin/${name}`, join(empty, name));
  const { stderr, exitCode } = await execa("/bin/sh", [ouchi, "status"], {
    reject: false,
    extendEnv: false,
    env: { PATH: empty },
  });
  expect([stderr, exitCode]).toEqual(["ouchi needs Node 20.19 or newer: https://nodejs.org", 78]);
});

test("Without Pulumi's command it says how to bring it", async () => {
  rmSync(join(folder, "pulumi"), { force: true });
  const { stderr, exitCode } = await execa(ouchi, ["up", "--config-file", stackFile], {
    reject: false,
    // Node and the system's own programs alone.
    env: { PATH: `${join(process.execPath, "..")}:/usr/bin:/bin` },
  });
  expect(stderr).toContain('Bring it by "cli/ouchi install-pulumi"');
  expect(exitCode).toBe(78);
});

test("A reader that has gone, or read enough, is no fault", async () => {
  const people = { ken: { email: "ken@yamada.jp", firstPassword: "a", phones: {} } };
  pulumiIs(`echo '${JSON.stringify({ url: "https://photos.yamada.jp", people })}'`);
  const line = `set -o pipefail
    { while ! [ -e "$1" ]; do sleep 0.05; done; "$0" secrets ken; } | { exec <&-; : >"$1"; sleep 1; }
    echo $?
    "$0" --help | head -n 1`;
  const { stdout, stderr, exitCode } = await execa(
    "bash",
    ["-c", line, ouchi, join(folder, "gone")],
    { env },
  );
  expect([stdout, stderr, exitCode]).toEqual(["0\nUsage: cli/ouchi [options] [command]", "", 0]);
});

test("JSON stays alone on standard output, of one person's secrets, too", async () => {
  const people = { ken: { email: "ken@yamada.jp", firstPassword: null, phones: {} } };
  pulumiIs(`echo '${JSON.stringify({ url: "https://photos.yamada.jp", people })}'`);
  const found = await type("secrets", "ken", "--json");
  expect([found.stderr, found.exitCode]).toEqual(["", 0]);
  expect(JSON.parse(found.stdout)).toEqual({
    url: "https://photos.yamada.jp",
    name: "ken",
    ...people.ken,
  });
  const unknown = await type("secrets", "mio", "--json");
  expect([unknown.stdout, unknown.exitCode]).toEqual(["", 77]);
  expect(unknown.stderr).toContain('knows no "mio": it knows ken');
});
