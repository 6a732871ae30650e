/**
 * What edge and connector say to each other. The connector dials, then the edge is the HTTP/2 client, as
 * between the real ones, with the real ones' header names. The real registration is Cap'n Proto over TLS;
 * here it is JSON lines over plain TCP.
 */
import type { Readable } from "node:stream";

/** On a request by the edge: what it is, unless a plain one. */
export const upgradeHeader = "cf-cloudflared-proxy-connection-upgrade";
export const upgrades = {
  control: "control-stream",
  configuration: "update-configuration",
  webSocket: "websocket",
} as const;

/** The origin's headers, serialized, so that HTTP/2's rules do not touch them. */
export const responseHeaders = "cf-cloudflared-response-headers";
/** Who answered: `{"src":"origin"}` or `{"src":"cloudflared"}`. */
export const responseMeta = "cf-cloudflared-response-meta";

/** By the connector, on the control stream. */
export interface Register {
  /** The tunnel's token as it was given: base64 of `{a, t, s}`. */
  token: string;
  connectorId: string;
  version: string;
  index: number;
}

/** By the edge, on the control stream. */
export type Registered =
  | { connectionId: string; location: string; remotelyManaged: boolean }
  | { error: string; permanent: boolean };

/** By the edge, as the body of a configuration update. */
export interface ConfigurationUpdate {
  version: number;
  config: unknown;
}

/** By the connector, in answer. */
export interface ConfigurationApplied {
  lastAppliedVersion: number;
  error?: string;
}

/** `name:value` pairs in base64 without padding, joined by `;`. */
export function serializeHeaders(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, value]) => `${encode(name)}:${encode(value)}`).join(";");
}

export function deserializeHeaders(text: string): [string, string][] {
  return text
    .split(";")
    .filter(Boolean)
    .map((pair) => {
      const [name, value, ...rest] = pair.split(":");
      if (name === undefined || value === undefined || rest.length > 0) {
        throw new Error("The connector's response headers cannot be read.");
      }
      return [decode(name), decode(value)];
    });
}

/** Raw headers, as Node gives them, in pairs. */
export function headerPairs(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    pairs.push([raw[index]!, raw[index + 1]!]);
  }
  return pairs;
}

/** Calls back with the first line of a stream; the stream's errors are its owner's. */
export function onFirstLine(stream: Readable, heard: (line: string) => void): void {
  let text = "";
  const onData = (chunk: Buffer) => {
    text += chunk.toString();
    const end = text.indexOf("\n");
    if (end < 0) return;
    stream.off("data", onData);
    // What comes later is read and dropped: an unread stream would never end.
    stream.resume();
    heard(text.slice(0, end));
  };
  stream.on("data", onData);
}

// Header values are bytes: latin1 keeps each as it is.
function encode(text: string): string {
  return Buffer.from(text, "latin1").toString("base64").replace(/=+$/, "");
}

function decode(text: string): string {
  return Buffer.from(text, "base64").toString("latin1");
}
