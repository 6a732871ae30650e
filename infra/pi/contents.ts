import { createHash } from "node:crypto";
import type { Contents } from "../../immich/resources.ts";
import type { Settings } from "../settings/schema.ts";
import type { PlainBundles } from "./home-server.ts";

/**
 * All that an `up` would change on the Pi or in Immich, part by part. While no part changes, what is only at
 * Cloudflare can be changed with the Pi out of reach: a phone's token can be revoked from anywhere, and so can
 * a person, whose account stays.
 */
export function contents(settings: Settings, bundles: PlainBundles): Contents {
  const { pi, domain, hostname, family, machineLearning } = settings;
  const parts: Record<string, unknown> = {
    connection: pi,
    ...bundles,
    immich: [bundles.immich, domain, hostname, machineLearning],
    // Which one is a secret, and this is not.
    alarm: settings.alarm !== undefined,
    ping: settings.ping !== undefined,
  };
  for (const { name, displayName, email } of family) {
    parts[`person ${name}`] = { displayName, email };
  }
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, digest(part)]));
}

function digest(part: unknown): string {
  return createHash("sha256").update(JSON.stringify(part)).digest("hex").slice(0, 16);
}
