import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { Passphrase, passphraseFrom } from "../../../rehearsal/engine/passphrase.ts";
import type { Project } from "../../../rehearsal/engine/project.ts";
import { splitWords } from "../../../rehearsal/engine/project.ts";
import { readStackConfig, setConfig } from "../../../rehearsal/engine/stack-file.ts";

const folder = mkdtempSync(join(tmpdir(), "ouchi-stack-"));
const file = join(folder, "Pulumi.dev.yaml");
afterAll(() => rmSync(folder, { recursive: true }));

const project: Project = {
  name: "house",
  root: folder,
  programDirectory: folder,
  entryPoint: "index.ts",
  nodeArguments: [],
  plugins: new Map(),
  config: { "house:zone": { default: "example.com" } },
};
const read = () => readStackConfig(file, project, "secret", undefined);

describe("the stack file", () => {
  beforeEach(() => writeFileSync(file, "config: {}\n"));

  it("gives every key its namespace, and text for every value", async () => {
    writeFileSync(
      file,
      [
        "config:",
        "  short: 1",
        "  house:flag: true",
        "  other:config:old: x",
        "  house:list: [{b: 1, a: [x]}]",
        '  house:text: "007"',
        "",
      ].join("\n"),
    );
    const { values } = await read();
    expect(Object.fromEntries(values)).toEqual({
      "house:zone": "example.com",
      "house:short": "1",
      "house:flag": "true",
      "other:old": "x",
      "house:list": '[{"a":["x"],"b":1}]',
      "house:text": "007",
    });
  });

  it("rewrites a bare timestamp as Pulumi does, and leaves a quoted one", async () => {
    writeFileSync(
      file,
      [
        "config:",
        "  house:bare: 2026-12-01T00:00:00Z",
        "  house:day: 2026-12-01",
        "  house:east: 2026-12-01T09:00:00.500+09:00",
        '  house:quoted: "2026-12-01T00:00:00Z"',
        "  house:deep: [{until: 2026-12-01T00:00:00Z}]",
        "",
      ].join("\n"),
    );
    const { values } = await read();
    expect(values.get("house:bare")).toBe("2026-12-01 00:00:00 +0000 UTC");
    expect(values.get("house:day")).toBe("2026-12-01 00:00:00 +0000 UTC");
    expect(values.get("house:east")).toBe("2026-12-01 09:00:00.5 +0900 +0900");
    expect(values.get("house:quoted")).toBe("2026-12-01T00:00:00Z");
    expect(values.get("house:deep")).toBe('[{"until":"2026-12-01 00:00:00 +0000 UTC"}]');

    await setConfig({ file, project, phrase: undefined, key: "x", value: "y", secret: false });
    expect(readFileSync(file, "utf8")).toContain("2026-12-01 00:00:00 +0000 UTC");
  });

  it('stops with "bad value" at a secret that is no ciphertext, with its key', async () => {
    writeFileSync(file, "config:\n  house:token:\n    secure: put your token here\n");
    await expect(read()).rejects.toThrow(
      /^failed to decrypt encrypted configuration value 'house:token': bad value\n/,
    );
  });

  it("keeps comments, and encrypts what is set as a secret", async () => {
    writeFileSync(file, "# the house\nconfig:\n  house:a: 1 # one\n");
    const set = { file, project, phrase: "secret", key: "token", secret: true };
    await setConfig({ ...set, value: "canary" });
    const text = readFileSync(file, "utf8");
    expect(text).toContain("# the house");
    expect(text).toContain("# one");
    expect(text).toMatch(/house:token:\n {4}secure: v1:/);
    expect(text).toMatch(/encryptionsalt: v1:/);
    expect(text).not.toContain("canary");

    const { values, secretKeys } = await read();
    expect(values.get("house:token")).toBe("canary");
    expect([...secretKeys]).toEqual(["house:token"]);
  });

  it("marks a whole setting secret for one secret within it", async () => {
    await setConfig({ file, project, phrase: "secret", key: "a", value: "canary", secret: true });
    const ciphertext = /secure: (v1:\S+)/.exec(readFileSync(file, "utf8"))![1]!;
    const salt = /encryptionsalt: (\S+)/.exec(readFileSync(file, "utf8"))![1]!;
    writeFileSync(
      file,
      `encryptionsalt: ${salt}\nconfig:\n  house:recovery: {borg: {secure: "${ciphertext}"}, n: 1}\n`,
    );
    const { values, secretKeys } = await read();
    expect(values.get("house:recovery")).toBe('{"borg":"canary","n":1}');
    expect([...secretKeys]).toEqual(["house:recovery"]);
  });

  it("refuses a key of another form and a section it does not know", async () => {
    writeFileSync(file, "config:\n  a:b:c:d: 1\n");
    await expect(read()).rejects.toThrow('"a:b:c:d"');
    writeFileSync(file, "environment: [shared]\n");
    await expect(read()).rejects.toThrow('"environment"');
  });
});

describe("the passphrase", () => {
  it("opens what it sealed, and nothing that another sealed", async () => {
    const passphrase = await Passphrase.create("one");
    const sealed = passphrase.encrypt("text");
    expect(sealed).toMatch(/^v1:[A-Za-z0-9+/]{16}:[A-Za-z0-9+/]+=*$/);
    const again = await Passphrase.open("one", passphrase.saltLine);
    expect(again.decrypt(sealed)).toBe("text");
    await expect(Passphrase.open("two", passphrase.saltLine)).rejects.toThrow(
      "incorrect passphrase",
    );
  });

  it("comes from the environment or from the file named there", () => {
    const from = join(folder, "passphrase");
    writeFileSync(from, "from a file\n");
    expect(passphraseFrom({ PULUMI_CONFIG_PASSPHRASE: "" })).toBe("");
    expect(passphraseFrom({ PULUMI_CONFIG_PASSPHRASE_FILE: from })).toBe("from a file");
    expect(() => passphraseFrom({})).toThrow("PULUMI_CONFIG_PASSPHRASE");
  });
});

it("splits nodeargs as a shell would", () => {
  expect(splitWords(`--import tsx --title "two words" -r './a b'`)).toEqual([
    ...["--import", "tsx", "--title", "two words", "-r", "./a b"],
  ]);
});
