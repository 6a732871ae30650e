/** Other images made from one that a registry has: the same layers under another configuration, so another digest. */
import { createHash, randomBytes } from "node:crypto";

interface Blob {
  digest: string;
  size: number;
  mediaType: string;
}

interface Manifest {
  config: Blob;
  layers: Blob[];
}

interface Configuration {
  config: { Env?: string[] };
  rootfs: { diff_ids: string[] };
  history: object[];
}

export interface Variant {
  /** Such as `immich-app/immich-server`. */
  repository: string;
  /** The digest of the image that it is made from. */
  from: string;
  tag: string;
  /** Put in the place of what the image has under the same names. */
  environment: Record<string, string>;
  /** A layer of its own of so many bytes, so that there is something to pull. @default none */
  ownBytes?: number;
}

const manifestType = "application/vnd.oci.image.manifest.v1+json";
const sha256 = (data: Buffer | string) =>
  `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** Publishes a variant in the registry on a loopback port; answers its digest. */
export async function publishVariant(port: number, variant: Variant): Promise<string> {
  const base = `http://127.0.0.1:${port}/v2/${variant.repository}`;
  const ask = async (url: string, init?: RequestInit) => {
    const answer = await fetch(url, init);
    if (!answer.ok) throw new Error(`The registry answered ${answer.status} to ${url}`);
    return answer;
  };
  const put = async (data: Buffer | string) => {
    const started = await ask(`${base}/blobs/uploads/`, { method: "POST" });
    const place = new URL(started.headers.get("location")!, base);
    place.searchParams.set("digest", sha256(data));
    await ask(place.href, {
      method: "PUT",
      body: typeof data === "string" ? data : new Uint8Array(data),
    });
  };
  const manifest = (await (
    await ask(`${base}/manifests/${variant.from}`, { headers: { accept: manifestType } })
  ).json()) as Manifest;
  const configuration = (await (
    await ask(`${base}/blobs/${manifest.config.digest}`)
  ).json()) as Configuration;
  const kept = (configuration.config.Env ?? []).filter(
    (each) => !(each.split("=")[0]! in variant.environment),
  );
  const added = Object.entries(variant.environment).map(([name, value]) => `${name}=${value}`);
  configuration.config.Env = [...kept, ...added];
  if (variant.ownBytes) {
    const layer = tarOf("rehearsal-own-layer", randomBytes(variant.ownBytes));
    await put(layer);
    manifest.layers.push({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: sha256(layer),
      size: layer.length,
    });
    configuration.rootfs.diff_ids.push(sha256(layer));
    configuration.history.push({ created: "1970-01-01T00:00:00Z", created_by: "rehearsal" });
  }
  const text = JSON.stringify(configuration);
  await put(text);
  manifest.config = { ...manifest.config, digest: sha256(text), size: Buffer.byteLength(text) };
  const described = JSON.stringify(manifest);
  await ask(`${base}/manifests/${variant.tag}`, {
    method: "PUT",
    headers: { "content-type": manifestType },
    body: described,
  });
  return sha256(described);
}

/** One file as a tar archive. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}
