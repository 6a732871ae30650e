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
import { missingImages, readImagesLock } from "../settings/images-lock.ts";
import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import { diskIdentities } from "./disk-identities.ts";
import type { PlainBundles } from "./home-server.ts";

/** Everything that goes to the Pi and is no secret. The same settings give the same bytes. */
export function plainBundles(settings: Settings): PlainBundles {
  const { timeZone } = settings;
  const machineLearning = settings.machineLearning === "local";
  const images = readLock(settings);
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
  const images = readLock(settings);
  return {
    server: images["immich-server"].image,
    postgres: images.postgres.image,
    ...(upgradeFrom !== undefined && { upgradeFrom }),
  };
}

function readLock({ imagesLock: file, machineLearning }: Settings): ImagesLock {
  const read = readImagesLock(file);
  const problem = "problem" in read ? read.problem : missingImages(read.lock, machineLearning);
  // It was read with the settings, and may have been changed since.
  if (problem || "problem" in read) {
    throw new UserError(
      `The lock file of the container images in imagesLock, "${file}", cannot be used: ${problem}. Mend it, or remove the setting to use the kit's own. Nothing was changed.`,
    );
  }
  return read.lock;
}
