import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as sdk from "@immich/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createServer, type ImmichServer } from "../../../rehearsal/immich/server.ts";
import { jpeg } from "./photos.ts";
import { type Plugin, type Properties, secret, startPlugin, unknown, urn } from "./plugin.ts";
import { type Postgres, type RedisServer, startPostgres, startRedis } from "./services.ts";
import { makeKey, type Sshd, startSshd } from "./sshd.ts";

const day = 24 * 60 * 60 * 1000;
const adminPassword = "canary-admin-password";
const firstPassword = "canary-first-password";
const adminAccount = { email: "admin@example.com", password: secret(adminPassword) };

let postgres: Postgres;
let redis: RedisServer;
let sshd: Sshd;
let plugin: Plugin;
let server: ImmichServer;
let dataDir: string;
let clock: number;
let count = 0;

beforeAll(async () => {
  [postgres, redis, sshd] = await Promise.all([startPostgres(), startRedis(), startSshd()]);
}, 300_000);
afterAll(async () => {
  await Promise.all([postgres?.stop(), redis?.stop(), sshd?.stop()]);
});

/** Every test meets an empty Immich and a plugin that was just started, as a run of Pulumi does. */
beforeEach(async () => {
  clock = Date.parse("2026-11-23T00:00:00Z");
  dataDir = mkdtempSync(join(tmpdir(), "ouchi-immich-"));
  server = await createServer({
    dataDir,
    database: await postgres.createDatabase(`immich${++count}`),
    redis,
    now: () => clock,
    timeZone: "Asia/Tokyo",
  });
  plugin = await startPlugin();
  return async () => {
    const all = plugin.printed() + JSON.stringify(plugin.messages);
    await plugin.cancel().catch(() => undefined);
    await plugin.stop();
    await server.close();
    rmSync(dataDir, { recursive: true, force: true });
    // Whatever a test did, no secret may have reached the terminal.
    expect(all).not.toContain("canary");
    expect(all).not.toContain("PRIVATE KEY");
  };
});

const connection = () => ({
  host: "127.0.0.1",
  port: sshd.port,
  user: sshd.user,
  hostKey: sshd.hostKey,
  privateKey: secret(sshd.privateKey),
  apiPort: server.port,
});

async function create(type: string, name: string, inputs: Properties, olds?: Properties) {
  const of = urn(type, name);
  const checked = await plugin.check(of, olds, inputs);
  expect(checked.failures).toEqual([]);
  return { ...(await plugin.create(of, checked.inputs)), inputs: checked.inputs };
}
const createAdmin = (changes: Properties = {}) =>
  create("Admin", "admin", {
    connection: connection(),
    ...adminAccount,
    name: "ouchi-photos",
    ...changes,
  });
const userInputs = (name: string, changes: Properties = {}) => ({
  connection: connection(),
  admin: adminAccount,
  email: `${name}@example.com`,
  name,
  storageLabel: name,
  initialPassword: secret(firstPassword),
  ...changes,
});
const createUser = (name: string, changes: Properties = {}) =>
  create("User", name, userInputs(name, changes));

const login = async (email: string, password: string) => {
  const baseUrl = `${server.url}/api`;
  const answer = await sdk.login({ loginCredentialDto: { email, password } }, { baseUrl });
  return { baseUrl, headers: { authorization: `Bearer ${answer.accessToken}` } };
};
const asAdmin = () => login(adminAccount.email, adminPassword);

async function uploadPhoto(as: Awaited<ReturnType<typeof login>>, comment: string) {
  const photo = jpeg({ taken: "2022:02:03 23:30:00", offset: "+09:00", comment });
  const { id } = await sdk.uploadAsset(
    {
      assetMediaCreateDto: {
        assetData: new File([new Uint8Array(photo)], "IMG_1.jpg"),
        fileCreatedAt: "2024-05-06T07:08:09.000Z",
        fileModifiedAt: "2024-05-06T07:08:09.000Z",
      },
    },
    as,
  );
  await server.settled();
  return { id, photo };
}

const rows = async () => ({
  users: (
    await server.state.db.query(
      `select "id", "email", "storageLabel", "deletedAt" from "user" order by "email"`,
    )
  ).rows,
  assets: (
    await server.state.db.query(
      `select "id", "ownerId", "originalPath", "checksum", "deletedAt" from "asset" order by "id"`,
    )
  ).rows,
});

