/** A folder of Debian packages as a small apt archive, quick to read and to unpack. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/**
 * Repacks the packages of `from` by zstd instead of xz, their content and scripts unchanged, into
 * `to` with an index of them.
 */
export async function writePackageArchive(from: string, to: string): Promise<void> {
  await mkdir(to);
  const names = (await readdir(from)).filter((name) => name.endsWith(".deb")).sort();
  if (names.length === 0)
    throw new Error(`There are no packages in "${from}" to make an archive of.`);
  const stanzas: string[] = [];
  for (const name of names) {
    // A colon of an epoch comes escaped, and an address would have it escaped once more.
    const plain = name.replaceAll("%3a", ".");
    const unpacked = join(from, "unpacked");
    await execa("dpkg-deb", ["--raw-extract", join(from, name), unpacked], { timeout: 120_000 });
    await execa("dpkg-deb", ["-Zzstd", "-z3", "--build", unpacked, join(to, plain)], {
      timeout: 120_000,
    });
    await rm(unpacked, { recursive: true });
    const { stdout: control } = await execa("dpkg-deb", ["--field", join(to, plain)], {
      timeout: 30_000,
    });
    stanzas.push(
      packageStanza(control, {
        name: plain,
        bytes: (await stat(join(to, plain))).size,
        sha256: await sha256Of(join(to, plain)),
      }),
    );
  }
  await rm(from, { recursive: true });
  const index = `${stanzas.join("\n\n")}\n`;
  await writeFile(join(to, "Packages"), index);
  await writeFile(join(to, "Release"), releaseText(index));
}

/** One package in the index: its control fields, and where and what its file is. */
export function packageStanza(
  control: string,
  file: { name: string; bytes: number; sha256: string },
): string {
  return [
    control.trimEnd(),
    `Filename: ./${file.name}`,
    `Size: ${file.bytes}`,
    `SHA256: ${file.sha256}`,
  ].join("\n");
}

export function releaseText(index: string): string {
  const digest = createHash("sha256").update(index).digest("hex");
  return [
    "Origin: Debian",
    "Label: Rehearsal",
    "Suite: trixie",
    "Codename: trixie",
    "Date: Thu, 01 Jan 2026 00:00:00 UTC",
    "Architectures: amd64",
    "SHA256:",
    ` ${digest} ${Buffer.byteLength(index)} Packages`,
    "",
  ].join("\n");
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
