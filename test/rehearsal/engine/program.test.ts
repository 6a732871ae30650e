import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  configSet,
  destroy,
  preview,
  stackExport,
  stackOutputs,
} from "../../../rehearsal/engine/engine.ts";
import { errorsOf, ProjectFolder } from "./project-folder.ts";

const folders: ProjectFolder[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) folder.remove();
});

function project(program: string): ProjectFolder {
  const folder = new ProjectFolder(program);
  folders.push(folder);
  return folder;
}

describe("a program under the rehearsal engine", () => {
  it("runs twice in an up, and a second up changes nothing", async () => {
    const folder = project("house");
    const runs = join(folder.path, "runs");
    folder.config({
      "house:runs": runs,
      rooms: ["hall", "attic"],
      port: 22,
      deep: { b: [1], a: true },
    });

    const first = await folder.update();
    expect(first.summary).toEqual({
      create: 6,
      update: 0,
      replace: 0,
      delete: 0,
      same: 0,
      read: 0,
      import: 0,
    });
    expect(readFileSync(runs, "utf8")).toBe("preview\nupdate\n");
    expect(first.outputs).toMatchObject({
      keys: "[secret]",
      bytesLength: "[secret]",
      organization: "organization",
      folder: "house",
      settings: {
        "house:rooms": '["hall","attic"]',
        "house:port": "22",
        "house:deep": '{"a":true,"b":[1]}',
      },
    });

    const state = folder.state;
    const second = await folder.update({ expectNoChanges: true });
    expect(second.summary).toMatchObject({ create: 0, same: 6 });
    expect(folder.state).toBe(state);

    folder.config({ "house:runs": runs, rooms: ["hall"] });
    const third = await folder.update({ skipPreview: true });
    expect(third.steps.filter(({ op }) => op === "delete").map(({ name }) => name)).toEqual([
      "attic-key",
      "attic",
    ]);
    expect(third.outputs).toMatchObject({ bytesLength: "[secret]" });
  });

  it("shows a secret nowhere: not in the lines, the result, the state or the error", async () => {
    const folder = project("house");
    const canary = "canary-3f1c9a77";
    folder.config({ "house:say": true, "house:rooms": ["hall"] });
    await configSet({ ...folder.options, key: "password", value: canary, secret: true });
    const result = await folder.update();
    expect(folder.printed).toContain("the secret is [secret]");
    expect(result.outputs.password).toBe("[secret]");

    const secrets = await stackOutputs({ ...folder.options, showSecrets: true });
    expect(secrets.password).toBe(canary);
    const key = (secrets.keys as string[])[0]!;
    expect(key).toHaveLength(24);
    for (const text of [
      ...[folder.printed, JSON.stringify(result), folder.state],
      ...[readFileSync(folder.stackFile, "utf8"), await stackExport(folder.options)],
    ]) {
      expect(text).not.toContain(canary);
      expect(text).not.toContain(key);
    }
    expect(await stackExport({ ...folder.options, showSecrets: true })).toContain(canary);
  });

  it("refuses another passphrase", async () => {
    const folder = project("house");
    await folder.update({ skipPreview: true });
    await expect(folder.update({ env: { PULUMI_CONFIG_PASSPHRASE: "another" } })).rejects.toThrow(
      "incorrect passphrase",
    );
  });

  it("changes nothing in a preview, whose outputs are not known yet", async () => {
    const folder = project("house");
    const result = await folder.update({}, preview);
    expect(result.summary.create).toBe(4);
    expect(result.outputs.keys).toBe("[unknown]");
    expect(existsSync(folder.stateFile)).toBe(false);
  });

  it("deletes nothing when the program fails half-way, and says why", async () => {
    const folder = project("house");
    await folder.update({ skipPreview: true });
    folder.config({ "house:throw": true, "house:rooms": [] });
    const failed = await folder.failure({ skipPreview: true });
    expect(errorsOf(failed).join()).toContain("the roof is missing");
    expect(failed.summary.delete).toBe(0);
    expect(folder.state).toContain("hall-key");
  });

  it("refuses a plain destroy of what is protected; the rest goes, and an up takes it up again", async () => {
    const folder = project("house");
    folder.config({ "house:protect": true });
    await folder.update({ skipPreview: true });
    const { keys } = await stackOutputs({ ...folder.options, showSecrets: true });

    const refused = await folder.failure({}, destroy);
    expect(errorsOf(refused)[0]).toContain("cannot be deleted\nbecause it is protected");
    expect(refused.summary.delete).toBe(0);

    const gone = await folder.update({ excludeProtected: true }, destroy);
    expect(gone.steps.map(({ op, name }) => `${op} ${name}`)).toEqual(["delete bytes"]);
    expect(folder.printed).toContain("All unprotected resources were destroyed.");

    const again = await folder.update({ skipPreview: true });
    expect(again.summary).toMatchObject({ create: 1, same: 3 });
    const outputs = await stackOutputs({ ...folder.options, showSecrets: true });
    expect(outputs.keys).toEqual(keys);
  });

  it.each([
    ["transforms", '"transforms"'],
    ["hooks", "hooks that are called when something is deleted"],
  ])("stops at %s, which it does not know, by name", async (option, words) => {
    const folder = project("options");
    folder.config({ "house:option": option });
    const failed = await folder.failure({}, preview);
    expect(errorsOf(failed)).toEqual([expect.stringContaining(words)]);
  });

  it("stops before a step whose hook refuses, and calls none in a preview", async () => {
    const folder = project("options");
    folder.config({ "house:option": "before" });
    expect((await folder.update({}, preview)).summary.create).toBe(2);
    const failed = await folder.failure({ skipPreview: true });
    expect(errorsOf(failed)).toEqual(['before hook "before" failed: bytes has 8 bytes']);
    expect(folder.state).not.toContain("::bytes");
  });

  it("fails after a step whose hook refuses, and keeps what was made", async () => {
    const folder = project("options");
    folder.config({ "house:option": "after" });
    const failed = await folder.failure({ skipPreview: true });
    expect(errorsOf(failed)).toEqual(['after hook "after" failed: bytes has 8 bytes']);
    expect(folder.state).toContain("::bytes");
    expect((await folder.update({ skipPreview: true })).summary.same).toBe(2);
  });

  it("warns of a hook that is registered to be ignored", async () => {
    const folder = project("options");
    folder.config({ "house:option": "ignored" });
    const { diagnostics } = await folder.update({ skipPreview: true });
    expect(diagnostics.map(({ severity, message }) => `${severity}: ${message}`)).toEqual([
      'warning: after hook "ignored" failed: bytes has 8 bytes',
    ]);
  });

  it("is typed as a command, with its exit code", async () => {
    const folder = project("house");
    expect(await folder.type("up", "--yes", "--skip-preview")).toMatchObject({
      code: 0,
      stderr: "",
    });
    const bytesLength = await folder.type("stack", "output", "bytesLength", "--show-secrets");
    expect(bytesLength).toMatchObject({ code: 0, stdout: "16\n" });
    expect(await folder.type("preview", "--expect-no-changes")).toMatchObject({ code: 0 });
    expect(await folder.type("config", "set", "house:rooms", "3")).toMatchObject({ code: 0 });
    expect(readFileSync(folder.stackFile, "utf8")).toContain("house:rooms: 3");
    const wrong = await folder.type("up", "--target", "x");
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("--target");
  });
});