describe("Admin", () => {
  it("signs the first administrator up, finishes the first steps, and is the same again", async () => {
    const { id, outputs } = await createAdmin();
    const config = await sdk.getServerConfig({ baseUrl: `${server.url}/api` });
    expect(config).toMatchObject({ isInitialized: true, isOnboarded: true });
    expect(outputs).toMatchObject({ userId: id, email: "admin@example.com" });
    expect(await sdk.getMyUser(await asAdmin())).toMatchObject({
      id,
      isAdmin: true,
      shouldChangePassword: false,
    });
    expect((await createAdmin()).id).toBe(id);
  });

  it.each(["after the sign-up", "after the first sign-in"])(
    "goes on where a run was cut, %s",
    async (step) => {
      const opts = { baseUrl: `${server.url}/api` };
      const signUpDto = { email: adminAccount.email, name: "cut", password: adminPassword };
      await sdk.signUpAdmin({ signUpDto }, opts);
      if (step === "after the first sign-in") await asAdmin();
      await createAdmin();
      expect(await sdk.getServerConfig(opts)).toMatchObject({ isOnboarded: true });
      expect((await sdk.getMyUser(await asAdmin())).name).toBe("ouchi-photos");
    },
  );

  it("says how to mend a password that is another one, without showing either", async () => {
    await createAdmin();
    await expect(createAdmin({ password: secret("canary-other") })).rejects.toThrow(
      /^Immich refused "admin@example.com" with the password that this stack holds\. Either .* immich-admin reset-admin-password/,
    );
  });

  it("is let in by the administrator that an Immich set up by hand has, who stays one", async () => {
    const opts = { baseUrl: `${server.url}/api` };
    const ken = { email: "ken@example.com", password: "canary-of-ken" };
    await sdk.signUpAdmin({ signUpDto: { ...ken, name: "ken" } }, opts);
    await expect(createAdmin()).rejects.toThrow(/give that one's address as immichAdminEmail/);
    const wrong = { ...ken, password: secret("canary-wrong") };
    await expect(createAdmin({ existing: wrong })).rejects.toThrow(/Immich refused "ken@/);
    const existing = { ...ken, password: secret(ken.password) };
    const { id, outputs } = await createAdmin({ existing });
    expect(await sdk.getMyUser(await asAdmin())).toMatchObject({ id, isAdmin: true });
    expect(await sdk.getMyUser(await login(ken.email, ken.password))).toMatchObject({
      name: "ken",
      isAdmin: true,
    });
    // Taken out of the stack file afterwards, it is no change.
    const { existing: _gone, ...news } = outputs as Properties;
    const of = urn("Admin", "admin");
    expect(await plugin.diff(id, of, outputs, news)).toMatchObject({ changes: false });
    expect((await createAdmin({ existing })).id).toBe(id);
    expect(plugin.printed()).not.toContain("canary");
  });

  it("is made an administrator by it where the account is there as a person's", async () => {
    const opts = { baseUrl: `${server.url}/api` };
    const ken = { email: "ken@example.com", password: "canary-of-ken" };
    await sdk.signUpAdmin({ signUpDto: { ...ken, name: "ken" } }, opts);
    const { id } = await sdk.createUserAdmin(
      { userAdminCreateDto: { email: adminAccount.email, name: "x", password: "another one" } },
      await login(ken.email, ken.password),
    );
    const existing = { ...ken, password: secret(ken.password) };
    expect((await createAdmin({ existing })).id).toBe(id);
    expect(await sdk.getMyUser(await asAdmin())).toMatchObject({ id, isAdmin: true });
  });

  it("changes its own password in place", async () => {
    const { id, inputs, outputs } = await createAdmin();
    const news = { ...inputs, password: secret("canary-second") };
    const of = urn("Admin", "admin");
    expect(await plugin.diff(id, of, outputs, news)).toEqual({ changes: true, replaces: [] });
    await plugin.update(id, of, outputs, news);
    await login(adminAccount.email, "canary-second");
    // A run that was cut after Immich took the new password, before the state did.
    await plugin.update(id, of, outputs, news);
  });

  it("reads gone from an Immich that nobody has signed up to", async () => {
    const { id, outputs } = await createAdmin();
    await server.state.db.query(`delete from "user"`);
    expect((await plugin.read(id, urn("Admin", "admin"), outputs)).id).toBe("");
  });

  it("stays when it is deleted", async () => {
    const { id, outputs } = await createAdmin();
    await plugin.delete(id, urn("Admin", "admin"), outputs);
    await asAdmin();
  });
});

describe("User", () => {
  beforeEach(async () => {
    await createAdmin();
  });

  it("makes an account whose first password has to be changed", async () => {
    const { id, outputs } = await createUser("ken", { email: " Ken@Example.com", quota: 1000 });
    expect(outputs).toMatchObject({
      email: "ken@example.com",
      storageLabel: "ken",
      adopted: false,
      userId: id,
    });
    expect(await sdk.getMyUser(await login("ken@example.com", firstPassword))).toMatchObject({
      id,
      isAdmin: false,
      shouldChangePassword: true,
      quotaSizeInBytes: 1000,
      storageLabel: "ken",
    });
  });

  it("keeps every secret wrapped in its outputs", async () => {
    const { outputs } = await createUser("ken");
    expect(outputs).toMatchObject({
      initialPassword: secret(firstPassword),
      admin: { password: secret(adminPassword) },
      connection: { privateKey: secret(sshd.privateKey) },
    });
    const open = JSON.stringify(outputs, (_, value) =>
      value?.["4dabf18193072939515e22adb298388d"] ? "[secret]" : value,
    );
    expect(open).not.toContain("canary");
    expect(open).not.toContain("PRIVATE KEY");
  });

  it("wraps secrets that the program forgot to mark", async () => {
    const { outputs } = await createUser("ken", {
      admin: { ...adminAccount, password: adminPassword },
      initialPassword: firstPassword,
    });
    expect(outputs).toMatchObject({
      initialPassword: secret(firstPassword),
      admin: { password: secret(adminPassword) },
    });
  });

  it("adopts a person found by e-mail: label, password and photos are as they were", async () => {
    const made = await sdk.createUserAdmin(
      {
        userAdminCreateDto: {
          email: "mio@example.com",
          name: "by hand",
          password: "own-password",
          storageLabel: "by-hand",
          shouldChangePassword: false,
        },
      },
      await asAdmin(),
    );
    const { id, outputs } = await createUser("mio");
    expect(id).toBe(made.id);
    expect(outputs).toMatchObject({ adopted: true, storageLabel: "by-hand" });
    expect(await sdk.getMyUser(await login("mio@example.com", "own-password"))).toMatchObject({
      name: "mio",
      storageLabel: "by-hand",
      shouldChangePassword: false,
    });
    expect(plugin.messages.at(-1)).toEqual({
      severity: "info",
      message:
        '"mio@example.com" is in Immich already and was adopted; password and photos are as they were. Their originals stay under library/by-hand.',
    });
  });

  it("restores a person who was deleted in Immich, and says so", async () => {
    const { id } = await createUser("ken");
    await sdk.deleteUserAdmin({ id, userAdminDeleteDto: {} }, await asAdmin());
    const again = await createUser("ken");
    expect(again.id).toBe(id);
    expect(await sdk.getMyUser(await login("ken@example.com", firstPassword))).toMatchObject({
      status: "active",
      deletedAt: null,
    });
    expect(plugin.messages.filter(({ severity }) => severity === "warning")).toEqual([
      {
        severity: "warning",
        message:
          '"ken@example.com" had been deleted in Immich and was restored, with all photos: the family list names this person.',
      },
    ]);
  });

  it("never answers replace, and has nothing to do with a later first password or label", async () => {
    const { id, inputs, outputs } = await createUser("ken");
    const of = urn("User", "ken");
    const same = { ...inputs, initialPassword: secret("canary-later"), storageLabel: "other" };
    expect(await plugin.diff(id, of, outputs, same)).toEqual({ changes: false, replaces: [] });
    const unknownYet = { ...inputs, initialPassword: unknown };
    expect(await plugin.diff(id, of, outputs, unknownYet)).toMatchObject({ changes: false });
    for (const change of [
      { email: "ken2@example.com" },
      { name: "Kenji" },
      { quota: 5 },
      { connection: { ...connection(), host: "localhost" } },
      { admin: { ...adminAccount, password: secret("canary-new") } },
      { email: unknown },
    ]) {
      expect(await plugin.diff(id, of, outputs, { ...inputs, ...change })).toEqual({
        changes: true,
        replaces: [],
      });
    }
  });

  it("keeps the storage label when the program gives another, with a warning", async () => {
    const { id, inputs, outputs } = await createUser("ken");
    const of = urn("User", "ken");
    const checked = await plugin.check(of, inputs, { ...inputs, storageLabel: "kenji" });
    expect(checked.inputs.initialPassword).toEqual(secret(firstPassword));
    expect(plugin.messages.at(-1)).toMatchObject({
      severity: "warning",
      message: expect.stringContaining(
        'stays as it is in Immich, and does not become "kenji": their originals lie under it',
      ),
    });
    const updated = await plugin.update(id, of, outputs, { ...checked.inputs, name: "Kenji" });
    expect(updated.storageLabel).toBe("ken");
    expect(await sdk.getMyUser(await login("ken@example.com", firstPassword))).toMatchObject({
      name: "Kenji",
      storageLabel: "ken",
    });
  });

  it("changes name, address and quota of the same account", async () => {
    const { id, inputs, outputs } = await createUser("ken");
    const news = { ...inputs, name: "Kenji", email: "kenji@example.com", quota: 7 };
    const updated = await plugin.update(id, urn("User", "ken"), outputs, news);
    expect(updated).toMatchObject({ userId: id, name: "Kenji", adopted: false });
    expect(await sdk.getMyUser(await login("kenji@example.com", firstPassword))).toMatchObject({
      id,
      name: "Kenji",
      storageLabel: "ken",
      quotaSizeInBytes: 7,
    });
  });

  it("refuses an address that someone else has, naming the person", async () => {
    await createUser("mio");
    const { id, inputs, outputs } = await createUser("ken");
    const news = { ...inputs, email: "mio@example.com" };
    await expect(plugin.update(id, urn("User", "ken"), outputs, news)).rejects.toThrow(
      'Immich could not change "ken@example.com": Email already in use by another account (HTTP 400).',
    );
  });

  it("refuses two addresses that change places before any change, with the way in two steps", async () => {
    const [ken, mio] = [await createUser("ken"), await createUser("mio")];
    const exchanged = (person: typeof ken, email: string) => ({ ...person.inputs, email });
    const first = exchanged(ken, "mio@example.com");
    expect((await plugin.check(urn("User", "ken"), ken.inputs, first)).failures).toEqual([]);
    const second = exchanged(mio, "ken@example.com");
    const { failures } = await plugin.check(urn("User", "mio"), mio.inputs, second);
    expect(failures).toHaveLength(1);
    expect(failures[0]!.reason).toMatch(
      /^family: These e-mail addresses change places.*mio from "mio@example.com" to "ken@example.com".*two steps/,
    );
  });

  it("gives a new person the address that another leaves, and never that one's account", async () => {
    const ken = await createUser("ken");
    const news = { ...ken.inputs, email: "kenji@example.com" };
    const of = urn("User", "ken");
    expect((await plugin.check(of, ken.inputs, news)).failures).toEqual([]);
    const [mio] = await Promise.all([
      createUser("mio", { email: "ken@example.com" }),
      plugin.update(ken.id, of, ken.outputs, news),
    ]);
    expect(mio.outputs.adopted).toBe(false);
    expect((await rows()).users).toMatchObject([
      {},
      { id: mio.id, email: "ken@example.com", storageLabel: "mio" },
      { id: ken.id, email: "kenji@example.com", storageLabel: "ken" },
    ]);
  });

  it("refuses a short name whose folder is that of someone who left", async () => {
    await createUser("ken");
    await expect(createUser("ken", { email: "kentaro@example.com" })).rejects.toThrow(
      'The originals of "ken@example.com" lie under library/ken, and that account stays in Immich: give "kentaro@example.com" another name',
    );
  });

  it("refuses the kit's own administrator as a person", async () => {
    await expect(createUser("admin")).rejects.toThrow("cannot be a person of the family too");
  });

  it("shows drift, and a deleted account as gone", async () => {
    const { id, outputs } = await createUser("ken");
    const of = urn("User", "ken");
    const admin = await asAdmin();
    await sdk.updateUserAdmin({ id, userAdminUpdateDto: { name: "by hand" } }, admin);
    const drifted = await plugin.read(id, of, outputs);
    expect(drifted).toMatchObject({
      id,
      outputs: { name: "by hand" },
      inputs: { name: "by hand" },
    });
    expect(drifted.inputs).not.toHaveProperty("userId");
    expect(drifted.outputs.initialPassword).toEqual(secret(firstPassword));
    expect(await plugin.diff(id, of, drifted.outputs, outputs)).toMatchObject({ changes: true });
    await sdk.deleteUserAdmin({ id, userAdminDeleteDto: {} }, admin);
    expect((await plugin.read(id, of, outputs)).id).toBe("");
  });

  it("shows nothing secret when Immich refuses", async () => {
    const error = await createUser("ken", { quota: -1 }).catch((reason: Error) => reason);
    expect(String(error)).toMatch(
      /Immich could not make an account for "ken@example\.com": .*\(HTTP 400\)/,
    );
    expect(String(error)).not.toContain(firstPassword);
  });
});

describe("SystemSettings", () => {
  const owned = {
    storageTemplate: { enabled: true, template: "{{y}}/{{MM}}/{{filename}}" },
    server: { externalDomain: "https://photos.example.com" },
  };
  const inputs = (settings: Properties = owned) => ({
    connection: connection(),
    admin: adminAccount,
    settings,
  });
  const of = urn("SystemSettings", "settings");

  beforeEach(async () => {
    await createAdmin();
  });

  it("writes the keys that it owns and leaves the owner's as they are", async () => {
    const admin = await asAdmin();
    const before = await sdk.getConfig(admin);
    await sdk.updateConfig(
      { adminConfigDto: { ...before, trash: { enabled: true, days: 90 } } },
      admin,
    );
    await create("SystemSettings", "settings", inputs());
    expect(await sdk.getConfig(admin)).toEqual({
      ...before,
      trash: { enabled: true, days: 90 },
      storageTemplate: { ...before.storageTemplate, ...owned.storageTemplate },
      server: { ...before.server, ...owned.server },
    });
  });

  it("shows drift on its own keys only, and leaves everything when it is deleted", async () => {
    const { id, outputs } = await create("SystemSettings", "settings", inputs());
    const admin = await asAdmin();
    const settings = await sdk.getConfig(admin);
    settings.trash.days = 7;
    settings.storageTemplate.enabled = false;
    await sdk.updateConfig({ adminConfigDto: settings }, admin);
    const read = await plugin.read(id, of, outputs);
    expect(read.outputs.settings).toEqual({
      ...owned,
      storageTemplate: { ...owned.storageTemplate, enabled: false },
    });
    await plugin.delete(id, of, outputs);
    expect(await sdk.getConfig(admin)).toEqual(settings);
  });

  it("refuses a key that Immich does not know, before anything is written", async () => {
    const admin = await asAdmin();
    const before = await sdk.getConfig(admin);
    await expect(
      create("SystemSettings", "settings", inputs({ storageTemplate: { enable: true }, x: 1 })),
    ).rejects.toThrow('Immich knows no setting "storageTemplate.enable", "x"');
    expect(await sdk.getConfig(admin)).toEqual(before);
  });

  it("shows what Immich refuses, and at which key", async () => {
    await expect(
      create("SystemSettings", "settings", inputs({ trash: { days: "many" } })),
    ).rejects.toThrow(
      "Immich could not take its settings: Validation failed; trash.days: Invalid input: expected number, received string (HTTP 400).",
    );
  });
});

describe("one run", () => {
  it("opens one SSH connection for all resources, and none when nothing changes", async () => {
    const before = sshd.logins();
    await createAdmin();
    const [ken, mio] = await Promise.all([createUser("ken"), createUser("mio")]);
    await create("SystemSettings", "settings", {
      connection: connection(),
      admin: adminAccount,
      settings: { trash: { days: 60 } },
    });
    expect(sshd.logins() - before).toBe(1);

    const next = await startPlugin();
    for (const [name, made] of [
      ["ken", ken],
      ["mio", mio],
    ] as const) {
      const of = urn("User", name);
      const checked = await next.check(of, made.inputs, made.inputs);
      expect(await next.diff(made.id, of, made.outputs, checked.inputs)).toMatchObject({
        changes: false,
      });
    }
    await next.stop();
    expect(sshd.logins() - before).toBe(1);
  });

  it("changes the connection in the state without asking the Pi", async () => {
    await createAdmin();
    const { id, inputs, outputs } = await createUser("ken");
    const news = { ...inputs, connection: { ...connection(), port: 1, privateKey: secret("x") } };
    const updated = await plugin.update(id, urn("User", "ken"), outputs, news);
    expect(updated.connection).toEqual(news.connection);
  });

  it("leaves no session behind in Immich", async () => {
    await createAdmin();
    await createUser("ken");
    await plugin.cancel();
    const { rows: sessions } = await server.state.db.query(`select 1 from "session"`);
    expect(sessions).toEqual([]);
  });

  it("waits for a server that is still starting, and gives up in a maintenance mode", async () => {
    const { port } = server;
    await server.close();
    const waiting = createAdmin({ connection: { ...connection(), apiPort: port } });
    const options = {
      dataDir,
      database: await postgres.createDatabase(`immich${++count}`),
      redis,
      port,
    };
    await new Promise((resolve) => setTimeout(resolve, 500));
    server = await createServer(options);
    await waiting;
    await server.state.setMaintenance(true);
    await plugin.cancel();
    await expect(createUser("ken")).rejects.toThrow("is in maintenance mode");
  });

  it("asks again after an error inside a server that has just come up", async () => {
    await server.state.db.query(`alter table "session" rename to "not_yet"`);
    let answered = false;
    const waiting = createAdmin().finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(answered).toBe(false);
    await server.state.db.query(`alter table "not_yet" rename to "session"`);
    const { id } = await waiting;
    expect((await rows()).users).toMatchObject([{ id, email: "admin@example.com" }]);
  });

  it("asks the SSH agent where no key is given", async () => {
    const { execFileSync } = await import("node:child_process");
    const agent = execFileSync("ssh-agent", ["-s"], { encoding: "utf8" });
    const socket = /SSH_AUTH_SOCK=([^;]+)/.exec(agent)![1]!;
    const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(agent)![1]);
    try {
      execFileSync("ssh-add", ["-q", sshd.privateKeyFile], {
        env: { ...process.env, SSH_AUTH_SOCK: socket },
        stdio: "pipe",
      });
      const { privateKey: _, ...withoutKey } = connection();
      await createAdmin({ connection: { ...withoutKey, agentSocketPath: socket } });
    } finally {
      process.kill(pid);
    }
  });

  it("refuses a host key that is not the pinned one before anything is sent", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-key-"));
    const other = makeKey(join(folder, "key")).publicKey;
    rmSync(folder, { recursive: true });
    const before = sshd.logins();
    await expect(createAdmin({ connection: { ...connection(), hostKey: other } })).rejects.toThrow(
      /shows another host key than the pinned one: it shows SHA256:\S+, pinned is SHA256:\S+\. .*pi\.hostKey/,
    );
    expect(sshd.logins()).toBe(before);
  });
});

