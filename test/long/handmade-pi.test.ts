/** The kit arrives at a Pi that has served a family for a year, set up by hand as the article tells it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishVariant } from "../../rehearsal/pi/image-variants.ts";
import { type Photo, takePhoto, uploadForm } from "../../rehearsal/story/photo.ts";
import { until } from "../../rehearsal/story/step.ts";
import { World } from "../../rehearsal/world.ts";

const minutes = 60_000;
const repository = join(import.meta.dirname, "../..");
const ken = { email: "ken@yamada.test", password: "canaryOfKen1" };
const mio = { email: "mio@yamada.test", password: "canaryOfMio2" };
const older = "3.1.0";

/** One world, each test goes on from the one before. */
describe("a Pi that was set up by hand", { timeout: 90 * minutes }, () => {
  let world: World;
  let uuids: { main: string; backup: string };
  let photos: Photo[];
  let before: { files: string[]; rows: string; archives: string; starts: string[] };

  const root = async (script: string, timeoutMs?: number) => {
    const { stdout, stderr, code } = await world.asRoot(["sh", "-ec", script], timeoutMs);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  };
  /** At home, where the owner's browser is. */
  const immich = async (method: string, path: string, body?: unknown, token?: string) => {
    const answer = await fetch(`http://127.0.0.1:${world.pi.lanPort}/api${path}`, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined &&
          !(body instanceof FormData) && { "content-type": "application/json" }),
      },
      ...(body !== undefined && {
        body: body instanceof FormData ? body : JSON.stringify(body),
      }),
    });
    expect(answer.status, await answer.clone().text()).toBeLessThan(300);
    return answer.status === 204 ? {} : ((await answer.json()) as Record<string, string>);
  };
  const signIn = async (who: { email: string; password: string }) =>
    (await immich("POST", "/auth/login", who)).accessToken!;
  const rows = () =>
    world.sql(`select json_agg(t) from (select "id", "ownerId", "originalFileName", encode("checksum", 'hex')
      from "asset" order by "id") t
      union all select json_agg(t) from (select "albumId", "assetId" from "album_asset" order by 1, 2) t`);
  const archives = () =>
    root(
      `mountpoint -q /mnt/hdd2 || { mount -o ro /mnt/hdd2; left=1; }
       cd /mnt/hdd2/immich-borg; find . -type f -exec sha256sum {} + | sort; cd /
       [ -z "$left" ] || umount /mnt/hdd2`,
    );
  const configure = (settings: Record<string, string>) =>
    world.engine.editSettings((text) =>
      Object.entries(settings).reduce(
        (edited, [key, value]) =>
          edited.replace(/^config:$/m, `$&\n  ouchi-photos:${key}: ${value}`),
        text,
      ),
    );

  beforeAll(async () => {
    world = await World.build({
      folder: join(repository, ".rehearsal/handmade-pi"),
      engine: "rehearsal",
      say: (line) => console.log(line),
    });
    // The release of a year ago, as its tag in the old .env asks for it.
    await publishVariant(world.registryPort, {
      repository: "immich-app/immich-server",
      from: world.images.lock["immich-server"]!.digest,
      tag: `v${older}`,
      environment: { PRETEND_IMMICH_VERSION: `v${older}` },
    });
    const folder = join(repository, "rehearsal/handmade");
    const typed = async (file: string, ...words: string[]) => {
      const script = await readFile(join(folder, file));
      const ran = await world.pi.ssh(["sudo", "-n", "sh", "-s", "--", ...words], {
        stdin: script,
        timeoutMs: 20 * minutes,
      });
      expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
    };
    await typed("docker-from-elsewhere.sh");
    for (const file of ["docker-compose.yml", "env"]) {
      await world.pi.ssh(["tee", `/tmp/${file}`], { stdin: await readFile(join(folder, file)) });
    }
    await typed("by-hand.sh", "/tmp");

    await until("Immich at home", 300, async () => {
      const answer = await fetch(`http://127.0.0.1:${world.pi.lanPort}/api/server/ping`);
      return answer.status === 200;
    });
    // It answers a ping a little before it can do all else.
    const token = await until("Its administrator", 120, async () => {
      await immich("POST", "/auth/admin-sign-up", { ...ken, name: "ken" }).catch(() => undefined);
      return signIn(ken);
    });
    await immich("POST", "/admin/users", { ...mio, name: "mio" }, token);
    photos = [];
    const ids: string[] = [];
    for (const [index, as] of [token, await signIn(mio), token].entries()) {
      const photo = await takePhoto(`IMG_000${index}.jpg`, "2022:02:03 08:00:00", "+09:00");
      photos.push(photo);
      ids.push((await immich("POST", "/assets", uploadForm(photo), as)).id!);
    }
    await immich("POST", "/albums", { albumName: "そら", assetIds: [ids[0]] }, token);
    await root("/immich-borg.sh; sync", 5 * minutes);
    const uuid = (number: number) => root(`findmnt -no UUID /mnt/hdd${number}`);
    uuids = { main: await uuid(1), backup: await uuid(2) };
    before = {
      files: await world.photoFiles(),
      rows: await rows(),
      archives: await archives(),
      starts: await world.containerStarts(),
    };
    expect(before.files).toHaveLength(photos.length);
  }, 90 * minutes);
  afterAll(() => world?.close(), 2 * minutes);

  const refused = async (reasons: RegExp[]) => {
    const ran = await world.engine.up();
    expect(ran.exitCode).not.toBe(0);
    for (const reason of reasons) expect(ran.text).toMatch(reason);
    expect(await world.containerStarts()).toEqual(before.starts);
    expect(await world.leftovers()).toEqual([]);
    expect(
      await root("ls -d /etc/ouchi-photos /usr/local/libexec/ouchi-photos 2>&1 || true"),
    ).not.toMatch(/^\/etc/m);
  };

  it("is refused with all that is to be decided, before anything is touched", async () => {
    await refused([
      new RegExp(
        `To take it over with all that is on it, write {uuid: "${uuids.main}", adopt: true}`,
      ),
      new RegExp(`version ${older}, the lock file asks for 3\\.2\\.4.*set upgradeFrom: "${older}"`),
      /has the administrator ken@yamada\.test.*set immichAdminEmail/,
    ]);
    await world.engine.editSettings((text) =>
      text
        .replace(/main: scsi-\S+/, `main: { uuid: ${uuids.main}, adopt: true }`)
        .replace(/backup: scsi-\S+/, `backup: { uuid: ${uuids.backup}, adopt: true }`)
        .replace(/allowFormat: .*/, "allowFormat: []"),
    );
    await configure({ upgradeFrom: `"${older}"`, immichAdminEmail: ken.email });
    await world.engine.setSecret("ouchi-photos:immichAdminPassword", "canaryWrong");
    await refused([/does not let "ken@yamada\.test" in with this password/]);
  });

  it("is taken over by one up: every photo, row, account and archive, and nothing formatted", async () => {
    await world.engine.setSecret("ouchi-photos:immichAdminPassword", ken.password);
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    expect(ran.text).toContain("took over the Immich that was set up by hand");
    for (const name of ["docker-ce", "containerd.io", "docker-compose-plugin"])
      expect(await root(`dpkg-query -W -f '\${db:Status-Status}' ${name} || true`)).not.toBe(
        "installed",
      );
    expect(await root("docker info --format '{{.DockerRootDir}}'")).toBe("/mnt/hdd1/docker");

    expect(await root("findmnt -no UUID /mnt/hdd1")).toBe(uuids.main);
    expect(await root("mountpoint -q /mnt/hdd2 && echo mounted || true")).toBe("");
    expect(await world.photoFiles()).toEqual(before.files);
    expect(await rows()).toBe(before.rows);
    expect(await archives()).toBe(before.archives);
    expect(await root("cat /home/pi/immich-app/.env")).toContain("DB_PASSWORD=postgresByHand");

    // A dump of before, by the PostgreSQL of before, and whole.
    const dump = await root(
      `ls /mnt/hdd1/immich/images/backups/kit-*-v${older}-pg17*.sql | head -n 1`,
    );
    expect(await root(`grep -c 'PostgreSQL database dump complete' ${dump}`)).toBe("1");

    world.passwords.set("ken", ken.password);
    world.passwords.set("mio", mio.password);
    await world.untilServing(300);
    const { people } = await world.outputs();
    expect(people.ken!.firstPassword).toBeNull();
    const phone = await world.phone("mio", "iphone");
    expect((await phone.assets()).map(({ checksum }) => checksum)).toEqual([photos[1]!.checksum]);
    await phone.upload(await takePhoto("IMG_0009.jpg", "2022:02:04 08:00:00", "+09:00"));
    const admins = await world.sql(`select "email" from "user" where "isAdmin" order by 1`);
    expect(admins).toBe("admin@yamada.test\nken@yamada.test");
  });

  it("is as the kit wants it, with what is left of the hand named", async () => {
    await world.engine.editSettings((text) =>
      text.replace(/^ *ouchi-photos:immichAdmin.*\n(?: +secure: .*\n)?/gm, ""),
    );
    const starts = await world.containerStarts();
    const ran = await world.engine.up();
    expect(ran.exitCode, ran.text).toBe(0);
    expect(ran.text).not.toContain("On the Pi,");
    expect(ran.text).toContain("cloudflared service uninstall");
    expect(ran.text).toContain('"0 1 * * 6 /immich-borg.sh"');
    expect(await world.containerStarts()).toEqual(starts);
    const texts = [world.engine.printed, await world.engine.stateText()].join("\n");
    for (const secret of [ken.password, mio.password, "canaryWrong", "postgresByHand"])
      expect(texts).not.toContain(secret);
  });

  it("comes back by itself after a power cut, and the containers of before do not", async () => {
    await world.pi.powerCut();
    await world.pi.powerOn();
    await world.untilServing(600);
    expect(await world.containers()).toEqual([
      "cloudflared",
      "immich_postgres",
      "immich_redis",
      "immich_server",
    ]);
    expect(await root("docker inspect --format '{{.Config.Image}}' immich_server")).toContain(
      "@sha256:",
    );
    expect((await world.photoFiles()).length).toBe(photos.length + 1);
  });
});
