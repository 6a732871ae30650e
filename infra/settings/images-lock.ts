import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import * as z from "zod";
import { type ImageName, type ImagesLock, imageNames } from "../../pi/bundles.ts";
import { repository } from "./repository.ts";

export const kitsOwnLock = "compose/images.lock.json";

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

/** The lock file, or what is wrong with it. A relative path begins at the kit's folder. */
export function readImagesLock(file: string): { lock: ImagesLock } | { problem: string } {
  const path = resolve(repository, file);
  let text: string;
  try {
    if (statSync(path).isDirectory()) return { problem: `"${path}" is a folder` };
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { problem: code === "ENOENT" ? `there is no file "${path}"` : message };
  }
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    // Its words would show what the file holds, and it may be any file.
    return { problem: "it is no JSON" };
  }
  const { data, error } = lockFile.safeParse(read);
  if (data) return { lock: data as ImagesLock };
  const wrong = new Set(error.issues.map(({ path }) => path.join(".") || "all of it"));
  return { problem: notAsExpected([...wrong]) };
}

/** The images that a home with these settings starts. */
function needed(machineLearning: unknown): readonly ImageName[] {
  return imageNames.filter(
    (name) => name !== "immich-machine-learning" || machineLearning === "local",
  );
}

/** What is wrong with a lock file that reads well by itself, for these settings; undefined when nothing is. */
export function missingImages(lock: ImagesLock, machineLearning: unknown): string | undefined {
  const missing = needed(machineLearning).filter((name) => !lock[name]);
  return missing.length > 0 ? notAsExpected(missing) : undefined;
}

function notAsExpected(names: string[]): string {
  return `${names.join(", ")} is not as in ${kitsOwnLock} (an image with its tag, and its digest)`;
}
