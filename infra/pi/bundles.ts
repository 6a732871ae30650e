import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import * as z from "zod";
import {
  backupBundle,
  disksBundle,
  dockerBundle,
  type ImagesLock,
  imageNames,
  immichBundle,
  systemBundle,
  tunnelBundle,
} from "../../pi/bundles.ts";
import { kernelWords } from "../../pi/first-boot/render.ts";
import { repository } from "../settings/repository.ts";
import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import { diskIdentities } from "./disk-identities.ts";
import type { PlainBundles } from "./home-server.ts";

/** Everything that goes to the Pi and is no secret. The same settings give the same bytes. */
export function plainBundles(settings: Settings): PlainBundles {
  const { timeZone } = settings;
  const machineLearning = settings.machineLearning === "local";
  const images = readImagesLock(settings);
  return {
    system: systemBundle({ timeZone, kernelWords: kernelWords(settings.disks.withoutUas) }),
    disks: disksBundle(diskIdentities(settings.disks)),
    docker: dockerBundle(),
    immich: immichBundle({
      ...{ timeZone, lan: settings.pi.lan, machineLearning, images },
      upgradeFrom: settings.upgradeFrom,
    }),
    tunnel: tunnelBundle({ images }),
    backup: backupBundle(settings.backup),
  };
}

/** What the Immich on the Pi is to be, for the look at one that was set up there by hand. */
export function wantedImmich(settings: Settings) {
  const { upgradeFrom } = settings;
  const images = readImagesLock(settings);
  return {
    server: images["immich-server"].image,
    postgres: images.postgres.image,
    ...(upgradeFrom !== undefined && { upgradeFrom }),
  };
}

/** Each of its images by name, tag and digest, as a file that systemd and Compose read can hold them. */
const lockFile = z.partialRecord(
  z.enum(imageNames),
  z.object({
    image: z
      .string()
      .max(255)
      .regex(/^[a-z0-9][a-z0-9._-]*(:\d+)?(\/[a-z0-9._-]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]*$/),
    digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  }),
);

function readImagesLock({ imagesLock: file, machineLearning }: Settings): ImagesLock {
  const refuse = (why: string) =>
    new UserError(
      `The lock file of the container images in imagesLock, "${file}", could not be read: ${why}. Remove the setting to use the kit's own. Nothing was changed.`,
    );
  let read: unknown;
  try {
    read = JSON.parse(readFileSync(resolve(repository, file), "utf8"));
  } catch (error) {
    throw refuse((error as Error).message);
  }
  const { data, error } = lockFile.safeParse(read);
  const needed = imageNames.filter(
    (name) => name !== "immich-machine-learning" || machineLearning === "local",
  );
  const wrong = error
    ? error.issues.map(({ path }) => path.join(".") || "all of it")
    : needed.filter((name) => !data[name]);
  // What is not needed is not read.
  if (wrong.length === 0) return data as ImagesLock;
  throw refuse(
    `${[...new Set(wrong)].join(", ")} is not as in compose/images.lock.json (an image with its tag, and its digest)`,
  );
}
