import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DeployedWorld } from "./deployed-world.ts";
import type { HostWorld } from "./host-world.ts";

const images = "/mnt/hdd1/immich/images";
const library = `${images}/library/ken/2022/2022-02-03`;

/** What a disk or an archive does to a restore of everything; real Borg, PostgreSQL and ext4. */
describe("restoring everything on a bad day", { timeout: 600_000 }, () => {
  let house: DeployedWorld;
  let world: HostWorld;
  let rows: string;
  let files: string;

  beforeAll(async () => {
    house = await DeployedWorld.start();
    world = house.world;
    await house.addPhotos("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg");
    // Of many pieces, none of which another file has.
    const film = await world.shell(
      `head -c 60000000 /dev/urandom > ${images}/upload/film.mov; sha1sum ${images}/upload/film.mov | cut -c -40`,
    );
    await house.sql(
      `insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum")
       values ('00000000-0000-4000-8000-00000000000a', '/data/upload/film.mov', 'film.mov', '\\x${film}');`,
    );
    expect(await world.program("backup", "run")).toMatchObject({ code: 0, stderr: "" });
    [rows, files] = [await house.everyRow(), await sums()];
  });
  afterAll(async () => {
    await house?.stop();
  });
  afterEach(() => world.shell("rm -rf /usr/local/sbin/borg /mnt/hdd1/filler"));

  const sums = () =>
    world.shell(
      `cd ${images}; find library upload -type f -not -name .immich -exec sha1sum {} + | sort`,
    );
  const restore = (...words: string[]) => world.program("restore", "--everything", ...words);
  const newest = async () => (await house.archives()).at(-1)!;
  const isAsItWas = async () => {
    expect(await house.everyRow()).toBe(rows);
    expect(await sums()).toBe(files);
    expect(world.exists("/var/lib/ouchi-photos/restore.json")).toBe(false);
    expect(await house.isRunning("immich_server")).toBe(true);
  };
  /** Borg, with something done before or after it takes everything out of an archive. */
  const borgThat = (before: string, after: string) =>
    world.write(
      "/usr/local/sbin/borg",
      `#!/bin/sh
case "$*" in *"extract --numeric-ids"*mnt/hdd1/immich/images) ;; *) exec /usr/bin/borg "$@" ;; esac
${before}
/usr/bin/borg "$@"; status=$?
${after}
exit $status
`,
      0o755,
    );

  it("goes on when nobody reads it any more and its terminal is gone, and tells the journal", async () => {
    await world.shell(
      `setsid python3 -c '
import socket
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/dev/log")
with open("/run/journal", "wb", 0) as file:
    while True:
        file.write(journal.recv(65536) + b"\\n")
' >/dev/null 2>&1 </dev/null &
       until [ -e /dev/log ]; do sleep 0.1; done
       mkfifo /run/told; (timeout 60 head -n 1 /run/told >/run/first) &
       /usr/local/libexec/ouchi-photos/restore --everything >/run/told 2>&1 &
       restore=$!
       until [ -s /run/first ]; do sleep 0.1; done
       kill -HUP $restore
       wait $restore`,
    );
    expect(await world.shell("cat /run/first")).toMatch(/^extracting immich-/);
    const journal = await world.shell("cat /run/journal; rm /dev/log");
    expect(journal).toMatch(/ouchi-restore: restored everything from immich-/);
    await isAsItWas();
    await world.shell("rm -r /mnt/hdd1/immich/*.before-restore-*");
  });

  it("fails when the disk fills up meanwhile, names what is cut, and leaves the house serving", async () => {
    borgThat(
      "fallocate -l $(($(df -B1 --output=avail /mnt/hdd1 | tail -n 1) - 20000000)) /mnt/hdd1/filler",
      "rm /mnt/hdd1/filler",
    );
    const failed = await restore();
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain("No space left on device");
    expect(failed.stderr).toMatch(
      /^Of \d+ files of the archive "\S+" \d+ did not come out of it whole: .*\/upload\/film\.mov.*Nothing was changed\.$/,
    );
    expect(await world.shell("ls /mnt/hdd1/immich")).not.toContain("incoming");
    await isAsItWas();
  });

  it("changes nothing where Immich cannot be stopped, and leaves the house serving", async () => {
    const stack = "/usr/local/libexec/ouchi-photos/stack";
    await world.shell(`cp -p ${stack} ${stack}.whole`);
    // At both of its questions: the restore's own, and that of taking it back.
    world.write(
      stack,
      `#!/bin/sh
case "$*" in "immich stop") echo 'Docker does not answer.' >&2; exit 1 ;; esac
exec ${stack}.whole "$@"
`,
      0o755,
    );
    const failed = await restore();
    await world.shell(`mv ${stack}.whole ${stack}`);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /Docker does not answer\..* The restore was taken back: everything is as it was before\.$/s,
    );
    expect(await world.shell("ls /mnt/hdd1/immich")).toBe("images\npostgres");
    await isAsItWas();
  });

  it("takes the restore back when a photo is not what the archive has, by its name", async () => {
    borgThat("", `printf 'THE BYTES OF IMG_2.jpg' > .${library}/IMG_2.jpg`);
    const failed = await restore();
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /^Of 4 photos .* 1 did not come back as the archive has them: "\S+IMG_2\.jpg" of ken\..* everything is as it was before\.$/,
    );
    await isAsItWas();
    await world.shell("rm -r /mnt/hdd1/immich/*.unfinished-*");
  });

  it("restores an archive of spoiled, empty and missing photos all the same, and names each", async () => {
    const good = await newest();
    await world.shell(
      `cd ${library}; printf rotten > IMG_1.jpg; : > IMG_2.jpg; mv IMG_3.jpg /root/IMG_3.jpg`,
    );
    expect((await world.program("backup", "run")).code).toBe(1);
    const done = await restore("--archive", await newest());
    expect(done.code).toBe(1);
    for (const line of [
      "IMG_1.jpg was no longer what its checksum says when it was archived",
      "IMG_2.jpg is empty in the archive",
      "IMG_3.jpg is not in the archive",
    ])
      expect(done.stdout).toContain(`${library}/${line}`);
    expect(done.stderr).toMatch(/^All else is restored, but 3 files, named above, are not well in/);
    expect(await house.everyRow()).toBe(rows);
    expect(await house.isRunning("immich_server")).toBe(true);
    expect(await restore("--archive", good)).toMatchObject({ code: 0, stderr: "" });
    await isAsItWas();
  });

  it("restores an archive that Borg had to repair all the same, and names what it lost", async () => {
    const archive = (await house.archives())[0]!;
    await house.borg(
      `python3 - <<'END'
import glob, os
path = max(glob.glob("immich/data/0/*"), key=os.path.getsize)
with open(path, "r+b") as file:
    file.seek(os.path.getsize(path) // 2)
    byte = file.read(1)
    file.seek(-1, 1)
    file.write(bytes([byte[0] ^ 1]))
END
       export BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES; borg check --repair --verify-data immich 2>&1 || true`,
    );
    const done = await restore("--archive", archive);
    expect(done.stdout).toContain(`${images}/upload/film.mov is damaged in the archive`);
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/^All else is restored, but 1 files, named above/);
    expect(await house.everyRow()).toBe(rows);
    expect(await sums()).not.toBe(files);
    expect((await sums()).split("\n").filter((line) => files.includes(line))).toHaveLength(3);
  });
});
