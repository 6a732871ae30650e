import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";

export interface AlertsArgs {
  accountId: string;
  /** Who is told. */
  email: string;
}

/** Mails from Cloudflare itself: they arrive when the Pi is dead too. */
export class Alerts extends pulumi.ComponentResource {
  constructor(name: string, args: AlertsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:Alerts", name, {}, opts);
    const policy = (role: string, alertType: string, description: string) =>
      new cloudflare.NotificationPolicy(
        `${name}-${role}`,
        {
          accountId: args.accountId,
          name: `ouchi-photos ${role}`,
          description,
          alertType,
          enabled: true,
          // Said, since the API answers an empty object where it was left out, which a refresh would take for a change.
          filters: {},
          mechanisms: { emails: [{ id: args.email }] },
        },
        { parent: this },
      );
    policy("token-expiry", "expiring_service_token_alert", "A phone's token ends within a week.");
    policy("tunnel-health", "tunnel_health_event", "The tunnel to the Pi went down or came back.");
    this.registerOutputs();
  }
}
