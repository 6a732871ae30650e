import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, type CommanderError, Option } from "commander";
import { repository } from "../infra/settings/repository.ts";
import { UserError } from "../infra/settings/user-error.ts";
import type { BackupVerb } from "./commands/backup.ts";
import type { ImagesOptions } from "./commands/images.ts";
import type { SdCardOptions } from "./commands/sdcard.ts";
import type { EngineArgs } from "./engine.ts";
import { exitStatus, exitStatusHelp } from "./exit-status.ts";
import { usualStack } from "./stack-name.ts";

// What a command needs is loaded by its action: who asks for help, or for the Pi's status, does not wait for Pulumi.

/** Takes photos offline, or takes a loss or a deletion as right: never proposed to who typed something else. */
const neverProposed = new Set(["destroy", "accept", "make-room"]);

/** What other tools call it. */
const otherWords = new Map([
  ["install", "install-pulumi"],
  ["version", "--version"],
  ...["deploy", "apply", "update", "start"].map((word) => [word, "up"] as const),
  ...["plan", "diff"].map((word) => [word, "preview"] as const),
  ...["health", "doctor", "check"].map((word) => [word, "status"] as const),
  ...["password", "passwords", "card"].map((word) => [word, "secrets"] as const),
]);

class UsageError extends Error {}

const program = withOwnErrors(new Command("cli/ouchi"))
  .description("The family's photos at home: deploy, look after and restore them.")
  .option("-s, --stack <name>", "the stack, Pulumi.<name>.yaml", usualStack(repository))
  .option("--config-file <file>", "another place for the stack's settings")
  .addOption(
    new Option("--engine <engine>", "who runs the program")
      .choices(["pulumi", "rehearsal"])
      .default("pulumi"),
  )
  .version(version(), "-V, --version", "the kit's version")
  .addHelpText("after", `\n${exitStatusHelp}`);

/** The options of every command; they may stand before it and after it. */
function engineArgs(): EngineArgs {
  const { stack, engine, configFile } = program.opts<Omit<EngineArgs, "folder">>();
  if (configFile === "") {
    throw new UsageError('cli/ouchi: --config-file names no file. "cli/ouchi --help" explains it.');
  }
  return {
    folder: resolve(repository),
    stack,
    engine,
    configFile: configFile && resolve(configFile),
  };
}

for (const operation of ["up", "preview"] as const) {
  handingOn(command(program, operation), `Pulumi's own, which "pulumi ${operation} --help" lists`)
    .description(
      operation === "up"
        ? "make everything as the stack file says"
        : "show what up would change, and change nothing",
    )
    .action(async (options: string[]) => {
      const { up } = await import("./commands/up.ts");
      await up(engineArgs(), operation, withoutDashes(options));
    });
}

handingOn(command(program, "destroy"), 'Pulumi\'s own, which "pulumi destroy --help" lists')
  .description("take the photos off the internet; photos, disks and backups stay")
  .option("--exclude-protected", "yes, really: everything but the protected secrets")
  .action(async (options: string[], { excludeProtected }: { excludeProtected?: boolean }) => {
    const { destroy } = await import("./commands/destroy.ts");
    await destroy(engineArgs(), excludeProtected === true, withoutDashes(options));
  });

command(program, "adopt")
  .description("take over what is at Cloudflare already: first it prints lines for the stack file")
  .action(async () => {
    const { adopt } = await import("./commands/adopt.ts");
    await adopt(engineArgs());
  });

command(program, "secrets")
  .description("print one person's first password and their phones' two headers")
  .argument("<person>", "a name in the family list")
  .option("--json", "for a program")
  .action(async (person: string, options: { json?: boolean }) => {
    const { secrets } = await import("./commands/secrets.ts");
    await secrets(engineArgs(), person, options);
  });

command(program, "status")
  .description("how the Pi and its backups are, and what to do where something is wrong")
  .option("--json", "as the Pi has it, for a program")
  .action(async (options: { json?: boolean }) => {
    const { status } = await import("./commands/status.ts");
    await status(engineArgs(), options);
  });