describe("photos", () => {
  it("survive a renamed person, a removed one and a destroy, and still do 30 days later", async () => {
    const admin = await createAdmin();
    const ken = await createUser("ken");
    const mio = await createUser("mio");
    const settings = await create("SystemSettings", "settings", {
      connection: connection(),
      admin: adminAccount,
      settings: { storageTemplate: { enabled: true } },
    });
    const photos = [
      await uploadPhoto(await login("ken@example.com", firstPassword), "ken's"),
      await uploadPhoto(await login("mio@example.com", firstPassword), "mio's"),
    ];
    const before = await rows();
    const paths = before.assets.map((asset) => asset.originalPath as string);
    expect(paths.map((path) => path.slice(dataDir.length)).sort()).toEqual([
      "/library/ken/2022/2022-02-03/IMG_1.jpg",
      "/library/mio/2022/2022-02-03/IMG_1.jpg",
    ]);
    const stillThere = async () => {
      await server.runNightlyTasks();
      await server.settled();
      expect(await rows()).toEqual(before);
      expect(paths.map((path) => readFileSync(path).toString("hex")).sort()).toEqual(
        photos.map(({ photo }) => photo.toString("hex")).sort(),
      );
    };

    // Renamed in the family list: another logical name, so Pulumi creates the new and deletes the old.
    const kenji = await createUser("kenji", { email: "ken@example.com", name: "Kenji" });
    expect(kenji.id).toBe(ken.id);
    await plugin.delete(ken.id, urn("User", "ken"), ken.outputs);
    await stillThere();

    // Removed from the family list.
    await plugin.delete(mio.id, urn("User", "mio"), mio.outputs);
    expect(plugin.messages.at(-1)).toMatchObject({
      severity: "warning",
      message: expect.stringContaining(
        'The account of "mio@example.com" stays in Immich with all photos',
      ),
    });
    await stillThere();

    // Destroyed, in the order of a destroy.
    await plugin.delete(kenji.id, urn("User", "kenji"), kenji.outputs);
    await plugin.delete(settings.id, urn("SystemSettings", "settings"), settings.outputs);
    await plugin.delete(admin.id, urn("Admin", "admin"), admin.outputs);
    for (let days = 0; days < 31; days++) {
      clock += day;
      await stillThere();
    }

    // And a new `up` finds everyone.
    expect((await createUser("mio")).id).toBe(mio.id);
    await stillThere();
  });
});
