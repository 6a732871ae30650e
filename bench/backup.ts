// What the kit's backup costs beside Borg alone, on the same tree and disks: real Borg, PostgreSQL and ext4 on loop devices,
// at this machine's speed. About 10 minutes; as root.
import { DeployedWorld } from "../test/rehearsal/host/deployed-world.ts";
import { keepResult, rounded, seconds } from "./result.ts";

const photos = 20_000;
const bytes = 150_000;
const images = "/mnt/hdd1/immich/images";
const status = "/var/lib/ouchi-photos/backup-status.json";

const house = await DeployedWorld.start(24_000);
try {
  const { world } = house;
  console.log(`${photos} photos of ${bytes} bytes`);
  await world.shell(`mkdir -p ${images}/library/ken
    python3 -c '
import os
for number in range(${photos}):
    folder = "${images}/library/ken/%03d" % (number // 200)
    os.makedirs(folder, exist_ok=True)
    with open("%s/%d.jpg" % (folder, number), "wb") as file:
        file.write(os.urandom(${bytes}))
'
    cd ${images}; find library -name '*.jpg' -exec sha1sum {} + | awk '{ print "00000000-0000-4000-8000-00000000000a\\t/data/" $2 "\\t" $2 "\\t\\\\\\\\x" $1 }' > /run/rows
    docker exec --interactive immich_postgres psql -X --quiet --username=postgres --dbname=immich \\
      -c 'copy "asset" ("ownerId", "originalPath", "originalFileName", "checksum") from stdin' < /run/rows; sync`);
  // What a machine has learnt of each photo is most of Immich's database.
  await house.sql(
    `create table "smart_search" ("assetId" uuid primary key references "asset", "embedding" real[] not null);
     insert into "smart_search" select "id", array_agg((random() * 2 - 1)::real) from "asset", generate_series(1, 512) group by "id"`,
  );

  /** From the disk, not from memory. */
  const cold = () => world.shell("sync; echo 3 > /proc/sys/vm/drop_caches");
  const raw = `mount /mnt/hdd2 2>/dev/null || true; export BORG_BASE_DIR=/mnt/hdd1/raw BORG_PASSPHRASE=x; mkdir -p /mnt/hdd1/raw; cd /`;
  const timed = async (work: () => Promise<unknown>) => {
    await cold();
    return await seconds(work);
  };
  const rawCreate = (name: string) =>
    timed(() =>
      world.shell(
        `${raw}; borg create --compression auto,zstd,3 /mnt/hdd2/raw::${name} ${images}; sync`,
      ),
    );
  /** Seconds of a run, in all and for each of the lines that it says. */
  const kitRun = async () => {
    await world.shell("cd /; umount /mnt/hdd2 2>/dev/null || true");
    await cold();
    const text = await world.shell(
      `date +%s.%N; { /usr/local/libexec/ouchi-photos/backup run || echo "failed"; } | while IFS= read -r line; do echo "$(date +%s.%N) $line"; done`,
    );
    const [start, ...lines] = text.split("\n");
    if (lines.some((line) => line.endsWith("failed"))) throw new Error(text);
    let before = Number(start);
    const parts = lines.map((line) => {
      const [at, ...words] = line.split(" ");
      const part = [
        words.join(" ").replace(/\d+\S*|immich-\S+|\{.*/g, "…"),
        rounded(Number(at) - before),
      ];
      before = Number(at);
      return part as [string, number];
    });
    const { last } = world.json<{ last: { serverStoppedSeconds: number } }>(status);
    const took = before - Number(start);
    return { took, parts, stopped: last.serverStoppedSeconds };
  };

  // A drill is due every four weeks; here none is, so that runs are compared with runs.
  await world.must(["tee", status], {
    stdin: JSON.stringify({
      format: 1,
      lastGoodDrill: { at: new Date().toISOString().replace(/\.\d+Z/, "Z") },
    }),
  });
  await world.shell(`${raw}; borg init --encryption repokey-blake2 /mnt/hdd2/raw`);
  const rawFirst = await rawCreate("first");
  const kitFirst = await kitRun();
  const rawUnchanged = await rawCreate("unchanged");
  const kitUnchanged = await kitRun();
  const dump = await seconds(() => world.program("backup", "dump"));

  const second = await world.shell(
    `${raw}; ls -t ${images}/backups/kit-*.sql | head -n 2 > /run/dumps
     borg init --encryption none /mnt/hdd1/dumps 2>/dev/null
     for each in $(cat /run/dumps); do borg create --json /mnt/hdd1/dumps::$(basename $each) $each; done | python3 -c '
import json, sys
decoder, text = json.JSONDecoder(), sys.stdin.read().strip()
found = []
while text:
    value, end = decoder.raw_decode(text)
    found.append(value["archive"]["stats"]); text = text[end:].strip()
print(1 - found[1]["deduplicated_size"] / found[1]["compressed_size"])'; rm -r /mnt/hdd1/dumps`,
  );

  const rawExtract = await timed(() =>
    world.shell(
      `${raw}; mkdir /mnt/hdd1/out; cd /mnt/hdd1/out; borg extract /mnt/hdd2/raw::unchanged; sync; cd /; umount /mnt/hdd2`,
    ),
  );
  await world.shell("rm -r /mnt/hdd1/out");
  const restore = await timed(async () => {
    const done = await world.program("restore", "--everything");
    if (done.code !== 0) throw new Error(done.stderr);
    await world.shell("sync");
  });

  const beside = (kit: number, borg: number) => ({
    kitSeconds: rounded(kit),
    borgSeconds: rounded(borg),
    ratio: rounded(kit / borg),
  });
  await keepResult("backup", {
    what: `${photos} photos of ${bytes} bytes: the kit's run (dump, archive, comparison, prune, compact, checks, 100 photos hashed) beside one borg create; its restore (with the database, and counted) beside one borg extract. This rig makes every check in each run; a Pi makes each as often as borgmatic.yaml says`,
    firstRun: beside(kitFirst.took, rawFirst),
    unchanged: {
      ...beside(kitUnchanged.took, rawUnchanged),
      parts: Object.fromEntries(kitUnchanged.parts),
    },
    restore: beside(restore, rawExtract),
    immichStoppedSeconds: kitUnchanged.stopped,
    dumpSeconds: rounded(dump),
    secondDumpDeduplicated: rounded(Number(second)),
    hdd2AwakeSeconds: rounded(kitUnchanged.took),
  });
} finally {
  await house.stop();
}
