import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { recordComment } from "./account.ts";

export interface HostnameArgs {
  /** The zone's name, such as yamada.jp. */
  domain: string;
  /** The whole name, such as photos.yamada.jp. */
  host: string;
  /** What the record points to: `<tunnel id>.cfargotunnel.com`. */
  target: pulumi.Input<string>;
}

/**
 * The proxied DNS record, which opens the house. It is made last and removed first: its `dependsOn`
 * must name the gate and the connector.
 */
export class Hostname extends pulumi.ComponentResource {
  readonly url: pulumi.Output<string>;

  constructor(name: string, args: HostnameArgs, opts: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:Hostname", name, {}, opts);
    const zone = cloudflare.getZoneOutput({ filter: { name: args.domain } }, { parent: this });
    const record = new cloudflare.DnsRecord(
      `${name}-record`,
      {
        zoneId: zone.zoneId,
        name: args.host,
        type: "CNAME",
        content: args.target,
        proxied: true,
        // 1 is "automatic", the only value that a proxied record takes.
        ttl: 1,
        comment: recordComment,
      },
      { parent: this, dependsOn: opts.dependsOn },
    );
    this.url = pulumi.interpolate`https://${record.name}`;
    this.registerOutputs({ url: this.url });
  }
}
