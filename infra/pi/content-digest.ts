import { createHash } from "node:crypto";
import type { Settings } from "../settings/schema.ts";
import type { PlainBundles } from "./home-server.ts";

/**
 * Stands for all that an `up` would change on the Pi or in Immich. While it stays the same, what is only at
 * Cloudflare can be changed with the Pi out of reach: a phone's token can be revoked from anywhere.
 */
export function contentDigest(settings: Settings, bundles: PlainBundles): string {
  const { pi, domain, hostname, family } = settings;
  const people = family.map(({ name, displayName, email }) => ({ name, displayName, email }));
  const content = JSON.stringify({ bundles, pi, domain, hostname, people });
  return createHash("sha256").update(content).digest("hex");
}
