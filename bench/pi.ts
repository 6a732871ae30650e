// What the Pi's part of an `up` costs on the virtual Pi, each beside a bare `ssh pi true` of the same run: a first deploy
// on a bare card and on a prepared one, one without a change, one changed file, and the look for drift. Where there is
// an `ansible-playbook`, the same end state by Ansible, too, on the same Pi. Ten minutes, and with Ansible twenty.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { World } from "../rehearsal/world.ts";
import { keepResult, median, rounded, seconds } from "./result.ts";
import { scratchWorld } from "./scratch-world.ts";

const { world, folder, up, end } = await scratchWorld();
try {
  const { engine, pi } = world;

  const ssh = async (...command: string[]) => {
    const knownHosts = join(folder, "known-hosts");
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
  // Prepared: packages and images are there, and nothing of Immich or the kit.
  const prepare = async () => {
    const ran = await engine.ouchi("destroy", ["--exclude-protected"], ["--yes"]);
    if (ran.exitCode !== 0) throw new Error(ran.text);
    await asRoot(world, "rm -r /mnt/hdd1/immich");
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

  const endState = await takeEndState(world, folder);
  await prepare();
  const preparedUp = await seconds(up);

  const entry = (value: number, byAnsible?: number) => ({
    seconds: rounded(value),
    ratioToSshTrue: rounded(value / sshTrue),
    ...(byAnsible !== undefined && {
      ansibleSeconds: rounded(byAnsible),
      ratioToAnsible: rounded(value / byAnsible),
    }),
  });
  const keep = (ansible: Record<string, number>, note: string) =>
    keepResult("pi", {
      what: "on the virtual Pi, emulated on two cores: `up` runs the program twice; the drift check is one SSH connection",
      sshTrue: { seconds: rounded(sshTrue) },
      driftCheck: entry(drift),
      firstUp: entry(firstUp),
      firstUpOnPreparedPi: entry(preparedUp, ansible.preparedUp),
      unchangedUp: {
        ...entry(unchangedUp, ansible.unchangedUp),
        ratioToFirst: rounded(unchangedUp / firstUp),
      },
      oneChangedFile: {
        ...entry(oneChangedFile, ansible.oneChangedFile),
        ratioToFirst: rounded(oneChangedFile / firstUp),
      },
      ansible: note,
    });

  const hasAnsible =
    (await execa("ansible-playbook", ["--version"], { reject: false })).exitCode === 0;
  // Kept before Ansible begins, which takes longer than all of the above.
  await keep({}, hasAnsible ? "under way" : "not measured: no ansible-playbook on this machine");
  if (hasAnsible) {
    await prepare();
    const play = () => playbook(world, endState);
    const preparedPlay = await seconds(play);
    const unchangedPlay = await seconds(play);
    const cron = join(endState.files, "etc/cron.d/ouchi-photos");
    await writeFile(cron, (await readFile(cron, "utf8")).replace(/^30 1 /m, "45 1 "));
    const oneChangedPlay = await seconds(play);
    await keep(
      { preparedUp: preparedPlay, unchangedUp: unchangedPlay, oneChangedFile: oneChangedPlay },
      "the same end state by bench/ansible/playbook.yml, with pipelining and one connection that stays",
    );
  }
} finally {
  await end();
}

interface EndState {
  /** The folder with what the kit laid down, under the paths that it has on the Pi. */
  files: string;
  /** The playbook's variables: JSON. */
  variables: string;
}

interface Applied {
  subjects: Record<
    string,
    {
      directories: object[];
      files: Record<string, object>;
      masked: string[];
      packages: string[];
      units: Record<string, { enable: boolean; start: boolean }>;
    }
  >;
  disks: Record<"main" | "backup", { uuid: string }>;
}

async function asRoot(on: World, script: string, ...words: string[]): Promise<string> {
  const ran = await on.asRoot(["sh", "-c", script, "sh", ...words]);
  if (ran.code !== 0) throw new Error(`The Pi could not "${script}": ${ran.stderr}`);
  return ran.stdout;
}

/** What the kit has made of the Pi, for another tool to make the same. */
async function takeEndState(of: World, folder: string): Promise<EndState> {
  const applied = JSON.parse(await asRoot(of, "cat /var/lib/ouchi-photos/applied.json")) as Applied;
  const subjects = Object.values(applied.subjects);
  const laid = Object.assign({}, ...subjects.map(({ files }) => files)) as Record<string, object>;
  const files = join(folder, "files");
  await mkdir(files);
  const archive = await asRoot(
    of,
    'tar --directory=/ --create "$@" | base64',
    ...Object.keys(laid),
  );
  await execa("tar", ["--directory", files, "--extract"], {
    input: Buffer.from(archive, "base64"),
  });
  const fstab = (await asRoot(of, "cat /etc/fstab")).split("\n");
  const kit = {
    directories: subjects.flatMap((subject) => subject.directories),
    files: Object.entries(laid).map(([path, described]) => ({ path, ...described })),
    masked: subjects.flatMap((subject) => subject.masked),
    packages: [...new Set(subjects.flatMap((subject) => subject.packages))],
    units: subjects
      .flatMap((subject) => Object.entries(subject.units))
      .filter(([, unit]) => unit.enable && unit.start)
      .map(([name]) => name),
    timeZone: (await asRoot(of, "readlink /etc/localtime")).trim().split("/zoneinfo/")[1],
    disks: [applied.disks.main, applied.disks.backup].map(({ uuid }) => ({
      uuid,
      line: fstab.find((line) => line.startsWith(`UUID=${uuid} `)),
    })),
  };
  const variables = join(folder, "kit.json");
  await writeFile(variables, JSON.stringify({ kit, files }));
  return { files, variables };
}

async function playbook(on: World, { variables }: EndState): Promise<void> {
  const { privateKeyFile, sshPort } = on.pi;
  const folder = join(import.meta.dirname, "ansible");
  const host = `pi ansible_host=127.0.0.1 ansible_port=${sshPort} ansible_user=pi ansible_ssh_private_key_file=${privateKeyFile}`;
  const inventory = `${variables}.ini`;
  await writeFile(inventory, `${host}\n`);
  await execa(
    "ansible-playbook",
    ["--inventory", inventory, "--extra-vars", `@${variables}`, join(folder, "playbook.yml")],
    {
      env: { ANSIBLE_CONFIG: join(folder, "ansible.cfg") },
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
}
