import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import type { Person, Phone } from "../settings/schema.ts";
import { oneTimePinName } from "./account.ts";
import { tokenName } from "./token-expiry.ts";

export interface AccessGateArgs {
  accountId: string;
  /** The host behind the gate, such as photos.yamada.jp. */
  host: string;
  /** Everyone whose e-mail address opens the gate in a browser, and their phones. */
  family: Person[];
  /** How long a sign-in lasts, such as "730h". */
  sessionDuration: string;
  /** How long a phone's token lasts from when it is made, such as "8760h". */
  tokenDuration: string;
  /** A one-time PIN of the account to use; one is made where it is undefined. */
  oneTimePinId: string | undefined;
}

/** The two headers that a phone sends with every request. */
export interface PhoneHeaders {
  "CF-Access-Client-Id": string;
  "CF-Access-Client-Secret": string;
}

/** Precedence of the policies in the application: the phones' comes first, as Service Auth does at Cloudflare. */
const precedence = { phones: 1, family: 2 };

/** Cloudflare Access in front of the photos: people by e-mail code, phones by service token, nobody else. */
export class AccessGate extends pulumi.ComponentResource {
  /** The application's audience tag, which the connector asks of every request's JWT. */
  readonly audience: pulumi.Output<string>;
  /** By person, then by phone. Secret. */
  readonly headers: Record<string, Record<string, pulumi.Output<PhoneHeaders>>> = {};
  /** By "<person>-<phone>": when the token ends, ISO 8601 in UTC. */
  readonly expiry: Record<string, pulumi.Output<string>> = {};

  constructor(name: string, args: AccessGateArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:AccessGate", name, {}, opts);
    const { accountId, sessionDuration } = args;
    const child = { parent: this };

    const oneTimePin =
      args.oneTimePinId ??
      new cloudflare.ZeroTrustAccessIdentityProvider(
        `${name}-one-time-pin`,
        { accountId, name: oneTimePinName, type: "onetimepin", config: {} },
        child,
      ).id;

    const tokens = args.family.flatMap((person) =>
      person.phones.map((phone) => {
        const key = `${person.name}-${phone.name}`;
        const token = new cloudflare.ZeroTrustAccessServiceToken(
          `${name}-token-${key}`,
          {
            accountId,
            name: tokenName(person.name, phone.name),
            duration: args.tokenDuration,
            ...rotation(phone),
          },
          { ...child, additionalSecretOutputs: ["clientSecret"] },
        );
        this.headers[person.name] ??= {};
        this.headers[person.name]![phone.name] = pulumi.secret(
          pulumi.all([token.clientId, token.clientSecret]).apply(([id, secret]) => ({
            "CF-Access-Client-Id": id,
            "CF-Access-Client-Secret": secret,
          })),
        );
        this.expiry[key] = token.expiresAt;
        return token;
      }),
    );

    // Cloudflare refuses a policy that includes nobody.
    const phones = tokens.length
      ? new cloudflare.ZeroTrustAccessPolicy(
          `${name}-policy-phones`,
          {
            accountId,
            name: `ouchi-photos phones (${args.host})`,
            decision: "non_identity",
            includes: tokens.map((token) => ({ serviceToken: { tokenId: token.id } })),
            sessionDuration,
          },
          child,
        )
      : undefined;

    const family = new cloudflare.ZeroTrustAccessPolicy(
      `${name}-policy-family`,
      {
        accountId,
        name: `ouchi-photos family (${args.host})`,
        decision: "allow",
        includes: args.family.map(({ email }) => ({ email: { email } })),
        sessionDuration,
      },
      child,
    );

    const application = new cloudflare.ZeroTrustAccessApplication(
      `${name}-application`,
      {
        accountId,
        name: `ouchi-photos (${args.host})`,
        type: "self_hosted",
        domain: args.host,
        sessionDuration,
        allowedIdps: [oneTimePin],
        appLauncherVisible: false,
        httpOnlyCookieAttribute: true,
        // Cloudflare's own defaults, said: after a refresh or an import the provider would send null for each.
        autoRedirectToIdentity: false,
        enableBindingCookie: false,
        optionsPreflightBypass: false,
        pathCookieAttribute: false,
        skipInterstitial: false,
        // Off, until a real account has shown that a browser without a token still gets the sign-in page.
        serviceAuth401Redirect: false,
        policies: [
          ...(phones ? [{ id: phones.id, precedence: precedence.phones }] : []),
          { id: family.id, precedence: precedence.family },
        ],
      },
      child,
    );

    this.audience = application.aud;
    this.registerOutputs({ audience: this.audience });
  }
}

/** The provider wants the version and the old secret's end together or not at all. */
function rotation({ secretVersion, overlapUntil }: Phone) {
  return overlapUntil === undefined
    ? {}
    : { clientSecretVersion: secretVersion, previousClientSecretExpiresAt: overlapUntil };
}
