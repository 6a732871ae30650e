import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Plugin, secret, startPlugin, urn } from "./plugin.ts";
import { type Sshd, startSshd } from "./sshd.ts";

const of = urn("Restarted", "pi-restarted");
let sshd: Sshd;
let plugin: Plugin;

beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(async () => {
  await sshd?.stop();
});
beforeEach(async () => {
  plugin = await startPlugin();
  return () => plugin.stop();
});

const inputs = (after: string) => ({
  connection: {
    host: "127.0.0.1",
    port: sshd.port,
    user: sshd.user,
    hostKey: sshd.hostKey,
    privateKey: secret(sshd.privateKey),
  },
  after,
});

describe("Restarted", () => {
  it("asks nothing of a Pi that has not said that it restarts", async () => {
    const before = sshd.logins();
    const { inputs: checked } = await plugin.check(of, undefined, inputs("system: 9 files"));
    await plugin.create(of, checked);
    expect(sshd.logins()).toBe(before);
  });

  it("waits for another boot than the one that it was told of", { timeout: 240_000 }, async () => {
    const [old, young] = [randomUUID(), randomUUID()];
    // What a login script prints is no boot.
    sshd.answer(`Welcome\n${randomUUID()}\nboot: ${old}\n`);
    const before = sshd.logins();
    let done = false;
    const waiting = plugin
      .create(of, inputs(`wrote /boot/firmware/cmdline.txt\nrestarts: ${old}\nsystem: done\n`))
      .then(() => {
        done = true;
      });
    while (sshd.logins() < before + 2) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(done).toBe(false);
    sshd.answer(`boot: ${young}\n`);
    await waiting;
    expect(plugin.messages.map(({ message }) => message)).toContainEqual(
      expect.stringContaining("The Pi restarts once"),
    );
  });
});
