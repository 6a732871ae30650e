import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { isSecretSetting } from "../../infra/settings/secrets.ts";
import { parseSettings } from "../../infra/settings/settings.ts";
import { UserError } from "../../infra/settings/user-error.ts";

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

const home = {
  domain: "yamada.jp",
  accountId: "0123456789abcdef0123456789abcdef",
  timeZone: "Asia/Tokyo",
  pi: { host: "192.168.11.14", hostKey },
  disks: { main: "usb-WDC_A-0:0", backup: "usb-WDC_B-0:0" },
  family: [{ name: "ken", email: "Ken@Yamada.jp", phones: [{ name: "iphone" }] }],
};

function config(settings: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [
        `ouchi-photos:${key}`,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]),
  );
}

function problems(changed: Record<string, unknown>): string[] {
  try {
    parseSettings(config({ ...home, ...changed }), "prod", isSecretSetting);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message.split("\n").slice(1);
  }
  return [];
}

describe("The settings of a home", () => {
  test.each(["my-topic", "ntfys:my-topic", "ntfys://canary topic", "ntfys://", "ntfys:///canary"])(
    "name an alarm's address that Apprise could not read, and never show it: %s",
    (alarm) => {
      expect(problems({ alarm })).toEqual([
        '  - alarm is not an address of Apprise\'s such as "ntfys://a-topic-of-yours": pulumi config set --secret ouchi-photos:alarm.',
      ]);
      for (const good of ["ntfys://a-topic", "json://10.0.2.100:8765", "tgram://123:Ab/45?x=%20"])
        expect(problems({ alarm: good })).toEqual([]);
    },
  );

  test.each(["hc-ping.com/x", "ftp://canary/x", "https://hc-ping.com", "https://canary/a b"])(
    "name a dead man's switch that cannot be asked, and never show it: %s",
    (ping) => {
      expect(problems({ ping })).toEqual([
        '  - ping is not the address of a check at a dead man\'s switch, such as "https://hc-ping.com/…": pulumi config set --secret ouchi-photos:ping.',
      ]);
      expect(problems({ ping: "https://hc-ping.com/0b5e3a7c" })).toEqual([]);
    },
  );

  test.each(["", " canary", "canary\nof two lines", "canary\t"])(
    "name a passphrase that no recovery sheet has, and never show it: %j",
    (borgPassphrase) => {
      expect(problems({ borgPassphrase })).toEqual([
        "  - borgPassphrase is not the archives' passphrase on one line, as the recovery sheet has it: pulumi config set --secret ouchi-photos:borgPassphrase.",
      ]);
      expect(problems({ borgPassphrase: "fE8 かな q" })).toEqual([]);
    },
  );

  test("are complete with defaults that cost nothing", () => {
    expect(parseSettings(config(home), "prod", isSecretSetting)).toEqual({
      ...home,
      hostname: "photos",
      adopt: { alerts: {}, phones: {}, policies: {} },
      pi: { ...home.pi, port: 22, user: "pi", lan: true },
      disks: {
        main: { id: "usb-WDC_A-0:0" },
        backup: { id: "usb-WDC_B-0:0" },
        allowFormat: [],
        withoutUas: [],
      },
      family: [
        { name: "ken", email: "ken@yamada.jp", phones: [{ name: "iphone", secretVersion: 1 }] },
      ],
      backup: { schedule: "0 1 * * 6", keep: { weekly: 8, monthly: 12, yearly: 5 } },
      machineLearning: "local",
      sessionDuration: "730h",
      tokenDuration: "8760h",
      imagesLock: "compose/images.lock.json",
    });
  });

  test.each([
    "30 3 28 * *",
    "0 1 31,1 * *",
    "0 1 2-31/2 1-12 *",
    "30 3 * */1 1-5",
    "30 3 */2 * 1-5",
  ])("take the schedule %s", (schedule) => {
    expect(problems({ backup: { schedule } })).toEqual([]);
  });

  test("name every problem at once, each with its path and the cure", () => {
    expect(
      problems({
        domain: undefined,
        accountId: "12",
        pi: { host: "192.168.11.14", hostkey: "x" },
        family: [{ name: "Ken", email: "ken" }],
        albums: [],
      }),
    ).toEqual([
      "  - domain is missing: give the domain that you opened at Cloudflare, such as yamada.jp.",
      '  - accountId is "12": give the account id, 32 hexadecimal digits, from the dashboard\'s address or overview page.',
      '  - pi.hostKey is missing: give the Pi\'s host key as printed by "ssh-keyscan -t ed25519 <host>", without the host: "ssh-ed25519 AAAA…".',
      "  - pi.hostkey is not a setting: write hostKey.",
      '  - family[0].name is "Ken": give ken.',
      '  - family[0].email is "ken": give an e-mail address such as ken@yamada.jp.',
      "  - albums is not a setting: remove it, or see Pulumi.prod.yaml for how it is spelt.",
    ]);
  });

  test.each([
    ["a bare device name", { disks: { main: "/dev/sda", backup: "usb-B-0:0" } }, "disks.main"],
    ["one disk twice", { disks: { main: "usb-A-0:0", backup: "usb-A-0:0" } }, "disks.backup"],
    [
      "permission to format a third disk",
      { disks: { ...home.disks, allowFormat: ["usb-C-0:0"] } },
      "disks.allowFormat[0]",
    ],
    [
      "a host key that is cut off",
      { pi: { ...home.pi, hostKey: "ssh-ed25519 AAAA" } },
      "pi.hostKey",
    ],
    ["a time zone by abbreviation", { timeZone: "JST" }, "timeZone"],
    ["a cron time with a name", { backup: { schedule: "0 1 * * sat" } }, "backup.schedule"],
    ["a cron time with a command", { backup: { schedule: "0 1 * * 6 root x" } }, "backup.schedule"],
    ["a retention that keeps nothing", { backup: { keep: { weekly: 0 } } }, "backup.keep.weekly"],
    [
      "a backup on the photos' own disk",
      { disks: { main: "usb-ONE", backup: "usb-ONE", allowFormat: [] } },
      "disks.backup",
    ],
    ["a day that never comes", { backup: { schedule: "0 1 31 2 *" } }, "backup.schedule"],
    ["a name by multicast DNS", { pi: { host: "ouchi.local", hostKey } }, "pi.host"],
    [
      "a host key of RSA",
      {
        pi: {
          ...home.pi,
          hostKey: `ssh-rsa ${Buffer.from("\0\0\0\x07ssh-rsa\0\0\0\x03abc").toString("base64")}`,
        },
      },
      "pi.hostKey",
    ],
    ["a sign-in of two months", { sessionDuration: "1460h" }, "sessionDuration"],
    [
      "the kit's own account as a person",
      { family: [{ name: "ken", email: "admin@yamada.jp" }] },
      "family[0].email",
    ],
    [
      "a person of the kit's own account's name",
      { family: [{ name: "admin", email: "ken@yamada.jp" }] },
      "family[0].name",
    ],
    [
      "two phones whose tokens would have one name",
      {
        family: [
          { name: "ken", email: "ken@yamada.jp", phones: [{ name: "old-x" }] },
          { name: "ken-old", email: "mio@yamada.jp", phones: [{ name: "x" }] },
        ],
      },
      "family[1].phones",
    ],
    ["nobody", { family: [] }, "family"],
    [
      "one address for two people",
      { family: [home.family[0], { name: "mio", email: "KEN@yamada.jp" }] },
      "family[1].email",
    ],
    [
      "a rotated secret without the old one's end",
      { family: [{ name: "ken", email: "k@y.jp", phones: [{ name: "a", secretVersion: 2 }] }] },
      "family[0].phones[0].overlapUntil",
    ],
    [
      "an overlap without a rotation",
      {
        family: [
          {
            name: "ken",
            email: "k@y.jp",
            phones: [{ name: "a", overlapUntil: "2026-12-01T00:00:00Z" }],
          },
        ],
      },
      "family[0].phones[0].overlapUntil",
    ],
    [
      "a place for machine learning that is none",
      { machineLearning: "sometimes" },
      "machineLearning",
    ],
    [
      "machine learning at no web address",
      { machineLearning: { remote: "192.168.11.20" } },
      "machineLearning.remote",
    ],
    [
      "a bridge by its name",
      { disks: { ...home.disks, withoutUas: ["JMicron"] } },
      "disks.withoutUas[0]",
    ],
    ["a port out of range", { pi: { ...home.pi, port: 70000 } }, "pi.port"],
  ])("refuse %s in one sentence", (_, changed, path) => {
    const found = problems(changed);
    expect(found).toHaveLength(1);
    expect(found[0]!.startsWith(`  - ${path} `)).toBe(true);
  });

  test.each([
    [true, "local"],
    ["true", "local"],
    ["local", "local"],
    ["off", "off"],
    [false, "off"],
    [{ remote: "http://192.168.11.20:3003" }, { remote: "http://192.168.11.20:3003" }],
  ])("take %j as a place for machine learning, as either YAML reads it", (given, meant) => {
    const { machineLearning } = parseSettings(
      config({ ...home, machineLearning: given }),
      "prod",
      isSecretSetting,
    );
    expect(machineLearning).toEqual(meant);
  });

  test("say so when a time was not quoted", () => {
    const phones = [{ name: "a", secretVersion: 2, overlapUntil: "2026-12-01 00:00:00 +0000 UTC" }];
    expect(problems({ family: [{ name: "ken", email: "k@y.jp", phones }] })).toEqual([
      '  - family[0].phones[0].overlapUntil was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-12-01T00:00:00Z".',
    ]);
  });

  test("say where a secret belongs that was set at another place, and never to write it in the open", () => {
    const whole = config({ ...home, apiToken: "canary", Alarm: "canary", albums: "canary" });
    let message = "";
    try {
      parseSettings(whole, "prod", (key) => /apiToken|Alarm|albums/.test(key));
    } catch (error) {
      message = (error as Error).message;
    }
    const [, ...lines] = message.split("\n");
    expect(lines).toEqual([
      '  - ouchi-photos:apiToken is in the wrong place, where nothing reads it: remove it, and type "pulumi config set --secret cloudflare:apiToken", and the value when it asks.',
      '  - ouchi-photos:Alarm is in the wrong place, where nothing reads it: remove it, and type "pulumi config set --secret ouchi-photos:alarm", and the value when it asks.',
      "  - albums is not a setting: remove it, or see Pulumi.prod.yaml for how it is spelt.",
    ]);
  });

  test("say of a secret's line that is empty what sets it", () => {
    const empty = { ...config({ ...home, alarm: "" }), "cloudflare:apiToken": "" };
    expect(() => parseSettings(empty, "prod", () => false)).toThrow(
      new UserError(
        [
          "Pulumi.prod.yaml has 2 problems; nothing was changed:",
          ...["ouchi-photos:alarm", "cloudflare:apiToken"].map(
            (key) =>
              `  - ${key} is empty: type "pulumi config set --secret ${key}", and the value when it asks, or remove the line.`,
          ),
        ].join("\n"),
        "settings",
      ),
    );
  });

  test("take a hand-made disk over by its file system", () => {
    const main = { uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", adopt: true };
    const settings = parseSettings(
      config({ ...home, disks: { ...home.disks, main } }),
      "prod",
      isSecretSetting,
    );
    expect(settings.disks.main).toEqual(main);
  });

  test("of the example are refused only for its placeholders", () => {
    const file = fileURLToPath(new URL("../../Pulumi.prod.yaml", import.meta.url));
    const example = parse(readFileSync(file, "utf8")).config as Record<string, unknown>;
    const asHandedOver = Object.fromEntries(
      Object.entries(example).map(([key, value]) => [
        key,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]),
    );
    let message = "";
    try {
      parseSettings(asHandedOver, "prod", isSecretSetting);
    } catch (error) {
      message = (error as Error).message;
    }
    const lines = message.split("\n").slice(1);
    expect(lines.map((line) => line.trim().split(" ")[1])).toEqual([
      "domain",
      "accountId",
      "pi.host",
      "pi.hostKey",
      "disks.main",
      "disks.backup",
      "family[0].email",
      "family[1].email",
      "family[2].email",
    ]);
    for (const line of lines) expect(line).toContain("is still the placeholder");
  });
});
