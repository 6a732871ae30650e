import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { expect } from "vitest";
import { parse } from "yaml";
import { apiToken, type EdgeHouse } from "./edge-house.ts";

const repository = join(import.meta.dirname, "../../..");

/** One of `ouchi`'s commands for a house's stack: a call such as `adopt(args)` of the module of that name. */
async function ouchi(house: EdgeHouse, module: string, call: string) {
  const { folder } = house;
  // `ouchi` starts the engine of its own repository.
  const engine = join(folder.path, "rehearsal");
  if (!existsSync(engine)) symlinkSync(join(repository, "rehearsal"), engine);
  const command = pathToFileURL(join(repository, `cli/commands/${module}.ts`)).href;
  const args = { folder: folder.path, stack: "dev", engine: "rehearsal" };
  const { stdout, stderr, exitCode } = await execa(
    process.execPath,
    [
      ...["--import", "tsx", "--input-type=module", "-e"],
      `const args = ${JSON.stringify(args)}; const { ${module} } = await import("${command}");
       try { await ${call}; } catch (error) { console.error(error.message); process.exit(1); }`,
    ],
    {
      cwd: folder.path,
      env: { PULUMI_CONFIG_PASSPHRASE: "a passphrase", OUCHI_REHEARSAL_STATE: folder.stateFile },
      reject: false,
    },
  );
  expect(stdout + stderr).not.toContain(apiToken);
  return { stdout, printed: stdout + stderr, exitCode };
}

/** `ouchi adopt`, with the lines that it prints for the stack file. */
export async function ouchiAdopt(house: EdgeHouse): Promise<{
  adopt: unknown;
  hostname: unknown;
  printed: string;
  exitCode: number | undefined;
}> {
  const { stdout, printed, exitCode } = await ouchi(house, "adopt", "adopt(args)");
  const lines = /^ {2}ouchi-photos:/.test(stdout) ? parse(stdout) : {};
  return {
    ...{ adopt: lines["ouchi-photos:adopt"], hostname: lines["ouchi-photos:hostname"] },
    ...{ printed, exitCode },
  };
}

/** `ouchi destroy --exclude-protected`. */
export function ouchiDestroy(house: EdgeHouse) {
  return ouchi(house, "destroy", 'destroy(args, true, ["--yes"])');
}
