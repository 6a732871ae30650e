import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  configSet,
  destroy,
  refresh,
  stackOutputs,
  type UpdateResult,
} from "../../../rehearsal/engine/engine.ts";
import type { StandIns } from "../../../rehearsal/engine/provider.ts";
import { ApiClient } from "../../../rehearsal/engine/stand-ins/cloudflare/api-client.ts";
import { Cloudflare } from "../../../rehearsal/engine/stand-ins/cloudflare/cloudflare.ts";
import type { Properties } from "../../../rehearsal/engine/values.ts";
import { ApiStub, type Call } from "./api-stub.ts";
import { errorsOf, ProjectFolder } from "./project-folder.ts";
import { act, deploy, empty, goal, type Staged, type Wanted } from "./stage.ts";

const apiToken = "canary_0123456789_0123456789_0123456789-";
let stub: ApiStub;
beforeAll(async () => {
  stub = await ApiStub.start();
});
afterAll(() => stub.stop());
beforeEach(() => {
  stub.calls.length = 0;
});

const body = (calls: Call[], line: string) =>
  calls.find(({ method, path }) => `${method} ${path.replace("/client/v4", "")}` === line)?.body;

describe("the kit's edge through the Cloudflare stand-in", () => {
  let folder: ProjectFolder;
  const settings = { "house:accountId": "A", "house:version": 1 };
  const configure = async (values: Record<string, unknown>) => {
    folder.config({ "cloudflare:baseUrl": stub.baseUrl, ...settings, ...values });
    await configSet({
      ...folder.options,
      key: "cloudflare:apiToken",
      value: apiToken,
      secret: true,
    });
  };
  const family = { "house:emails": ["mio@example.com", "ken@example.com"] };
  const overlap = { "house:overlapUntil": "2026-12-01T00:00:00Z" };
  beforeAll(() => {
    folder = new ProjectFolder("cloudflare");
  });
  afterAll(() => folder.remove());

  it("makes the calls of the first up that the real provider was seen to make", async () => {
    await configure({ ...family, ...overlap });
    const result = await folder.update();
    expect(result.summary.create).toBe(12);

    const reads = ["GET /zones?name=example.com", "GET /zones/ZONE"];
    expect(
      stub
        .lines()
        .filter((line) => line.startsWith("GET"))
        .sort(),
    ).toEqual(
      [...reads, ...reads, "GET /accounts/A/cfd_tunnel/cfd_tunnel-N/token"]
        .map((line) => line.replace(/cfd_tunnel-N/, tunnelId()))
        .sort(),
    );
    const { calls } = stub;
    expect(body(calls, "POST /accounts/A/cfd_tunnel")).toEqual({
      config_src: "cloudflare",
      name: "photos",
      tunnel_secret: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
    });
    expect(body(calls, "POST /accounts/A/access/service_tokens")).toEqual({
      client_secret_version: 1,
      duration: "8760h",
      name: "phone",
      previous_client_secret_expires_at: "2026-12-01T00:00:00Z",
    });
    expect(body(calls, "POST /accounts/A/access/identity_providers")).toEqual({
      config: {},
      name: "pin",
      type: "onetimepin",
    });
    const policies = calls.filter(({ path }) => path.endsWith("/access/policies"));
    expect(policies.map((call) => call.body)).toEqual(
      expect.arrayContaining([
        {
          decision: "allow",
          include: [
            { email: { email: "ken@example.com" } },
            { email: { email: "mio@example.com" } },
          ],
          name: "family",
          session_duration: "730h",
        },
        {
          decision: "non_identity",
          include: [{ service_token: { token_id: expect.stringMatching(/^service_tokens-/) } }],
          name: "phones",
          session_duration: "24h",
        },
      ]),
    );
    expect(body(calls, "POST /accounts/A/access/apps")).toEqual({
      name: "photos",
      type: "self_hosted",
      domain: "photos.example.com",
      session_duration: "730h",
      allowed_idps: [expect.stringMatching(/^identity_providers-/)],
      app_launcher_visible: false,
      http_only_cookie_attribute: true,
      service_auth_401_redirect: false,
      policies: [
        { id: expect.stringMatching(/^policies-/), precedence: 1 },
        { id: expect.stringMatching(/^policies-/), precedence: 2 },
      ],
    });
    expect(body(calls, `PUT /accounts/A/cfd_tunnel/${tunnelId()}/configurations`)).toEqual({
      config: {
        ingress: [
          {
            hostname: "photos.example.com",
            service: "http://localhost:2283",
            originRequest: { access: { required: true, teamName: "family", audTag: ["audience"] } },
          },
          { service: "http_status:404" },
        ],
      },
    });
    expect(body(calls, "POST /zones/ZONE/dns_records")).toEqual({
      type: "CNAME",
      name: "photos.example.com",
      content: `${tunnelId()}.cfargotunnel.com`,
      proxied: true,
      ttl: 1,
    });
    expect(body(calls, "POST /accounts/A/alerting/v3/policies")).toEqual({
      alert_type: expect.stringMatching(/^(expiring_service_token_alert|tunnel_health_event)$/),
      enabled: true,
      mechanisms: { email: [{ id: "ken@example.com" }] },
      name: expect.any(String),
    });
    expect(folder.printed).not.toContain(apiToken);
    expect(folder.state).not.toContain(apiToken);
  });

  it("does not mark the connector's token secret, as the real provider does not", async () => {
    const outputs = await stackOutputs(folder.options);
    expect(outputs).toEqual({ connectorToken: "connector-token", clientSecret: "[secret]" });
  });

  it("makes six GETs in an up without a change", async () => {
    const result = await folder.update({ expectNoChanges: true });
    expect(result.summary.same).toBe(12);
    expect(stub.lines().sort()).toEqual(
      [
        ...["GET /zones?name=example.com", "GET /zones/ZONE"],
        ...["GET /zones?name=example.com", "GET /zones/ZONE"],
        `GET /accounts/A/cfd_tunnel/${tunnelId()}/token`,
        `GET /accounts/A/cfd_tunnel/${tunnelId()}/token`,
      ].sort(),
    );
  });

  it("rotates by one PUT with the whole body and takes the new secret; adds an e-mail by one PUT, sorted", async () => {
    await configure({
      ...overlap,
      "house:version": 2,
      "house:emails": ["mio@example.com", "ken@example.com", "baaba@example.com"],
    });
    const result = await folder.update({ skipPreview: true });
    expect(changes(result)).toEqual([
      "update family ~includes",
      "update token ~clientSecretVersion",
    ]);
    const writes = stub.calls.filter(({ method }) => method !== "GET");
    expect(writes.map(({ method }) => method)).toEqual(["PUT", "PUT"]);
    expect(writes.find(({ path }) => path.includes("service_tokens"))!.body).toEqual({
      client_secret_version: 2,
      duration: "8760h",
      name: "phone",
      previous_client_secret_expires_at: "2026-12-01T00:00:00Z",
    });
    expect(writes.find(({ path }) => path.includes("policies"))!.body!.include).toEqual(
      ["baaba", "ken", "mio"].map((name) => ({ email: { email: `${name}@example.com` } })),
    );
    const outputs = await stackOutputs({ ...folder.options, showSecrets: true });
    expect(outputs.clientSecret).toBe("client-secret-2");
  });

  it("refreshes by one GET for each resource, keeps the secret, and sees what drifted", async () => {
    for (const item of stub.items.values()) if (item.type === "CNAME") item.proxied = false;
    const result = await folder.update({}, refresh);
    expect(stub.lines().every((line) => line.startsWith("GET"))).toBe(true);
    expect(stub.calls).toHaveLength(10);
    expect(changes(result)).toEqual(["update record ~proxied"]);
    const outputs = await stackOutputs({ ...folder.options, showSecrets: true });
    expect(outputs.clientSecret).toBe("client-secret-2");

    const mended = await folder.update({ skipPreview: true });
    expect(changes(mended)).toEqual(["update record ~proxied"]);
  });

  it("destroys the DNS record before the application and the tunnel, whose configuration has no DELETE", async () => {
    const result = await folder.update({}, destroy);
    const deletes = stub.lines().map((line) => line.replace(/-\d+$/, ""));
    expect([...deletes].sort()).toEqual([
      "DELETE /accounts/A/access/apps/apps",
      "DELETE /accounts/A/access/identity_providers/identity_providers",
      "DELETE /accounts/A/access/policies/policies",
      "DELETE /accounts/A/access/policies/policies",
      "DELETE /accounts/A/access/service_tokens/service_tokens",
      "DELETE /accounts/A/alerting/v3/policies/policies",
      "DELETE /accounts/A/alerting/v3/policies/policies",
      "DELETE /accounts/A/cfd_tunnel/cfd_tunnel",
      "DELETE /zones/ZONE/dns_records/dns_records",
    ]);
    const place = (text: string) => deletes.findIndex((line) => line.includes(text));
    expect(place("dns_records")).toBeLessThan(place("/apps"));
    expect(place("dns_records")).toBeLessThan(place("/cfd_tunnel"));
    expect(place("/apps")).toBeLessThan(place("/service_tokens"));
    expect(result.diagnostics.map(({ message }) => message)).toEqual([
      expect.stringContaining("will not change it in the API"),
    ]);
  });

  it("refuses to run without a baseUrl, and with a token of another form", async () => {
    folder.config({ ...settings, ...family, "cloudflare:apiToken": apiToken });
    const away = await folder.failure();
    expect(errorsOf(away)[0]).toContain('without "baseUrl" it would reach the real Cloudflare');
    folder.config({
      ...settings,
      ...family,
      "cloudflare:baseUrl": stub.baseUrl,
      "cloudflare:apiToken": "short",
    });
    const short = await folder.failure();
    expect(errorsOf(short)[0]).toContain("API tokens must be 40 to 80 characters long");
    expect(stub.calls).toEqual([]);
  });

  function changes({ steps }: UpdateResult): string[] {
    return steps
      .filter(({ op }) => op !== "same")
      .map(({ op, name, diff = [] }) => [op, name, ...diff].join(" "))
      .sort();
  }

  function tunnelId(): string {
    const path = [...stub.items.keys()].find((key) => /\/cfd_tunnel\/[^/]+$/.test(key))!;
    return path.split("/").at(-1)!;
  }
});