const backups = command(program, "backup").description(
  "the archives on the backup disk: make one, list them, try one, take new counts",
);
for (const [verb, description] of Object.entries({
  now: "make a backup now, and show how it goes",
  list: "list the archives, oldest first",
  drill: "restore the newest one beside the house, and compare",
  "make-room": "prune a full backup disk by the rules, and say how much is free",
  accept: "take the newest counts as right, after photos were deleted on purpose",
} satisfies Record<BackupVerb, string>)) {
  const each = command(backups, verb).description(description);
  if (verb === "list") each.option("--json", "for a program");
  each.action(async (options: { json?: boolean }) => {
    const { backup } = await import("./commands/backup.ts");
    await backup(engineArgs(), verb as BackupVerb, options);
  });
}

command(program, "key")
  .description("print the recovery sheet: what opens the backups when all else is lost")
  .option("--json", "what the sheet says, for a program")
  .action(async (options: { json?: boolean }) => {
    const { key } = await import("./commands/key.ts");
    await key(engineArgs(), options);
  });

handingOn(command(program, "restore"), "those of the Pi's restore, such as --list")
  .description("bring photos back from the newest backup, on the Pi; it knows its own --help")
  // The Pi's own, which says what can be restored.
  .helpOption(false)
  .action(async (options: string[]) => {
    const { restore } = await import("./commands/restore.ts");
    await restore(engineArgs(), withoutDashes(options));
  });

command(program, "images")
  .description("which of the pinned container images are newer at their registries")
  .option(
    "--write [version]",
    "write a lock file with them; Immich stays as it is, or goes to this version",
  )
  .option("--json", "for a program")
  .action(async (options: ImagesOptions) => {
    const { images } = await import("./commands/images.ts");
    await images(engineArgs(), options);
  });

command(program, "sdcard")
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
  .action(async (boot: string, options: SdCardOptions) => {
    const { sdcard } = await import("./commands/sdcard.ts");
    await sdcard(boot, options);
  });

command(program, "install-pulumi")
  .description("bring the Pulumi command line that fits this kit")
  .action(async () => {
    const { installPulumi } = await import("./commands/install-pulumi.ts");
    await installPulumi();
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof UserError) {
    console.error(error.message);
    process.exit(exitStatus[error.kind]);
  }
  if (error instanceof UsageError) {
    console.error(error.message);
    process.exit(exitStatus.usage);
  }
  console.error(error);
  console.error("This is a fault of ouchi-photos: please report it with the lines above.");
  process.exit(exitStatus.fault);
}

function command(parent: Command, name: string): Command {
  return withOwnErrors(parent.command(name));
}

/** A command whose unknown options are somebody else's. They may stand after `--`, too. */
function handingOn(command: Command, whose: string): Command {
  return command.allowUnknownOption().argument("[options...]", whose).usage("[options]");
}

function withoutDashes(options: string[]): string[] {
  const at = options.indexOf("--");
  return at < 0 ? options : options.toSpliced(at, 1);
}

/** A slip in the command line is answered by one line, and a call for help by help. */
function withOwnErrors(command: Command): Command {
  return command
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true)
    .exitOverride((error) => {
      if (error.exitCode === 0) process.exit();
      // Of a command that is none without another: its help was printed.
      if (error.code === "commander.help") process.exit(exitStatus.usage);
      throw new UsageError(slip(command, error));
    });
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

function slip(command: Command, error: CommanderError): string {
  const path = pathOf(command);
  if (error.code !== "commander.unknownCommand") {
    const message = error.message
      .replace(/^error: /, "")
      .replaceAll("\n", " ")
      .replace(/\.$/, "");
    return `${path}: ${message}. "${path} --help" explains it.`;
  }
  const word = command.args[0] ?? "";
  const other = command === program ? otherWords.get(word.toLowerCase()) : undefined;
  const known = command.commands
    .map((each) => each.name())
    .filter((name) => !neverProposed.has(name));
  const meant = other ?? known.find((name) => isSlipOf(name, word.toLowerCase()));
  return meant
    ? `${path}: there is no command "${word}"; "${path} ${meant}" is perhaps meant. "${path} --help" lists them all.`
    : `${path}: there is no command "${word}"; there are ${known.join(", ")}. "${path} --help" explains them.`;
}

/** The same letters in another order, or in capitals. */
function isSlipOf(name: string, word: string): boolean {
  if (name === word) return true;
  const sorted = (text: string) => [...text].sort().join("");
  return word.length > 3 && word[0] === name[0] && sorted(word) === sorted(name);
}

function version(): string {
  const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
    version: string;
  };
  return version;
}
