import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import type { EngineName } from "./engine-run.ts";
import { PromiseBroken } from "./story/step.ts";
import { story } from "./story/story.ts";
import { type ServiceTokenMode, World } from "./world.ts";

const usage = `usage: npm run rehearse -- [--engine rehearsal|pulumi] [--service-tokens strict|older] [--until STEP] [--keep | --down]
  --engine  who runs the program; pulumi where there is such a command, else rehearsal
  --service-tokens  how the Cloudflare account judges them: older, as before October 2026, gives phones a cookie
  --until   stop after this step of the story
  --keep    leave the world running, and print how to enter it
  --down    end the world that is kept, or being rehearsed`;

const root = join(dirname(fileURLToPath(import.meta.url)), "..", ".rehearsal");
const living = join(root, "living.json");

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    "service-tokens": { type: "string" },
    until: { type: "string" },
    keep: { type: "boolean", default: false },
    down: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log(usage);
} else if (values.down) {
  await down();
} else {
  process.exitCode = await rehearse();
}

async function rehearse(): Promise<number> {
  const engine = await chooseEngine(values.engine);
  const serviceTokens = chooseMode(values["service-tokens"]);
  const last = Number(values.until ?? story.length);
  if (await livingWorld()) {
    console.log(
      "A rehearsal is under way in this folder. End it first: npm run rehearse -- --down",
    );
    return 1;
  }
  await mkdir(root, { recursive: true });
  await writeFile(living, JSON.stringify({ pid: process.pid }));
  // Whatever moment the run ends at, nothing of it stays behind.
  const scratch = mkdtempSync(join(tmpdir(), "ouchi-"));
  process.env.TMPDIR = scratch;
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const began = Date.now();
  const interruption = new AbortController();
  let world: World | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // Not "once": execa ends the process by the same signal when nobody listens to it any more.
    process.on(signal, () => {
      if (interruption.signal.aborted) process.exit(130);
      console.log("\nEnding the world …");
      // One that is still being built ends by the interruption.
      interruption.abort();
      void world?.close().then(() => process.exit(130));
    });
  }
  console.log(`Building the world (engine: ${engine}) …`);
  try {
    world = await World.build({
      folder: join(root, "world"),
      engine,
      serviceTokens,
      say: (line) => console.log(`  ${line} … ${seconds(began)}`),
      signal: interruption.signal,
    });
  } catch (error) {
    if (interruption.signal.aborted) process.exit(130);
    throw error;
  }
  console.log(`✓ The world stands (${seconds(began)})`);
  let failed = false;
  for (const step of story.filter(({ number }) => number <= last)) {
    const start = Date.now();
    try {
      const saw = await step.live(world);
      console.log(`✓ ${step.number}. ${step.title} (${seconds(start)})\n     ${saw}`);
    } catch (error) {
      failed = true;
      const reason = error instanceof PromiseBroken ? error.message : (error as Error).stack;
      console.log(`✗ ${step.number}. ${step.title} (${seconds(start)})\n${reason}`);
      console.log(await world.lastWords());
      break;
    }
  }
  console.log(`${failed ? "The story broke off" : "The house stands"}, after ${seconds(began)}.`);
  if (values.keep) {
    keep(world);
    return new Promise(() => undefined);
  }
  await world.close();
  console.log("Where to look: rehearsal/README.md says what this proves, and what it does not.");
  return failed ? 1 : 0;
}

async function chooseEngine(wanted: string | undefined): Promise<EngineName> {
  if (wanted === "rehearsal" || wanted === "pulumi") return wanted;
  if (wanted !== undefined) throw new Error(`There is no engine "${wanted}".\n${usage}`);
  const { exitCode } = await execa("pulumi", ["version"], { reject: false });
  return exitCode === 0 ? "pulumi" : "rehearsal";
}

function chooseMode(wanted = "strict"): ServiceTokenMode {
  if (wanted === "strict" || wanted === "older") return wanted;
  throw new Error(`Service tokens are judged "strict" or "older", not "${wanted}".\n${usage}`);
}

function keep(world: World): void {
  console.log(
    [
      "",
      "The world goes on until Ctrl-C, or: npm run rehearse -- --down",
      ...world.addresses().map((line) => `  ${line}`),
    ].join("\n"),
  );
}

/** The process whose world lives in this folder, if there is one. */
async function livingWorld(): Promise<number | undefined> {
  if (!existsSync(living)) return undefined;
  const { pid } = JSON.parse(await readFile(living, "utf8")) as { pid: number };
  const argv = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return argv.includes("rehearse.ts") ? pid : undefined;
}

async function down(): Promise<void> {
  const pid = await livingWorld();
  await rm(living, { force: true });
  if (pid === undefined) {
    console.log("There is no world.");
    return;
  }
  process.kill(pid, "SIGTERM");
  const deadline = Date.now() + 60_000;
  while (existsSync(`/proc/${pid}`)) {
    if (Date.now() > deadline) throw new Error(`Process ${pid} has not ended within a minute.`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  console.log("The world has ended.");
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
