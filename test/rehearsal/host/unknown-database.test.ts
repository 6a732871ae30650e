import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bundle } from "../../../pi/bundle.ts";
import { bundles, DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

describe("a database that this card knows nothing of", { timeout: 240_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  beforeEach(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhoto("there.jpg", "there");
    // The SD card died: what the kit noted is gone, the disks are not, and nothing runs yet.
    for (const unit of ["ouchi-immich.service", "ouchi-cloudflared.service"])
      await world.must(["systemctl", "stop", unit]);
    await world.shell("rm -rf /var/lib/ouchi-photos /etc/ouchi-photos/compose");
    const all = bundles();
    for (const bundle of [all.disks, all.docker, all.secrets])
      expect(await world.apply(bundle)).toMatchObject({ code: 0, stderr: "" });
  });
  afterEach(async () => {
    await house?.stop();
  });

  const dumps = () =>
    world.shell("ls /mnt/hdd1/immich/images/backups | grep '^kit-.*sql$' || true");
  const asked = (upgradeFrom?: string): Bundle<"immich"> => {
    const { immich } = bundles();
    return upgradeFrom ? { ...immich, settings: { ...immich.settings, upgradeFrom } } : immich;
  };
  const lastUsedBy = async (version: string) => {
    await world.must(["systemctl", "start", "ouchi-immich.service"]).catch(() => undefined);
    await world.apply(bundles().immich);
    await house.sql(`update "version_history" set "version" = '${version}'`);
    await world.must(["systemctl", "stop", "ouchi-immich.service"]);
    await world.shell(
      "rm -rf /var/lib/ouchi-photos/applied.json /etc/ouchi-photos/compose; rm -f /mnt/hdd1/immich/images/backups/kit-*",
    );
    await world.apply(bundles().disks);
  };

  it("is dumped and taken up, with every row (row 22)", async () => {
    const result = await world.apply(asked());
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain(
      "The database on HDD1 is of Immich 3.2.4, and new to this card: dumping it first",
    );
    expect(await dumps()).toMatch(/^kit-immich-db-backup-\d{8}T\d{6}-v3\.2\.4-pg\d/);
    expect(await house.sql(`select "originalFileName" from "asset"`)).toBe("there.jpg");
    // Once: from then on the card knows it.
    expect((await world.apply(asked())).stdout).not.toContain("dumping");
  });

  it("is upgraded only when the stack file asks for it, and dumped before (row 33)", async () => {
    await lastUsedBy("2.7.5");
    const refused = await world.apply(asked());
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /is of Immich 2\.7\.5, the lock file asks for 3\.2\.4.*set upgradeFrom: "2\.7\.5".*stopped again/s,
    );
    expect(await dumps()).toMatch(/-v2\.7\.5-pg/);
    expect(await house.isRunning("immich_server")).toBe(false);
    expect(await house.isRunning("immich_postgres")).toBe(false);
    expect((await world.apply(asked("2.7.4"))).code).toBe(1);
    expect(await world.apply(asked("2.7.5"))).toMatchObject({ code: 0, stderr: "" });
    expect(await house.isRunning("immich_server")).toBe(true);
  });

  it.each([
    [
      "3.3.0",
      /Immich 3\.3\.0 runs on the Pi and the lock file asks for 3\.2\.4: Immich cannot go back/,
    ],
    ["1.132.3", /a major version may not be skipped\. Go to a version 2\.x first/],
    ["nightly", /does not tell which version of Immich it is of/],
  ])("of Immich %s is refused, and nothing serves", async (version, reason) => {
    await lastUsedBy(version);
    const result = await world.apply(asked(version));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(reason);
    expect(await house.isRunning("immich_server")).toBe(false);
    expect(await house.isRunning("immich_postgres")).toBe(false);
  });
});
