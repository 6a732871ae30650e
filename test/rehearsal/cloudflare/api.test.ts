import Cloudflare, { APIError } from "cloudflare";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Clock } from "../../../rehearsal/clock.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";

const account_id = "0123456789abcdef0123456789abcdef";
const apiToken = "A".repeat(40);

let world: PretendCloudflare;
let client: Cloudflare;
let zone_id: string;

beforeAll(async () => {
  world = await startCloudflare({
    clock: new Clock(),
    accountId: account_id,
    zoneName: "example.com",
    teamName: "family",
    apiTokens: [{ value: apiToken }],
  });
  client = clientWith(apiToken);
  for await (const zone of client.zones.list({ name: "example.com" })) zone_id = zone.id;
});

afterAll(() => world.close());

function clientWith(token: string): Cloudflare {
  return new Cloudflare({ apiToken: token, baseURL: world.apiUrl, maxRetries: 0 });
}

/** The refusal's status and Cloudflare's codes. */
async function refusal(call: PromiseLike<unknown>): Promise<{ status: number; codes: number[] }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return {
      status: error.status as number,
      codes: error.errors.map(({ code }) => code as number),
    };
  }
  throw new Error("The call was not refused.");
}

async function raw(method: string, path: string, body?: unknown, token = apiToken) {
  const response = await fetch(world.apiUrl + path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as {
      success: boolean;
      errors: { code: number; message: string }[];
      // biome-ignore lint/suspicious/noExplicitAny: replies of every shape
      result: any;
      result_info?: Record<string, number>;
    },
  };
}

