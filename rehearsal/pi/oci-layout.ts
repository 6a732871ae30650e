/**
 * Container images without a container engine: an OCI image layout, as skopeo reads it.
 * https://github.com/opencontainers/image-spec
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

export interface Layer {
  file: string;
  mediaType: string;
  /** Of the bytes as stored. */
  digest: string;
  /** Of the tar archive inside. */
  diffId: string;
  size: number;
}

/** The part of OCI's image configuration that a container runs by, and Docker's health check. */
export interface ContainerConfig {
  User?: string;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  WorkingDir?: string;
  StopSignal?: string;
  ExposedPorts?: Record<string, object>;
  Volumes?: Record<string, object>;
  Labels?: Record<string, string>;
  Healthcheck?: { Test: string[]; Interval?: number; Timeout?: number };
}

/**
 * A folder as a layer: the same files give the same bytes, whenever and by whomever. Owners are
 * kept when `keepOwners` says so and are root otherwise.
 */
export async function writeLayer(
  folder: string,
  file: string,
  options: { keepOwners?: boolean } = {},
): Promise<Layer> {
  const tar = `${file}.tar`;
  await execa(
    "tar",
    [
      ...["--create", "--file", tar, "--directory", folder],
      ...["--sort=name", "--mtime=@0", "--format=gnu", "--numeric-owner"],
      ...(options.keepOwners ? [] : ["--owner=0", "--group=0"]),
      ".",
    ],
    { timeout: 300_000 },
  );
  const diffId = await digestOf(tar);
  // Fast to unpack under emulation; nothing here travels farther than loopback.
  await execa("zstd", ["-q", "-f", "-12", "-T0", "--rm", "-o", file, tar], { timeout: 300_000 });
  return {
    file,
    mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
    digest: await digestOf(file),
    diffId,
    size: (await stat(file)).size,
  };
}

/** Adds an image under a name to the layout in a folder; gives the digest of its manifest. */
export async function addImage(
  layout: string,
  name: string,
  layers: Layer[],
  config: ContainerConfig,
): Promise<string> {
  const blobs = join(layout, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  for (const layer of layers) {
    const blob = join(blobs, hexOf(layer.digest));
    await rm(blob, { force: true });
    await link(layer.file, blob);
  }
  const configuration = imageConfiguration(layers, config);
  const manifest = imageManifest(layers, configuration);
  for (const text of [configuration, manifest]) {
    await writeFile(join(blobs, hexOf(digestOfText(text))), text);
  }
  const index = await readIndex(layout);
  index.manifests = index.manifests.filter(
    (entry) => entry.annotations["org.opencontainers.image.ref.name"] !== name,
  );
  index.manifests.push({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: digestOfText(manifest),
    size: Buffer.byteLength(manifest),
    annotations: { "org.opencontainers.image.ref.name": name },
  });
  await writeFile(join(layout, "index.json"), JSON.stringify(index));
  return digestOfText(manifest);
}

export function imageConfiguration(layers: Layer[], config: ContainerConfig): string {
  return JSON.stringify({
    created: "1970-01-01T00:00:00Z",
    architecture: "amd64",
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: "1970-01-01T00:00:00Z", created_by: "rehearsal" })),
  });
}

export function imageManifest(layers: Layer[], configuration: string): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOfText(configuration),
      size: Buffer.byteLength(configuration),
    },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
}

interface Index {
  schemaVersion: 2;
  manifests: {
    mediaType: string;
    digest: string;
    size: number;
    annotations: Record<string, string>;
  }[];
}

async function readIndex(layout: string): Promise<Index> {
  const text = await readFile(join(layout, "index.json"), "utf8").catch(() => undefined);
  return text ? (JSON.parse(text) as Index) : { schemaVersion: 2, manifests: [] };
}

function digestOfText(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
