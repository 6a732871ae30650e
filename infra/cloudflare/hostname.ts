import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { recordComment } from "./account.ts";
import type { Inventory } from "./inventory.ts";
import { childNames, components } from "./logical-names.ts";

export interface HostnameArgs {
  zoneId: string;
  /** The whole name, such as photos.yamada.jp. */
  host: string;
  /** What the record points to: `<tunnel id>.cfargotunnel.com`. */
  target: pulumi.Input<string>;
  inventory: Inventory;
}

/**
 * The proxied DNS record, which opens the house. It is made last and removed first: its `dependsOn`
 * must name the gate and the connector.
 */
export class Hostname extends pulumi.ComponentResource {
  constructor(name: string, args: HostnameArgs, opts: pulumi.ComponentResourceOptions) {
    super(components.hostname.type, name, {}, opts);
    const { zoneId, host, target, inventory } = args;
    new cloudflare.DnsRecord(
      childNames.record(name),
      {
        zoneId,
        name: host,
        type: "CNAME",
        content: target,
        proxied: true,
        // 1 is "automatic", the only value that a proxied record takes.
        ttl: 1,
        comment: recordComment,
      },
      inventory.options(
        this,
        { kind: "record", name: host },
        { dependsOn: opts.dependsOn ?? [], replaceOnChanges: ["name"] },
      ),
    );
    this.registerOutputs();
  }
}
