import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { execa } from "execa";
import { afterEach, describe, expect, test } from "vitest";
import { ScratchClone } from "../../scratch-clone.ts";

const cache = "node_modules/.cache/ouchi";

describe("The start of a command", { timeout: 60_000 }, () => {
  let clone: ScratchClone;
  afterEach(() => clone.remove());

  const made = () =>
    (JSON.parse(readFileSync(clone.path(cache, "current.json"), "utf8")) as { folder: string })
      .folder;
  const change = (file: string, from: string, to: string) => {
    const text = readFileSync(clone.path(file), "utf8");
    expect(text).toContain(from);
    writeFileSync(clone.path(file), text.replace(from, to));
  };

  test("takes what was compiled, until a source or a package changes", async () => {
    clone = new ScratchClone();
    const first = await clone.ouchi("--help");
    expect(first.stdout).toContain("look after and restore them");
    const folder = made();
    expect((await clone.ouchi("--help")).stdout).toBe(first.stdout);
    expect(made()).toBe(folder);

    change("cli/main.ts", "look after and restore them", "look after them");
    expect((await clone.ouchi("--help")).stdout).toContain("look after them");
    // Of a command, not of the start: it is loaded later.
    change("cli/commands/destroy.ts", "A plain destroy is refused", "Not so");
    expect((await clone.ouchi("destroy")).stderr).toMatch(/^Not so/);
    // A rule of the program's.
    change("infra/settings/schema.ts", "32 hexadecimal digits, from", "as it stands, from");
    expect((await clone.ouchi("up")).stderr).toContain("as it stands, from");

    const before = made();
    change("node_modules/.package-lock.json", "{", "{ ");
    await clone.ouchi("--help");
    expect(made()).not.toBe(before);
  });

  test("does without, where the clone cannot be written to or a source does not compile", async () => {
    clone = new ScratchClone();
    writeFileSync(clone.path("node_modules/.cache"), "a file where the folder would be");
    const { stdout, exitCode } = await clone.ouchi("--version");
    expect([stdout, exitCode]).toEqual(["0.1.0", 0]);

    rmSync(clone.path("node_modules/.cache"));
    change("cli/commands/key.ts", "export", "exprot");
    expect((await clone.ouchi("--version")).stdout).toBe("0.1.0");
    expect((await clone.ouchi("key")).stderr).toContain("cli/commands/key.ts");
    expect(readdirSync(clone.path(cache))).toEqual([]);
  });

  test("is whole when several begin at once, and after one that was cut", async () => {
    clone = new ScratchClone();
    mkdirSync(clone.path(cache, "1-1"), { recursive: true });
    writeFileSync(clone.path(cache, "1-1/main.mjs"), 'console.log("half');
    writeFileSync(clone.path(cache, "current.json"), '{"folder":"1-1","sou');
    const all = await Promise.all(["", "", "", ""].map(() => clone.ouchi("--version")));
    expect(all.map(({ stdout, stderr }) => stdout + stderr)).toEqual(all.map(() => "0.1.0"));
    expect((await clone.ouchi("--version")).stdout).toBe("0.1.0");
    expect(readdirSync(clone.path(cache))).not.toContain("1-1");
  });

  test("works in a folder of any name, and through a link", async () => {
    clone = new ScratchClone("a #1 100%20 what? 写真 'x' $HOME");
    const link = clone.path("../ouchi");
    symlinkSync(clone.path("cli/ouchi"), link);
    for (const compiled of [true, false]) {
      if (!compiled) {
        rmSync(clone.path("node_modules/.cache"), { recursive: true });
        writeFileSync(clone.path("node_modules/.cache"), "");
      }
      const { stderr, exitCode } = await execa(link, ["up"], { reject: false, cwd: "/" });
      expect(stderr).toMatch(/^Pulumi.prod.yaml has \d+ problems; nothing was changed:\n/);
      expect(exitCode).toBe(78);
    }
  });

  test("says what is missing before npm ci", async () => {
    clone = new ScratchClone();
    rmSync(clone.path("node_modules"), { recursive: true });
    const { stderr, exitCode } = await clone.ouchi("--help");
    expect(stderr).toBe(
      `The packages of ouchi-photos are not there: run "npm ci" in ${clone.folder}.`,
    );
    expect(exitCode).toBe(78);
  });
});
