import { describe, expect, test } from "vitest";
import { parseDocument } from "yaml";
import { isSecretSetting, secretSettings } from "../../infra/settings/secrets.ts";
import { parseSettings } from "../../infra/settings/settings.ts";
import { decodeStackFile, stackFileConfig } from "../../infra/settings/stack-file.ts";
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
  const { values, secretKeys } = stackFileConfig(parseDocument(text));
  try {
    parseSettings(values, "prod", (key) => secretKeys.has(key), new Date("2026-11-28T00:00:00Z"));
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

  test.each(["2026-12-01T00:00:00Z", "2026-12-01 00:00:00", "2026-12-01"])(
    "holds a time without quotes, which Pulumi would rewrite: %s",
    (bare) => {
      expect(problems(file.replace('"2026-12-01T00:00:00Z"', bare))).toEqual([
        '  - family[0].phones[0].overlapUntil was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-12-01T00:00:00Z".',
      ]);
    },
  );

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
    const { values } = stackFileConfig(parseDocument(file));
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

describe("The bytes of a stack file", () => {
  const utf16 = Buffer.from("\ufeffconfig:\n", "utf16le");

  test("are UTF-8, with a mark or without", () => {
    expect(decodeStackFile(Buffer.from("健\n"), "p.yaml")).toBe("健\n");
    expect(decodeStackFile(Buffer.from("\ufeff健\n"), "p.yaml")).toBe("健\n");
    expect(decodeStackFile(new Uint8Array(), "p.yaml")).toBe("");
  });

  test.each([
    ["little endian", utf16],
    ["big endian", Buffer.from(utf16).swap16()],
    ["without a mark", utf16.subarray(2)],
    ["without a mark, big endian", Buffer.from(utf16.subarray(2)).swap16()],
  ])("are refused in UTF-16, %s", (_, bytes) => {
    expect(() => decodeStackFile(bytes, "p.yaml")).toThrow(
      new UserError(
        'The stack file "p.yaml" could not be read: it is in UTF-16, which some editors of Windows call Unicode. Open it in an editor, and save it as UTF-8. Nothing was changed.',
      ),
    );
  });

  test("are refused in Shift_JIS, by the line", () => {
    const bytes = Buffer.concat([Buffer.from("config:\n  name: "), Buffer.from([0x8c, 0x92])]);
    expect(() => decodeStackFile(bytes, "p.yaml")).toThrow(
      new UserError(
        'The stack file "p.yaml" could not be read: line 2 holds letters that are not in UTF-8, but perhaps in Shift_JIS or another encoding of one country. Open it in an editor, and save it as UTF-8. Nothing was changed.',
      ),
    );
  });
});
