import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";

const ouchi = join(import.meta.dirname, "../../cli/ouchi");
const onACard = join(import.meta.dirname, "../../rehearsal/pi/on-a-card.sh");
const keys = mkdtempSync(join(tmpdir(), "ouchi keys "));
afterAll(() => rmSync(keys, { recursive: true }));
const inKeys = (name: string) => join(keys, name);
const keygen = (name: string, ...words: string[]) =>
  execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "ken@laptop", "-f", inKeys(name), ...words]);
keygen("ed25519", "-t", "ed25519");
const publicKey = readFileSync(inKeys("ed25519.pub"), "utf8").trim();

describe("ouchi sdcard", { timeout: 30_000 }, () => {
  let folder: string;
  let keyFile: string;
  const cmdline = "console=serial0,115200 root=PARTUUID=1-02 rootwait\n";

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ouchi card "));
    for (const name of ["config.txt", "kernel8.img", "user-data"])
      writeFileSync(join(folder, name), "");
    writeFileSync(join(folder, "cmdline.txt"), cmdline);
    keyFile = `${folder}.pub`;
    writeFileSync(keyFile, `${publicKey}\n`);
    return () => {
      rmSync(folder, { recursive: true });
      rmSync(keyFile);
    };
  });

  const words = (card: string) => ["sdcard", card, "--public-key", keyFile];
  const type = (options: string[], input = "") =>
    execa(onACard, [folder, ouchi, ...words(folder), ...options], {
      input,
      reject: false,
      all: true,
    });
  const read = (name: string) => readFileSync(join(folder, name), "utf8");

  test("lets one key in, closes the password login and switches memory limits on", async () => {
    const { stdout, exitCode } = await type(["--hostname", "ie", "--locale", "ja_JP.UTF-8"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("ssh pi@ie.local cat /sys/class/net/eth0/address");
    expect(parse(read("user-data"))).toMatchObject({
      hostname: "ie",
      timezone: "Asia/Tokyo",
      locale: "ja_JP.UTF-8",
      ssh_pwauth: false,
      users: [{ name: "pi", lock_passwd: true, ssh_authorized_keys: [publicKey] }],
    });
    expect(read("cmdline.txt")).toBe(`${cmdline.trim()} cgroup_enable=memory cgroup_memory=1\n`);
    expect(readdirSync(folder)).not.toContain("network-config");
    await type(["--hostname", "ie"]);
    expect(read("cmdline.txt.bak")).toBe(cmdline);
  });

  test("joins a Wi-Fi only when it is asked to, whose password is no argument", async () => {
    const password = 'canary: "の" #1';
    const { exitCode, all } = await type(["--wifi", "うち: 5G"], `${password}\n`);
    expect(exitCode).toBe(0);
    expect(all).not.toContain("canary");
    expect(parse(read("network-config"))).toMatchObject({
      network: {
        ethernets: { eth0: { dhcp4: true } },
        wifis: {
          wlan0: { "regulatory-domain": "JP", "access-points": { "うち: 5G": { password } } },
        },
      },
    });
    const short = await type(["--wifi", "home"], "short\n");
    expect(short.stderr).toContain("A Wi-Fi's password has 8 to 63 characters, not 5");
  });

  test("writes no card for a key that the kit cannot use, which would be locked", async () => {
    // A security key's, whole: type, point, application.
    const fields = ["sk-ssh-ed25519@openssh.com", "p".repeat(32), "ssh:"].map((text) =>
      Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]),
    );
    writeFileSync(
      keyFile,
      `sk-ssh-ed25519@openssh.com ${Buffer.concat(fields).toString("base64")} ken`,
    );
    const { exitCode, stderr } = await type([]);
    expect(stderr).toContain(`--public-key, "${keyFile}", is a security key's`);
    expect(stderr).toMatch(/Nothing was changed\.$/);
    expect([exitCode, read("user-data"), read("cmdline.txt")]).toEqual([64, "", cmdline]);
  });

  test("writes no card for a public key whose private half is another one's", async () => {
    keygen("pair", "-t", "ed25519");
    writeFileSync(inKeys("pair.pub"), publicKey);
    const { exitCode, stderr } = await type(["--public-key", inKeys("pair.pub")]);
    expect(stderr).toContain(
      `is not the public half of the private key beside it, "${inKeys("pair")}"`,
    );
    expect([exitCode, read("user-data")]).toEqual([64, ""]);
  });

  test("writes nothing where no card's boot partition is mounted", async () => {
    const copy = await execa(ouchi, words(folder), { reject: false });
    expect(copy.exitCode).toBe(77);
    expect(copy.stderr).toMatch(/nothing is mounted there.*Nothing was changed\.$/);
    rmSync(join(folder, "config.txt"));
    const refused = await type([]);
    expect(refused.exitCode).toBe(77);
    expect(refused.stderr).toMatch(/it holds no config\.txt\..*Nothing was changed\.$/);
    expect(read("user-data")).toBe("");
    const elsewhere = await execa(ouchi, words(join(folder, "none")), { reject: false });
    expect(elsewhere.stderr).toContain("is not the boot partition");
  });

  test.each([
    ["--hostname", "; rm -rf /"],
    ["--hostname", "家"],
    ["--hostname", "a".repeat(10_000)],
    ["--user", "root\nroot"],
    ["--user", ""],
    ["--time-zone", "../../etc/passwd"],
    ["--locale", "ja_JP.eucJP"],
    ["--wifi-country", "Japan"],
    ["--public-key", "/dev/null"],
  ])("refuses %s (case %#) and names it", async (option, value) => {
    const { exitCode, stderr } = await type([`${option}=${value}`]);
    expect(exitCode).toBe(64);
    expect(stderr).toContain(option);
    expect(stderr).toMatch(/Nothing was changed\.$/);
    expect(read("user-data")).toBe("");
    expect(read("cmdline.txt")).toBe(cmdline);
  });
});
