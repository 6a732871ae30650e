import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { UserError } from "../../infra/settings/user-error.ts";
import { type ImageReference, parseImage } from "./image-reference.ts";

/** A lock file's entry, and where its image lies. */
export interface LockedImage {
  image: string;
  digest: string;
  reference: ImageReference;
}

/** The images of a lock file by their names, in its order. */
export function readLockFile(file: string, shown: string): Map<string, LockedImage> {
  const cannot = (why: string) =>
    new UserError(
      `The lock file of the images, "${shown}", could not be read: ${why}. Mend it, or remove the setting imagesLock to use the kit's own. Nothing was changed.`,
    );
  let read: unknown;
  try {
    read = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw cannot((error as Error).message);
  }
  const entries = typeof read === "object" && read !== null ? Object.entries(read) : [];
  if (entries.length === 0) throw cannot("it names no images");
  return new Map(
    entries.map(([name, entry]: [string, Partial<LockedImage> | null]) => {
      const reference = parseImage(String(entry?.image));
      const digest = String(entry?.digest);
      if (!reference || !/^sha256:[0-9a-f]{64}$/.test(digest)) {
        throw cannot(
          `"${name}" is not as in compose/images.lock.json (an image with its tag, and its digest)`,
        );
      }
      return [name, { image: entry!.image!, digest, reference }];
    }),
  );
}

/** Old or new, never half. */
export function writeLockFile(
  file: string,
  images: Map<string, { image: string; digest: string }>,
) {
  const entries = [...images].map(([name, { image, digest }]) => [name, { image, digest }]);
  writeFileSync(`${file}.new`, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
