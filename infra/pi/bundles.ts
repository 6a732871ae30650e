import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  backupBundle,
  disksBundle,
  dockerBundle,
  type ImagesLock,
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
  const images = readImagesLock(settings.imagesLock);
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
export function wantedImmich({ imagesLock, upgradeFrom }: Settings) {
  const images = readImagesLock(imagesLock);
  return {
    server: images["immich-server"].image,
    postgres: images.postgres.image,
    ...(upgradeFrom !== undefined && { upgradeFrom }),
  };
}

function readImagesLock(file: string): ImagesLock {
  try {
    return JSON.parse(readFileSync(resolve(repository, file), "utf8")) as ImagesLock;
  } catch (error) {
    throw new UserError(
      `The lock file of the container images in imagesLock, "${file}", could not be read: ${(error as Error).message}. Remove the setting to use the kit's own. Nothing was changed.`,
    );
  }
}
