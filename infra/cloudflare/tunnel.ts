import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { ingressRules } from "./ingress-rules.ts";

export interface TunnelArgs {
  accountId: string;
  /** The host that the tunnel serves, such as photos.yamada.jp. */
  host: string;
  /** Zero Trust team whose JWTs the connector accepts. */
  teamName: string;
  /** Audience tag of the Access application in front. */
  audience: pulumi.Input<string>;
}

/** The named tunnel from Cloudflare to the Pi, with its ingress kept at Cloudflare. */
export class Tunnel extends pulumi.ComponentResource {
  /** The name that the host's DNS record points to. */
  readonly target: pulumi.Output<string>;
  /** With it anyone runs the tunnel. Secret. */
  readonly connectorToken: pulumi.Output<string>;

  constructor(name: string, args: TunnelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:cloudflare:Tunnel", name, {}, opts);
    const { accountId } = args;
    const child = { parent: this };

    const secret = new random.RandomBytes(`${name}-secret`, { length: 32 }, child);
    const tunnel = new cloudflare.ZeroTrustTunnelCloudflared(
      `${name}-tunnel`,
      {
        accountId,
        name: `ouchi-photos (${args.host})`,
        // The provider's default, local, would be a replacement later.
        configSrc: "cloudflare",
        tunnelSecret: secret.base64,
      },
      child,
    );
    const ingress = new cloudflare.ZeroTrustTunnelCloudflaredConfig(
      `${name}-ingress`,
      {
        accountId,
        tunnelId: tunnel.id,
        config: { ingresses: ingressRules(args.host, args.teamName, args.audience) },
      },
      child,
    );

    this.target = pulumi.interpolate`${tunnel.id}.cfargotunnel.com`;
    // The provider does not mark the token secret. It waits for the ingress: no connector before its rules.
    this.connectorToken = pulumi.secret(
      pulumi
        .all([tunnel.id, ingress.id])
        .apply(([tunnelId]) =>
          cloudflare.getZeroTrustTunnelCloudflaredToken({ accountId, tunnelId }, child),
        )
        .apply(({ token }) => token),
    );
    this.registerOutputs({ target: this.target });
  }
}
