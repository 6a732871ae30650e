import { existsSync } from "node:fs";
import { resolve } from "node:path";
import semver from "semver";
import { UserError } from "../../infra/settings/user-error.ts";
import type { EngineArgs } from "../engine.ts";
import { type LockedImage, readLockFile, writeLockFile } from "../images/lock-file.ts";
import { Registry } from "../images/registry.ts";
import { newerTags, newestOfEachMajor, whyNotTo, withVersion } from "../images/versions.ts";
import { readStackConfig } from "../stack-file.ts";

export interface ImagesOptions {
  /** Whether to write what was found, and which version of Immich is then wanted: without one, today's. */
  write?: true | string;
  json?: boolean;
}

/** What the registry says of one image. */
export interface FoundImage {
  name: string;
  image: string;
  /** The digest in the lock file. */
  pinned: string;
  /** The digest that the tag stands for now, and null where the registry has no such tag any more. */
  now?: string | null;
  /** Tags of the same kind with a higher version, lowest first; absent where the version goes with Immich's. */
  newer?: string[];
  /** Why it could not be looked up. */
  failure?: string;
}

const kitLock = "compose/images.lock.json";

/** One version for both. */
const immich = ["immich-server", "immich-machine-learning"];

/** Which of them a version of Immich wants is said by its release, and by no registry. */
const goWithImmich = ["postgres", "valkey"];

/** `ouchi images`: which of the pinned images are newer at their registries, and a lock file of one's own with them. */
export async function images(args: EngineArgs, options: ImagesOptions): Promise<void> {
  const shown = lockSetting(args);
  const lock = readLockFile(resolve(args.folder, shown), shown);
  const version =
    typeof options.write === "string" ? wantedVersion(options.write, lock) : undefined;
  // Before the registries are asked: it may be refused.
  const target = options.write ? targetFile(args, shown) : undefined;
  const registries = new Map(
    [...lock.values()].map(({ reference: { registry } }) => [registry, new Registry(registry)]),
  );
  const found = await Promise.all(
    [...lock].map(([name, locked]) =>
      look(name, locked, registries.get(locked.reference.registry)!),
    ),
  );
  const failed = found.filter(({ failure }) => failure !== undefined);
  if (target && failed.length > 0) {
    throw new UserError(
      [
        `The images could not be looked up, so "${target}" was not written; nothing was changed:`,
        ...failed.map(({ name, failure }) => `  - ${name}: ${failure}`),
      ].join("\n"),
    );
  }
  const written =
    target && (await write(args, target, { lock, found, registries, version })) ? target : null;
  console.log(
    options.json
      ? JSON.stringify({ lock: shown, images: found, written }, null, 2)
      : [
          ...imagesLines(found, shown),
          ...kitLines(args, shown, lock),
          ...(options.write ? writtenLines(args, shown, written) : []),
        ].join("\n"),
  );
  if (failed.length > 0) process.exitCode = 1;
}

function lockSetting(args: EngineArgs): string {
  if (!existsSync(args.configFile ?? resolve(args.folder, `Pulumi.${args.stack}.yaml`)))
    return kitLock;
  const setting = readStackConfig(args.folder, args.stack, args.configFile)[
    "ouchi-photos:imagesLock"
  ];
  return typeof setting === "string" ? setting : kitLock;
}

/** The kit's own file comes with the kit, and would collide with a newer one's. */
function targetFile({ folder, stack }: EngineArgs, lock: string): string {
  if (resolve(folder, lock) !== resolve(folder, kitLock)) return lock;
  const own = `images.${stack}.lock.json`;
  if (!existsSync(resolve(folder, own))) return own;
  throw new UserError(
    `There is "${own}" already, and the stack file does not name it, so it was not written over. Name it ("pulumi config set ouchi-photos:imagesLock ${own}"), or remove it. Nothing was changed.`,
  );
}

function wantedVersion(given: string, lock: Map<string, LockedImage>): string {
  const version = semver.valid(given);
  if (!version || semver.prerelease(version)) {
    throw new UserError(
      `"${given}" is no version of Immich: give one such as "v3.2.5". Nothing was changed.`,
    );
  }
  for (const name of immich) {
    const locked = lock.get(name);
    const why = locked && whyNotTo(locked.reference.tag, version);
    if (why) {
      throw new UserError(`${name} cannot go to version ${version}: ${why}. Nothing was changed.`);
    }
  }
  return version;
}

