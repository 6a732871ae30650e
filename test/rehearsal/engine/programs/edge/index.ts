import * as pulumi from "@pulumi/pulumi";
import { readAccount } from "../../../../../infra/cloudflare/account.ts";
import { admit } from "../../../../../infra/cloudflare/admission.ts";
import { Edge } from "../../../../../infra/cloudflare/edge.ts";
import { isConfigSecret } from "../../../../../infra/config-secrets.ts";
import { program } from "../../../../../infra/program.ts";
import { parseSettings } from "../../../../../infra/settings/settings.ts";

// The kit's program, cut to the edge: all that is at Cloudflare, and no Pi.
export default program(async () => {
  const settings = parseSettings(pulumi.runtime.allConfig(), pulumi.getStack(), isConfigSecret);
  const { accountId, domain } = settings;
  const host = `${settings.hostname}.${domain}`;
  const cloudflare = {
    accountId,
    apiToken: pulumi.runtime.getConfig("cloudflare:apiToken")!,
    baseUrl: pulumi.runtime.getConfig("cloudflare:baseUrl")!,
  };
  const account = await readAccount({
    ...cloudflare,
    ...{ domain, host },
    adoptedRecord: settings.adopt.record,
  });
  const admission = await admit("admission", { account, host, settings, cloudflare });
  const edge = new Edge("edge", { account, host, settings, cloudflare, admission });
  edge.publish([]);
  return {
    tokenExpiry: edge.gate.expiry,
    headers: pulumi.secret(edge.gate.headers),
    connectorToken: edge.tunnel.connectorToken,
  };
});
