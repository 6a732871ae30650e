import * as pulumi from "@pulumi/pulumi";
import { readAccount } from "../../../../../infra/cloudflare/account.ts";
import { refuseStrangersLoss } from "../../../../../infra/cloudflare/adoption.ts";
import { Edge } from "../../../../../infra/cloudflare/edge.ts";
import { program } from "../../../../../infra/program.ts";
import { parseSettings } from "../../../../../infra/settings/settings.ts";

// The kit's program, cut to the edge: all that is at Cloudflare, and no Pi.
export default program(async () => {
  const settings = parseSettings(pulumi.runtime.allConfig(), pulumi.getStack());
  const { accountId, domain } = settings;
  const host = `${settings.hostname}.${domain}`;
  const account = await readAccount({
    apiToken: pulumi.runtime.getConfig("cloudflare:apiToken")!,
    baseUrl: pulumi.runtime.getConfig("cloudflare:baseUrl")!,
    ...{ accountId, domain, host },
    adoptedRecord: settings.adopt.record,
  });
  await refuseStrangersLoss(account, settings, host);
  const edge = new Edge("edge", { account, host, settings });
  edge.publish([]);
  return {
    tokenExpiry: edge.gate.expiry,
    headers: pulumi.secret(edge.gate.headers),
    connectorToken: edge.tunnel.connectorToken,
  };
});
