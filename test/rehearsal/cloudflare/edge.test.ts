import { connect as tlsConnect } from "node:tls";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { account_id, Browser, House, host, teamHost, until } from "./house.ts";

const hour = 3_600_000;

describe("the edge of a strict organization", () => {
  let house: House;
  beforeAll(async () => {
    house = await House.build({ strict: true });
  });
  beforeEach(() => {
    house.seen.length = 0;
  });
  afterAll(() => house.close());

  test("sends a stranger to the team's sign-in page, and nothing to the origin", async () => {
    const answer = await house.send("/api/server/ping");
    expect(answer.status).toBe(302);
    const location = new URL(answer.headers.location!);
    expect(location.host).toBe(teamHost);
    expect(location.pathname).toBe(`/cdn-cgi/access/login/${host}`);
    expect(location.searchParams.get("redirect_url")).toBe("/api/server/ping");
    expect(house.seen).toEqual([]);
    const ajax = await house.send("/api/server/ping", {
      headers: { "X-Requested-With": "XMLHttpRequest" },
    });
    expect(ajax.status).toBe(401);
  });

  test("lets a phone pass with its two headers, and tells the origin who it is by JWT alone", async () => {
    const answer = await house.send("/api/server/ping", { headers: house.phoneHeaders() });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      server: "cloudflare",
      "x-origin": "yes",
      "set-cookie": ["a=1", "b=2"],
    });
    const { headers } = house.seen[0]!;
    expect(headers).toMatchObject({
      host,
      "cf-connecting-ip": "127.0.0.1",
      "x-forwarded-proto": "https",
      "cdn-loop": "cloudflare; loops=1",
      "cf-warp-tag-id": house.tunnelId,
    });
    expect(headers).not.toHaveProperty("cf-access-client-secret");
    expect(decodeJwt(headers["cf-access-jwt-assertion"] as string)).toMatchObject({
      type: "app",
      aud: [house.aud],
      iss: `https://${teamHost}`,
      common_name: house.phone.clientId,
      sub: "",
    });
  });

  test("answers 401 to a wrong, an unknown, half a and a doubled token, and 403 to one that no policy names (row 44)", async () => {
    const { clientId, clientSecret } = house.phone;
    const cases: [Record<string, string | string[]>, number][] = [
      [house.phoneHeaders("0".repeat(64)), 401],
      [{ ...house.phoneHeaders(), "CF-Access-Client-Id": `${"0".repeat(32)}.access` }, 401],
      [{ "CF-Access-Client-Id": clientId }, 401],
      [
        { "CF-Access-Client-Id": [clientId, clientId], "CF-Access-Client-Secret": clientSecret },
        401,
      ],
    ];
    for (const [headers, status] of cases) {
      const answer = await house.send("/", { headers });
      expect(answer.status).toBe(status);
      expect(answer.headers["set-cookie"]).toBeUndefined();
    }
    const other = await house.api.zeroTrust.access.serviceTokens.create({
      account_id,
      name: "a stranger's",
    });
    const answer = await house.send("/", {
      headers: {
        "CF-Access-Client-Id": other.client_id!,
        "CF-Access-Client-Secret": other.client_secret!,
      },
    });
    expect(answer.status).toBe(403);
    expect(await house.lastReason()).toContain("in no Service Auth policy");
    expect(house.seen).toEqual([]);
  });

  test("looks at no cookie where token headers are, and gives none", async () => {
    const browser = new Browser(house);
    await browser.signIn("ken@example.com");
    house.seen.length = 0;
    const cookie = `CF_Authorization=${browser.cookie("CF_Authorization")}`;
    expect((await house.send("/", { headers: { cookie } })).status).toBe(200);
    const wrong = await house.send("/", {
      headers: { cookie, ...house.phoneHeaders("0".repeat(64)) },
    });
    expect(wrong.status).toBe(401);
    const right = await house.send("/", { headers: house.phoneHeaders() });
    expect(String(right.headers["set-cookie"])).not.toContain("CF_Authorization");
  });

  test("keeps the old secret alive until its date and not longer", async () => {
    const { serviceTokens } = house.api.zeroTrust.access;
    const until = new Date(house.clock.now().getTime() + hour).toISOString();
    const rotated = (await serviceTokens.update(house.phone.id, {
      account_id,
      client_secret_version: 2,
      previous_client_secret_expires_at: until,
    })) as { client_secret?: string };
    const old = house.phone.clientSecret;
    house.phone.clientSecret = rotated.client_secret!;
    const status = async (secret: string) =>
      (await house.send("/", { headers: house.phoneHeaders(secret) })).status;
    expect([await status(old), await status(house.phone.clientSecret)]).toEqual([200, 200]);
    house.clock.advance(2 * hour);
    expect([await status(old), await status(house.phone.clientSecret)]).toEqual([401, 200]);
    expect(await house.lastReason()).toBe("a Service Auth policy");
  });

  test("refuses a token that is disabled or has expired (row 40)", async () => {
    const { serviceTokens } = house.api.zeroTrust.access;
    const status = async () => (await house.send("/", { headers: house.phoneHeaders() })).status;
    await serviceTokens.update(house.phone.id, { account_id, enabled: false });
    expect(await status()).toBe(401);
    await serviceTokens.update(house.phone.id, { account_id, enabled: true });
    house.clock.advance(8761 * hour);
    expect(await status()).toBe(401);
    expect(await house.lastReason()).toContain("expired");
    await serviceTokens.refresh(house.phone.id, { account_id });
    expect(await status()).toBe(200);
  });

  test("signs a person in by a mailed code, for as long as the policy says", async () => {
    const browser = new Browser(house);
    const arrived = await browser.signIn("ken@example.com", "/photos?album=1");
    expect(arrived.url.href).toBe(`https://${host}/photos?album=1`);
    expect(arrived.status).toBe(200);
    const claims = decodeJwt(browser.cookie("CF_Authorization")!);
    expect(claims).toMatchObject({ type: "app", email: "ken@example.com", aud: [house.aud] });
    expect(claims.exp! - claims.iat!).toBe(730 * 3600);
    expect(house.seen[0]!.headers["cf-access-authenticated-user-email"]).toBe("ken@example.com");
    house.clock.advance(731 * hour);
    expect((await browser.visit(`https://${host}/`)).status).toBe(302);
  });

  test("shows a stranger the same page, and sends no code", async () => {
    const browser = new Browser(house);
    const { page, state } = await browser.askForCode("stranger@example.com");
    const known = await new Browser(house).askForCode("ken@example.com");
    const anonymous = (html: Buffer) =>
      html
        .toString()
        .replace(/value="[0-9a-f]{32}"/, "")
        .replace(/(stranger|ken)@example.com/, "");
    expect(page.body.toString()).toContain("A code has been emailed to you");
    expect(anonymous(page.body)).toBe(anonymous(known.page.body));
    expect(await house.control.mails("stranger@example.com")).toEqual([]);
    for (const guess of ["000000", "123456"]) {
      const refused = await browser.enterCode(state, guess);
      expect(refused.status).toBe(401);
      expect(refused.body.toString()).toContain("That account does not have access.");
    }
    expect(house.seen).toEqual([]);
  });

  test("takes a code once, within ten minutes, from the browser that asked", async () => {
    const browser = new Browser(house);
    const late = await browser.askForCode("ken@example.com");
    const lateCode = (await house.control.mails("ken@example.com")).at(-1)!.code;
    const elsewhere = await new Browser(house).enterCode(late.state, lateCode);
    expect(elsewhere.status).toBe(400);
    house.clock.advance(10 * 60_000);
    expect((await browser.enterCode(late.state, lateCode)).status).toBe(401);
    const { state } = await browser.askForCode("ken@example.com");
    const { code } = (await house.control.mails("ken@example.com")).at(-1)!;
    expect((await browser.enterCode(state, code)).status).toBe(200);
    expect((await browser.enterCode(state, code)).status).toBe(400);
  });

  test("locks out whom an administrator revokes, and whoever logs out", async () => {
    const browser = new Browser(house);
    await browser.signIn("ken@example.com");
    house.clock.advance(2000);
    await house.api.zeroTrust.organizations.revokeUsers({ account_id, email: "ken@example.com" });
    expect((await browser.visit(`https://${host}/`)).status).toBe(302);
    house.clock.advance(61_000);
    expect((await browser.signIn("ken@example.com")).status).toBe(200);
    house.clock.advance(2000);
    await browser.visit(`https://${host}/cdn-cgi/access/logout`);
    expect(browser.cookie("CF_Authorization")).toBeUndefined();
    house.clock.advance(61_000);
  });

  test("refuses a body over 100 MB before anything reaches the origin, by length and chunk by chunk (row 45)", async () => {
    const body = Buffer.alloc(101_000_000);
    const headers = house.phoneHeaders();
    const whole = await house.send("/api/assets", { method: "POST", headers, body });
    expect(whole.status).toBe(413);
    const chunked = await house.send("/api/assets", {
      method: "POST",
      headers,
      body,
      chunked: true,
    });
    expect(chunked.status).toBe(413);
    expect(house.seen).toEqual([]);
    const fits = await house.send("/api/assets", {
      method: "POST",
      headers,
      body: body.subarray(0, 99_000_000),
    });
    expect(fits.status).toBe(201);
    expect(house.seen.map(({ bytes }) => bytes)).toEqual([99_000_000]);
  });

  test("passes on a part of a film, and an answer that comes in drops", async () => {
    const headers = house.phoneHeaders();
    const part = await house.send("/film", { headers: { ...headers, range: "bytes=4-7" } });
    expect(part).toMatchObject({ status: 206, body: Buffer.from("film") });
    expect(part.headers["content-range"]).toBe("bytes 4-7/1000000");
    const drip = await new Promise<string>((resolve, reject) => {
      const socket = tlsConnect(
        { port: house.world.edgePort, host: "127.0.0.1", servername: host, ca: house.ca },
        () =>
          socket.write(
            `GET /drip HTTP/1.1\r\nHost: ${host}\r\n${Object.entries(headers)
              .map(([name, value]) => `${name}: ${value}\r\n`)
              .join("")}\r\n`,
          ),
      );
      let text = "";
      socket.on("error", reject);
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes("first")) {
          socket.destroy();
          resolve(text);
        }
      });
    });
    expect(drip).toContain("200 OK");
  });

  test("passes a websocket through, for whom Access lets", async () => {
    const upgrade = (headers: Record<string, string>) =>
      new Promise<string>((resolve, reject) => {
        const socket = tlsConnect(
          { port: house.world.edgePort, host: "127.0.0.1", servername: host, ca: house.ca },
          () =>
            socket.write(
              `GET /api/socket.io HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${Object.entries(
                headers,
              )
                .map(([name, value]) => `${name}: ${value}\r\n`)
                .join("")}\r\n`,
            ),
        );
        let text = "";
        let asked = false;
        socket.on("error", reject);
        socket.on("close", () => resolve(text));
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString();
          if (text.includes("\r\n\r\n") && text.startsWith("HTTP/1.1 101") && !asked) {
            asked = true;
            socket.write("echo me");
          }
          if (text.endsWith("echo me")) socket.end();
        });
      });
    const open = await upgrade(house.phoneHeaders());
    expect(open).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    expect(open.endsWith("echo me")).toBe(true);
    house.seen.length = 0;
    expect(await upgrade({})).toMatch(/^HTTP\/1.1 401/);
    expect(house.seen).toEqual([]);
  });

  test("says 1033 when the connector is away, 502 when the origin is", async () => {
    const headers = house.phoneHeaders();
    house.connector.stop();
    await house.untilDisconnected();
    const away = await house.send("/", { headers });
    expect(away.status).toBe(530);
    expect(away.body.toString()).toContain("1033");
    house.connect();
    await house.untilConnected();
    const port = house.originPort;
    house.originPort = 9;
    await house.configure();
    await house.untilConnected();
    expect((await house.send("/", { headers })).status).toBe(502);
    house.originPort = port;
    await house.configure();
    await house.untilConnected();
    expect((await house.send("/", { headers })).status).toBe(200);
  });

  test("has nothing at a host without a proxied record, and no certificate two levels down", async () => {
    expect((await house.send("/", { host: "other.example.com" })).status).toBe(409);
    await expect(house.send("/", { host: "a.b.example.com" })).rejects.toThrow(/altnames/);
  });

  test("does not delete a tunnel with a live connector", async () => {
    const { cloudflared } = house.api.zeroTrust.tunnels;
    await expect(cloudflared.delete(house.tunnelId, { account_id })).rejects.toThrow("1022");
    await expect(cloudflared.get(house.tunnelId, { account_id })).resolves.toMatchObject({
      status: "healthy",
    });
  });

  test("a connector whose connections are cleaned up comes back; one with an old token does not", async () => {
    const { cloudflared } = house.api.zeroTrust.tunnels;
    await cloudflared.connections.delete(house.tunnelId, { account_id });
    await house.untilDisconnected();
    await house.untilConnected();
    await cloudflared.edit(house.tunnelId, {
      account_id,
      tunnel_secret: Buffer.alloc(32, 9).toString("base64"),
    });
    expect((await house.send("/", { headers: house.phoneHeaders() })).status).toBe(200);
    await cloudflared.connections.delete(house.tunnelId, { account_id });
    expect(await house.connector.refused).toBe("Unauthorized: Invalid tunnel secret");
    house.tunnelToken = await cloudflared.token.get(house.tunnelId, { account_id });
    house.connect();
    await house.untilConnected();
  });
});

