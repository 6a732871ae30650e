/** What runs on the Pi is handed to the user's login shell. Real ones read it here, behind a real sshd. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { SharedConnection } from "../../../immich/connection.ts";
import { answeringLine, answerOf, shellLine } from "../../../infra/pi/shell-words.ts";
import { applyCommand, bootstrapCommand } from "../../../pi/bundles.ts";
import { fitPi } from "./fit-pi.ts";
import { type Properties, secret, startPlugin, urn } from "./plugin.ts";
import { type Sshd, type SshdOptions, startSshd } from "./sshd.ts";

const shells = ["/bin/sh", "/bin/bash", "/usr/bin/fish", "/bin/tcsh"];

async function sshd(options: SshdOptions): Promise<Sshd> {
  const started = await startSshd(options);
  onTestFinished(() => started.stop());
  return started;
}

function shared({ port, user, hostKey, privateKey }: Sshd): SharedConnection {
  const connection = new SharedConnection({ host: "127.0.0.1", port, user, hostKey, privateKey });
  onTestFinished(() => connection.close());
  return connection;
}

/** What the check of the preflight says of a Pi that is there for the first time, or with nothing to change. */
async function lookAt(
  there: Sshd,
  isNew = true,
): Promise<{ failures: string[]; warnings: string[] }> {
  const plugin = await startPlugin();
  onTestFinished(() => plugin.stop());
  const inputs: Properties = {
    connection: {
      ...{ host: "127.0.0.1", port: there.port, user: there.user, hostKey: there.hostKey },
      privateKey: secret(there.privateKey),
    },
    disks: { main: { id: "usb-ONE" }, backup: { id: "usb-TWO" } },
    machineLearning: false,
    immich: { server: "immich-server:v3.2.4", postgres: "postgres:14", admin: "admin@yamada.jp" },
    contents: { immich: "one" },
  };
  const { failures } = await plugin.check(
    urn("Preflight", "preflight"),
    isNew ? undefined : inputs,
    inputs,
  );
  const warnings = plugin.messages.filter(({ severity }) => severity === "warning");
  return {
    failures: failures.map(({ reason }) => reason),
    warnings: warnings.map(({ message }) => message),
  };
}

/** Only who has seen this machine's disks can say it. */
const judged = expect.stringContaining('The Pi has no disk "usb-ONE"');

describe.each(shells)("A Pi whose login shell is %s", (shell) => {
  it("is looked at", async () => {
    const { failures } = await lookAt(await sshd({ shell }));
    expect(failures).toContainEqual(judged);
  });

  it("gives every word of a command as it is, and its standard input", () => {
    const word = fc.oneof(
      fc.string({ unit: "binary" }).map((text) => text.replaceAll("\u0000", "")),
      fc.constantFrom("!x", "\\", "'", "a\nb", "=ls", "%1", "~", "$HOME", "写真", "*", "{a,b}", ""),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 4 }), (words) => {
        const line = shellLine(["printf", "%s\\0", "begin", ...words]);
        const { stdout } = spawnSync(shell, ["-c", line], { encoding: "utf8" });
        expect(stdout.split("\0").slice(0, -1)).toEqual([
          "begin",
          ...words.map((text) => Buffer.from(text).toString()),
        ]);
      }),
      { numRuns: 60 },
    );
    const { stdout, status } = spawnSync(
      shell,
      ["-c", answeringLine(["sh", "-c", "cat; exit 3"])],
      { input: "it's\n!", encoding: "utf8" },
    );
    expect([answerOf(stdout), status]).toEqual(["it's\n!", 3]);
  });

  it("reads the lines that lay down the subjects", () => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-sudo-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    // Instead of sudo: the words that come to it.
    writeFileSync(join(folder, "sudo"), '#!/bin/sh\nprintf "%s\\0" "$@"\n', { mode: 0o755 });
    const env = { PATH: `${folder}:${process.env.PATH}`, HOME: folder };
    for (const words of [bootstrapCommand(), applyCommand("docker")]) {
      const { stdout } = spawnSync(shell, ["-c", shellLine(words)], { env, encoding: "utf8" });
      expect(["sudo", ...stdout.split("\0").slice(0, -1)]).toEqual(words);
    }
  });
});