async function look(name: string, locked: LockedImage, registry: Registry): Promise<FoundImage> {
  const { repository, tag } = locked.reference;
  const found = { name, image: locked.image, pinned: locked.digest };
  try {
    const now = (await registry.digest(repository, tag)) ?? null;
    if (goWithImmich.includes(name)) return { ...found, now };
    return { ...found, now, newer: newerTags(tag, await registry.tags(repository)) ?? [] };
  } catch (error) {
    if (error instanceof UserError) return { ...found, failure: error.message };
    throw error;
  }
}

interface Plan {
  lock: Map<string, LockedImage>;
  found: FoundImage[];
  registries: Map<string, Registry>;
  version: string | undefined;
}

/** Whether anything differs from what was pinned; only then is the file written. */
async function write({ folder }: EngineArgs, file: string, plan: Plan): Promise<boolean> {
  const next = new Map<string, { image: string; digest: string }>();
  for (const each of plan.found) next.set(each.name, await wanted(each, plan));
  const differs = [...next].some(
    ([name, { image, digest }]) =>
      image !== plan.lock.get(name)!.image || digest !== plan.lock.get(name)!.digest,
  );
  if (differs) writeLockFile(resolve(folder, file), next);
  return differs;
}

async function wanted(
  { name, image, now, newer = [] }: FoundImage,
  { lock, registries, version }: Plan,
): Promise<{ image: string; digest: string }> {
  const { registry, repository, tag } = lock.get(name)!.reference;
  const target = immich.includes(name)
    ? ((version && withVersion(tag, version)) ?? tag)
    : (newer.at(-1) ?? tag);
  const digest = target === tag ? now : await registries.get(registry)!.digest(repository, target);
  if (digest) return { image: `${image.slice(0, -tag.length)}${target}`, digest };
  throw new UserError(
    `The registry ${registry} has no tag "${target}" of ${repository}. See "cli/ouchi images" for the tags that it has. Nothing was changed.`,
  );
}

/** What was found, for a person. */
export function imagesLines(found: FoundImage[], lock: string): string[] {
  const width = Math.max(...found.map(({ name }) => name.length));
  return [
    `The images in ${lock}, and what their registries have:`,
    "",
    ...found.map((each) => `${each.name.padEnd(width)}  ${tagOf(each.image)}: ${state(each)}`),
    "",
    // Once, however many images it kept from being looked up.
    ...new Set(found.flatMap(({ failure }) => failure ?? [])),
    ...(found.some(({ name }) => goWithImmich.includes(name))
      ? [
          "Which PostgreSQL and Valkey a version of Immich wants, no registry says: docker-compose.yml at",
          "https://github.com/immich-app/immich/releases does, beside what each release changes.",
        ]
      : []),
  ];
}

/** Where a lock file of one's own has other tags than the kit, which was tried with its own. */
function kitLines({ folder }: EngineArgs, shown: string, lock: Map<string, LockedImage>): string[] {
  const others = [...readLockFile(resolve(folder, kitLock), kitLock)]
    .filter(
      ([name, { reference }]) => lock.has(name) && lock.get(name)!.reference.tag !== reference.tag,
    )
    .map(([name, { reference }]) => `${name} ${reference.tag}`);
  return others.length === 0 || resolve(folder, shown) === resolve(folder, kitLock)
    ? []
    : [`The kit itself was tried with other tags (${kitLock}): ${others.join(", ")}.`];
}

function state({ pinned, now, newer, failure, image }: FoundImage): string {
  if (failure !== undefined) return "could not be looked up";
  const same =
    now === null
      ? "the registry has this tag no more; what is pinned may be gone soon"
      : now === pinned
        ? "as pinned"
        : "built anew since it was pinned";
  if (newer === undefined) return `${same}; its version goes with Immich's`;
  if (newer.length === 0)
    return withVersion(tagOf(image), "1.0.0") ? `${same}, and the newest` : same;
  return `${same}; newer: ${newestOfEachMajor(newer).join(", then ")}`;
}

function writtenLines({ stack }: EngineArgs, lock: string, written: string | null): string[] {
  if (written === null) return ["", `Nothing differs from ${lock}: nothing was written.`];
  return [
    "",
    `Wrote ${written}.`,
    ...(written === lock
      ? []
      : [
          `Name it in Pulumi.${stack}.yaml: "pulumi config set ouchi-photos:imagesLock ${written}".`,
        ]),
    'Then "pulumi preview". New images of Immich are an upgrade, which has no way back but a dump: docs/upgrade.md.',
  ];
}

const tagOf = (image: string) => image.slice(image.lastIndexOf(":") + 1);