describe("a Cloudflare resource", () => {
  const standIns: StandIns = {
    cloudflare: async (log) => {
      const cloudflare = new Cloudflare(log);
      // What the stack's configuration would say.
      cloudflare.configure = () =>
        Cloudflare.prototype.configure.call(cloudflare, { apiToken, baseUrl: stub.baseUrl });
      return cloudflare;
    },
  };
  const config = { apiToken, baseUrl: "" };
  const one = (type: string, inputs: Properties): Wanted => ({
    name: "a",
    type: `cloudflare:index/${type}:${type[0]!.toUpperCase()}${type.slice(1)}`,
    inputs,
    provider: "urn:pulumi:dev::test::pulumi:providers:cloudflare::given::1",
  });
  const base = () => ({
    ...empty,
    resources: [
      {
        urn: "urn:pulumi:dev::test::pulumi:providers:cloudflare::given",
        id: "1",
        custom: true,
        type: "pulumi:providers:cloudflare",
        inputs: { ...config, baseUrl: stub.baseUrl },
        outputs: {},
        dependencies: [],
        propertyDependencies: {},
        additionalSecretOutputs: [],
        aliases: [],
        protect: false,
        retainOnDelete: false,
        external: false,
        delete: false,
        initErrors: [],
      },
    ],
  });
  const up = (from: Staged["snapshot"], wanted: Wanted) =>
    act(standIns, from, false, async (deployment) => {
      await deployment.register(goal(wanted));
    });
  const tunnel = (inputs: Properties) =>
    one("zeroTrustTunnelCloudflared", { accountId: "A", name: "t", ...inputs });
  const token = (inputs: Properties) =>
    one("zeroTrustAccessServiceToken", { accountId: "A", name: "t", ...inputs });
  const rule = (...includes: Properties[]) =>
    one("zeroTrustAccessPolicy", { accountId: "A", name: "p", decision: "allow", includes });

  it.each<[string, Wanted, string]>([
    [
      "a bare timestamp, as Pulumi rewrote it",
      token({
        clientSecretVersion: 2,
        previousClientSecretExpiresAt: "2026-12-01 00:00:00 +0000 UTC",
      }),
      "invalid RFC 3339",
    ],
    [
      "an input that is not there",
      tunnel({ secret: "x" }),
      '"secret" is no input of this resource',
    ],
    [
      "a missing one",
      one("dnsRecord", { zoneId: "Z", name: "n", ttl: 1 }),
      "missing required property 'type'",
    ],
    [
      "a wrong word",
      one("zeroTrustAccessPolicy", { accountId: "A", name: "p", decision: "maybe" }),
      'expected one of "allow"',
    ],
    [
      "a version without its overlap",
      token({ clientSecretVersion: 2 }),
      '"previousClientSecretExpiresAt" must be specified',
    ],
    [
      "an overlap without its version",
      token({ previousClientSecretExpiresAt: "2026-12-01T00:00:00Z" }),
      '"clientSecretVersion" must be specified',
    ],
    [
      "a rule of two selectors",
      rule({ email: { email: "a@b.c" }, everyone: {} }),
      "a rule holds one selector",
    ],
    [
      "what the stand-in does not carry",
      one("dnsRecord", { zoneId: "Z", name: "n", ttl: 1, type: "A", data: {} }),
      'does not carry "data"',
    ],
    [
      "a type that it does not carry",
      one("zone", { name: "example.com" }),
      'does not carry "cloudflare:index/zone:Zone"',
    ],
  ])("refuses %s before any call", async (_, wanted, reason) => {
    const refused = await up(base(), wanted);
    expect(refused.errors.join("\n")).toContain(reason);
    expect(stub.calls).toEqual([]);
  });

  it("is made anew for another account or another source of configuration, and renamed by one PATCH", async () => {
    const first = await up(base(), tunnel({ configSrc: "cloudflare" }));
    const anew = await up(first.snapshot, tunnel({ configSrc: "local" }));
    expect(anew.steps).toEqual(["replace a"]);
    const moved = await up(first.snapshot, tunnel({ configSrc: "cloudflare", accountId: "B" }));
    expect(moved.steps).toEqual(["replace a"]);
    stub.calls.length = 0;
    const renamed = await up(first.snapshot, tunnel({ configSrc: "cloudflare", name: "u" }));
    expect(renamed.steps).toEqual(["update a"]);
    expect(stub.calls).toEqual([
      { method: "PATCH", path: expect.stringContaining("/cfd_tunnel/"), body: { name: "u" } },
    ]);
  });

  it("sends null for an alert's filters once a refresh has brought the API's empty object", async () => {
    const alert = (more: Properties = {}) =>
      one("notificationPolicy", {
        accountId: "A",
        name: "alert",
        alertType: "tunnel_health_event",
        enabled: true,
        mechanisms: { emails: [{ id: "ken@example.com" }] },
        ...more,
      });
    const afterRefresh = async (wanted: Wanted) => {
      const first = await up(base(), wanted);
      for (const item of stub.items.values()) item.filters ??= {};
      const refreshed = await act(standIns, first.snapshot, false, (deployment) =>
        deployment.refresh(),
      );
      stub.calls.length = 0;
      return (await up(refreshed.snapshot, wanted)).steps;
    };
    expect(await afterRefresh(alert())).toEqual(["update a"]);
    expect(stub.calls.at(-1)!.body).toMatchObject({ filters: null });
    expect(await afterRefresh(alert({ filters: {} }))).toEqual(["same a"]);
  });

  it("is gone from the state after a refresh that finds nothing", async () => {
    const first = await up(base(), tunnel({}));
    stub.items.clear();
    const refreshed = await act(standIns, first.snapshot, false, (deployment) =>
      deployment.refresh(),
    );
    expect(refreshed.steps).toEqual(["delete a"]);
  });

  it("tells Cloudflare's refusal as the real provider's client does", async () => {
    stub.faults.push({ status: 403 });
    const refused = await up(base(), tunnel({}));
    expect(refused.errors[0]).toMatch(
      /^failed to make http request: POST "http:\/\/127\.0\.0\.1:\d+\/client\/v4\/accounts\/A\/cfd_tunnel": 403 Forbidden \{/,
    );
  });

  it("previews without a call, and knows that a rotation makes another secret", async () => {
    const preview = await deploy(standIns, base(), [token({})], { dryRun: true });
    expect(preview.steps).toContain("create a");
    expect(stub.calls).toEqual([]);
  });
});

describe("the API client", () => {
  it("tries a 429 and a 5xx again, as soon as Retry-After says", async () => {
    stub.faults.push({ status: 429, retryAfter: "0" }, { status: 503, retryAfter: "0" });
    const client = new ApiClient(stub.baseUrl, apiToken);
    expect(await client.call("GET", "/zones/ZONE")).toMatchObject({ id: "ZONE" });
    expect(stub.calls).toHaveLength(3);
  });

  it("gives up after a few, and at once on a refusal", async () => {
    const client = new ApiClient(stub.baseUrl, apiToken);
    for (let i = 0; i < 11; i += 1) stub.faults.push({ status: 500, retryAfter: "0" });
    await expect(client.call("GET", "/zones/ZONE")).rejects.toThrow("500");
    expect(stub.calls).toHaveLength(11);
    stub.faults.push({ status: 400 });
    await expect(client.call("GET", "/zones/ZONE")).rejects.toThrow("400 Bad Request");
    expect(stub.calls).toHaveLength(12);
  });
});
