/**
 * What the kit relies on of Cloudflare's API, as a table. It makes a tunnel, a record, two policies, a
 * token, an application and an alert of its own, named by `run`, and removes them at its end.
 */
import { z } from "zod";
import type { ContractCase, ContractWorld } from "../contract.ts";

export interface CloudflareTarget {
  /** With /client/v4, without a slash at the end. */
  baseUrl: string;
  accountId: string;
  zoneName: string;
  apiToken: string;
  run: string;
}

export function cloudflareWorld(target: CloudflareTarget): ContractWorld {
  return {
    baseUrl: target.baseUrl,
    headers: { authorization: `Bearer ${target.apiToken}` },
    variables: {
      account: target.accountId,
      zoneName: target.zoneName,
      run: target.run,
      host: `contract-${target.run}.${target.zoneName}`,
      mail: `contract-${target.run}@${target.zoneName}`,
    },
  };
}

const hex32 = z.string().regex(/^[0-9a-f]{32}$/);
const moment = z.iso.datetime({ offset: true });
const json = { "content-type": /^application\/json/ };

const envelope = <T extends z.ZodType>(result: T) =>
  z.looseObject({
    success: z.literal(true),
    errors: z.tuple([]),
    messages: z.array(z.unknown()),
    result,
  });
const listOf = <T extends z.ZodType>(result: T) =>
  z.looseObject({
    success: z.literal(true),
    result: z.array(result),
    result_info: z.looseObject({ page: z.number(), per_page: z.number(), count: z.number() }),
  });
const refusal = (code: number) =>
  z.looseObject({
    success: z.literal(false),
    errors: z
      .array(z.looseObject({ code: z.number(), message: z.string() }))
      .refine((errors) => errors.some((one) => one.code === code), `no error has code ${code}`),
  });

const tunnel = z.looseObject({
  id: z.uuid(),
  account_tag: hex32,
  name: z.string(),
  created_at: moment,
  deleted_at: moment.nullable(),
  connections: z.array(z.unknown()),
  status: z.enum(["inactive", "degraded", "healthy", "down"]),
});
const record = z.looseObject({
  id: hex32,
  type: z.literal("CNAME"),
  proxied: z.literal(true),
  ttl: z.literal(1),
  created_on: moment,
});
const serviceToken = z.looseObject({
  id: z.uuid(),
  name: z.string(),
  client_id: z.string().endsWith(".access"),
  duration: z.string(),
  expires_at: moment,
});
const policy = z.looseObject({
  id: z.uuid(),
  decision: z.enum(["allow", "deny", "bypass", "non_identity"]),
  include: z.array(z.looseObject({})),
  reusable: z.literal(true),
  session_duration: z.string(),
});
const application = z.looseObject({
  id: z.uuid(),
  aud: z.string().regex(/^[0-9a-f]{64}$/),
  domain: z.string(),
  type: z.literal("self_hosted"),
  policies: z.array(z.looseObject({ id: z.uuid(), precedence: z.number() })),
});
const alert = z.looseObject({
  id: hex32,
  alert_type: z.literal("expiring_service_token_alert"),
  enabled: z.boolean(),
  mechanisms: z.looseObject({ email: z.array(z.looseObject({ id: z.string() })) }),
});

const tunnels = "/accounts/{account}/cfd_tunnel";
const access = "/accounts/{account}/access";
const records = "/zones/{zone}/dns_records";
const alerts = "/accounts/{account}/alerting/v3/policies";

const name = "ouchi-photos contract {run}";
const secret = Buffer.alloc(32, "ouchi-photos").toString("base64");
const content = "{tunnel}.cfargotunnel.com";
const ingress = [
  {
    hostname: "{host}",
    service: "http://localhost:2283",
    originRequest: { access: { required: true, teamName: "team", audTag: ["{aud}"] } },
  },
  { service: "http_status:404" },
];
const tokenBody = {
  name,
  duration: "8760h",
  client_secret_version: 1,
  previous_client_secret_expires_at: "2030-01-01T00:00:00Z",
};
const applicationBody = {
  type: "self_hosted",
  domain: "{host}",
  name,
  session_duration: "730h",
  app_launcher_visible: false,
  http_only_cookie_attribute: true,
  service_auth_401_redirect: false,
  policies: [
    { id: "{phones}", precedence: 1 },
    { id: "{family}", precedence: 2 },
  ],
};
const alertBody = {
  name,
  alert_type: "expiring_service_token_alert",
  enabled: true,
  mechanisms: { email: [{ id: "{mail}" }] },
};