describe("the official client against the pretend API", () => {
  test("verifies the token and reads the zone and the organization", async () => {
    expect(await client.user.tokens.verify()).toMatchObject({ status: "active" });
    expect(zone_id).toMatch(/^[0-9a-f]{32}$/);
    expect(await client.zones.get({ zone_id })).toMatchObject({
      name: "example.com",
      status: "active",
      account: { id: account_id },
    });
    expect(await client.zeroTrust.organizations.list({ account_id })).toMatchObject({
      auth_domain: "family.cloudflareaccess.com",
      strict_service_token_auth: true,
    });
  });

  test("makes, configures, finds and deletes a tunnel, and hands out its token", async () => {
    const secret = Buffer.alloc(32, 7).toString("base64");
    const tunnel = await client.zeroTrust.tunnels.cloudflared.create({
      account_id,
      name: "photos",
      config_src: "cloudflare",
      tunnel_secret: secret,
    });
    expect(tunnel).toMatchObject({ status: "inactive", connections: [], deleted_at: null });
    expect(
      await refusal(client.zeroTrust.tunnels.cloudflared.create({ account_id, name: "photos" })),
    ).toEqual({ status: 409, codes: [1013] });
    const token = await client.zeroTrust.tunnels.cloudflared.token.get(tunnel.id!, { account_id });
    expect(JSON.parse(Buffer.from(token, "base64").toString())).toEqual({
      a: account_id,
      t: tunnel.id,
      s: secret,
    });
    const ingress = [
      {
        hostname: "photos.example.com",
        service: "http://localhost:2283",
        originRequest: { access: { required: true, teamName: "family", audTag: ["a"] } },
      },
      { service: "http_status:404" },
    ];
    const configurations = client.zeroTrust.tunnels.cloudflared.configurations;
    expect(
      await configurations.update(tunnel.id!, { account_id, config: { ingress } as never }),
    ).toMatchObject({ version: 1, source: "cloudflare", config: { ingress } });
    expect(
      await refusal(
        configurations.update(tunnel.id!, {
          account_id,
          config: { ingress: ingress.slice(0, 1) } as never,
        }),
      ),
    ).toEqual({ status: 400, codes: [1056] });
    const deleted = await client.zeroTrust.tunnels.cloudflared.delete(tunnel.id!, { account_id });
    expect(deleted.deleted_at).toBeTruthy();
    const found = [];
    for await (const one of client.zeroTrust.tunnels.cloudflared.list({
      account_id,
      name: "photos",
      is_deleted: false,
    })) {
      found.push(one);
    }
    expect(found).toEqual([]);
  });

  test("refuses a second record for a host in Cloudflare's own codes", async () => {
    const record = {
      zone_id,
      type: "CNAME" as const,
      name: "photos.example.com",
      content: "6ff42ae2-765d-4adf-8112-31c55c1551ef.cfargotunnel.com",
      proxied: true,
      ttl: 1 as const,
    };
    const made = await client.dns.records.create(record);
    expect(made).toMatchObject({ name: "photos.example.com", proxied: true, ttl: 1 });
    expect(await refusal(client.dns.records.create(record))).toEqual({
      status: 400,
      codes: [81058],
    });
    expect(
      await refusal(client.dns.records.create({ ...record, content: "other.example.net" })),
    ).toEqual({ status: 400, codes: [81053] });
    expect(
      await refusal(client.dns.records.create({ ...record, type: "A", content: "192.0.2.1" })),
    ).toEqual({ status: 400, codes: [81054] });
    const found = [];
    for await (const one of client.dns.records.list({
      zone_id,
      name: { exact: "photos.example.com" },
    })) {
      found.push(one.id);
    }
    expect(found).toEqual([made.id]);
    await client.dns.records.edit(made.id, { ...record, comment: "ours" });
    expect(await client.dns.records.get(made.id, { zone_id })).toMatchObject({
      comment: "ours",
      proxied: true,
    });
    await client.dns.records.delete(made.id, { zone_id });
    expect(await refusal(client.dns.records.get(made.id, { zone_id }))).toEqual({
      status: 404,
      codes: [81044],
    });
  });

  test("makes a gate of provider, token, policies and application", async () => {
    const pin = await client.zeroTrust.identityProviders.create({
      account_id,
      name: "One-time PIN",
      type: "onetimepin",
      config: {},
    });
    expect(
      await refusal(
        client.zeroTrust.identityProviders.create({
          account_id,
          name: "Another",
          type: "onetimepin",
          config: {},
        }),
      ),
    ).toMatchObject({ status: 409 });
    const token = await client.zeroTrust.access.serviceTokens.create({
      account_id,
      name: "ken iphone",
      duration: "8760h",
    });
    expect(token.client_id).toMatch(/^[0-9a-f]{32}\.access$/);
    expect(token.client_secret).toMatch(/^cfast_/);
    const phones = await client.zeroTrust.access.policies.create({
      account_id,
      name: "phones",
      decision: "non_identity",
      include: [{ service_token: { token_id: token.id! } }],
    });
    expect(phones).toMatchObject({ session_duration: "24h", reusable: true, app_count: 0 });
    const family = await client.zeroTrust.access.policies.create({
      account_id,
      name: "family",
      decision: "allow",
      include: [{ email: { email: "ken@example.com" } }],
      session_duration: "730h",
    });
    const application = await client.zeroTrust.access.applications.create({
      account_id,
      type: "self_hosted",
      name: "photos",
      domain: "photos.example.com",
      session_duration: "730h",
      allowed_idps: [pin.id!],
      policies: [
        { id: family.id!, precedence: 2 },
        { id: phones.id!, precedence: 1 },
      ],
    });
    expect(application).toMatchObject({
      aud: expect.stringMatching(/^[0-9a-f]{64}$/),
      policies: [
        { id: phones.id, precedence: 1, decision: "non_identity" },
        { id: family.id, precedence: 2, decision: "allow" },
      ],
    });
    const { serviceTokens, policies, applications } = client.zeroTrust.access;
    expect(await refusal(serviceTokens.delete(token.id!, { account_id }))).toMatchObject({
      status: 409,
    });
    expect(await refusal(policies.delete(family.id!, { account_id }))).toMatchObject({
      status: 409,
    });
    await applications.delete(application.id!, { account_id });
    await policies.delete(family.id!, { account_id });
    await policies.delete(phones.id!, { account_id });
    await serviceTokens.delete(token.id!, { account_id });
    await client.zeroTrust.identityProviders.delete(pin.id!, { account_id });
    expect(await refusal(applications.get(application.id!, { account_id }))).toMatchObject({
      status: 404,
    });
  });

  test("shows a token's secret once, and again only when the version is raised", async () => {
    const { serviceTokens } = client.zeroTrust.access;
    const token = await serviceTokens.create({ account_id, name: "mio iphone" });
    const shown = await serviceTokens.get(token.id!, { account_id });
    expect(shown).not.toHaveProperty("client_secret");
    const renamed = await serviceTokens.update(token.id!, { account_id, name: "mio's iphone" });
    expect(renamed).not.toHaveProperty("client_secret");
    const rotated = (await serviceTokens.update(token.id!, {
      account_id,
      client_secret_version: 2,
      previous_client_secret_expires_at: "2027-01-01T00:00:00Z",
    })) as Cloudflare.ZeroTrust.Access.ServiceTokenRotateResponse;
    expect(rotated.client_id).toBe(token.client_id);
    expect(rotated.client_secret).toMatch(/^cfast_/);
    expect(rotated.client_secret).not.toBe(token.client_secret);
    expect(
      await refusal(serviceTokens.update(token.id!, { account_id, client_secret_version: 1 })),
    ).toMatchObject({ status: 400 });
    const again = await serviceTokens.rotate(token.id!, { account_id });
    expect(again.client_secret).not.toBe(rotated.client_secret);
    await serviceTokens.delete(token.id!, { account_id });
  });

  test("lists and changes each kind of thing that the kit makes", async () => {
    const name = "listed";
    const { access, identityProviders, tunnels } = client.zeroTrust;
    const tunnel = await tunnels.cloudflared.create({ account_id, name, config_src: "cloudflare" });
    const google = await identityProviders.create({
      account_id,
      name,
      type: "google",
      config: { client_id: "1.apps.example", client_secret: "canary-of-google" },
    });
    const token = await access.serviceTokens.create({ account_id, name });
    const family = await access.policies.create({
      account_id,
      name,
      decision: "allow",
      include: [{ email: { email: "ken@example.com" } }],
    });
    const gate = {
      account_id,
      type: "self_hosted" as const,
      name,
      domain: "listed.example.com",
      allowed_idps: [google.id!],
      policies: [{ id: family.id!, precedence: 1 }],
    };
    const application = await access.applications.create(gate);
    const alert = {
      account_id,
      name,
      alert_type: "tunnel_health_event" as const,
      enabled: true,
      mechanisms: { email: [{ id: "ken@example.com" }] },
    };
    const { id: alertId } = await client.alerting.policies.create(alert);

    const ids = async (list: AsyncIterable<{ id?: string; name?: string }>) => {
      const found = [];
      for await (const one of list) if (one.name === name) found.push(one.id);
      return found;
    };
    expect(await ids(tunnels.cloudflared.list({ account_id }))).toEqual([tunnel.id]);
    expect(await ids(identityProviders.list({ account_id }))).toEqual([google.id]);
    expect(await ids(access.serviceTokens.list({ account_id }))).toEqual([token.id]);
    expect(await ids(access.policies.list({ account_id }))).toEqual([family.id]);
    expect(await ids(access.applications.list({ account_id }))).toEqual([application.id]);
    expect(await ids(client.alerting.policies.list({ account_id }))).toEqual([alertId]);

    // No listing and no reading tells the secret.
    const read = await identityProviders.get(google.id!, { account_id });
    expect(JSON.stringify(read)).not.toContain("canary-of-google");
    await access.policies.update(family.id!, {
      account_id,
      name,
      decision: "allow",
      include: [{ email: { email: "mio@example.com" } }],
      session_duration: "730h",
    });
    expect(await access.policies.get(family.id!, { account_id })).toMatchObject({
      include: [{ email: { email: "mio@example.com" } }],
      session_duration: "730h",
      app_count: 1,
    });
    await access.applications.update(application.id!, { ...gate, session_duration: "24h" });
    expect(await access.applications.get(application.id!, { account_id })).toMatchObject({
      aud: (application as { aud: string }).aud,
      session_duration: "24h",
    });
    await client.alerting.policies.update(alertId!, { ...alert, enabled: false });
    expect(await client.alerting.policies.get(alertId!, { account_id })).toMatchObject({
      enabled: false,
    });

    // What is in use stays.
    expect(await refusal(identityProviders.delete(google.id!, { account_id }))).toMatchObject({
      status: 409,
    });
    await access.applications.delete(application.id!, { account_id });
    await access.policies.delete(family.id!, { account_id });
    await access.serviceTokens.delete(token.id!, { account_id });
    await identityProviders.delete(google.id!, { account_id });
    await client.alerting.policies.delete(alertId!, { account_id });
    await tunnels.cloudflared.delete(tunnel.id!, { account_id });
  });

  test("answers 404 to whatever is read, changed or deleted and is not there", async () => {
    const none = "00000000-0000-4000-8000-000000000000";
    const { access, identityProviders, tunnels } = client.zeroTrust;
    const gone = [
      tunnels.cloudflared.get(none, { account_id }),
      tunnels.cloudflared.delete(none, { account_id }),
      tunnels.cloudflared.token.get(none, { account_id }),
      tunnels.cloudflared.configurations.get(none, { account_id }),
      identityProviders.get(none, { account_id }),
      identityProviders.delete(none, { account_id }),
      access.serviceTokens.get(none, { account_id }),
      access.serviceTokens.update(none, { account_id, name: "none" }),
      access.serviceTokens.rotate(none, { account_id }),
      access.serviceTokens.delete(none, { account_id }),
      access.policies.get(none, { account_id }),
      access.policies.delete(none, { account_id }),
      access.applications.get(none, { account_id }),
      access.applications.delete(none, { account_id }),
      client.alerting.policies.get(none.replaceAll("-", ""), { account_id }),
      client.alerting.policies.delete(none.replaceAll("-", ""), { account_id }),
      client.dns.records.get("0".repeat(32), { zone_id }),
      client.dns.records.delete("0".repeat(32), { zone_id }),
      client.zones.get({ zone_id: "0".repeat(32) }),
    ];
    const statuses = await Promise.all(gone.map(async (call) => (await refusal(call)).status));
    expect(statuses.map((status) => status === 404 || status === 403)).toEqual(
      gone.map(() => true),
    );
    expect(statuses.filter((status) => status === 403).length).toBeLessThan(2);
  });

  test("keeps an alert", async () => {
    const { id } = await client.alerting.policies.create({
      account_id,
      name: "token expiry",
      alert_type: "expiring_service_token_alert",
      enabled: true,
      mechanisms: { email: [{ id: "ken@example.com" }] },
    });
    expect(await client.alerting.policies.get(id!, { account_id })).toMatchObject({
      alert_type: "expiring_service_token_alert",
      enabled: true,
    });
    await client.alerting.policies.delete(id!, { account_id });
    expect(await refusal(client.alerting.policies.get(id!, { account_id }))).toMatchObject({
      status: 404,
    });
  });
});

