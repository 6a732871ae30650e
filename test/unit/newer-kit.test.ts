import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { beforeEach, describe, expect, test } from "vitest";
import { usualStack } from "../../cli/stack-name.ts";

const repository = join(import.meta.dirname, "../..");

/** What an owner edits, or git must know to leave alone. */
const shared = [".gitignore", "Pulumi.yaml", "Pulumi.prod.yaml", "compose/images.lock.json"];

describe("a newer kit", () => {
  let folder: string;
  let kit: string;
  let clone: string;

  const git = (where: string, ...words: string[]) =>
    execa("git", ["-C", where, "-c", "user.name=ken", "-c", "user.email=ken@yamada.jp", ...words], {
      // Not this machine's own settings of git.
      env: { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
      reject: false,
    });
  /** Each line becomes another one, the worst that a newer kit can do to an edited file. */
  const releaseNewerKit = async () => {
    for (const name of ["Pulumi.prod.yaml", "compose/images.lock.json"]) {
      const text = readFileSync(join(kit, name), "utf8");
      writeFileSync(join(kit, name), text.replaceAll(/$/gm, " # newer"));
    }
    await git(kit, "commit", "--all", "--message", "A newer kit");
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ouchi kit "));
    [kit, clone] = [join(folder, "kit"), join(folder, "clone")];
    mkdirSync(join(kit, "compose"), { recursive: true });
    for (const name of shared) cpSync(join(repository, name), join(kit, name));
    await git(folder, "init", "--quiet", kit);
    await git(kit, "add", "--all");
    await git(kit, "commit", "--message", "The kit");
    await git(folder, "clone", "--quiet", kit, clone);
    return () => rmSync(folder, { recursive: true });
  });

  test("comes by a plain git pull beside the owner's own stack file, lock file and copy of the state", async () => {
    const own = {
      "Pulumi.home.yaml": readFileSync(join(clone, "Pulumi.prod.yaml"), "utf8").replaceAll(
        /<.*>/g,
        "filled in",
      ),
      "images.home.lock.json": "{}",
      "ouchi-photos-state.json": "{}",
    };
    for (const [name, text] of Object.entries(own)) writeFileSync(join(clone, name), text);
    await releaseNewerKit();

    const pulled = await git(clone, "pull", "--ff-only");

    expect(pulled.exitCode, pulled.stderr).toBe(0);
    for (const [name, text] of Object.entries(own))
      expect(readFileSync(join(clone, name), "utf8")).toBe(text);
    expect(readFileSync(join(clone, "Pulumi.prod.yaml"), "utf8")).toContain("# newer");
    // Nor does a slip publish the family's addresses.
    await git(clone, "add", "--all");
    expect((await git(clone, "status", "--porcelain")).stdout).toBe("");
  });

  test("is stopped by git where the example itself was filled in, and nothing is lost", async () => {
    const file = join(clone, "Pulumi.prod.yaml");
    const edited = readFileSync(file, "utf8").replaceAll(/<.*>/g, "filled in");
    writeFileSync(file, edited);
    await releaseNewerKit();
    const { exitCode, stderr } = await git(clone, "pull", "--ff-only");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("Pulumi.prod.yaml");
    expect(readFileSync(file, "utf8")).toBe(edited);
  });

  test("finds the owner's commands at the stack home, once it has a file", () => {
    expect(usualStack(clone)).toBe("prod");
    writeFileSync(join(clone, "Pulumi.home.yaml"), "");
    expect(usualStack(clone)).toBe("home");
  });
});
