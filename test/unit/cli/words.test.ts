import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const repository = join(import.meta.dirname, "../../..");
const json = (file: string) => JSON.parse(readFileSync(join(repository, file), "utf8"));

test("No message sends the owner to a registry: the commands are named by their path in the clone", () => {
  const tracked = ["cli", "compose", "immich", "infra", "pi", "Pulumi.prod.yaml", "Pulumi.yaml"];
  const files = execFileSync("git", ["ls-files", "-z", ...tracked], { cwd: repository });
  const found = String(files)
    .split("\0")
    .filter(Boolean)
    .flatMap((file) =>
      readFileSync(join(repository, file), "utf8")
        .split("\n")
        .filter((line) =>
          /npx ouchi|(?<![/`])\bouchi (?:up|preview|destroy|adopt|secrets|status|backup|key|restore|sdcard|install-pulumi)\b|restore -- /.test(
            line,
          ),
        )
        // A docstring names the command itself.
        .filter((line) => !/`ouchi [a-z]/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
  expect(found).toEqual([]);
});

test("Pulumi's command line is asked for in the version of its library, or newer", () => {
  const { version } = json("node_modules/@pulumi/pulumi/package.json") as { version: string };
  expect(readFileSync(join(repository, "Pulumi.yaml"), "utf8")).toContain(
    `requiredPulumiVersion: ">=${version} <4.0.0"`,
  );
});
