import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Cloudflare from "cloudflare";
import { Connector } from "../../../rehearsal/cloudflared/connector.ts";
import { account_id, Browser, until } from "../cloudflare/house.ts";
import { apiToken, type EdgeHouse, hostOfEdge } from "./edge-house.ts";

export const haHost = "ha.example.com";

type Allow = { name: string; emails: string[] };

/**
 * What a household has in its account before the kit comes: Home Assistant at a name of its own, on the same tunnel as
 * an Immich that was set up by hand, people and machines that get in there, and one policy for all of it.
 */
export class Strangers {
  readonly api: Cloudflare;
  readonly #house: EdgeHouse;
  readonly #ends: (() => unknown)[] = [];
  zone_id = "";
  pinId = "";
  tunnelId = "";
  haApplicationId = "";
  /** Lets in a phone to the photos. */
  phone = { id: "", headers: {} as Record<string, string> };
  /** Lets in a machine to Home Assistant. */
  machine = { id: "", headers: {} as Record<string, string> };

  private constructor(house: EdgeHouse) {
    this.#house = house;
    this.api = new Cloudflare({ apiToken, baseURL: house.world.apiUrl, maxRetries: 0 });
  }

  static async moveIn(house: EdgeHouse): Promise<Strangers> {
    const strangers = new Strangers(house);
    await strangers.#moveIn();
    house.gaps.length = 0;
    house.takeCalls();
    return strangers;
  }

  /** Somebody with an API token and nothing there yet; sign-in is by the account's one-time PIN. */
  static async comeBy(house: EdgeHouse): Promise<Strangers> {
    const strangers = new Strangers(house);
    const { data } = house.world.state;
    strangers.zone_id = data.zones[0]!.id;
    strangers.pinId = (data.identityProviders[0] ?? (await strangers.#pin())).id!;
    return strangers;
  }

  #pin() {
    return this.api.zeroTrust.identityProviders.create({
      ...{ account_id, name: "One-time PIN", type: "onetimepin", config: {} },
    });
  }

  close(): void {
    for (const end of this.#ends.splice(0).reverse()) end();
  }

  async #moveIn(): Promise<void> {
    this.zone_id = this.#house.world.state.data.zones[0]!.id;
    this.pinId = (await this.#pin()).id!;
    this.phone = await this.token("my phone");
    this.machine = await this.token("ha backup");
    const household = await this.allow({
      name: "household",
      emails: ["ken@example.com", "work@example.org"],
    });
    const phones = await this.machines("service auth", this.phone.id);
    const machines = await this.machines("machines", this.machine.id);
    await this.application("Immich", hostOfEdge, [household, phones]);
    this.haApplicationId = await this.application("Home Assistant", haHost, [household, machines]);
    await this.application("Wiki", "wiki.example.com", [household]);
    this.tunnelId = await this.tunnel("raspberrypi", {
      [hostOfEdge]: await this.origin("the old photos"),
      [haHost]: await this.origin("home assistant"),
    });
    await this.record(hostOfEdge, this.tunnelId);
    await this.record(haHost, this.tunnelId);
  }

  async token(name: string): Promise<Strangers["phone"]> {
    const token = await this.api.zeroTrust.access.serviceTokens.create({ account_id, name });
    return {
      id: token.id!,
      headers: {
        "CF-Access-Client-Id": token.client_id!,
        "CF-Access-Client-Secret": token.client_secret!,
      },
    };
  }

  async allow({ name, emails }: Allow): Promise<string> {
    const policy = await this.api.zeroTrust.access.policies.create({
      ...{ account_id, name, decision: "allow" },
      include: emails.map((email) => ({ email: { email } })),
    });
    return policy.id!;
  }

  async machines(name: string, ...tokens: string[]): Promise<string> {
    const policy = await this.api.zeroTrust.access.policies.create({
      ...{ account_id, name, decision: "non_identity" },
      include: tokens.map((token_id) => ({ service_token: { token_id } })),
    });
    return policy.id!;
  }

  async application(
    name: string,
    domain: string,
    policies: string[],
    more: object = {},
  ): Promise<string> {
    const application = await this.api.zeroTrust.access.applications.create({
      ...{ account_id, type: "self_hosted", name, domain, allowed_idps: [this.pinId] },
      policies: policies.map((id, index) => ({ id, precedence: index + 1 })),
      ...more,
    });
    return application.id!;
  }

  /** A web page on this machine. Returns its address. */
  async origin(says: string): Promise<string> {
    const server = createServer((_request, response) => response.end(says));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#ends.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://localhost:${(server.address() as AddressInfo).port}`;
  }

  /** A tunnel that no connector runs. */
  async configuredTunnel(name: string, services: Record<string, string>): Promise<string> {
    const { cloudflared } = this.api.zeroTrust.tunnels;
    const { id } = await cloudflared.create({ account_id, name, config_src: "cloudflare" });
    await cloudflared.configurations.update(id!, {
      account_id,
      config: {
        ingress: [
          ...Object.entries(services).map(([hostname, service]) => ({ hostname, service })),
          { service: "http_status:404" } as never,
        ],
      },
    });
    return id!;
  }

  /** A tunnel with its connector running. */
  async tunnel(name: string, services: Record<string, string>): Promise<string> {
    const id = await this.configuredTunnel(name, services);
    const { cloudflared } = this.api.zeroTrust.tunnels;
    const { world, clock } = this.#house;
    const connector = new Connector({
      token: await cloudflared.token.get(id, { account_id }),
      edge: `127.0.0.1:${world.tunnelPort}`,
      certsUrl: `http://127.0.0.1:${world.certsPort}`,
      now: () => clock.now(),
    });
    connector.start();
    this.#ends.push(() => connector.stop());
    await until("the old connector", async () => {
      const { connections } = await cloudflared.get(id, { account_id });
      return connections?.length === 4;
    });
    return id;
  }

  async record(name: string, tunnelId: string): Promise<void> {
    await this.api.dns.records.create({
      ...{ zone_id: this.zone_id, type: "CNAME", name, ttl: 1, proxied: true },
      content: `${tunnelId}.cfargotunnel.com`,
    });
  }

  /** What Home Assistant says to whoever sends these headers, or its refusal. */
  async seenAtHome(headers: Record<string, string> = this.machine.headers): Promise<string> {
    const answer = await this.#house.send("/", { host: haHost, headers });
    return answer.status === 200 ? answer.body.toString() : String(answer.status);
  }

  /** What Home Assistant says to a person who signs in there by a mailed code. */
  async signsInAtHome(email: string): Promise<string> {
    // Past the limit of codes in an hour.
    this.#house.clock.advance(3_600_000);
    const browser = new Browser(this.#house);
    const page = await browser.open(`https://${haHost}/`);
    const state = /name="state" value="([0-9a-f]+)"/.exec(page.body.toString())![1]!;
    await browser.visit("https://family.cloudflareaccess.com/cdn-cgi/access/onetimepin/login", {
      ...{ state, email },
    });
    const mails = await this.#house.control.mails(email);
    const answer = await browser.enterCode(state, mails.at(-1)?.code ?? "000000");
    return answer.status === 200 && answer.url.hostname === haHost
      ? answer.body.toString()
      : "refused";
  }
}
