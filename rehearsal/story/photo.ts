import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

export interface Photo {
  fileName: string;
  bytes: Buffer;
  /** As Immich keeps it: the SHA-1 of the file, in base64. */
  checksum: string;
}

/** A whole JPEG of one grey pixel; the camera's notes are added by exiftool. */
const pixel =
  "/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AVN//2Q==";

/**
 * A real JPEG with the camera's date, and no other photo's bytes.
 *
 * @param taken as EXIF writes it: `2022:02:03 23:30:00`, in the camera's own zone
 * @param offset `+09:00`, or nothing, as many cameras do
 */
export async function takePhoto(fileName: string, taken: string, offset?: string): Promise<Photo> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-photo-"));
  try {
    const file = join(folder, "photo.jpg");
    writeFileSync(file, Buffer.from(pixel, "base64"));
    await execa("exiftool", [
      "-quiet",
      "-overwrite_original",
      `-DateTimeOriginal=${taken}`,
      ...(offset ? [`-OffsetTimeOriginal=${offset}`] : []),
      `-UserComment=${randomUUID()}`,
      file,
    ]);
    const bytes = readFileSync(file);
    return { fileName, bytes, checksum: createHash("sha1").update(bytes).digest("base64") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The form that the phone app sends. */
export function uploadForm(photo: Photo): FormData {
  const now = new Date().toISOString();
  const form = new FormData();
  form.set("assetData", new Blob([new Uint8Array(photo.bytes)]), photo.fileName);
  form.set("fileCreatedAt", now);
  form.set("fileModifiedAt", now);
  return form;
}