describe("refusals", () => {
  test("an unknown route, field and query parameter are named", async () => {
    const route = await raw("GET", "/accounts/x/workers/scripts");
    expect(route.status).toBe(400);
    expect(route.body.errors[0]!.message).toContain("GET /accounts/x/workers/scripts");
    const field = await raw("POST", `/accounts/${account_id}/cfd_tunnel`, {
      name: "t",
      colour: "blue",
    });
    expect(field.status).toBe(400);
    expect(field.body.errors[0]!.message).toContain('"colour"');
    const query = await raw("GET", "/zones?colour=blue");
    expect(query.body.errors[0]!.message).toContain('"colour"');
  });

  test("a policy by an inline rule, an unknown selector and a policy of nobody are refused", async () => {
    const policies = `/accounts/${account_id}/access/policies`;
    for (const include of [[], [{ github: { name: "x" } }], [{ email: { email: "nobody" } }]]) {
      const reply = await raw("POST", policies, { name: "p", decision: "allow", include });
      expect(reply.status).toBe(400);
    }
    const inline = await raw("POST", `/accounts/${account_id}/access/apps`, {
      type: "self_hosted",
      domain: "x.example.com",
      policies: [{ decision: "allow", name: "p", include: [{ everyone: {} }] }],
    });
    expect(inline.status).toBe(400);
  });

  test("a token that is unknown, malformed, disabled or missing is refused as Cloudflare does", async () => {
    expect(await raw("GET", "/zones", undefined, "B".repeat(40))).toMatchObject({
      status: 403,
      body: { success: false, errors: [{ code: 9109 }], result: null },
    });
    expect(await raw("GET", "/user/tokens/verify", undefined, "B".repeat(40))).toMatchObject({
      status: 401,
      body: { errors: [{ code: 1000 }] },
    });
    expect(await raw("GET", "/zones", undefined, "short")).toMatchObject({
      status: 400,
      body: { errors: [{ code: 6003 }] },
    });
    expect((await fetch(`${world.apiUrl}/zones`)).status).toBe(400);
    expect(await raw("GET", "/accounts/ffffffffffffffffffffffffffffffff/cfd_tunnel")).toMatchObject(
      { status: 403, body: { errors: [{ code: 10000 }] } },
    );
  });

  test("an account's token is verified at the account only, and Read does not write", async () => {
    const value = "R".repeat(40);
    await fetch(`${world.controlUrl}/api-tokens`, {
      method: "POST",
      body: JSON.stringify({ value, permissions: ["DNS Read", "Zone Read"], owner: "account" }),
    });
    expect(await raw("GET", "/user/tokens/verify", undefined, value)).toMatchObject({
      status: 401,
    });
    expect(
      await raw("GET", `/accounts/${account_id}/tokens/verify`, undefined, value),
    ).toMatchObject({ status: 200, body: { result: { status: "active" } } });
    expect(await raw("GET", `/zones/${zone_id}/dns_records`, undefined, value)).toMatchObject({
      status: 200,
    });
    expect(
      await raw(
        "POST",
        `/zones/${zone_id}/dns_records`,
        { type: "A", name: "a", content: "192.0.2.1", ttl: 1 },
        value,
      ),
    ).toMatchObject({ status: 403, body: { errors: [{ code: 10000 }] } });
    expect(await raw("GET", `/accounts/${account_id}/cfd_tunnel`, undefined, value)).toMatchObject({
      status: 403,
    });
  });

  test("lists come in pages", async () => {
    const { zones } = world.state.data;
    zones.push(
      { id: "1".repeat(32), name: "one.example", createdOn: "2026-01-01T00:00:00Z" },
      { id: "2".repeat(32), name: "two.example", createdOn: "2026-01-01T00:00:00Z" },
    );
    const second = await raw("GET", "/zones?per_page=2&page=2");
    zones.splice(1);
    expect(second.body.result).toHaveLength(1);
    expect(second.body.result_info).toEqual({
      page: 2,
      per_page: 2,
      count: 1,
      total_count: 3,
      total_pages: 2,
    });
  });
});

