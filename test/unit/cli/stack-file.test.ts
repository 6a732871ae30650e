import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, test } from "vitest";
import { goScalar } from "../../../cli/go-scalar.ts";
import { readPi, readStackConfig } from "../../../cli/stack-file.ts";
import { stackFileConfig } from "../../../infra/settings/stack-file.ts";
import { UserError } from "../../../infra/settings/user-error.ts";

const folder = mkdtempSync(join(tmpdir(), "ouchi-stack-"));
const file = join(folder, "stack.yaml");
afterAll(() => rmSync(folder, { recursive: true }));

function read(content: string | Buffer): Record<string, unknown> {
  writeFileSync(file, content);
  return readStackConfig(folder, "prod", file);
}

function refusal(content: string | Buffer): string {
  try {
    read(content);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).kind).toBe("settings");
    return (error as UserError).message;
  }
  throw new Error("It was read.");
}

const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, "utf16le");
const bomb = `config:
  ouchi-photos:a: &a [x, x, x, x, x, x, x, x, x, x]
  ouchi-photos:b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
  ouchi-photos:c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
  ouchi-photos:d: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
`;

describe("A slip in the stack file is named by its place:", () => {
  test.each([
    ["a tab", "config:\n\tdomain: yamada.jp\n", "line 2, column 1: a tab stands where YAML wants"],
    ["a tab in a list", "config:\n  family:\n\t- name: ken\n", "line 3, column 1: a tab"],
    [
      "a key that is there twice",
      "config:\n  ouchi-photos:hostname: a\n  ouchi-photos:hostname: b\n",
      "line 3, column 3: this setting stands here a second time",
    ],
    [
      "a key that is there twice, deep inside",
      "config:\n  ouchi-photos:pi: { host: a, user: pi, host: b }\n",
      "line 2, column 41: this setting stands here a second time",
    ],
    [
      "a full-width colon",
      "config:\n  ouchi-photos:domain： yamada.jp\n  ouchi-photos:hostname: photos\n",
      'Line 2 holds "：", in place of ":".',
    ],
    ["a full-width colon at the top", "config：\n  domain: yamada.jp\n", "Line 1 holds"],
    [
      "a full-width space",
      "config:\n  domain:\u3000yamada.jp\n  hostname: photos\n",
      "full-width space",
    ],
    [
      "full-width spaces for an indent",
      "config:\n\u3000\u3000domain: yamada.jp\n",
      "line 2, column 1: this line begins with a full-width space: indent it by plain spaces",
    ],
    [
      "spaces that do not break for an indent",
      "config:\n\u00a0\u00a0domain: yamada.jp\n",
      "line 2, column 1: this line begins with a space that does not break",
    ],
    [
      "a full-width colon in braces",
      "config:\n  family: [{ name：ken }]\n",
      'line 2, column 14: this name has no ":" and space after it. Line 2 holds "：", in place of ":".',
    ],
    [
      "no space after a colon in braces",
      "config:\n  family: [{ name:ken }]\n",
      'line 2, column 14: this name has no ":" and space after it.',
    ],
    ["full-width braces", "config:\n  pi: ｛host: a｝\n", 'Line 2 holds "｛", in place of "{".'],
    ["a full-width comma", "config:\n  pi: {host: a，user: b}\n", 'Line 2 holds "，"'],
    ["no space after a colon", "config:\n  domain:yamada.jp\n  hostname: x\n", "line 2, column 3"],
    ["uneven indents", "config:\n   domain: a\n  hostname: b\n", "line 3, column"],
    ["an open bracket", "config:\n  family: [{name: ken}\n  hostname: b\n", "line 3, column"],
    ["an open quote", 'config:\n  domain: "yamada.jp\n  hostname: b\n', "line 4, column"],
    ["a second document", "config:\n  domain: a\n---\nconfig:\n", "line 3, column"],
    ["a bomb of aliases", bomb, "line 3, column 23: excessive alias count"],
    ["an alias of nothing", "config:\n  domain: *a\n", "line 2, column 11: unresolved alias"],
    ["endless brackets", `config:\n  domain: ${"[".repeat(20_000)}\n`, "nested too deeply"],
    ["a letter that nobody can see", "config:\n  domain: a\u0007b\n", "line 2, column 12"],
    ["a list of settings", "config:\n  - domain: yamada.jp\n", '"config" holds a list'],
    ["a word for settings", "config: yamada.jp\n", '"config" holds one value'],
    ["a list at the top", "- config\n", "it holds no settings that have a name"],
    ["a word at the top", "config\n", "line 1, column 1: no setting begins there"],
    ["settings outside", "ouchi-photos:domain: a\nconfig:\n", 'stands beside "config"'],
    ["another spelling of config", "Config:\n  domain: a\n", '"Config" stands at the beginning'],
    ["a slip in config", "confg:\n  domain: a\nconfig:\n", '"confg" stands at the beginning'],
    ["a setting at the top", "domain: a\nconfig:\n", '"domain" stands at the beginning'],
    ["a setting in two forms", "config:\n  domain: a\n  ouchi-photos:domain: b\n", "is set twice"],
    ["UTF-16", utf16("config:\n  domain: yamada.jp\n"), "saved as UTF-16"],
    ["UTF-16 without a mark", Buffer.from("config:\n", "utf16le"), "saved as UTF-16"],
    [
      "Shift_JIS",
      Buffer.from("config:\n  displayName: \x8c\x92\n", "latin1"),
      "line 2, column 16: this letter is not UTF-8",
    ],
  ])("%s", (_, content, sentence) => {
    const message = refusal(content);
    expect(message).toContain("stack.yaml");
    expect(message).toContain(sentence);
    expect(message).toContain("Nothing was changed.");
    expect(message).not.toContain("\n");
  });

  test("and never by its line, where a secret may stand", () => {
    expect(refusal('config:\n  cloudflare:apiToken: "canary\n')).not.toContain("canary");
    expect(refusal("config:\n  a:apiToken: canary\n\tb: c\n")).not.toContain("canary");
    expect(refusal("config:\n  a:apiToken: *canary\n")).toContain("unresolved alias");
  });
});

