import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

// The kit's edge as the real provider was watched with it, with settings to change.
const config = new pulumi.Config();
const accountId = config.require("accountId");
const host = "photos.example.com";

const zone = cloudflare.getZoneOutput({ filter: { name: "example.com" } });
const secret = new random.RandomBytes("secret", { length: 32 });
const tunnel = new cloudflare.ZeroTrustTunnelCloudflared("tunnel", {
  accountId,
  name: "photos",
  configSrc: "cloudflare",
  tunnelSecret: secret.base64,
});
const token = new cloudflare.ZeroTrustAccessServiceToken("token", {
  accountId,
  name: "phone",
  ...(config.get("overlapUntil") && {
    clientSecretVersion: config.requireNumber("version"),
    previousClientSecretExpiresAt: config.require("overlapUntil"),
  }),
});
const pin = new cloudflare.ZeroTrustAccessIdentityProvider("pin", {
  accountId,
  name: "pin",
  type: "onetimepin",
  config: {},
});
const family = new cloudflare.ZeroTrustAccessPolicy("family", {
  accountId,
  name: "family",
  decision: "allow",
  includes: config.requireObject<string[]>("emails").map((email) => ({ email: { email } })),
  sessionDuration: "730h",
});
const phones = new cloudflare.ZeroTrustAccessPolicy("phones", {
  accountId,
  name: "phones",
  decision: "non_identity",
  includes: [{ serviceToken: { tokenId: token.id } }],
});
const application = new cloudflare.ZeroTrustAccessApplication("application", {
  accountId,
  name: "photos",
  type: "self_hosted",
  domain: host,
  sessionDuration: "730h",
  allowedIdps: [pin.id],
  appLauncherVisible: false,
  serviceAuth401Redirect: false,
  policies: [
    { id: phones.id, precedence: 1 },
    { id: family.id, precedence: 2 },
  ],
});
const ingress = new cloudflare.ZeroTrustTunnelCloudflaredConfig("ingress", {
  accountId,
  tunnelId: tunnel.id,
  config: {
    ingresses: [
      {
        hostname: host,
        service: "http://localhost:2283",
        originRequest: {
          access: { required: true, teamName: "family", audTags: [application.aud] },
        },
      },
      { service: "http_status:404" },
    ],
  },
});
new cloudflare.DnsRecord(
  "record",
  {
    zoneId: zone.zoneId,
    name: host,
    type: "CNAME",
    content: pulumi.interpolate`${tunnel.id}.cfargotunnel.com`,
    proxied: true,
    ttl: 1,
  },
  { dependsOn: [application, ingress] },
);
for (const alertType of ["expiring_service_token_alert", "tunnel_health_event"]) {
  new cloudflare.NotificationPolicy(alertType, {
    accountId,
    name: alertType,
    alertType,
    enabled: true,
    mechanisms: { emails: [{ id: "ken@example.com" }] },
  });
}

export const connectorToken = cloudflare.getZeroTrustTunnelCloudflaredTokenOutput({
  accountId,
  tunnelId: tunnel.id,
}).token;
export const clientSecret = token.clientSecret;
