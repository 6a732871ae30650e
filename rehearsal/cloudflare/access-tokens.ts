import { randomBytes } from "node:crypto";
import {
  calculateJwkThumbprint,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JSONWebKeySet,
  type JWK,
  jwtVerify,
  SignJWT,
} from "jose";
import type { CloudflareState } from "./state.ts";

/** What a token of Access says. */
export interface AccessClaims {
  /** `app` opens one application, `org` proves who one is at the team's domain, `meta` is a sign-in under way. */
  type: "app" | "org" | "meta";
  aud?: string | string[];
  iss?: string;
  sub?: string;
  exp?: number;
  iat?: number;
  nbf?: number;
  email?: string;
  /** A service token's client id. */
  common_name?: string;
  identity_nonce?: string;
  country?: string;
  [claim: string]: unknown;
}

/** Signs and reads Access' JWTs by the pretend clock. */
export class AccessTokens {
  readonly #state: CloudflareState;

  constructor(state: CloudflareState) {
    this.#state = state;
  }

  /** Makes the keys that are not there yet. */
  async prepare(): Promise<void> {
    const { signingKeys } = this.#state.data;
    // The second is the one to come, as Cloudflare publishes it.
    while (signingKeys.length < 2) signingKeys.push(await newKey());
    this.#state.save();
  }

  /** A new key signs from now on; the one before is still published. */
  async rotateKeys(): Promise<void> {
    this.#state.data.signingKeys.unshift(await newKey());
    this.#state.data.signingKeys.length = 2;
    this.#state.save();
  }

  /** `/cdn-cgi/access/certs` */
  keys(): JSONWebKeySet {
    return {
      keys: this.#state.data.signingKeys.map(({ kty, n, e, kid }) => ({
        kid,
        kty: kty!,
        alg: "RS256",
        use: "sig",
        n,
        e,
      })),
    };
  }

  async sign(
    claims: Omit<AccessClaims, "exp" | "iat" | "nbf" | "iss">,
    lifetimeMs: number,
  ): Promise<string> {
    const key = this.#state.data.signingKeys[0]!;
    const now = Math.floor(this.#state.clock.now().getTime() / 1000);
    return new SignJWT({ identity_nonce: randomBytes(12).toString("base64url"), ...claims })
      .setProtectedHeader({ alg: "RS256", kid: key.kid!, typ: "JWT" })
      .setIssuer(`https://${this.#state.teamDomain}`)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + Math.floor(lifetimeMs / 1000))
      .sign(await importJWK(key, "RS256"));
  }

  /** The claims of a token that holds now; undefined for any other. */
  async read(jwt: string, type: AccessClaims["type"]): Promise<AccessClaims | undefined> {
    try {
      const { kid } = decodeProtectedHeader(jwt);
      const key = this.#state.data.signingKeys.find((one) => one.kid === kid);
      if (!key) return undefined;
      const { payload } = await jwtVerify(jwt, await importJWK(publicPart(key), "RS256"), {
        issuer: `https://${this.#state.teamDomain}`,
        algorithms: ["RS256"],
        currentDate: this.#state.clock.now(),
      });
      return payload.type === type ? (payload as unknown as AccessClaims) : undefined;
    } catch {
      return undefined;
    }
  }
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const key = await exportJWK(privateKey);
  return { ...key, kid: await calculateJwkThumbprint(key) };
}

function publicPart({ kty, n, e, kid }: JWK): JWK {
  return { kty, n, e, kid, alg: "RS256" };
}