test("A file that is empty, or begins with a mark of UTF-8, is read", () => {
  for (const content of ["", "# nothing\n", "config:\n", "{}\n"]) expect(read(content)).toEqual({});
  expect(read("\ufeffconfig:\n  domain: yamada.jp\n")).toEqual({
    "ouchi-photos:domain": "yamada.jp",
  });
});

test("What is no readable file is said, by its kind and with the status for it", async () => {
  mkdirSync(join(folder, "a folder"));
  writeFileSync(join(folder, "closed"), "config:\n");
  chmodSync(join(folder, "closed"), 0o000);
  const ouchi = join(import.meta.dirname, "../../../cli/ouchi");
  for (const [name, sentence] of [
    ["a folder", "is a folder: name a file. Nothing was changed."],
    ["none", "There is no stack file"],
    ["closed/x", "could not be read"],
  ] as const) {
    const words = ["status", "--config-file", join(folder, name)];
    const { stdout, stderr, exitCode } = await execa(ouchi, words, { reject: false });
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain("fault of ouchi-photos");
    expect([stdout, exitCode]).toEqual(["", 78]);
  }
});

/** As Pulumi 3.248 hands them to a program: yaml.v3's resolve.go, and object.go of its package config. */
describe("A plain word is what Pulumi makes of it:", () => {
  test.each<[string, string | number | boolean | null]>([
    ["yes", "yes"],
    ["off", "off"],
    ["True", true],
    ["FALSE", false],
    ["tRue", "tRue"],
    ["~", null],
    ["Null", null],
    ["0123", 83],
    ["-0123", -83],
    ["089", 89],
    ["0o17", 15],
    ["0b101", 5],
    ["0x1F", 31],
    ["1_000", 1000],
    ["+12", 12],
    ["1e3", 1000],
    [".5", 0.5],
    ["1.", 1],
    ["9007199254740993", "9007199254740993"],
    ["12345678901234567890123456789012", 1.2345678901234567e31],
    ["190:20:30", "190:20:30"],
    ["192.168.11.14", "192.168.11.14"],
    ["152d:0578", "152d:0578"],
    ["730h", "730h"],
    ["2026-12-01T00:00:00Z", "2026-12-01 00:00:00 +0000 UTC"],
    ["2026-12-1 9:05:00", "2026-12-01 09:05:00 +0000 UTC"],
    ["2026-12-01T00:00:00.250+09:00", "2026-12-01 00:00:00.25 +0900 +0900"],
    ["2026-12-01", "2026-12-01 00:00:00 +0000 UTC"],
    ["2026-02-30", "2026-02-30"],
    ["2026-12-01T00:00:00", "2026-12-01T00:00:00"],
    ["-", "-"],
  ])("%s", (source, value) => {
    expect(goScalar(source)).toBe(value);
  });
});

test("Values and keys reach the program as Pulumi hands them over, quoted ones as text", () => {
  expect(
    read(`config:
  hostname: 0123
  ouchi-photos:config:domain: "0123"
  cloudflare:apiToken:
    secure: v1:abc
  base: &base { weekly: 010 }
  backup: { keep: { <<: *base, yearly: 1_0 } }
  phones: [{ overlapUntil: 2026-12-01T00:00:00Z }, { overlapUntil: "2026-12-01T00:00:00Z" }]
`),
  ).toEqual({
    "ouchi-photos:hostname": 83,
    "ouchi-photos:domain": "0123",
    "cloudflare:apiToken": { secure: "v1:abc" },
    "ouchi-photos:base": { weekly: 8 },
    "ouchi-photos:backup": { keep: { weekly: 8, yearly: 10 } },
    "ouchi-photos:phones": [
      { overlapUntil: "2026-12-01 00:00:00 +0000 UTC" },
      { overlapUntil: "2026-12-01T00:00:00Z" },
    ],
  });
});

test("A line without a value is empty text, as to Pulumi", () => {
  const { values } = stackFileConfig(read("config:\n  hostname:\n  ouchi-photos:pi: ~\n"));
  expect(values).toEqual({ "ouchi-photos:hostname": "", "ouchi-photos:pi": "" });
});

describe("The way to the Pi", () => {
  const hostKey =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINEAzwGq0GGx3pcxCzGWqhTzZrXKkgZv4QhcnH5xLxQ4";
  const pi = (content: string) => {
    writeFileSync(file, content);
    return readPi({ folder, stack: "prod", engine: "pulumi", configFile: file });
  };

  test("is judged alone, whatever is wrong elsewhere", () => {
    expect(
      pi(`config:
  ouchi-photos:family: [{ name: ken, email: nobody, phones: iphone }]
  ouchi-photos:nonsense: true
  ouchi-photos:pi: { host: 192.168.11.14, hostKey: ${hostKey} }
`),
    ).toMatchObject({ host: "192.168.11.14", port: 22, user: "pi", hostKey });
  });

  test("is refused for its own faults, and only for them", () => {
    expect(() => pi("config:\n  ouchi-photos:pi: { host: a b, prot: 22 }\n")).toThrow(
      /^Pulumi\.prod\.yaml has 3 problems; nothing was changed:\n {2}- pi\.host .*\n {2}- pi\.hostKey .*\n {2}- pi\.prot is not a setting/,
    );
    expect(() => pi("config:\n")).toThrow("pi is missing");
  });
});
