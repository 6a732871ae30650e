import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { isSecretSetting, secretSettings } from "../../infra/settings/secrets.ts";
import { parsePi, parseSettings } from "../../infra/settings/settings.ts";
import { stackFileConfig } from "../../infra/settings/stack-file.ts";
import { UserError } from "../../infra/settings/user-error.ts";

const canary = "<S3cret canary>";
const file = `
config:
  ouchi-photos:domain: yamada.jp
  ouchi-photos:accountId: "0123456789abcdef0123456789abcdef"
  ouchi-photos:timeZone: Asia/Tokyo
  ouchi-photos:pi:
    host: 192.168.11.14
    hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
  ouchi-photos:disks: { main: usb-A-0:0, backup: usb-B-0:0 }
  ouchi-photos:family:
    - name: ken
      email: ken@yamada.jp
      phones: [{ name: iphone, secretVersion: 2, overlapUntil: "2026-12-01T00:00:00Z" }]
  cloudflare:apiToken: { secure: v1:abc }
encryptionsalt: v1:x
`;

/** What `ouchi` says of a stack file. */
function problems(text: string): string[] {
  const { values, isSecret } = stackFileConfig(parse(text).config);
  try {
    parseSettings(values, "prod", isSecret, new Date("2026-11-28T00:00:00Z"));
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message.split("\n").slice(1);
  }
  return [];
}

const withLine = (line: string) => file.replace("encryptionsalt", `  ${line}\nencryptionsalt`);

describe("A stack file", () => {
  test("is good as Pulumi would read it, with or without the namespace", () => {
    expect(problems(file)).toEqual([]);
    expect(problems(file.replaceAll("ouchi-photos:", ""))).toEqual([]);
    expect(problems(file.replaceAll("ouchi-photos:", "ouchi-photos:config:"))).toEqual([]);
    expect(problems(file.replaceAll("ouchi-photos:", "ouchi:")).join()).toContain(
      "ouchi:domain is in the namespace",
    );
  });

  test.each([
    ...Object.keys(secretSettings).map((key) => `ouchi-photos:${key}`),
    "cloudflare:apiToken",
  ])("holds %s in plain text, which is refused without showing it, by the line to type", (key) => {
    const partner = {
      googleClientSecret: "googleClientId: 1-a.apps.googleusercontent.com",
      immichAdminPassword: "immichAdminEmail: a@b.jp",
    };
    const line = partner[key.split(":")[1] as keyof typeof partner];
    const text = withLine(line ? `ouchi-photos:${line}` : "")
      .replace("cloudflare:apiToken: { secure: v1:abc }", "")
      .replace("encryptionsalt", `  ${key}: "${canary}"\nencryptionsalt`);
    const found = problems(text);
    expect(found).toEqual([
      `  - ${key.replace("ouchi-photos:", "")} stands in plain text in the stack file, where everybody reads it who sees the file or a copy of it: type "pulumi config set --secret ${key}", and the value when it asks. Was the file ever handed on, then give the secret a new value where it is from.`,
    ]);
    const encrypted = text.replace(`"${canary}"`, "{ secure: v1:abc }");
    expect(problems(encrypted)).toEqual([]);
  });

  test.each([
    ["ouchi-photos:hostname: { secure: v1:abc }", "hostname"],
    ["ouchi-photos:alertEmail: { secure: v1:abc }", "alertEmail"],
    ["ouchi-photos:backup: { schedule: { secure: v1:abc } }", "backup.schedule"],
  ])("keeps what is no secret as one, at any depth: %s", (line, path) => {
    const found = problems(withLine(line));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(
      new RegExp(
        `^ {2}- ${path.replace(".", "\\.")} is kept as a secret, and is none: .*plain text`,
      ),
    );
  });

  test("gives the way to the Pi, whatever else is wrong with it", () => {
    const broken = withLine("ouchi:x: 1\n  ouchi-photos:alarm: plain").replace("Asia/Tokyo", "JST");
    const { values } = stackFileConfig(parse(broken).config);
    expect(parsePi(values, "prod").host).toBe("192.168.11.14");
    const lost = broken.replace("host: 192.168.11.14", "host: 999.1.1.1");
    expect(() => parsePi(stackFileConfig(parse(lost).config).values, "prod")).toThrow(
      /has a problem; nothing was changed:\n {2}- pi\.host is "999/,
    );
    expect(() => parsePi({}, "prod")).toThrow(/pi is missing: give \{host: …, hostKey: …\}/);
  });

  test("keeps a person's address as a secret, which is said at its place", () => {
    expect(problems(file.replace("email: ken@yamada.jp", "email: { secure: v1:abc }"))).toEqual([
      expect.stringMatching(/^ {2}- family\[0\]\.email is kept as a secret, and is none: /),
    ]);
  });

  test("shows no secret in a sentence about it, whatever is wrong with it", () => {
    for (const key of [...Object.keys(secretSettings)]) {
      for (const value of [
        canary,
        ` ${canary}`,
        `${canary}\n`,
        `["${canary}"]`,
        `{"${canary}": 1}`,
        "",
      ]) {
        const config = { [`ouchi-photos:${key}`]: value };
        let message = "";
        try {
          parseSettings(config, "prod", isSecretSetting);
        } catch (error) {
          message = (error as Error).message;
        }
        expect(message).toContain("domain is missing");
        expect(message).not.toContain("canary");
        expect(message).not.toContain("placeholder");
      }
    }
  });

  test("takes a passphrase for what it is, in angle brackets or like a list", () => {
    const { values } = stackFileConfig(parse(file).config);
    for (const borgPassphrase of [canary, "[1]", '{"a": 1}']) {
      const settings = parseSettings(
        { ...values, "ouchi-photos:borgPassphrase": borgPassphrase },
        "prod",
        (key) => isSecretSetting(key),
      );
      expect(settings.borgPassphrase).toBe(borgPassphrase);
    }
  });
});
