import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundles, DeployedWorld } from "./deployed-world.ts";
import { type HostWorld, libexec } from "./host-world.ts";

interface Look {
  format: number;
  busy: string | null;
  found: { subject: string; what: string }[];
  problems: unknown[];
}

describe("drift", () => {
  let house: DeployedWorld;
  let world: HostWorld;
  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
  });
  afterAll(async () => {
    await house?.stop();
  });

  const look = async () => JSON.parse(await world.must([`${libexec}/drift`])) as Look;

  it("finds nothing on a Pi that is as it was left, and changes nothing", async () => {
    await world.calls();
    const before = await world.shell("find /etc /var/lib/ouchi-photos -newermt 1970-01-01 | sort");
    expect(await look()).toEqual({
      format: 1,
      busy: null,
      found: [],
      problems: [],
      formatting: [],
    });
    expect(await world.shell("find /etc /var/lib/ouchi-photos -newermt 1970-01-01 | sort")).toBe(
      before,
    );
    // One question to each tool, whatever there is to ask about; side by side, so in any order.
    const calls = (await world.calls()).map((call) => call.slice(0, 2).join(" "));
    expect(calls.sort()).toEqual([
      "docker GET /containers/json HTTP/1.0",
      "dpkg-query --show",
      "systemctl show",
    ]);
  });

  const all = bundles();
  it.each([
    {
      byHand: "echo '# mine' >> /etc/docker/daemon.json",
      bundle: all.docker,
      what: '"/etc/docker/daemon.json" was changed',
    },
    {
      byHand: "rm /etc/cron.d/ouchi-photos",
      bundle: all.backup,
      what: '"/etc/cron.d/ouchi-photos" is gone',
    },
    {
      byHand: "chmod 666 /etc/ouchi-photos/borgmatic.yaml",
      bundle: all.backup,
      what: '"/etc/ouchi-photos/borgmatic.yaml" has the mode 0666, not 0644',
    },
    {
      byHand: "chown 1000:1000 /etc/ouchi-photos/compose/immich/compose.yaml",
      bundle: all.immich,
      what: '"/etc/ouchi-photos/compose/immich/compose.yaml" belongs to 1000:1000, not to root:root',
    },
    {
      byHand: "ln -sf /tmp/elsewhere /etc/docker/daemon.json",
      bundle: all.docker,
      what: '"/etc/docker/daemon.json" is no longer a file',
    },
    {
      byHand: "printf other > /etc/ouchi-photos/secrets/database-password",
      bundle: all.secrets,
      what: '"/etc/ouchi-photos/secrets/database-password" was changed',
    },
    {
      byHand: "chmod 755 /etc/ouchi-photos/secrets",
      bundle: all.secrets,
      what: '"/etc/ouchi-photos/secrets" has the mode 0755, not 0700',
    },
    {
      byHand: "rm /etc/systemd/system/borgmatic.timer",
      bundle: all.backup,
      what: '"borgmatic.timer" is no longer masked',
    },
    {
      byHand: "systemctl stop ouchi-immich.service",
      bundle: all.immich,
      what: '"ouchi-immich.service" does not run (inactive)',
    },
    {
      byHand: "ln -sf /dev/null /etc/systemd/system/docker.service",
      bundle: all.docker,
      what: '"docker.service" is masked',
    },
    {
      byHand: "sed -i /hdd2/d /etc/fstab",
      bundle: all.disks,
      what: "/etc/fstab no longer names the backup disk",
    },
    {
      byHand: "chattr -i /mnt/hdd2",
      bundle: all.disks,
      what: '"/mnt/hdd2" is not guarded against being written to without its disk',
    },
  ])("sees `$byHand`, which `apply` mends (row 37)", async ({ byHand, bundle, what }) => {
    await world.shell(byHand);
    expect((await look()).found).toEqual([{ subject: bundle.subject, what }]);
    expect(await world.apply(bundle)).toMatchObject({ code: 0, stderr: "" });
    expect((await look()).found).toEqual([]);
  });

  it("tells when a run was cut short, and another image than the pinned one runs (row 37)", async () => {
    await world.shell(
      `sed -i 's/"immich_redis": "[^"]*"/"immich_redis": "valkey:latest"/' /run/stand-ins/docker.json`,
    );
    expect((await look()).found).toEqual([
      { subject: "immich", what: expect.stringMatching(/^no container runs ".*valkey:9@sha256/) },
    ]);
    await world.must(["systemctl", "reload-or-restart", "ouchi-immich.service"]);
    expect((await look()).found).toEqual([]);
    const record = world.read("/var/lib/ouchi-photos/applied.json");
    const cut = record.replace(/"complete": true/, '"complete": false');
    world.write("/var/lib/ouchi-photos/applied.json", cut);
    const [{ subject, what } = { subject: "", what: "" }, ...more] = (await look()).found;
    // A clause, which the preflight puts after "On the Pi, ".
    expect(what).toBe(`the part "${subject}" was not brought to its end`);
    expect(more).toEqual([]);
    world.write("/var/lib/ouchi-photos/applied.json", record);
  });

  it("sees Immich's port open to all, over IPv6 too", async () => {
    world.write(
      "/tmp/listen.py",
      `import socket, time
with (
    socket.create_server(("192.0.2.9", 2283)),
    socket.create_server(("::", 2283), family=socket.AF_INET6),
):
    time.sleep(5)
`,
    );
    await world.shell(
      `ip address add 192.0.2.9/32 dev lo; ip link set lo up
       python3 /tmp/listen.py >/tmp/listen.log 2>&1 </dev/null & sleep 1`,
    );
    expect((await look()).found).toEqual([
      { subject: "immich", what: "port 2283 is open at 192.0.2.9" },
      { subject: "immich", what: "port 2283 is open at [::]" },
    ]);
  });

  it("misses Immich's port where nobody listens any more", async () => {
    await world.shell("pkill -f '[T]hreadingHTTPServer'; sleep 0.5");
    expect((await look()).found).toContainEqual({
      subject: "immich",
      what: "nothing listens at 127.0.0.1:2283",
    });
  });

  it("keeps what was written by hand before it lays its own file over it", async () => {
    await world.shell("rm -rf /var/lib/ouchi-photos/edited; echo mine > /etc/docker/daemon.json");
    const { stdout } = await world.apply(all.docker);
    const [, copy] = /kept "\/etc\/docker\/daemon.json" as it was found, at "(.+)"/.exec(stdout)!;
    expect(world.read(copy!)).toBe("mine\n");
    // A change of the kit's own is not kept, and neither is a secret.
    await world.shell("printf mine > /etc/ouchi-photos/secrets/database-password");
    await world.apply(all.secrets);
    expect(await world.shell("ls /var/lib/ouchi-photos/edited | wc -l")).toBe("1");
  });

  it("finds nothing while another program of the kit is at work", async () => {
    await world.shell(
      `mkdir -p /run/ouchi-photos; printf '{"who": "backup"}' > /run/ouchi-photos/lock
       setsid flock -x /run/ouchi-photos/lock sleep 3 >/dev/null 2>&1 & sleep 0.5`,
    );
    await world.shell("chmod 600 /etc/docker/daemon.json");
    expect(await look()).toEqual({
      format: 1,
      busy: "backup",
      found: [],
      problems: [],
      formatting: [],
    });
    await world.shell("chmod 644 /etc/docker/daemon.json");
  });
});
