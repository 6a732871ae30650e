import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fitPi } from "./fit-pi.ts";
import { type Plugin, type Properties, secret, startPlugin, urn } from "./plugin.ts";
import { freePort } from "./services.ts";
import { makeKey, type Sshd, startSshd } from "./sshd.ts";

const of = urn("Preflight", "preflight");
let sshd: Sshd;
let plugin: Plugin;

beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(async () => {
  await sshd?.stop();
});
beforeEach(async () => {
  sshd.answer(fitPi());
  plugin = await startPlugin();
  return () => plugin.stop();
});

const inputs = (connection: Properties = {}, immich = "one") => ({
  connection: {
    host: "127.0.0.1",
    port: sshd.port,
    user: sshd.user,
    hostKey: sshd.hostKey,
    privateKey: secret(sshd.privateKey),
    ...connection,
  },
  disks: {
    main: { id: "usb-ONE", allowFormat: true },
    backup: { id: "usb-TWO", allowFormat: true },
  },
  machineLearning: true,
  immich: {
    server: "ghcr.io/immich-app/immich-server:v3.2.4",
    postgres: "ghcr.io/immich-app/postgres:14-vectorchord0.4.3",
    admin: "admin@yamada.jp",
  },
  contents: { immich, "person ken": "a" },
});
/** What the check finds besides. */
const seen = { macAddress: "dc:a6:32:00:00:01", addresses: ["192.168.11.14"] };
/** As the check leaves them while nothing has drifted. */
const checkedInputs = (...args: Parameters<typeof inputs>) => ({
  ...inputs(...args),
  ...seen,
  repairs: {},
});
const warnings = () =>
  plugin.messages.filter(({ severity }) => severity === "warning").map(({ message }) => message);

