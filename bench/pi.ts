// What the Pi's part of an `up` costs on the virtual Pi, each beside a bare `ssh pi true` of the same run: a first deploy
// on a bare card and on a prepared one, one without a change, one changed file, and the look for drift. About 20 minutes.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { World } from "../rehearsal/world.ts";
import { keepResult, median, rounded, seconds } from "./result.ts";

const scratch = await mkdtemp(join(tmpdir(), "ouchi-bench-"));
let world: World | undefined;
try {
  world = await World.build({
    folder: join(scratch, "world"),
    engine: "rehearsal",
    say: () => undefined,
  });
  const { engine, pi } = world;

  const ssh = async (...command: string[]) => {
    const knownHosts = join(scratch, "known-hosts");
    await execa("ssh", [
      ...["-i", pi.privateKeyFile, "-p", String(pi.sshPort), "-o", "BatchMode=yes"],
      ...["-o", `UserKnownHostsFile=${knownHosts}`, "-o", "StrictHostKeyChecking=accept-new"],
      ...["-o", "IdentitiesOnly=yes", "pi@127.0.0.1", ...command],
    ]);
  };
  const several = async (work: () => Promise<unknown>) => {
    const took: number[] = [];
    for (let run = 0; run < 7; run++) took.push(await seconds(work));
    return median(took);
  };
  const up = async () => {
    const ran = await engine.up();
    if (ran.exitCode !== 0) throw new Error(ran.text);
  };

  const firstUp = await seconds(up);
  const sshTrue = await several(() => ssh("true"));
  const drift = await several(() => ssh("sudo", "-n", "/usr/local/libexec/ouchi-photos/drift"));
  const unchangedUp = await seconds(up);
  await engine.editSettings((text) =>
    text.replace(
      /^( *)ouchi-photos:machineLearning: .*$/m,
      '$&\n$1ouchi-photos:backup: { schedule: "30 1 * * 6" }',
    ),
  );
  const oneChangedFile = await seconds(up);

  // Prepared: packages and images are there, and nothing of the kit's.
  const destroyed = await engine.ouchi("destroy", ["--exclude-protected"], ["--yes"]);
  if (destroyed.exitCode !== 0) throw new Error(destroyed.text);
  const preparedUp = await seconds(up);

  const entry = (value: number) => ({
    seconds: rounded(value),
    ratioToSshTrue: rounded(value / sshTrue),
  });
  await keepResult("pi", {
    what: "on the virtual Pi, emulated on two cores: `up` runs the program twice; the drift check is one SSH connection",
    sshTrue: { seconds: rounded(sshTrue) },
    driftCheck: entry(drift),
    firstUp: entry(firstUp),
    firstUpOnPreparedPi: entry(preparedUp),
    unchangedUp: { ...entry(unchangedUp), ratioToFirst: rounded(unchangedUp / firstUp) },
    oneChangedFile: { ...entry(oneChangedFile), ratioToFirst: rounded(oneChangedFile / firstUp) },
  });
} finally {
  await world?.close();
  await rm(scratch, { recursive: true, force: true });
}
