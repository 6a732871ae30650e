// The engine's own `up` with no change, beside what no engine can save: starting the program twice by itself.
import { execa } from "execa";
import { ProjectFolder } from "../test/rehearsal/engine/project-folder.ts";
import { keepResult, median, rounded, seconds } from "./result.ts";

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
  await keepResult("no-change-up", {
    what: "rehearsal engine: up with no change / loading Pulumi's library twice in processes of their own",
    runs,
    upSeconds: rounded(median(pairs.map((pair) => pair.upSeconds))),
    programTwiceSeconds: rounded(median(pairs.map((pair) => pair.programTwiceSeconds))),
    ratio: rounded(median(pairs.map((pair) => pair.upSeconds / pair.programTwiceSeconds))),
  });
} finally {
  project.remove();
}