describe("Preflight", () => {
  it("looks once per run and tells the address reservation to make", async () => {
    const before = sshd.logins();
    const { inputs: checked, failures } = await plugin.check(of, undefined, inputs());
    expect(failures).toEqual([]);
    expect(checked).toEqual(checkedInputs());
    const { outputs } = await plugin.create(of, checked);
    expect(outputs).toEqual(checkedInputs());
    expect(sshd.logins() - before).toBe(1);
    expect(await plugin.diff("preflight", of, outputs, checked)).toEqual({
      changes: false,
      replaces: [],
    });
    expect(await plugin.diff("preflight", of, outputs, checkedInputs({}, "two"))).toEqual({
      changes: true,
      replaces: [],
    });
  });

  it("tells everything that is wrong at once", async () => {
    sshd.answer(fitPi({ architecture: "armhf", sudo: "no", contents: "/dev/sda 12 \n" }));
    const { failures } = await plugin.check(of, undefined, inputs());
    expect(failures.map(({ reason }) => reason.split(": ")[0])).toEqual([
      "pi.host",
      "pi.user",
      "disks.main",
    ]);
    expect(warnings()).toEqual([]);
  });

  it("only warns when nothing on the Pi has to change", async () => {
    sshd.answer(fitPi({ sudo: "no" }));
    expect((await plugin.check(of, inputs(), inputs())).failures).toEqual([]);
    expect(warnings()).toEqual([
      expect.stringMatching(/^pi\.user: .* Nothing new has to go there/s),
    ]);
    expect((await plugin.check(of, inputs(), inputs({}, "two"))).failures).toHaveLength(1);
  });

  it("refuses a host key that is not the pinned one, with both fingerprints", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-key-"));
    const { publicKey } = makeKey(join(folder, "key"));
    rmSync(folder, { recursive: true });
    const before = sshd.logins();
    const { failures } = await plugin.check(of, undefined, inputs({ hostKey: publicKey }));
    expect(failures).toHaveLength(1);
    expect(failures[0]!.reason).toMatch(/^pi\.hostKey: /);
    expect(failures[0]!.reason.match(/SHA256:[A-Za-z0-9+/]{43}/g)).toHaveLength(2);
    expect(sshd.logins()).toBe(before);
    // Also when nothing on the Pi has to change: it is another Pi, another card, or somebody in between.
    const again = inputs({ hostKey: publicKey });
    expect((await plugin.check(of, again, again)).failures).toEqual(failures);
  });

  it("refuses a pinned key of a kind that the machine has not", async () => {
    const hostKey = `ssh-rsa ${Buffer.from("\0\0\0\x07ssh-rsa…").toString("base64")}`;
    const { failures } = await plugin.check(of, undefined, inputs({ hostKey }));
    expect(failures).toEqual([
      {
        property: "",
        reason: expect.stringContaining('has no host key of the kind "ssh-rsa"'),
      },
    ]);
  });

  it("refuses a key that the Pi does not let in", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-key-"));
    const { privateKey } = makeKey(join(folder, "key"));
    rmSync(folder, { recursive: true });
    const { failures } = await plugin.check(
      of,
      undefined,
      inputs({ privateKey: secret(privateKey) }),
    );
    expect(failures).toEqual([
      {
        property: "",
        reason: expect.stringContaining(
          `pi.privateKeyFile: The Pi refused to let "${sshd.user}" in`,
        ),
      },
    ]);
    expect(plugin.printed()).not.toContain("PRIVATE KEY");
  });

  it("refuses what is no private key, without showing it", async () => {
    const { failures } = await plugin.check(
      of,
      undefined,
      inputs({ privateKey: secret("canary-no-key") }),
    );
    expect(failures).toEqual([
      {
        property: "",
        reason: expect.stringContaining("could not be read as an SSH key"),
      },
    ]);
    expect(JSON.stringify(failures) + plugin.printed()).not.toContain("canary");
  });

  describe("with a Pi that is no longer as the kit left it", () => {
    const found = (...found: { subject: string; what: string }[]) =>
      fitPi({ drift: JSON.stringify({ format: 1, busy: null, found }) });

    it("tells what it is, and raises the numbers of the subjects that mend it (row 37)", async () => {
      sshd.answer(
        found(
          { subject: "docker", what: '"/etc/docker/daemon.json" was changed' },
          { subject: "docker", what: '"docker.service" does not run (inactive)' },
          { subject: "backup", what: '"/etc/cron.d/ouchi-photos" is gone' },
        ),
      );
      const olds = { ...inputs(), repairs: { docker: 1, immich: 4 } };
      const { failures, inputs: checked } = await plugin.check(of, olds, inputs());
      expect(failures).toEqual([]);
      expect(checked).toEqual({ ...checkedInputs(), repairs: { docker: 2, immich: 4, backup: 1 } });
      expect(warnings()[0]).toBe(
        'On the Pi, "/etc/docker/daemon.json" was changed: "up" mends it (docker).',
      );
      expect(await plugin.diff("preflight", of, olds, checked)).toMatchObject({ changes: true });
    });

    it("passes on what the Pi's own look at its health found", async () => {
      const problem = {
        key: "backup-failed",
        what: "The backup failed.",
        safe: "The photos are there.",
        todo: "Mend it.",
        since: "2026-11-28T01:00:00Z",
      };
      sshd.answer(
        fitPi({ drift: JSON.stringify({ format: 1, busy: null, found: [], problems: [problem] }) }),
      );
      const { failures } = await plugin.check(of, checkedInputs(), inputs());
      expect(failures).toEqual([]);
      expect(warnings()).toEqual(["The backup failed. The photos are there. Mend it."]);
    });

    it("has everything laid down again on a new SD card (row 22)", async () => {
      sshd.answer(fitPi({ drift: "" }));
      const { inputs: checked } = await plugin.check(of, checkedInputs(), inputs());
      expect(Object.keys(checked.repairs as object)).toHaveLength(7);
      expect(warnings()).toEqual([expect.stringContaining("as after a new SD card")]);
    });

    it("mends nothing while the Pi is unfit, so that a token can be revoked", async () => {
      sshd.answer(fitPi({ sudo: "no", drift: "" }));
      const { failures, inputs: checked } = await plugin.check(of, checkedInputs(), inputs());
      expect(failures).toEqual([]);
      expect(checked).toEqual(checkedInputs());
    });
  });

  describe("with the Pi out of reach", () => {
    it("stops before anything is changed when something on it must change", async () => {
      const port = await freePort();
      const { failures } = await plugin.check(of, undefined, inputs({ port }));
      expect(failures).toEqual([
        {
          property: "",
          reason: `pi.host: The Pi at ${sshd.user}@127.0.0.1:${port} is out of reach: nothing listens on its SSH port, and something on it must change (immich, person ken); nothing was changed. Switch it on, or check pi.host.`,
        },
      ]);
    });

    it("goes on with a warning when nothing on it has to change", async () => {
      const news = checkedInputs({ port: await freePort() });
      const { failures, inputs: checked } = await plugin.check(of, news, news);
      expect(failures).toEqual([]);
      expect(checked).toEqual(news);
      expect(warnings()).toEqual([
        expect.stringMatching(/is out of reach: .* Nothing new has to go there/),
      ]);
      expect(await plugin.diff("preflight", of, news, checked)).toMatchObject({ changes: false });
      // A refresh and a destroy ask nothing of it either.
      expect((await plugin.read("preflight", of, news)).id).toBe("preflight");
      await plugin.delete("preflight", of, news);
    });

    it.each([
      ["away", async () => ({ port: await freePort() })],
      ["there, and lets nobody in", async () => ({ user: "nobody-of-this-name" })],
    ])("lets a person be removed, who stays in Immich, with a Pi that is %s", async (_, change) => {
      const known = checkedInputs(await change());
      const olds = known;
      const { macAddress: _mac, addresses: _addresses, ...sent } = known;
      const news = { ...sent, contents: { immich: "one" } };
      const { failures, inputs: checked } = await plugin.check(of, known, news);
      expect(failures).toEqual([]);
      expect(await plugin.diff("preflight", of, olds, checked)).toMatchObject({ changes: true });
      const outputs = await plugin.update("preflight", of, olds, checked);
      expect(outputs).toEqual({ ...olds, contents: { immich: "one" } });
    });

    it("stops once more when an earlier run broke off before the Pi was changed", async () => {
      const { connection, contents } = inputs({ port: await freePort() });
      const news = { ...inputs(), connection };
      const ofDeployed = urn("Deployed", "deployed");
      const done = { connection, contents: { ...contents, immich: "zero" } };
      expect((await plugin.check(of, news, news)).failures).toEqual([]);
      const { failures } = await plugin.check(ofDeployed, done, { connection, contents });
      expect(failures).toEqual([
        {
          property: "",
          reason: expect.stringMatching(
            /is out of reach: .*, and an earlier run did not bring all to its end there \(immich\); nothing was changed/,
          ),
        },
      ]);
      const whole = await plugin.check(
        ofDeployed,
        { connection, contents },
        { connection, contents },
      );
      expect(whole.failures).toEqual([]);
    });
  });
});

it("sends and starts with scripts that shellcheck has nothing to say about", () => {
  for (const file of ["preflight/facts.sh", "pulumi-resource-immich"]) {
    const path = fileURLToPath(new URL(`../../../immich/${file}`, import.meta.url));
    execFileSync("shellcheck", [path], { stdio: "pipe" });
  }
});