export const cloudflareContract: readonly ContractCase[] = [
  {
    name: "a request without a token is refused",
    request: { method: "GET", path: "/zones", headers: { authorization: "" } },
    expect: { status: 400, headers: json, shape: z.looseObject({ success: z.literal(false) }) },
  },
  {
    name: "a token that does not exist is not verified",
    request: {
      method: "GET",
      path: "/user/tokens/verify",
      headers: { authorization: `Bearer ${"0".repeat(40)}` },
    },
    expect: { status: 401, headers: json, shape: refusal(1000) },
  },
  {
    name: "a token that does not exist reads no zone",
    request: {
      method: "GET",
      path: "/zones?name={zoneName}",
      headers: { authorization: `Bearer ${"0".repeat(40)}` },
    },
    expect: { status: 403, headers: json, shape: refusal(9109) },
  },
  {
    name: "a zone is found by its name",
    request: { method: "GET", path: "/zones?name={zoneName}" },
    expect: {
      status: 200,
      headers: json,
      shape: listOf(z.looseObject({ id: hex32, name: z.string(), account: z.looseObject({}) })),
    },
    keep: { zone: "result.0.id" },
  },
  {
    name: "a zone is read by its id",
    request: { method: "GET", path: "/zones/{zone}" },
    needs: ["zone"],
    expect: { status: 200, shape: envelope(z.looseObject({ id: hex32, status: z.string() })) },
  },
  {
    name: "the organization has a team domain",
    request: { method: "GET", path: `${access}/organizations` },
    expect: {
      status: 200,
      shape: envelope(z.looseObject({ auth_domain: z.string().endsWith(".cloudflareaccess.com") })),
    },
  },
  {
    name: "identity providers are listed",
    request: { method: "GET", path: `${access}/identity_providers` },
    expect: {
      status: 200,
      shape: envelope(z.array(z.looseObject({ id: z.uuid(), type: z.string(), name: z.string() }))),
    },
  },
  {
    name: "a tunnel is made with the secret that it is given",
    request: {
      method: "POST",
      path: tunnels,
      body: { name, config_src: "cloudflare", tunnel_secret: secret },
    },
    expect: {
      status: 200,
      shape: envelope(tunnel.extend({ status: z.literal("inactive"), deleted_at: z.null() })),
    },
    keep: { tunnel: "result.id" },
  },
  {
    name: "a second tunnel of the same name is refused",
    request: { method: "POST", path: tunnels, body: { name, config_src: "cloudflare" } },
    needs: ["tunnel"],
    expect: { status: 409, shape: refusal(1013) },
  },
  {
    name: "a tunnel is found by its name",
    request: {
      method: "GET",
      path: `${tunnels}?name=ouchi-photos%20contract%20{run}&is_deleted=false`,
    },
    needs: ["tunnel"],
    expect: { status: 200, shape: listOf(tunnel) },
  },
  {
    name: "the connector's token is base64 of account, tunnel and secret",
    request: { method: "GET", path: `${tunnels}/{tunnel}/token` },
    needs: ["tunnel"],
    expect: {
      status: 200,
      shape: envelope(
        z.string().refine((text) => {
          const token = JSON.parse(Buffer.from(text, "base64").toString()) as { s?: string };
          return token.s === secret;
        }, "it does not hold the tunnel's secret"),
      ),
    },
  },
  {
    name: "a service token shows its secret when it is made",
    request: { method: "POST", path: `${access}/service_tokens`, body: tokenBody },
    expect: {
      status: 201,
      shape: envelope(serviceToken.extend({ client_secret: z.string().min(32) })),
    },
    keep: { token: "result.id" },
  },
  {
    name: "and never when it is read",
    request: { method: "GET", path: `${access}/service_tokens/{token}` },
    needs: ["token"],
    expect: {
      status: 200,
      shape: envelope(serviceToken.extend({ client_secret: z.undefined().optional() })),
    },
  },
  {
    name: "and anew when its version is raised",
    request: {
      method: "PUT",
      path: `${access}/service_tokens/{token}`,
      body: { ...tokenBody, client_secret_version: 2 },
    },
    needs: ["token"],
    expect: {
      status: 200,
      shape: envelope(serviceToken.extend({ client_secret: z.string().min(32) })),
    },
  },
  {
    name: "a policy of service tokens is made",
    request: {
      method: "POST",
      path: `${access}/policies`,
      body: {
        name: `${name} phones`,
        decision: "non_identity",
        include: [{ service_token: { token_id: "{token}" } }],
        session_duration: "24h",
      },
    },
    needs: ["token"],
    expect: { status: 201, shape: envelope(policy) },
    keep: { phones: "result.id" },
  },
  {
    name: "a policy of e-mail addresses is made",
    request: {
      method: "POST",
      path: `${access}/policies`,
      body: {
        name: `${name} family`,
        decision: "allow",
        include: [{ email: { email: "{mail}" } }],
        session_duration: "730h",
      },
    },
    expect: { status: 201, shape: envelope(policy) },
    keep: { family: "result.id" },
  },
  {
    name: "a policy that includes nobody is refused",
    request: {
      method: "POST",
      path: `${access}/policies`,
      body: { name: `${name} nobody`, decision: "allow", include: [] },
    },
    expect: { status: 400, shape: z.looseObject({ success: z.literal(false) }) },
  },
  {
    name: "an application carries its audience tag and its policies in order",
    request: { method: "POST", path: `${access}/apps`, body: applicationBody },
    needs: ["phones", "family"],
    expect: { status: 201, shape: envelope(application) },
    keep: { application: "result.id", aud: "result.aud" },
  },
  {
    name: "a second application for the host is refused",
    request: { method: "POST", path: `${access}/apps`, body: applicationBody },
    needs: ["application"],
    expect: { status: 409, shape: refusal(11010) },
  },
  {
    name: "a tunnel's configuration is taken whole",
    request: {
      method: "PUT",
      path: `${tunnels}/{tunnel}/configurations`,
      body: { config: { ingress } },
    },
    needs: ["tunnel", "aud"],
    expect: {
      status: 200,
      shape: envelope(
        z.looseObject({
          tunnel_id: z.uuid(),
          version: z.number(),
          config: z.looseObject({ ingress: z.array(z.looseObject({ service: z.string() })) }),
        }),
      ),
    },
  },
  {
    name: "a configuration without a last rule for all is refused",
    request: {
      method: "PUT",
      path: `${tunnels}/{tunnel}/configurations`,
      body: { config: { ingress: ingress.slice(0, 1) } },
    },
    needs: ["tunnel", "aud"],
    expect: { status: 400, shape: refusal(1056) },
  },
  {
    name: "a proxied record is made",
    request: {
      method: "POST",
      path: records,
      body: { type: "CNAME", name: "{host}", content, proxied: true, ttl: 1 },
    },
    needs: ["zone", "tunnel"],
    expect: { status: 200, shape: envelope(record) },
    keep: { record: "result.id" },
  },
  {
    name: "an identical record is refused",
    request: {
      method: "POST",
      path: records,
      body: { type: "CNAME", name: "{host}", content, proxied: true, ttl: 1 },
    },
    needs: ["record"],
    expect: { status: 400, shape: refusal(81058) },
  },
  {
    name: "another record for the host is refused",
    request: {
      method: "POST",
      path: records,
      body: { type: "CNAME", name: "{host}", content: "other.{zoneName}", proxied: true, ttl: 1 },
    },
    needs: ["record"],
    expect: { status: 400, shape: refusal(81053) },
  },
  {
    name: "an alert answers with its id",
    request: { method: "POST", path: alerts, body: alertBody },
    expect: { status: 200, shape: envelope(z.looseObject({ id: hex32 })) },
    keep: { alert: "result.id" },
  },
  {
    name: "an alert is read whole",
    request: { method: "GET", path: `${alerts}/{alert}` },
    needs: ["alert"],
    expect: { status: 200, shape: envelope(alert) },
  },
  {
    name: "a record that is gone is not found",
    request: { method: "GET", path: `${records}/${"0".repeat(32)}` },
    needs: ["zone"],
    expect: { status: 404, shape: refusal(81044) },
  },
  {
    name: "the record goes",
    request: { method: "DELETE", path: `${records}/{record}` },
    needs: ["record"],
    expect: { status: 200, shape: envelope(z.looseObject({ id: hex32 })) },
    cleansUp: true,
  },
  {
    name: "the application goes",
    request: { method: "DELETE", path: `${access}/apps/{application}` },
    needs: ["application"],
    expect: { status: 202, shape: envelope(z.looseObject({ id: z.uuid() })) },
    cleansUp: true,
  },
  {
    name: "the tunnel goes, and says when",
    request: { method: "DELETE", path: `${tunnels}/{tunnel}` },
    needs: ["tunnel"],
    expect: { status: 200, shape: envelope(tunnel.extend({ deleted_at: moment })) },
    cleansUp: true,
  },
  {
    name: "the policy of service tokens goes",
    request: { method: "DELETE", path: `${access}/policies/{phones}` },
    needs: ["phones"],
    expect: { status: 202, shape: envelope(z.looseObject({ id: z.uuid() })) },
    cleansUp: true,
  },
  {
    name: "the policy of e-mail addresses goes",
    request: { method: "DELETE", path: `${access}/policies/{family}` },
    needs: ["family"],
    expect: { status: 202, shape: envelope(z.looseObject({ id: z.uuid() })) },
    cleansUp: true,
  },
  {
    name: "the service token goes",
    request: { method: "DELETE", path: `${access}/service_tokens/{token}` },
    needs: ["token"],
    expect: { status: 200, shape: envelope(z.looseObject({ id: z.uuid() })) },
    cleansUp: true,
  },
  {
    name: "the alert goes",
    request: { method: "DELETE", path: `${alerts}/{alert}` },
    needs: ["alert"],
    expect: { status: 200, shape: z.looseObject({ success: z.literal(true) }) },
    cleansUp: true,
  },
];
