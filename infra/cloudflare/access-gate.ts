import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { known } from "../program.ts";
import type { Person, Phone } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import type { Account } from "./account.ts";
import type { Inventory } from "./inventory.ts";
import { childNames, components } from "./logical-names.ts";
import { names } from "./names.ts";
import { oneTimePin } from "./one-time-pin.ts";

export interface AccessGateArgs {
  accountId: string;
  /** The host behind the gate, such as photos.yamada.jp. */
  host: string;
  /** Everyone whose e-mail address opens the gate in a browser, and their phones. */
  family: Person[];
  /** How long a person's sign-in lasts, such as "730h". */
  sessionDuration: string;
  /** How long a phone's token lasts from when it is made, such as "8760h". */
  tokenDuration: string;
  /** Sign-in with Google, beside the one-time PIN. */
  google: GoogleClient | undefined;
  account: Account;
  inventory: Inventory;
}

/** An OAuth client of Google's. */
export interface GoogleClient {
  id: string;
  secret: pulumi.Input<string>;
}

/** The two headers that a phone sends with every request. */
export interface PhoneHeaders {
  "CF-Access-Client-Id": string;
  /** Null for a token that was adopted: only the phone knows it, until it is rotated. */
  "CF-Access-Client-Secret": string | null;
}

/**
 * How long Cloudflare's answer to a phone's headers opens the gate without them, where it gives a cookie. The phone
 * sends its headers with every request, and needs none. It is the shortest time that the dashboard offers but for
 * "expires immediately": the connector would then find the JWT of each request at its end.
 */
const phoneSession = "15m";

/** Precedence of the policies in the application: the phones' comes first, as Service Auth does at Cloudflare. */
const precedence = { phones: 1, family: 2 };

/** Cloudflare Access in front of the photos: people by e-mail code, phones by service token, nobody else. */
export class AccessGate extends pulumi.ComponentResource {
  /** The application's audience tag, which the connector asks of every request's JWT. */
  readonly audience: pulumi.Output<string>;
  /** By person, then by phone. Secret. */
  readonly headers: Record<string, Record<string, pulumi.Output<PhoneHeaders>>> = {};
  /** The application's id. */
  readonly application: pulumi.Output<string>;
  /** By "<person>-<phone>": when the token ends, ISO 8601 in UTC. */
  readonly expiry: Record<string, pulumi.Output<string>> = {};
  readonly #name: string;
  readonly #args: AccessGateArgs;

  constructor(name: string, args: AccessGateArgs, opts?: pulumi.ComponentResourceOptions) {
    super(components.gate.type, name, {}, opts);
    this.#name = name;
    this.#args = args;
    const { family } = args;

    const signIns = [oneTimePin(args.account), ...(args.google ? [this.#google(args.google)] : [])];
    const tokens = family.flatMap((person) =>
      person.phones.map((phone) => this.#token(person, phone)),
    );
    const people = this.#policy("family", {
      decision: "allow",
      sessionDuration: args.sessionDuration,
      includes: family.map(({ email }) => ({ email: { email } })),
    });
    const policies = [{ id: people.id, precedence: precedence.family }];
    // Cloudflare refuses a policy that includes nobody.
    if (tokens.length > 0) {
      const phones = this.#policy("phones", {
        decision: "non_identity",
        sessionDuration: phoneSession,
        includes: tokens.map(({ id }) => ({ serviceToken: { tokenId: id } })),
      });
      policies.unshift({ id: phones.id, precedence: precedence.phones });
    }
    const application = this.#application(signIns, policies);
    this.application = application.id;
    this.audience = application.aud;
    this.registerOutputs({ audience: this.audience });
  }

  #google({ id, secret }: GoogleClient): pulumi.Input<string> {
    const { accountId, host, inventory } = this.#args;
    const name = names.google(host);
    return new cloudflare.ZeroTrustAccessIdentityProvider(
      childNames.google(this.#name),
      { accountId, name, type: "google", config: { clientId: id, clientSecret: secret } },
      inventory.options(this, { kind: "identity provider", name }),
    ).id;
  }

