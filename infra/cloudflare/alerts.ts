import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import type { Inventory } from "./inventory.ts";
import { type AlertRole, childNames, components } from "./logical-names.ts";
import { names } from "./names.ts";

export interface AlertsArgs {
  accountId: string;
  host: string;
  /** Who is told. */
  email: string;
  inventory: Inventory;
}

/** Mails from Cloudflare itself: they arrive when the Pi is dead too. */
export class Alerts extends pulumi.ComponentResource {
  constructor(name: string, args: AlertsArgs, opts?: pulumi.ComponentResourceOptions) {
    super(components.alerts.type, name, {}, opts);
    const { accountId, host, email, inventory } = args;
    const policy = (role: AlertRole, alertType: string, description: string) => {
      const item = { kind: "alert", name: names.alert(role, host) } as const;
      const alert = new cloudflare.NotificationPolicy(
        childNames.alert(name, role),
        {
          accountId,
          name: item.name,
          description,
          alertType,
          enabled: true,
          // Said, since the API answers an empty object where it was left out, which a refresh would take for a change.
          filters: {},
          mechanisms: { emails: [{ id: email }] },
        },
        inventory.options(this, item),
      );
      inventory.keepOnly(item, alert);
    };
    policy("token-expiry", "expiring_service_token_alert", "A phone's token ends within a week.");
    policy("tunnel-health", "tunnel_health_event", "The tunnel to the Pi went down or came back.");
    this.registerOutputs();
  }
}
