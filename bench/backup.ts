// What the kit's backup costs beside Borg alone, on the same tree and disks. Without a word: real Borg, PostgreSQL and ext4
// on loop devices, at this machine's speed; about 10 minutes, as root. With the word "pi": on the virtual Pi, with
// borgmatic, systemd and Docker too, at its emulated processor's; three quarters of an hour, and 35 GB of disk.
import { DeployedWorld } from "../test/rehearsal/host/deployed-world.ts";
import { keepResult, rounded, seconds } from "./result.ts";
import { scratchWorld } from "./scratch-world.ts";

/** A deployed house in which a script can be run as root. */
interface Rig {
  result: "backup" | "backup-on-pi";
  note: string;
  /** The columns of "asset" beside owner, path, name and checksum, and their values. */
  columns: string;
  values: string;
  shell(script: string): Promise<string>;
  end(): Promise<void>;
}

async function loopDevices(): Promise<Rig> {
  const house = await DeployedWorld.start(24_000);
  return {
    result: "backup",
    note: "This rig makes every check in each run; a Pi makes each as often as borgmatic.yaml says",
    ...{ columns: "", values: "" },
    shell: (script) => house.world.shell(script),
    end: () => house.stop(),
  };
}

async function virtualPi(): Promise<Rig> {
  const { world, up, end } = await scratchWorld();
  try {
    await up();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    result: "backup-on-pi",
    note: "On the virtual Pi, whose processor is emulated: what starts a program costs more there than what moves bytes. The third run comes within the six days in which no check is due",
    columns: `, "type", "fileCreatedAt", "fileModifiedAt", "localDateTime", "createdAt", "updatedAt"`,
    values: ", 'IMAGE', now(), now(), now(), now(), now()",
    async shell(script) {
      const { code, stdout, stderr } = await world.asRoot(["sh", "-ec", script], 3_600_000);
      if (code !== 0) throw new Error(`${script}: ${code}\n${stdout}\n${stderr}`);
      return stdout.trimEnd();
    },
    end,
  };
}

const [photos, photoBytes, thumbnails, thumbnailBytes] = [2_000, 2_500_000, 20_000, 20_000];
const library = `${photos} photos of ${photoBytes} bytes and ${thumbnails} thumbnails of ${thumbnailBytes}`;
const images = "/mnt/hdd1/immich/images";
const status = "/var/lib/ouchi-photos/backup-status.json";
const psql =
  "docker exec --interactive immich_postgres psql -X --quiet --username=postgres --dbname=immich";

