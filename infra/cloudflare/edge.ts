import * as pulumi from "@pulumi/pulumi";
import type { Person } from "../settings/schema.ts";
import { AccessGate } from "./access-gate.ts";
import type { Account } from "./account.ts";
import { Alerts } from "./alerts.ts";
import { Hostname } from "./hostname.ts";
import { Tunnel } from "./tunnel.ts";

export interface EdgeArgs {
  account: Account;
  accountId: string;
  /** The zone's name, such as yamada.jp. */
  domain: string;
  /** The whole name, such as photos.yamada.jp. */
  host: string;
  family: Person[];
  /** How long a sign-in lasts, such as "730h". */
  sessionDuration: string;
  /** How long a phone's token lasts from when it is made, such as "8760h". */
  tokenDuration: string;
  /** Who gets Cloudflare's alerts. */
  alertEmail: string;
}

/** All that is at Cloudflare. The host's name comes last, by `publish`: until then nothing leads here. */
export class Edge extends pulumi.ComponentResource {
  readonly gate: AccessGate;
  readonly tunnel: Tunnel;
  readonly alerts: Alerts;
  readonly #args: EdgeArgs;

  constructor(name: string, args: EdgeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:Edge", name, {}, opts);
    this.#args = args;
    const { account, accountId, host, family, sessionDuration, tokenDuration } = args;
    const child = { parent: this };
    this.gate = new AccessGate(
      "gate",
      {
        accountId,
        host,
        family,
        sessionDuration,
        tokenDuration,
        oneTimePinId: account.oneTimePinId,
      },
      child,
    );
    this.tunnel = new Tunnel(
      "tunnel",
      { accountId, host, teamName: account.teamName, audience: this.gate.audience },
      child,
    );
    this.alerts = new Alerts("alerts", { accountId, email: args.alertEmail }, child);
    this.registerOutputs();
  }

  /** Opens the house: made after gate, tunnel and all of `dependsOn`, and removed before any of them. */
  publish(dependsOn: pulumi.Resource[]): Hostname {
    const { domain, host } = this.#args;
    return new Hostname(
      "hostname",
      { domain, host, target: this.tunnel.target },
      { parent: this, dependsOn: [this.gate, this.tunnel, this.alerts, ...dependsOn] },
    );
  }
}
