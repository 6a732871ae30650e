import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { UserError } from "../infra/settings/user-error.ts";
import { adopt } from "./commands/adopt.ts";
import { type BackupVerb, backup } from "./commands/backup.ts";
import { destroy } from "./commands/destroy.ts";
import { type ImagesOptions, images } from "./commands/images.ts";
import { installPulumi } from "./commands/install-pulumi.ts";
import { key } from "./commands/key.ts";
import { restore } from "./commands/restore.ts";
import { type SdCardOptions, sdcard } from "./commands/sdcard.ts";
import { secrets } from "./commands/secrets.ts";
import { status } from "./commands/status.ts";
import { up } from "./commands/up.ts";
import type { EngineArgs } from "./engine.ts";
import { usualStack } from "./stack-name.ts";

const folder = dirname(dirname(fileURLToPath(import.meta.url)));

const program = new Command("ouchi")
  .description("The family's photos at home: deploy, look after and restore them.")
  .option("-s, --stack <name>", "the stack, Pulumi.<name>.yaml", usualStack(folder))
  .option("--config-file <file>", "another place for the stack's settings")
  .addOption(
    new Option("--engine <engine>", "who runs the program")
      .choices(["pulumi", "rehearsal"])
      .default("pulumi"),
  )
  .showHelpAfterError();

/** The options that stand before the command. */
function engineArgs(): EngineArgs {
  const { stack, engine, configFile } = program.opts<Omit<EngineArgs, "folder">>();
  return { folder, stack, engine, configFile };
}

for (const operation of ["up", "preview"] as const) {
  program
    .command(operation)
    .description(
      operation === "up"
        ? "make everything as the stack file says"
        : "show what up would change, and change nothing",
    )
    .argument("[options...]", "handed on to the engine, after --")
    .action((options: string[]) => up(engineArgs(), operation, options));
}

program
  .command("destroy")
  .description("take the photos off the internet; photos, disks and backups stay")
  .option("--exclude-protected", "yes, really: everything but the protected secrets")
  .argument("[options...]", "handed on to the engine, after --")
  .action((options: string[], { excludeProtected }: { excludeProtected?: boolean }) =>
    destroy(engineArgs(), excludeProtected === true, options),
  );

program
  .command("adopt")
  .description("take over what is at Cloudflare already: first it prints lines for the stack file")
  .action(() => adopt(engineArgs()));

program
  .command("secrets")
  .description("print one person's first password and their phones' two headers")
  .argument("<person>", "a name in the family list")
  .action((person: string) => secrets(engineArgs(), person));

program
  .command("status")
  .description("how the Pi and its backups are, and what to do where something is wrong")
  .option("--json", "as the Pi has it, for a program")
  .action((options: { json?: boolean }) => status(engineArgs(), options));

const backups = program
  .command("backup")
  .description("the archives on the backup disk: make one, list them, try one, take new counts");
for (const [verb, description] of Object.entries({
  now: "make a backup now, and show how it goes",
  list: "list the archives, oldest first",
  drill: "restore the newest one beside the house, and compare",
  "make-room": "prune a full backup disk by the rules, and say how much is free",
  accept: "take the newest counts as right, after photos were deleted on purpose",
} satisfies Record<BackupVerb, string>)) {
  backups
    .command(verb)
    .description(description)
    .action(() => backup(engineArgs(), verb as BackupVerb));
}

program
  .command("key")
  .description("print the recovery sheet: what opens the backups when all else is lost")
  .action(() => key(engineArgs()));

program
  .command("restore")
  .description("bring photos back from the newest backup, on the Pi; see: ouchi restore -- --help")
  .argument("[options...]", "handed on to the Pi's restore, after --")
  .action((options: string[]) => restore(engineArgs(), options));

program
  .command("images")
  .description("which of the pinned container images are newer at their registries")
  .option(
    "--write [version]",
    "write a lock file with them; Immich stays as it is, or goes to this version",
  )
  .option("--json", "for a program")
  .action((options: ImagesOptions) => images(engineArgs(), options));

program
  .command("sdcard")
  .description("write the first boot's files onto a freshly flashed SD card")
  .argument(
    "<boot partition>",
    "where the card's boot partition is mounted, such as /Volumes/bootfs",
  )
  .requiredOption("--public-key <file>", "the SSH public key that opens the Pi")
  .option("--hostname <name>", "the Pi's name in the network", "ouchi")
  .option("--user <name>", "the user that the kit logs in as", "pi")
  .option("--time-zone <zone>", "the Pi's time zone", "Asia/Tokyo")
  .option("--locale <name>", "the Pi's language at its own screen", "C.UTF-8")
  .option("--wifi <name>", "a Wi-Fi to join beside the cable; its password is asked for")
  .option("--wifi-country <code>", "whose radio rules hold", "JP")
  .action((boot: string, options: SdCardOptions) => sdcard(boot, options));

program
  .command("install-pulumi")
  .description("bring the Pulumi command line that fits this kit")
  .action(() => installPulumi());

try {
  process.exitCode = (await program.parseAsync().then(() => undefined)) ?? process.exitCode;
} catch (error) {
  if (!(error instanceof UserError)) {
    console.error(error);
    console.error("This is a fault of ouchi-photos: please report it with the lines above.");
    process.exit(70);
  }
  console.error(error.message);
  process.exit(1);
}
