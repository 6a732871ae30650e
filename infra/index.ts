import * as pulumi from "@pulumi/pulumi";
import { Deployed, Preflight } from "../immich/resources.ts";
import { ProtectedSecrets } from "./backup/protected-secrets.ts";
import { readAccount } from "./cloudflare/account.ts";
import { admit } from "./cloudflare/admission.ts";
import { refuseStrangersLoss } from "./cloudflare/adoption.ts";
import { productionApi } from "./cloudflare/api.ts";
import { Edge } from "./cloudflare/edge.ts";
import { goingTokens } from "./cloudflare/going-tokens.ts";
import { logicalNames } from "./cloudflare/logical-names.ts";
import { expiryWarnings } from "./cloudflare/token-expiry.ts";
import { isConfigSecret } from "./config-secrets.ts";
import { adminBeforeTheKit } from "./immich/admin-before-the-kit.ts";
import { PhotoServer } from "./immich/photo-server.ts";
import { plainBundles, wantedImmich } from "./pi/bundles.ts";
import { piConnection } from "./pi/connection.ts";
import { contents } from "./pi/contents.ts";
import { diskIdentities } from "./pi/disk-identities.ts";
import { HomeServer } from "./pi/home-server.ts";
import { known, program } from "./program.ts";
import { parseSettings } from "./settings/settings.ts";
import { UserError } from "./settings/user-error.ts";

/** The house on one page. Its outputs are the stack's. */
async function house() {
  const settings = parseSettings(pulumi.runtime.allConfig(), pulumi.getStack(), isConfigSecret);
  const { domain, accountId, family } = settings;
  const host = `${settings.hostname}.${domain}`;
  const url = `https://${host}`;
  const connection = await piConnection(settings.pi);
  const bundles = plainBundles(settings);
  const disks = diskIdentities(settings.disks);
  const onThePi = { connection, contents: contents(settings, bundles) };

  // Nothing is registered before both ends were found fit.
  const api = cloudflareApi();
  const account = await readAccount({
    ...api,
    ...{ accountId, domain, host },
    adoptedRecord: settings.adopt.record,
  });
  await refuseStrangersLoss(account, settings, host);
  for (const warning of expiryWarnings(account.serviceTokens, host, family, new Date())) {
    pulumi.log.warn(warning);
  }
  for (const warning of goingTokens(account.serviceTokens, host, family, account)) {
    pulumi.log.warn(warning);
  }
  const admin = `admin@${domain}`;
  const existingAdmin = adminBeforeTheKit(settings);
  const preflight = new Preflight("preflight", {
    ...onThePi,
    disks,
    machineLearning: settings.machineLearning === "local",
    immich: {
      ...wantedImmich(settings),
      admin,
      ...(existingAdmin && { existingAdmin }),
    },
  });
  // What comes after it cannot begin before.
  await known(preflight.urn);

  const cloudflare = {
    ...{ accountId, baseUrl: api.baseUrl },
    // A token of the environment stays there: it comes into no state.
    apiToken: pulumi.runtime.getConfig("cloudflare:apiToken"),
  };
  const admission = await admit("admission", { account, host, settings, cloudflare });

  const secrets = new ProtectedSecrets("secrets", { borgPassphrase: settings.borgPassphrase });

  const edge = new Edge(logicalNames.edge, { account, host, settings, cloudflare, admission });
  const server = new HomeServer("pi", {
    connection,
    bundles,
    repairs: preflight.repairs,
    databasePassword: secrets.databasePassword,
    borgPassphrase: secrets.borgPassphrase,
    tunnelToken: edge.tunnel.connectorToken,
    alarm: settings.alarm === undefined ? undefined : pulumi.secret(settings.alarm),
    ping: settings.ping === undefined ? undefined : pulumi.secret(settings.ping),
  });
  const photos = new PhotoServer(
    "photos",
    {
      connection,
      admin: { email: admin, password: secrets.adminPassword },
      existingAdmin,
      family,
      url,
      machineLearning: settings.machineLearning,
    },
    { dependsOn: [server.immich] },
  );

  new Deployed("deployed", onThePi, { dependsOn: [server, photos] });

  // Last to come and first to go: nothing answers at the name before connector and storage template are there too.
  edge.publish([server, photos]);

  return {
    url,
    // For the address reservation in the router at home.
    pi: { macAddress: preflight.macAddress, addresses: preflight.addresses },
    // Each as a whole: of one that is known in part, a preview shows that part alone, as if the rest were to go.
    tokenExpiry: pulumi.output(edge.gate.expiry),
    people: pulumi.secret(
      Object.fromEntries(
        family.map(({ name, email }) => [
          name,
          {
            email,
            firstPassword: photos.firstPasswords[name]!,
            phones: edge.gate.headers[name] ?? {},
          },
        ]),
      ),
    ),
  };
}

/** The API that the Cloudflare provider uses too, by the same configuration. */
function cloudflareApi() {
  const apiToken =
    pulumi.runtime.getConfig("cloudflare:apiToken") ?? process.env.CLOUDFLARE_API_TOKEN;
  if (!apiToken) {
    throw new UserError(
      "cloudflare:apiToken is missing: make an API token as the README says and set it by: pulumi config set --secret cloudflare:apiToken. Nothing was changed.",
    );
  }
  return { apiToken, baseUrl: pulumi.runtime.getConfig("cloudflare:baseUrl") ?? productionApi };
}

export default program(house);
