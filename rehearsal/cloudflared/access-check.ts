import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from "jose";
import type { AccessSettings } from "./ingress.ts";

/** Filtered: the connector answers it so. */
export interface Refusal {
  status: number;
  reason: string;
}

/** A token may be from a clock that is this far ahead, as in the library that cloudflared uses. */
const notBeforeLeewaySeconds = 300;

export interface AccessCheckOptions {
  /** Where `/cdn-cgi/access/certs` is served; the team's domain is sent as Host. */
  certsUrl: string;
  now: () => Date;
}

/**
 * Validates Access' JWT as cloudflared does: 403 without one or for another application; one that cannot
 * be verified, for whatever reason, is an error, which becomes 502. Nothing passes unverified.
 */
export class AccessCheck {
  readonly #options: AccessCheckOptions;
  /** By team. */
  readonly #keys = new Map<string, JSONWebKeySet>();

  constructor(options: AccessCheckOptions) {
    this.#options = options;
  }

  /** @throws when the token cannot be verified */
  async refusal(access: AccessSettings, jwt: string | undefined): Promise<Refusal | undefined> {
    if (!jwt) return { status: 403, reason: "no access token in request" };
    const team = access.teamName ?? "";
    const { payload } = await this.#verify(team, jwt);
    const claims = JSON.parse(Buffer.from(payload).toString()) as {
      iss?: string;
      aud?: string | string[];
      exp?: number;
      nbf?: number;
    };
    const now = this.#options.now().getTime() / 1000;
    const issuer = `https://${team}.cloudflareaccess.com`;
    if (claims.iss !== issuer) {
      throw new Error(`id token issued by a different provider, expected "${issuer}"`);
    }
    if (claims.exp === undefined || claims.exp < now) throw new Error("token is expired");
    if (claims.nbf !== undefined && now + notBeforeLeewaySeconds < claims.nbf) {
      throw new Error("current time is before the nbf (not before) time of the token");
    }
    const audiences = [claims.aud ?? []].flat();
    // No audience tag in the settings refuses every request.
    if (audiences.some((audience) => access.audTag?.includes(audience))) return undefined;
    return { status: 403, reason: `Invalid token in jwt: ${audiences.join(" ")}` };
  }

  async #verify(team: string, jwt: string) {
    const known = this.#keys.get(team);
    if (known) {
      try {
        return await compactVerify(jwt, createLocalJWKSet(known));
      } catch {
        // The keys may have been rotated since they were read.
      }
    }
    const keys = await readKeys(this.#options.certsUrl, team);
    this.#keys.set(team, keys);
    return compactVerify(jwt, createLocalJWKSet(keys));
  }
}

async function readKeys(base: string, team: string): Promise<JSONWebKeySet> {
  const url = new URL("/cdn-cgi/access/certs", base);
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const body = await new Promise<string>((resolve, reject) => {
    const request = send(url, {
      headers: { host: `${team}.cloudflareaccess.com` },
      servername: `${team}.cloudflareaccess.com`,
      timeout: 10_000,
    } as object);
    request.on("timeout", () => request.destroy(new Error("no answer in 10 s")));
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`fetching keys: status ${response.statusCode}`));
      });
    });
    request.end();
  });
  return JSON.parse(body) as JSONWebKeySet;
}