  #token(person: Person, phone: Phone): cloudflare.ZeroTrustAccessServiceToken {
    const { accountId, host, tokenDuration, inventory } = this.#args;
    const key = `${person.name}-${phone.name}`;
    const item = {
      kind: "service token",
      name: names.serviceToken(person.name, phone.name, host),
    } as const;
    const token = new cloudflare.ZeroTrustAccessServiceToken(
      childNames.token(this.#name, key),
      { accountId, name: item.name, duration: tokenDuration, ...rotation(phone) },
      inventory.options(this, item, {
        additionalSecretOutputs: ["clientSecret"],
        // Without the two lines of a rotation, which somebody took out again, the token stays as they made it.
        ignoreChanges:
          phone.overlapUntil === undefined
            ? ["clientSecretVersion", "previousClientSecretExpiresAt"]
            : [],
        hooks: { afterUpdate: [(update) => refuseLostSecret(person, phone, update)] },
      }),
    );
    inventory.keepOnly(item, token);
    this.headers[person.name] ??= {};
    this.headers[person.name]![phone.name] = pulumi.secret(
      pulumi.all([token.clientId, token.clientSecret]).apply(([id, secret]) => ({
        "CF-Access-Client-Id": id,
        "CF-Access-Client-Secret": secret || null,
      })),
    );
    this.expiry[key] = token.expiresAt;
    return token;
  }

  #policy(
    role: "phones" | "family",
    args: Pick<cloudflare.ZeroTrustAccessPolicyArgs, "decision" | "includes" | "sessionDuration">,
  ): cloudflare.ZeroTrustAccessPolicy {
    const { accountId, host, inventory } = this.#args;
    const item = {
      kind: "policy",
      name: names.policy(role, host),
    } as const;
    const policy = new cloudflare.ZeroTrustAccessPolicy(
      childNames.policy(this.#name, role),
      { accountId, name: item.name, ...args },
      inventory.options(this, item),
    );
    inventory.keepOnly(item, policy);
    return policy;
  }

  #application(
    allowedIdps: pulumi.Input<string>[],
    policies: { id: pulumi.Input<string>; precedence: number }[],
  ): cloudflare.ZeroTrustAccessApplication {
    const { accountId, host, sessionDuration, inventory } = this.#args;
    const name = names.application(host);
    return new cloudflare.ZeroTrustAccessApplication(
      childNames.application(this.#name),
      {
        accountId,
        name,
        type: "self_hosted",
        domain: host,
        sessionDuration,
        allowedIdps,
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
        policies,
      },
      inventory.options(
        this,
        { kind: "application", name },
        // Another host gets a gate of its own; the old one stays until the old name has gone.
        { replaceOnChanges: ["domain"] },
      ),
    );
  }
}

/** The provider wants the version and the old secret's end together or not at all. */
function rotation({ secretVersion, overlapUntil }: Phone) {
  return overlapUntil === undefined
    ? {}
    : { clientSecretVersion: secretVersion, previousClientSecretExpiresAt: overlapUntil };
}

/**
 * Cloudflare shows a new secret once, in the reply to the rotation. Where that reply was lost, the provider tries
 * again, is told of no secret, and keeps the old one for the new.
 */
async function refuseLostSecret(
  person: Person,
  phone: Phone,
  { oldInputs, newInputs, oldOutputs, newOutputs }: pulumi.ResourceHookArgs,
): Promise<void> {
  if (oldInputs?.clientSecretVersion === newInputs?.clientSecretVersion) return;
  if ((await known(oldOutputs?.clientSecret)) !== (await known(newOutputs?.clientSecret))) return;
  throw new UserError(
    `The new secret of ${person.name}'s ${phone.name} was lost on the way from Cloudflare. Raise its secretVersion once more, to ${phone.secretVersion + 1}, and run this again; until then the phone gets in with its old secret, up to overlapUntil.`,
  );
}