describe("A login that prints", () => {
  it.each([
    ["/bin/bash", ".bashrc"],
    ["/usr/bin/fish", ".config/fish/config.fish"],
    ["/bin/tcsh", ".tcshrc"],
  ])("%s by its %s is looked at all the same", async (shell, file) => {
    const noise = 'echo "Welcome, have a nice day"\necho "@os"\necho "@looked"\n';
    const { failures } = await lookAt(await sshd({ shell, home: { [file]: noise } }));
    expect(failures).toContainEqual(judged);
  });
});

describe("A login that does not run what is sent", () => {
  const menu =
    '#!/bin/sh\necho "1) Reboot  2) Shell"; echo "\u001b[31mno terminal\u001b[0m" >&2; exit 1\n';
  const cases: [string, SshdOptions, RegExp][] = [
    ["an account without a shell", { shell: "/usr/sbin/nologin" }, /exit 1\).*not available/],
    ["a shell that only fails", { shell: "/bin/false" }, /exit 1\)/],
    ["a .bashrc that ends", { shell: "/bin/bash", home: { ".bashrc": "exit 0" } }, /exit 0\)/],
    [
      "a .bashrc that takes the input",
      { shell: "/bin/bash", home: { ".bashrc": "cat >/dev/null" } },
      /exit 0\)/,
    ],
    [
      "a forced command",
      { shell: "/bin/sh", keyOptions: 'command="echo only backups here"' },
      /"only backups here"/,
    ],
    ["a menu", { shell: "menu" }, /It printed "no terminal 1\) Reboot 2\) Shell"\./],
  ];

  it.each(cases)("(%s) is no look, and no fact comes of it", async (_, options, said) => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-menu-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "menu"), menu, { mode: 0o755 });
    const shell = options.shell === "menu" ? join(folder, "menu") : options.shell!;
    const there = await sshd({ ...options, shell });
    const { failures } = await lookAt(there);
    expect(failures).toEqual([expect.stringMatching(said)]);
    expect(failures[0]).toMatch(
      /^pi\.user: The look at the Pi failed .*login shell did not run it/,
    );
    expect(failures[0]).toMatch(/Nothing was changed\.$/);
    expect(failures[0]).not.toMatch(/\p{Cc}/u);
    // With nothing to change on the Pi, it keeps nobody from revoking a token.
    expect(await lookAt(there, false)).toEqual({
      failures: [],
      warnings: [expect.stringContaining("The look at the Pi failed")],
    });
  });
});

describe("A look that broke off", () => {
  it("is none, and the Pi is not said to lack what was not told", async () => {
    const there = await sshd({});
    const whole = fitPi().trimEnd();
    there.answer(whole.slice(0, whole.length - 1));
    expect((await lookAt(there)).failures).toEqual([
      expect.stringMatching(
        /^pi\.user: The look at the Pi failed \(exit 0\).*it broke off in the middle/,
      ),
    ]);
  });

  it("because a program was missing there tells what is not known", async () => {
    const there = await sshd({});
    there.answer(fitPi({ blockDevices: "", memory: "" }));
    expect((await lookAt(there)).failures).toEqual([
      expect.stringContaining("it told nothing of its memory, its disks"),
    ]);
    there.answer(fitPi({ blockDevices: '{"blockdevices": [' }));
    expect((await lookAt(there)).failures).toEqual([
      expect.stringContaining("what it told is not as it should be"),
    ]);
  });

  it("has a deadline, after which the Pi is said to hang", async () => {
    const connection = shared(await sshd({ shell: "/bin/sh" }));
    const hanging = connection.run("sleep 60", "", 1);
    await expect(hanging).rejects.toThrow(
      /took the connection and has not answered within 1 seconds/,
    );
    // And the next one is not held up by it.
    const next = await connection.run("echo here", "", 20);
    expect(next).toMatchObject({ code: 0, stdout: "here\n" });
  });
});
