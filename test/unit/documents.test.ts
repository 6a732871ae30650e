import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { permissions } from "../../infra/cloudflare/permissions.ts";

const repository = join(import.meta.dirname, "../..");
const read = (name: string) => readFileSync(join(repository, name), "utf8");

/** What an owner reads before or after typing something. */
const forOwners = [
  "README.md",
  "Pulumi.prod.yaml",
  ...readdirSync(join(repository, "docs")).map((name) => `docs/${name}`),
];

describe("the documents", () => {
  test.each([...forOwners, "CHANGELOG.md", "CONTRIBUTING.md", "rehearsal/README.md"])(
    "of %s lead to files that are there",
    (name) => {
      const links = [...read(name).matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to!);
      const lost = links
        .filter((to) => !/^https?:/.test(to))
        .filter((to) => !existsSync(join(repository, dirname(name), to.replace(/#.*/, ""))));
      expect(lost).toEqual([]);
    },
  );

  test("name the commands by a path that cannot leave the clone, and only commands that there are", async () => {
    const text = forOwners.map(read).join("\n");
    expect(text).not.toMatch(/npx(?: --\S+)* ouchi/);
    const named = new Set(
      [...text.matchAll(/cli\/ouchi ([a-z][a-z-]*)/g)].map(([, word]) => word!),
    );
    const { stdout } = await execa(join(repository, "cli/ouchi"), ["--help"]);
    const known = [...stdout.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, word]) => word!);
    expect(known).toContain("status");
    expect([...named].filter((word) => !known.includes(word))).toEqual([]);
  });

  test("list every permission that the API token needs", () => {
    const listed = [...read("README.md").matchAll(/^\| (?:Zone|Account) \| (.+) \|$/gm)].map(
      // "DNS: Edit" there is "DNS Edit" in Cloudflare's answers.
      ([, name]) => name!.replace(/: (?=[A-Z][a-z]+$)/, " "),
    );
    expect(listed).toEqual(expect.arrayContaining(Object.values(permissions)));
  });
});
