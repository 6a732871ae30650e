// The engine's own `up` with no change, beside what no engine can save: starting the program twice by itself.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { ProjectFolder } from "../test/rehearsal/engine/project-folder.ts";

const runs = 7;
const project = new ProjectFolder("house");
try {
  await project.update();
  const pairs: { upSeconds: number; programTwiceSeconds: number }[] = [];
  for (let run = 0; run < runs; run++) {
    const upSeconds = await seconds(() => project.update());
    const programTwiceSeconds = await seconds(async () => {
      for (let load = 0; load < 2; load++) {
        await execa(process.execPath, ["--import", "tsx", "-e", 'await import("@pulumi/pulumi")'], {
          cwd: project.path,
        });
      }
    });
    pairs.push({ upSeconds, programTwiceSeconds });
  }
  const result = {
    what: "rehearsal engine: up with no change / loading Pulumi's library twice in processes of their own",
    runs,
    upSeconds: median(pairs.map((pair) => pair.upSeconds)),
    programTwiceSeconds: median(pairs.map((pair) => pair.programTwiceSeconds)),
    ratio: median(pairs.map((pair) => pair.upSeconds / pair.programTwiceSeconds)),
  };
  const folder = join(import.meta.dirname, "results");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "no-change-up.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(result);
} finally {
  project.remove();
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.floor(sorted.length / 2)]! * 100) / 100;
}
