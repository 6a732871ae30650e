import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { failure } from "../program.ts";
import { UserError } from "../settings/user-error.ts";
import { ingressRules } from "./ingress-rules.ts";
import type { Inventory } from "./inventory.ts";
import { childNames, components } from "./logical-names.ts";
import { names } from "./names.ts";

export interface TunnelArgs {
  accountId: string;
  /** The host that the tunnel serves, such as photos.yamada.jp. */
  host: string;
  /** Zero Trust team whose JWTs the connector accepts. */
  teamName: string;
  /** Audience tag of the Access application in front. */
  audience: pulumi.Input<string>;
  inventory: Inventory;
}

/** The named tunnel from Cloudflare to the Pi, with its ingress kept at Cloudflare. */
export class Tunnel extends pulumi.ComponentResource {
  /** The name that the host's DNS record points to. */
  readonly target: pulumi.Output<string>;
  /** With it anyone runs the tunnel. Secret. */
  readonly connectorToken: pulumi.Output<string>;

  constructor(name: string, args: TunnelArgs, opts?: pulumi.ComponentResourceOptions) {
    super(components.tunnel.type, name, {}, opts);
    const { accountId, host, inventory } = args;
    const child = { parent: this };

    const secret = new random.RandomBytes(childNames.tunnelSecret(name), { length: 32 }, child);
    const item = { kind: "tunnel", name: names.tunnel(host) } as const;
    const tunnel = new cloudflare.ZeroTrustTunnelCloudflared(
      childNames.tunnel(name),
      {
        accountId,
        name: item.name,
        // The provider's default, local, would be a replacement later.
        configSrc: "cloudflare",
        tunnelSecret: secret.base64,
      },
      // An adopted tunnel keeps the secret that it has: a new one would lock its connector out.
      inventory.options(this, item, { ignoreChanges: ["tunnelSecret"] }),
    );
    const ingress = new cloudflare.ZeroTrustTunnelCloudflaredConfig(
      childNames.ingress(name),
      {
        accountId,
        tunnelId: tunnel.id,
        config: { ingresses: ingressRules(host, args.teamName, args.audience) },
      },
      inventory.options(this, { kind: "ingress", name: item.name }),
    );
    if (!inventory.holds(item)) {
      // Beside the warning that the provider has for whoever creates one. Once it is there: a message that waits for a
      // resource keeps all that come after it waiting, the explanation of a refused step too.
      ingress.urn.apply(() => pulumi.log.info(ingressGoes, ingress));
    }

    this.target = pulumi.interpolate`${tunnel.id}.cfargotunnel.com`;
    // The provider does not mark the token secret. It waits for the ingress: no connector before its rules.
    this.connectorToken = pulumi.secret(
      pulumi
        .all([tunnel.id, ingress.id])
        .apply(([tunnelId]) => readConnectorToken(accountId, tunnelId, child)),
    );
    this.registerOutputs({ target: this.target });
  }
}

const ingressGoes =
  'Do not mind the provider\'s warning that "this resource cannot be destroyed from Terraform": the rules are a part of the tunnel, and go with it when it is destroyed.';

async function readConnectorToken(
  accountId: string,
  tunnelId: string,
  options: pulumi.InvokeOptions,
): Promise<string> {
  const reading = cloudflare.getZeroTrustTunnelCloudflaredToken({ accountId, tunnelId }, options);
  const { token } = await reading.catch((error: Error) => {
    throw failure(new UserError(`The tunnel's token could not be read: ${error.message}`));
  });
  if (token) return token;
  throw failure(
    new UserError("Cloudflare answered, but did not tell the tunnel's token. Run this again."),
  );
}
