import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseDocument } from "yaml";
import { Clock } from "../../rehearsal/clock.ts";
import { ControlClient } from "../../rehearsal/cloudflare/control-client.ts";
import { kitPermissions } from "../../rehearsal/cloudflare/permissions.ts";
import { type PretendCloudflare, startCloudflare } from "../../rehearsal/cloudflare/server.ts";
import { EngineRun } from "../../rehearsal/engine-run.ts";
import { fitPi } from "./immich/fit-pi.ts";
import { freePort } from "./immich/services.ts";
import { type Sshd, startSshd } from "./immich/sshd.ts";

const repository = join(import.meta.dirname, "../..");
const apiToken = "canary-of-the-api-token-0123456789abcdef01";
const accountId = "0c0ffee00c0ffee00c0ffee00c0ffee0";

/**
 * The program as an owner runs it, against the pretend Cloudflare and a real SSH server that is no Pi.
 * What a fit Pi then gets is the story's to show.
 */
describe("Bad input stops everything before the first change:", () => {
  let sshd: Sshd;
  let cloudflare: PretendCloudflare;
  let folder: string;
  let engine: EngineRun;

  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(() => sshd.stop());

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ouchi-bad-"));
    cloudflare = await startCloudflare({
      clock: new Clock(),
      accountId,
      zoneName: "yamada.test",
      teamName: "yamada",
      apiTokens: [{ value: apiToken }],
    });
    engine = new EngineRun(repository, folder, "rehearsal", "a passphrase");
    await engine.prepare(join(repository, "Pulumi.rehearsal.yaml"));
    await set(["ouchi-photos:pi"], {
      host: "127.0.0.1",
      port: sshd.port,
      user: sshd.user,
      hostKey: sshd.hostKey,
      privateKeyFile: sshd.privateKeyFile,
    });
    await set(["cloudflare:baseUrl"], cloudflare.apiUrl);
    await engine.setSecret("cloudflare:apiToken", apiToken);
    return async () => {
      const changes = (await new ControlClient(cloudflare.controlUrl).requests()).filter(
        ({ method }) => method !== "GET",
      );
      await cloudflare.close();
      rmSync(folder, { recursive: true, force: true });
      expect(changes, "calls that change something at Cloudflare").toEqual([]);
      expect(engine.printed).not.toContain(apiToken);
    };
  });

  async function set(path: (string | number)[], value: unknown): Promise<void> {
    await engine.editSettings((text) => {
      const document = parseDocument(text);
      document.setIn(["config", ...path], document.createNode(value));
      return document.toString({ lineWidth: 0 });
    });
  }

  async function refusal(): Promise<string> {
    // The engine's own command: `ouchi` reads the settings before it, and would answer in its place.
    const ran = await engine.direct(["up", "--yes"]);
    expect(ran.exitCode, ran.text).not.toBe(0);
    return ran.text;
  }

  test("wrong settings are named all at once, by ouchi and by the engine", async () => {
    await set(["ouchi-photos:timeZone"], "JST");
    await set(["ouchi-photos:family", 0, "email"], "ken");
    for (const text of [(await engine.up()).text, await refusal()]) {
      expect(text).toContain("has 2 problems; nothing was changed:");
      expect(text).toContain('timeZone is "JST": give the place, such as Asia/Tokyo');
      expect(text).toContain('family[0].email is "ken": give an e-mail address');
    }
  });

  test("a secret in plain text, or a key that nothing reads, by ouchi and by the engine, unseen", async () => {
    const canary = "ntfys://canary-of-the-alarm";
    await set(["ouchi-photos:alarm"], canary);
    await set(["ouchi:domain"], "yamada.test");
    await set(["ouchi-photos:hostname"], { secure: await ciphertext("pictures") });
    for (const text of [(await engine.up()).text, await refusal()]) {
      expect(text).toContain("has 3 problems; nothing was changed:");
      expect(text).toContain('type "pulumi config set --secret ouchi-photos:alarm"');
      expect(text).toContain("ouchi:domain is in the namespace");
      expect(text).toContain("hostname is kept as a secret, and is none");
      expect(text).not.toContain(canary);
    }
  });

  /** What the engine writes into the stack file for a secret. */
  async function ciphertext(value: string): Promise<string> {
    await engine.setSecret("ouchi-photos:ping", value);
    const document = parseDocument(await readFile(engine.stackFile, "utf8"));
    const path = ["config", "ouchi-photos:ping"];
    const written = document.getIn([...path, "secure"]) as string;
    await engine.editSettings((text) => {
      const edited = parseDocument(text);
      edited.deleteIn(path);
      return edited.toString({ lineWidth: 0 });
    });
    return written;
  }

  test("a renamed person's phone, whose token goes, is named before anything happens", async () => {
    const make = async (what: string, body: object) => {
      const answer = await fetch(`${cloudflare.apiUrl}/accounts/${accountId}/access/${what}`, {
        method: "POST",
        headers: { authorization: `Bearer ${apiToken}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(answer.ok).toBe(true);
      return ((await answer.json()) as { result: { id: string } }).result.id;
    };
    const token_id = await make("service_tokens", {
      name: "ouchi-photos kenta iphone (photos.yamada.test)",
    });
    await make("policies", {
      name: "ouchi-photos phones (photos.yamada.test)",
      ...{ decision: "non_identity", include: [{ service_token: { token_id } }] },
    });
    await fetch(`${cloudflare.controlUrl}/requests`, { method: "DELETE" });
    await set(["ouchi-photos:pi", "port"], await freePort());
    const text = await refusal();
    expect(text).toContain("The token of kenta's iphone goes");
    expect(text).toContain("Then ken's iphone gets a token of its own");
  });

  test("an API token that Cloudflare refuses", async () => {
    await engine.setSecret("cloudflare:apiToken", "0".repeat(40));
    expect(await refusal()).toContain("Cloudflare refuses the API token in cloudflare:apiToken");
  });

  // The one for revoking people is asked for when somebody leaves, and not before.
  const always = kitPermissions.filter((each) => each !== "Access: Organizations Revoke");
  test.each(always)("an API token without %s (row 39)", async (lacking) => {
    await fetch(`${cloudflare.controlUrl}/api-tokens`, {
      method: "POST",
      body: JSON.stringify({
        value: apiToken,
        permissions: kitPermissions.filter((each) => each !== lacking),
      }),
    });
    expect(await refusal()).toContain(lacking);
  });

  test("a domain that is not at Cloudflare", async () => {
    await set(["ouchi-photos:domain"], "suzuki.test");
    expect(await refusal()).toContain('Cloudflare knows no zone "suzuki.test"');
  });

  test("a hostname that leads elsewhere already", async () => {
    const [zone] = (await new ControlClient(cloudflare.controlUrl).state()).zones;
    const answer = await fetch(`${cloudflare.apiUrl}/zones/${zone!.id}/dns_records`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiToken}`, "content-type": "application/json" },
      body: JSON.stringify({
        type: "A",
        name: "photos.yamada.test",
        content: "203.0.113.7",
        ttl: 1,
      }),
    });
    expect(answer.status).toBe(200);
    await fetch(`${cloudflare.controlUrl}/requests`, { method: "DELETE" });
    const text = await refusal();
    expect(text).toContain("The name photos.yamada.test leads elsewhere already");
    expect(text).toContain("A 203.0.113.7");
  });

  test("a host key that is not the pinned one, with both fingerprints (row 36)", async () => {
    const other =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    await set(["ouchi-photos:pi", "hostKey"], other);
    const text = await refusal();
    expect(text).toContain("pi.hostKey");
    expect(text.match(/SHA256:[A-Za-z0-9+/]{43}/g)?.length).toBeGreaterThanOrEqual(2);
  });

  test("a Pi that is out of reach when something on it must change", async () => {
    await set(["ouchi-photos:pi", "port"], await freePort());
    expect(await refusal()).toMatch(/pi\.host: The Pi at .*127\.0\.0\.1.* is out of reach/);
  });

  test.each([
    ["a 32-bit userland", { architecture: "armhf" }, /pi\.host: The Pi runs a 32-bit system/],
    ["sudo that asks", { sudo: "no" }, /pi\.user: The Pi asks for a password at "sudo"/],
    [
      "a disk that holds someone's data",
      { contents: "/dev/sda 3 \n/dev/sdb 0 " },
      /disks\.main: "usb-ONE" holds something that is not the kit's, so it is left alone/,
    ],
    [
      "two disks that cannot be told apart",
      { links: "/dev/sda /dev/disk/by-id/usb-ONE\n/dev/sdb /dev/disk/by-id/usb-ONE" },
      /disks\.main: "usb-ONE" is the name of 2 disks on the Pi/,
    ],
  ])("%s", async (_, facts: Record<string, string>, reason) => {
    sshd.answer(fitPi(facts));
    const names = ["usb-ONE", "usb-TWO"];
    const [main, backup] = names;
    await set(["ouchi-photos:disks"], { main, backup, allowFormat: names });
    expect(await refusal()).toMatch(reason);
  });

  test("a private key that is not there", async () => {
    await set(["ouchi-photos:pi", "privateKeyFile"], "~/no-such-key");
    expect(await refusal()).toContain('The private key in pi.privateKeyFile, "~/no-such-key"');
  });
});
