import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { plainBundles } from "../../infra/pi/bundles.ts";
import { shellLine } from "../../infra/pi/shell-words.ts";
import { isSecretSetting } from "../../infra/settings/secrets.ts";
import { parseSettings } from "../../infra/settings/settings.ts";
import type { ImagesLock } from "../../pi/bundles.ts";

const hostile = [
  "; rm -rf /",
  "$(touch /tmp/owned)",
  "`id`",
  "a b",
  "'\"\\",
  "two\nlines",
  "\u0000",
  "写真",
  "../../etc/passwd",
  "-rf",
  "{{.}}",
  "a".repeat(10_000),
];

const home = {
  domain: "yamada.jp",
  accountId: "0c0ffee00c0ffee00c0ffee00c0ffee0",
  timeZone: "Asia/Tokyo",
  pi: {
    host: "192.168.11.14",
    hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
  },
  disks: { main: "usb-WDC_A-0:0", backup: "usb-WDC_B-0:0" },
  family: [{ name: "ken", email: "ken@yamada.jp" }],
};

/** The settings that name a path, a disk, a host, a size or a time, each with a value in its place. */
const places: [path: string, withValue: (value: string) => object][] = [
  ["domain", (domain) => ({ domain })],
  ["hostname", (hostname) => ({ hostname })],
  ["accountId", (accountId) => ({ accountId })],
  ["timeZone", (timeZone) => ({ timeZone })],
  ["pi.host", (host) => ({ pi: { ...home.pi, host } })],
  ["pi.port", (port) => ({ pi: { ...home.pi, port } })],
  ["pi.user", (user) => ({ pi: { ...home.pi, user } })],
  ["pi.hostKey", (hostKey) => ({ pi: { ...home.pi, hostKey } })],
  ["disks.main", (main) => ({ disks: { ...home.disks, main } })],
  ["disks.backup", (backup) => ({ disks: { ...home.disks, backup } })],
  ["disks.withoutUas", (each) => ({ disks: { ...home.disks, withoutUas: [each] } })],
  ["disks.main.uuid", (uuid) => ({ disks: { ...home.disks, main: { uuid, adopt: true } } })],
  ["disks.allowFormat", (each) => ({ disks: { ...home.disks, allowFormat: [each] } })],
  ["upgradeFrom", (upgradeFrom) => ({ upgradeFrom })],
  ["machineLearning", (machineLearning) => ({ machineLearning })],
  ["machineLearning.remote", (remote) => ({ machineLearning: { remote } })],
  ["backup.schedule", (schedule) => ({ backup: { schedule } })],
  ["backup.keep.weekly", (weekly) => ({ backup: { keep: { weekly } } })],
  ["backup.keep.monthly", (monthly) => ({ backup: { keep: { monthly } } })],
  ["backup.keep.yearly", (yearly) => ({ backup: { keep: { yearly } } })],
  ["alarm", (alarm) => ({ alarm })],
  ["ping", (ping) => ({ ping })],
  ["sessionDuration", (sessionDuration) => ({ sessionDuration })],
  ["tokenDuration", (tokenDuration) => ({ tokenDuration })],
  [
    "family[0].phones[0].overlapUntil",
    (overlapUntil) => ({
      family: [{ ...home.family[0], phones: [{ name: "pixel", secretVersion: 2, overlapUntil }] }],
    }),
  ],
  ["family[0].name", (name) => ({ family: [{ ...home.family[0], name }] })],
];

function asConfig(settings: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      `ouchi-photos:${key}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
}

function refusal(changed: object): string {
  try {
    parseSettings(asConfig({ ...home, ...changed }), "prod", isSecretSetting);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

describe("hostile input", () => {
  test("is none in the home that the tests start from", () => {
    expect(refusal({})).toBe("");
  });

  test.each(places)("is refused in %s, which is named", (path, withValue) => {
    for (const value of ["", ...hostile]) {
      const text = refusal(withValue(value));
      expect(text, JSON.stringify(value).slice(0, 40)).toContain(`  - ${path.split("[")[0]}`);
      expect(text).toContain("nothing was changed");
    }
  });

  test.each(hostile)("is refused in a lock file of images: %j", (value) => {
    const lock = JSON.parse(readFileSync("compose/images.lock.json", "utf8")) as ImagesLock;
    const folder = mkdtempSync(join(tmpdir(), "ouchi-lock-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "lock.json");
    writeFileSync(file, JSON.stringify(lock));
    const settings = parseSettings(
      asConfig({ ...home, imagesLock: file }),
      "prod",
      isSecretSetting,
    );
    // By the file that is there when the settings are read, and by one that was changed since.
    const bundled = (changed: object) => {
      writeFileSync(file, JSON.stringify(changed));
      return plainBundles(settings);
    };
    expect(bundled(lock).tunnel).toBeDefined();
    const { image, digest } = lock.cloudflared;
    for (const cloudflared of [
      undefined,
      { digest },
      { image: value, digest },
      { image: `${value}/${image}`, digest },
      { image, digest: value },
      { image, digest: `${digest}${value}` },
    ]) {
      expect(() => bundled({ ...lock, cloudflared })).toThrow(
        /imagesLock, .*cloudflared.* is not as in .*Nothing was changed/s,
      );
      expect(refusal({ imagesLock: file })).toMatch(
        /has a problem; nothing was changed:\n {2}- imagesLock .*cloudflared.* is not as in /,
      );
    }
  });

  test("reaches a real shell's command as the words that they are", () => {
    const word = fc.oneof(
      fc.string({ unit: "binary" }).map((text) => text.replaceAll("\u0000", "")),
      fc.constantFrom(...hostile.map((text) => text.replaceAll("\u0000", ""))),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (words) => {
        const line = shellLine(["printf", "%s\\0", "begin", ...words]);
        const printed = execFileSync("sh", ["-c", line]).toString();
        expect(printed.split("\0").slice(0, -1)).toEqual([
          "begin",
          ...words.map((text) => Buffer.from(text).toString()),
        ]);
      }),
      { numRuns: 300 },
    );
  });
});