describe("faults on demand", () => {
  const tunnels = `/accounts/${account_id}/cfd_tunnel`;
  const fault = (body: unknown) =>
    fetch(`${world.controlUrl}/faults`, { method: "POST", body: JSON.stringify(body) });

  test("429 carries Retry-After, and the next call passes", async () => {
    await fault({ kind: "status", status: 429, code: 971, retryAfterSeconds: 3, path: "^/zones" });
    const refused = await raw("GET", "/zones");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("3");
    expect((await raw("GET", "/zones")).status).toBe(200);
  });

  test("success: false comes under 200, and nothing was done", async () => {
    await fault({ kind: "unsuccessful", method: "POST" });
    const reply = await raw("POST", tunnels, { name: "unmade" });
    expect(reply).toMatchObject({ status: 200, body: { success: false } });
    expect(world.state.data.tunnels.some(({ name }) => name === "unmade")).toBe(false);
  });

  test("a cut comes before the change, a lost reply after it", async () => {
    await fault({ kind: "cut", method: "POST" });
    await expect(raw("POST", tunnels, { name: "cut" })).rejects.toThrow();
    await fault({ kind: "lost-reply", method: "POST" });
    await expect(raw("POST", tunnels, { name: "lost" })).rejects.toThrow();
    const names = world.state.data.tunnels.map(({ name }) => name);
    expect(names).not.toContain("cut");
    expect(names).toContain("lost");
  });
});