const rig = await (process.argv[2] === "pi" ? virtualPi() : loopDevices());
const { shell } = rig;
try {
  console.log(library);
  await shell(`python3 -c '
import os
for place, count, size, ending in (("library/ken", ${photos}, ${photoBytes}, "jpg"), ("thumbs/ken", ${thumbnails}, ${thumbnailBytes}, "webp")):
    for number in range(count):
        folder = "${images}/%s/%03d" % (place, number // 200)
        os.makedirs(folder, exist_ok=True)
        with open("%s/%d.%s" % (folder, number, ending), "wb") as file:
            file.write(os.urandom(size))
'
    cd ${images}; find library -name '*.jpg' -exec sha1sum {} + | awk '{ print "/data/" $2 "\\t" $2 "\\t\\\\\\\\x" $1 }' > /run/rows
    ${psql} -c 'create temporary table incoming (path text, name text, sum bytea)' -c 'copy incoming from stdin' \\
      -c 'insert into "asset" ("ownerId", "originalPath", "originalFileName", "checksum"${rig.columns})
          select (select "id" from "user" limit 1), path, name, sum${rig.values.replaceAll("'", "'\\''")} from incoming' < /run/rows; sync`);
  // What a machine has learnt of each photo is most of Immich's database.
  await shell(
    `${psql} -c 'create table if not exists "smart_search" ("assetId" uuid primary key references "asset", "embedding" real[] not null)' \\
       -c 'insert into "smart_search" select "id", array_agg((random() * 2 - 1)::real) from "asset", generate_series(1, 512) group by "id"'`,
  );

  /** From the disk, not from memory. */
  const cold = () => shell("sync; echo 3 > /proc/sys/vm/drop_caches");
  const raw = `mount /mnt/hdd2 2>/dev/null || true; export BORG_BASE_DIR=/mnt/hdd1/raw BORG_PASSPHRASE=x; mkdir -p /mnt/hdd1/raw; cd /`;
  const timed = async (work: () => Promise<unknown>) => {
    await cold();
    return await seconds(work);
  };
  const rawCreate = (name: string) =>
    timed(() =>
      shell(`${raw}; borg create --compression auto,zstd,3 /mnt/hdd2/raw::${name} ${images}; sync`),
    );
  /** A run, in seconds: up to the verdict on its archive, with prune, compact and checks, with a drill where one is due; what it said, and when. */
  const kitRun = async () => {
    await shell("cd /; umount /mnt/hdd2 2>/dev/null || true");
    await cold();
    const text = await shell(
      `date +%s.%N; { /usr/local/libexec/ouchi-photos/backup run || echo "failed"; } | while IFS= read -r line; do echo "$(date +%s.%N) $line"; done`,
    );
    const [start, ...lines] = text.split("\n");
    if (lines.some((line) => line.endsWith("failed"))) throw new Error(text);
    const said = lines.map((line) => {
      const [at, ...words] = line.split(" ");
      return { at: Number(at) - Number(start), words: words.join(" ") };
    });
    const at = (words: string) => said.find((each) => each.words.startsWith(words))?.at;
    const parts: Record<string, number> = {};
    for (const [index, line] of said.entries())
      parts[line.words.replace(/\d+\S*|immich-\S+|\{.*/g, "…")] = rounded(
        line.at - (said[index - 1]?.at ?? 0),
      );
    const awake = said.at(-1)!.at;
    const good = at("the backup is good")!;
    const drill = (at("the drill is good") ?? good) - good;
    const { last } = JSON.parse(await shell(`cat ${status}`)) as {
      last: { serverStoppedSeconds: number };
    };
    const stopped = last.serverStoppedSeconds;
    return { verdict: at("now ")!, took: awake - drill, drill, awake, parts, stopped };
  };

  await shell(`${raw}; borg init --encryption repokey-blake2 /mnt/hdd2/raw`);
  const rawFirst = await rawCreate("first");
  const kitFirst = await kitRun();
  const rawUnchanged = await rawCreate("unchanged");
  // Extracts all once more, as every three months.
  const kitSecond = await kitRun();
  const kitUnchanged = await kitRun();
  const dump = await seconds(() => shell("/usr/local/libexec/ouchi-photos/backup dump"));

  const second = await shell(
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
    shell(
      `${raw}; mkdir /mnt/hdd1/out; cd /mnt/hdd1/out; borg extract /mnt/hdd2/raw::unchanged; sync; cd /; umount /mnt/hdd2`,
    ),
  );
  await shell("rm -r /mnt/hdd1/out");
  const restore = await timed(async () => {
    await shell("/usr/local/libexec/ouchi-photos/restore --everything; sync");
  });

  const beside = (kit: number, borg: number) => ({
    kitSeconds: rounded(kit),
    borgSeconds: rounded(borg),
    ratio: rounded(kit / borg),
  });
  const run = (kit: Awaited<ReturnType<typeof kitRun>>, borg: number) => ({
    ...beside(kit.took, borg),
    toTheVerdict: beside(kit.verdict, borg),
    ...(kit.drill && { drillSeconds: rounded(kit.drill) }),
    hdd2AwakeSeconds: rounded(kit.awake),
  });
  await keepResult(rig.result, {
    what: `${library}: the kit's run (dump, archive, comparison, 100 photos hashed: to the verdict; then prune, compact and checks) beside one borg create; its restore (with the database, and counted) beside one borg extract. A drill is told by itself; the second run extracts all once more, as every three months. ${rig.note}`,
    firstRun: run(kitFirst, rawFirst),
    secondRun: run(kitSecond, rawUnchanged),
    unchanged: { ...run(kitUnchanged, rawUnchanged), parts: kitUnchanged.parts },
    restore: beside(restore, rawExtract),
    immichStoppedSeconds: kitUnchanged.stopped,
    dumpSeconds: rounded(dump),
    secondDumpDeduplicated: rounded(Number(second)),
  });
} finally {
  await rig.end();
}
