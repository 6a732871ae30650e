import * as pulumi from "@pulumi/pulumi";
import {
  type Admission,
  type CloudflareArgs,
  Revocation,
  StrictServiceTokens,
} from "../../immich/resources.ts";
import type { Settings } from "../settings/schema.ts";
import { AccessGate } from "./access-gate.ts";
import type { Account } from "./account.ts";
import { Alerts } from "./alerts.ts";
import { Hostname } from "./hostname.ts";
import { Inventory } from "./inventory.ts";
import { durationOfTokens } from "./token-duration.ts";
import { Tunnel } from "./tunnel.ts";

export interface EdgeArgs {
  account: Account;
  /** The whole name, such as photos.yamada.jp. */
  host: string;
  settings: Settings;
  cloudflare: CloudflareArgs;
  /** Whom the gate lets in, registered before. */
  admission: Admission;
}

/** All that is at Cloudflare. The host's name comes last, by `publish`: until then nothing leads here. */
export class Edge extends pulumi.ComponentResource {
  readonly gate: AccessGate;
  readonly tunnel: Tunnel;
  readonly alerts: Alerts;
  readonly #revocation: Revocation;
  readonly #args: EdgeArgs;
  readonly #inventory: Inventory;

  constructor(name: string, args: EdgeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:Edge", name, {}, opts);
    this.#args = args;
    this.#inventory = new Inventory(args.account);
    const { account, host, settings, cloudflare } = args;
    const { accountId, family, googleClientId, googleClientSecret } = settings;
    const common = { accountId, host, inventory: this.#inventory };
    const child = { parent: this };
    this.gate = new AccessGate(
      "gate",
      {
        ...common,
        family,
        sessionDuration: settings.sessionDuration,
        tokenDuration: durationOfTokens(settings.tokenDuration, settings.tokensRenewedOn),
        identityProviders: account.identityProviders,
        google:
          googleClientId && googleClientSecret
            ? { id: googleClientId, secret: pulumi.secret(googleClientSecret) }
            : undefined,
      },
      child,
    );
    const strict = settings.strictServiceTokens
      ? [
          new StrictServiceTokens(
            "strict-service-tokens",
            { cloudflare, found: account.strictServiceTokens },
            child,
          ),
        ]
      : [];
    // Policies and tokens first: whose session ends before could begin another.
    this.#revocation = new Revocation(
      "revocation",
      {
        ...{ cloudflare, host, application: this.gate.application },
        adopted: settings.adopt.application !== undefined,
        revocations: args.admission.revocations,
      },
      { ...child, dependsOn: [this.gate, ...strict] },
    );
    this.tunnel = new Tunnel(
      "tunnel",
      {
        ...common,
        teamName: account.teamName,
        audience: this.gate.audience,
      },
      child,
    );
    this.alerts = new Alerts(
      "alerts",
      { ...common, email: settings.alertEmail ?? family[0]!.email },
      child,
    );
    this.registerOutputs();
  }

  /** Opens the house: made after gate, tunnel and all of `dependsOn`, and removed before any of them. */
  publish(dependsOn: pulumi.Resource[]): Hostname {
    const { account, host } = this.#args;
    return new Hostname(
      "hostname",
      {
        zoneId: account.zoneId,
        host,
        target: this.tunnel.target,
        inventory: this.#inventory,
      },
      {
        parent: this,
        dependsOn: [this.gate, this.#revocation, this.tunnel, this.alerts, ...dependsOn],
      },
    );
  }
}
