import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { disksBundle } from "../../../pi/bundles.ts";
import { bundles, DeployedWorld, schema } from "./deployed-world.ts";
import { HostWorld } from "./host-world.ts";

const uuids = {
  main: "11111111-2222-4333-8444-555555555555",
  backup: "66666666-7777-4888-8999-000000000000",
};
const folder = "/home/pi/immich-app";
const immich = (name: string, image: string, sources: string[] = []) => ({
  [name]: { image, project: "immich", folder, sources },
});
const containers = {
  ...immich("immich_server", "ghcr.io/immich-app/immich-server:release", [
    "/mnt/hdd1/immich/images",
  ]),
  ...immich("immich_postgres", "ghcr.io/immich-app/postgres:14", ["/mnt/hdd1/immich/postgres"]),
  // Without a folder of the disks: they belong to the same project.
  ...immich("immich_redis", "docker.io/valkey/valkey:9"),
};

/** As the article's owner left it: two disks made by hand, Immich's own docker-compose.yml, a Borg repository. */
describe("an Immich that was set up by hand", { timeout: 240_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  beforeEach(async () => {
    world = await HostWorld.start();
    await world.layPrograms();
    house = new DeployedWorld(world);
    const [one, two] = [await world.addDisk("usb-ONE", 6000), await world.addDisk("usb-TWO", 6000)];
    await world.shell(
      `mkfs.ext4 -q -U ${uuids.main} ${one}; mkfs.ext4 -q -U ${uuids.backup} ${two}
       mkdir -p /mnt/hdd1 /mnt/hdd2
       printf 'UUID=%s %s ext4 defaults 0 0\\n' ${uuids.main} /mnt/hdd1 ${uuids.backup} /mnt/hdd2 >>/etc/fstab
       mount ${one} /mnt/hdd1; mount ${two} /mnt/hdd2
       mkdir -p /mnt/hdd1/immich/images /mnt/hdd1/immich/postgres /mnt/hdd2/immich-borg
       BORG_BASE_DIR=/tmp/by-hand borg init --encryption=none /mnt/hdd2/immich-borg`,
    );
    world.write(
      `${folder}/.env`,
      "UPLOAD_LOCATION=/mnt/hdd1/immich/images\nDB_DATA_LOCATION=/mnt/hdd1/immich/postgres\nIMMICH_VERSION=release\nDB_PASSWORD=canaryOfTheHand\n",
    );
    await runs(containers);
    await house.sql(schema);
    await house.addPhoto("there.jpg", "there");
    await world.calls();
  });
  afterEach(async () => {
    await house?.stop();
  });

  const runs = async (handmade: object) => {
    world.write(
      "/run/stand-ins/docker.json",
      JSON.stringify({ running: {}, images: [], handmade }),
    );
    for (const name of Object.keys(handmade)) await world.must(["docker", "start", name]);
  };
  const disks = disksBundle({
    main: { uuid: uuids.main, adopt: true },
    backup: { uuid: uuids.backup, adopt: true },
  });
  const state = () =>
    world.json<{ running: object; handmade: Record<string, { restart?: string }> }>(
      "/run/stand-ins/docker.json",
    );
  const borgFiles = () =>
    world.shell(
      `mountpoint -q /mnt/hdd2 || { mount /mnt/hdd2; left=1; }
       cd /mnt/hdd2/immich-borg; find . -type f -exec sha256sum {} + | sort; cd /
       [ -z "$left" ] || umount /mnt/hdd2`,
    );

  it("is dumped, stopped and taken up with every row and file, and nothing of it is removed", async () => {
    const rows = await house.everyRow();
    const archives = await borgFiles();
    expect(await world.apply(disks)).toMatchObject({ code: 0, stderr: "" });
    // Mounted all week until now.
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
    expect(Object.keys(state().running)).toHaveLength(3);

    const all = bundles();
    const docker = await world.apply(all.docker);
    expect(docker).toMatchObject({ code: 0, stderr: "" });
    expect(docker.stdout).toMatch(
      /^dumped the database: .*\ntook over the Immich that was set up by hand in "\/home\/pi\/immich-app": its containers \(immich_server, immich_postgres, immich_redis\) are stopped/m,
    );
    const [dump] = (
      await world.shell("ls /mnt/hdd1/immich/images/backups/kit-*-v3.2.4-pg*.sql")
    ).split("\n");
    expect(await world.shell(`tail -n 9 ${dump}`)).toContain("PostgreSQL database dump complete");
    expect(Object.values(state().handmade).map(({ restart }) => restart)).toEqual([
      "no",
      "no",
      "no",
    ]);
    const calls = (await world.calls()).map((call) => call.join(" "));
    const at = (line: string) => calls.findIndex((call) => call.startsWith(line));
    expect(at("docker exec --env PGPASSWORD immich_postgres pg_dump")).toBeGreaterThan(0);
    expect(at("docker stop --time 60 immich_server")).toBeGreaterThan(at("docker exec"));
    expect(at("docker stop --time 60 immich_postgres")).toBeGreaterThan(
      at("docker stop --time 60 immich_redis"),
    );
    expect(at("apt-get")).toBeGreaterThan(at("docker stop --time 60 immich_postgres"));
    expect(calls.join("\n")).not.toContain("canaryOfTheHand");

    for (const bundle of [all.secrets, all.immich, all.tunnel, all.backup])
      expect(await world.apply(bundle)).toMatchObject({ code: 0, stderr: "" });
    expect(await house.everyRow()).toBe(rows);
    expect(world.read("/mnt/hdd1/immich/images/library/ken/2022/2022-02-03/there.jpg")).toBe(
      "there",
    );
    expect(world.read(`${folder}/.env`)).toContain("DB_PASSWORD=canaryOfTheHand");
    expect(await borgFiles()).toBe(archives);
    // Its archives are a repository of their own, beside the kit's.
    expect(await world.program("backup", "run")).toMatchObject({ code: 0 });
    expect(await borgFiles()).toBe(archives);
  });

  it("is dumped when it was stopped before, and once only when a run is cut", async () => {
    for (const name of Object.keys(containers))
      await world.must(["docker", "stop", "--time", "60", name]);
    expect(await world.apply(disks)).toMatchObject({ code: 0 });
    expect(await world.program("handmade")).toMatchObject({ code: 0, stderr: "" });
    expect(state().running).toEqual({});
    const dumps = () => world.shell("ls /mnt/hdd1/immich/images/backups/kit-*.sql");
    const first = await dumps();
    expect(await world.program("handmade")).toMatchObject({ code: 0, stderr: "" });
    expect(await dumps()).toBe(first);
    expect(state().running).toEqual({});
  });

  it("goes on when its database cannot be dumped", async () => {
    expect(await world.apply(disks)).toMatchObject({ code: 0 });
    await world.shell("mkdir -p /mnt/hdd1/immich/images; touch /mnt/hdd1/immich/images/backups");
    const result = await world.apply(bundles().docker);
    expect(result.code).not.toBe(0);
    expect(Object.keys(state().running)).toHaveLength(3);
    expect(world.exists("/etc/docker/daemon.json")).toBe(false);
    await world.shell("rm /mnt/hdd1/immich/images/backups");
    expect(await world.apply(bundles().docker)).toMatchObject({ code: 0, stderr: "" });
  });

  it("is left alone beside other containers, and when its .env names another database", async () => {
    expect(await world.apply(disks)).toMatchObject({ code: 0 });
    const refused = async (reason: RegExp) => {
      const result = await world.apply(bundles().docker);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(reason);
      expect(result.stderr).toMatch(/It goes on as before; nothing was changed\.$/);
      expect(world.exists("/etc/docker/daemon.json")).toBe(false);
      expect(state().running).toHaveProperty("immich_server");
    };
    await world.must(["docker", "stop", "--time", "60", "immich_postgres"]);
    await runs({ ...containers, pihole: { image: "pihole/pihole:2025.08.0" } });
    await refused(/Other containers run on this Pi \(pihole\)/);
    await world.must(["docker", "stop", "--time", "60", "pihole"]);
    world.write(`${folder}/.env`, "DB_USERNAME=photos\n");
    await refused(/has DB_USERNAME="photos", and the kit knows "postgres" only/);
  });
});
