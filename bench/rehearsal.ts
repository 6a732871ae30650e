// What a rehearsal costs: nothing cached beside everything cached, a first deploy beside one without a change,
// booting beside loading a snapshot. About a quarter of an hour.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { World } from "../rehearsal/world.ts";
import { keepResult, rounded, seconds } from "./result.ts";

const scratch = await mkdtemp(join(tmpdir(), "ouchi-bench-"));
process.env.OUCHI_REHEARSAL_CACHE = join(scratch, "cache");
const folder = join(scratch, "world");
const peak = watchMemory();
let world: World | undefined;
try {
  const build = async () => {
    world = await World.build({ folder, engine: "rehearsal", say: () => undefined });
  };
  const coldSeconds = await seconds(build);
  await world!.close();
  const cachedSeconds = await seconds(build);
  const living = world!;

  const up = async () => {
    const logins = await living.logins();
    const took = await seconds(async () => {
      const ran = await living.engine.up();
      if (ran.exitCode !== 0) throw new Error(ran.text);
    });
    return {
      seconds: rounded(took),
      sshConnections: (await living.logins()).length - logins.length,
    };
  };
  const first = await up();
  const unchanged = await up();

  const snapshot = await living.pi.saveSnapshot("deployed");
  const loadSeconds = await seconds(() => living.pi.loadSnapshot(snapshot));
  await living.pi.powerCut();
  const bootSeconds = await seconds(() => living.pi.powerOn());
  await living.untilServing(300);

  await keepResult("rehearsal", {
    world: {
      coldSeconds: rounded(coldSeconds),
      cachedSeconds: rounded(cachedSeconds),
      ratio: rounded(coldSeconds / cachedSeconds),
    },
    up: { first, unchanged, ratio: rounded(first.seconds / unchanged.seconds) },
    deployedPi: {
      snapshotSeconds: rounded(loadSeconds),
      bootSeconds: rounded(bootSeconds),
      ratio: rounded(bootSeconds / loadSeconds),
    },
    peakMemoryMiB: peak.stop(),
  });
} finally {
  await world?.close();
  await rm(scratch, { recursive: true, force: true });
}

/** The most memory that this process and all that it started held at one time (Pss), looked at every second. */
function watchMemory(): { stop(): number } {
  let most = 0;
  const timer = setInterval(async () => {
    most = Math.max(most, await memoryOfFamily().catch(() => 0));
  }, 1000);
  return {
    stop() {
      clearInterval(timer);
      return Math.round(most / 1024);
    },
  };
}

async function memoryOfFamily(): Promise<number> {
  const processes = new Map<string, string>();
  for (const id of await readdir("/proc")) {
    if (!/^\d+$/.test(id)) continue;
    const status = await readFile(`/proc/${id}/stat`, "utf8").catch(() => "");
    processes.set(id, status.slice(status.lastIndexOf(")") + 2).split(" ")[1] ?? "");
  }
  const isOurs = (id: string | undefined): boolean =>
    id === String(process.pid) || (id !== undefined && isOurs(processes.get(id)));
  let kibibytes = 0;
  for (const id of processes.keys()) {
    if (!isOurs(id)) continue;
    const rollup = await readFile(`/proc/${id}/smaps_rollup`, "utf8").catch(() => "");
    kibibytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
  }
  return kibibytes;
}