describe("the edge of an older organization", () => {
  let house: House;
  beforeAll(async () => {
    house = await House.build({ strict: false });
  });
  afterAll(() => house.close());

  test("sends a wrong token to the sign-in page, and gives a right one a session", async () => {
    const wrong = await house.send("/", { headers: house.phoneHeaders("0".repeat(64)) });
    expect(wrong.status).toBe(302);
    const right = await house.send("/", { headers: house.phoneHeaders() });
    expect(right.status).toBe(200);
    const cookie = right.headers["set-cookie"]!.find((one) => one.startsWith("CF_Authorization="))!;
    expect((await house.send("/", { headers: { cookie: cookie.split(";")[0]! } })).status).toBe(
      200,
    );
  });

  test("answers 401 instead where the application says so, browsers included", async () => {
    const { applications } = house.api.zeroTrust.access;
    const application = {
      account_id,
      type: "self_hosted" as const,
      name: "photos",
      domain: host,
      allowed_idps: [house.pinId],
      policies: [
        { id: house.phonesPolicyId, precedence: 1 },
        { id: house.familyPolicyId, precedence: 2 },
      ],
    };
    await applications.update(house.applicationId, {
      ...application,
      service_auth_401_redirect: true,
    });
    expect((await house.send("/")).status).toBe(401);
    await applications.update(house.applicationId, application);
    expect((await house.send("/")).status).toBe(302);
  });

  test("a token in an Allow policy opens nothing (row 44)", async () => {
    const { policies } = house.api.zeroTrust.access;
    await policies.update(house.phonesPolicyId, {
      account_id,
      name: "phones",
      decision: "allow",
      include: [{ service_token: { token_id: house.phone.id } }],
    });
    expect((await house.send("/", { headers: house.phoneHeaders() })).status).toBe(302);
    await policies.update(house.phonesPolicyId, {
      account_id,
      name: "phones",
      decision: "non_identity",
      include: [{ service_token: { token_id: house.phone.id } }],
    });
  });

  test("without an application the host is open, which the decisions tell", async () => {
    await house.configure({});
    await house.untilConnected();
    await house.api.zeroTrust.access.applications.delete(house.applicationId, { account_id });
    expect((await house.send("/")).status).toBe(200);
    await until("the decision", async () =>
      (await house.lastReason()).includes("no Access application"),
    );
  });
});
