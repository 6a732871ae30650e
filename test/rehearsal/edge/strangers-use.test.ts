import { randomUUID } from "node:crypto";
import Cloudflare from "cloudflare";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Clock } from "../../../rehearsal/clock.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import { readAccount } from "../../../infra/cloudflare/account.ts";
import { findAdoptable, refuseStrangersLoss } from "../../../infra/cloudflare/adoption.ts";
import { goingTokens } from "../../../infra/cloudflare/going-tokens.ts";
import { sharedThings } from "../../../infra/cloudflare/shared-things.ts";
import { parseSettings } from "../../../infra/settings/settings.ts";
import { account_id, host } from "../cloudflare/house.ts";
import { apiToken } from "./edge-house.ts";

/** An account in which the photos alone are served, by hand: all of it may be taken over. */
class Account {
  readonly world: PretendCloudflare;
  readonly api: Cloudflare;
  readonly ids: Record<string, string> = {};
  settings: Record<string, unknown> = {};

  private constructor(world: PretendCloudflare) {
    this.world = world;
    this.api = new Cloudflare({ apiToken, baseURL: world.apiUrl, maxRetries: 0 });
  }

  static async open(): Promise<Account> {
    const account = new Account(
      await startCloudflare({
        clock: new Clock(),
        accountId: account_id,
        zoneName: "example.com",
        teamName: "family",
        apiTokens: [{ value: apiToken }],
      }),
    );
    await account.#serveThePhotos();
    return account;
  }

  get data() {
    return this.world.state.data;
  }

  async #serveThePhotos(): Promise<void> {
    const { zeroTrust, dns, alerting } = this.api;
    const { ids } = this;
    const make = async (what: string, made: Promise<{ id?: string | undefined }>) => {
      ids[what] = (await made).id!;
    };
    await make(
      "pin",
      zeroTrust.identityProviders.create({
        ...{ account_id, name: "One-time PIN", type: "onetimepin", config: {} },
      }),
    );
    await make(
      "google",
      zeroTrust.identityProviders.create({
        ...{ account_id, name: "Google", type: "google" },
        config: { client_id: "theirs", client_secret: "secret" },
      }),
    );
    await make("phone", zeroTrust.access.serviceTokens.create({ account_id, name: "my phone" }));
    await make(
      "phones",
      zeroTrust.access.policies.create({
        ...{ account_id, name: "service auth", decision: "non_identity" },
        include: [{ service_token: { token_id: ids.phone! } }],
      }),
    );
    await make("family", this.policy("family", [{ email: { email: "ken@example.com" } }]));
    await make(
      "application",
      zeroTrust.access.applications.create({
        ...{ account_id, type: "self_hosted", name: "Immich", domain: host },
        allowed_idps: [ids.pin!, ids.google!],
        policies: [
          { id: ids.family!, precedence: 1 },
          { id: ids.phones!, precedence: 2 },
        ],
      }),
    );
    await make(
      "tunnel",
      zeroTrust.tunnels.cloudflared.create({
        ...{ account_id, name: "raspberrypi", config_src: "cloudflare" },
      }),
    );
    await this.ingress([{ hostname: host, service: "http://localhost:2283" }]);
    await make(
      "record",
      dns.records.create({
        ...{ zone_id: this.data.zones[0]!.id, type: "CNAME", name: host, ttl: 1, proxied: true },
        content: `${ids.tunnel}.cfargotunnel.com`,
      }),
    );
    await make(
      "alert",
      alerting.policies.create({
        ...{ account_id, name: "tokens", alert_type: "expiring_service_token_alert" as never },
        enabled: true,
        mechanisms: { email: [{ id: "ken@example.com" }] },
      }),
    );
  }

  policy(name: string, include: object[], more: object = {}): Promise<{ id?: string }> {
    return this.api.zeroTrust.access.policies.create({
      ...{ account_id, name, decision: "allow", include: include as never, ...more },
    });
  }

  /** The configuration with a last rule, and what else it has. */
  async ingress(rules: object[], last = "http_status:404", more: object = {}): Promise<void> {
    await this.api.zeroTrust.tunnels.cloudflared.configurations.update(this.ids.tunnel!, {
      account_id,
      config: { ingress: [...rules, { service: last }] as never, ...more },
    });
  }

  application(name: string, domain: string, policies: string[], more: object = {}) {
    return this.api.zeroTrust.access.applications.create({
      ...{ account_id, type: "self_hosted", name, domain, allowed_idps: [this.ids.pin!] },
      policies: policies.map((id, index) => ({ id, precedence: index + 1 })),
      ...more,
    });
  }

  /** A field of the photos' application, as the dashboard would have set it. */
  setting(name: string, value: unknown): void {
    Object.assign(this.data.applications[0]!, { [name]: value });
  }

  bind(policyId: string): void {
    const { policies } = this.data.applications[0]!;
    policies.push({ id: policyId, precedence: policies.length + 1 });
  }

  parsed() {
    return parseSettings(
      Object.fromEntries(
        Object.entries({
          domain: "example.com",
          accountId: account_id,
          timeZone: "Asia/Tokyo",
          pi: {
            host: "192.0.2.1",
            hostKey: `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from("ssh-ed25519"), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32)]).toString("base64")}`,
          },
          disks: { main: "usb-A_1-0:0", backup: "usb-B_2-0:0" },
          family: [{ name: "ken", email: "Ken@example.com", phones: [{ name: "iphone" }] }],
          googleClientId: "1234-ours.apps.googleusercontent.com",
          googleClientSecret: "secret",
          ...this.settings,
        }).map(([key, value]) => [
          `ouchi-photos:${key}`,
          typeof value === "string" ? value : JSON.stringify(value),
        ]),
      ),
      "dev",
      (key) => key === "ouchi-photos:googleClientSecret",
    );
  }

  /** @param at the house's name, where it is about to have another. */
  read(at = host) {
    return readAccount({
      ...{ apiToken, baseUrl: this.world.apiUrl, accountId: account_id },
      ...{ domain: "example.com", host: at, adoptedRecord: "any" },
    });
  }

  /** Gives all of it the names of a house that the kit made, or took over. */
  becomeTheKits(): void {
    const [phones, family] = this.data.policies;
    phones!.name = `ouchi-photos phones (${host})`;
    family!.name = `ouchi-photos family (${host})`;
    this.data.applications[0]!.name = `ouchi-photos (${host})`;
    this.data.tunnels[0]!.name = `ouchi-photos (${host})`;
    this.data.serviceTokens[0]!.name = `ouchi-photos ken iphone (${host})`;
    this.data.identityProviders[1]!.name = `ouchi-photos Google (${host})`;
    this.data.notificationPolicies[0]!.name = `ouchi-photos token-expiry (${host})`;
    this.data.dnsRecords[0]!.comment = "ouchi-photos";
  }

  guardsHomeToo(): void {
    const places = [host, "ha.example.com"];
    this.setting("self_hosted_domains", places);
    this.setting(
      "destinations",
      places.map((uri) => ({ type: "public", uri })),
    );
  }

  /** What an `up` is refused by; empty where it is not. */
  async refusedUp(at = host): Promise<string> {
    return refuseStrangersLoss(await this.read(at), this.parsed(), at).then(
      () => "",
      (error: Error) => error.message,
    );
  }

  /** The setting `adopt` that names all of it. */
  adoptAll(): void {
    const { ids } = this;
    this.settings.adopt = {
      ...{ tunnel: ids.tunnel, record: ids.record, application: ids.application },
      policies: { family: ids.family, phones: ids.phones },
      google: ids.google,
      phones: { "ken-iphone": ids.phone },
      alerts: { tokenExpiry: ids.alert },
    };
  }

  async find() {
    return findAdoptable(await this.read(), this.parsed(), host, new Set());
  }

  /** The same things, typed. */
  async refusal(): Promise<string> {
    this.adoptAll();
    const settings = this.parsed();
    const account = await this.read();
    // As an import asks, and as every up does.
    const refusals = await Promise.all(
      [new Set<string>(), undefined].map((held) =>
        refuseStrangersLoss(account, settings, host, held).then(
          () => "",
          (error: Error) => error.message,
        ),
      ),
    );
    expect(refusals[0]).toBe(refusals[1]);
    return refusals[0]!;
  }
}

let account: Account;
beforeEach(async () => {
  account = await Account.open();
});
afterEach(() => account.world.close());

const everything = [
  "application",
  "google",
  "policies.family",
  "policies.phones",
  "record",
  "tunnel",
];

function proposed(adopt: object): string[] {
  return Object.entries(adopt)
    .flatMap(([key, value]) =>
      typeof value === "string" ? [key] : Object.keys(value).map((inner) => `${key}.${inner}`),
    )
    .sort();
}

describe("what serves the photos alone", () => {
  it("is proposed whole, and passes when it is typed", async () => {
    const { adopt, hostname, remarks } = await account.find();
    expect(proposed(adopt)).toEqual(everything);
    expect(hostname).toBeUndefined();
    expect(remarks.join("\n")).toContain(`The service token "my phone" is ${account.ids.phone}`);
    expect(await account.refusal()).toBe("");
  });
});

/** One stranger's use; the words that must name it, and what is not proposed for it. */
type Case = [
  title: string,
  use: (account: Account) => Promise<unknown> | unknown,
  words: string[],
  left: string[],
];

const anotherHostname = everything;

const cases: Case[] = [
  [
    "a tunnel that serves another hostname",
    (account) =>
      account.ingress([
        { hostname: host, service: "http://localhost:2283" },
        { hostname: "ha.example.com", service: "http://localhost:8123" },
      ]),
    ['"raspberrypi"', "ha.example.com leads to http://localhost:8123", "of its own"],
    ["tunnel"],
  ],
  [
    "a tunnel that serves a path of the host by another service",
    (account) =>
      account.ingress([
        { hostname: host, path: "/share", service: "http://localhost:3000" },
        { hostname: host, service: "http://localhost:2283" },
      ]),
    [`${host} (/share) leads to http://localhost:3000`],
    ["tunnel"],
  ],
  [
    "a tunnel whose last rule leads somewhere",
    (account) => account.ingress([], "http://localhost:80"),
    ["every other name leads to http://localhost:80"],
    ["tunnel"],
  ],
  [
    "a tunnel that leads to private networks",
    (account) => account.ingress([], "http_status:404", { "warp-routing": { enabled: true } }),
    ["devices reach private networks by it"],
    ["tunnel"],
  ],
  [
    "a tunnel with a private route",
    (account) =>
      account.api.zeroTrust.networks.routes.create({
        ...{ account_id, network: "192.168.11.0/24", tunnel_id: account.ids.tunnel! },
      }),
    ["devices reach 192.168.11.0/24 by it"],
    ["tunnel"],
  ],
  [
    "a tunnel with a private hostname",
    (account) =>
      account.api.zeroTrust.networks.hostnameRoutes.create({
        ...{ account_id, hostname: "nas.internal", tunnel_id: account.ids.tunnel! },
      }),
    ["devices reach nas.internal by it"],
    ["tunnel"],
  ],
  [
    "a tunnel with settings for all its names",
    (account) => account.ingress([], "http_status:404", { originRequest: { noTLSVerify: true } }),
    ["noTLSVerify"],
    ["tunnel"],
  ],
  [
    "a tunnel whose connector finds the photos on another machine",
    (account) => account.ingress([{ hostname: host, service: "http://immich-server:2283" }]),
    ["http://immich-server:2283"],
    ["tunnel"],
  ],
  [
    "a tunnel to which a name in another zone leads",
    async (account) => {
      account.data.zones.push({
        ...account.data.zones[0]!,
        ...{ id: "9".repeat(32), name: "other.example" },
      });
      await account.api.dns.records.create({
        ...{ zone_id: "9".repeat(32), type: "CNAME", name: "nas.other.example", ttl: 1 },
        content: `${account.ids.tunnel}.cfargotunnel.com`,
      });
    },
    ["the name nas.other.example leads to it"],
    ["tunnel"],
  ],
  [
    "a tunnel whose ingress is in a file",
    (account) => {
      account.data.tunnels[0]!.configSrc = "local";
    },
    ["in a file beside its connector"],
    ["tunnel"],
  ],
  [
    "a policy of people that another application uses",
    (account) => account.application("Wiki", "wiki.example.com", [account.ids.family!]),
    ['The policy "family" lets into "Wiki" too', "the family would get in there", "of its own"],
    ["policies.family"],
  ],
  [
    "a policy of phones that another application uses",
    (account) => account.application("Wiki", "wiki.example.com", [account.ids.phones!]),
    ['The policy "service auth" lets into "Wiki" too'],
    ["policies.phones"],
  ],
  [
    "an application that guards another host too",
    (account) =>
      (account.setting("self_hosted_domains", [host, "ha.example.com"]) as undefined) ??
      account.setting("destinations", [
        { type: "public", uri: host },
        { type: "public", uri: "ha.example.com" },
      ]),
    ['"Immich"', "it also guards ha.example.com", "left without that gate", "another hostname"],
    anotherHostname,
  ],
  [
    "an application with custom pages",
    (account) => account.setting("custom_pages", [randomUUID()]),
    ["its custom pages would go"],
    anotherHostname,
  ],
  [
    "an application with CORS headers",
    (account) => account.setting("cors_headers", { allow_all_origins: true }),
    ["its CORS headers would go"],
    anotherHostname,
  ],
  [
    "an application whose phones send one header",
    (account) => account.setting("read_service_tokens_from_header", "Authorization"),
    ["locked out"],
    anotherHostname,
  ],
  [
    "an application that everybody passes by",
    async (account) => {
      const bypass = await account.policy("open", [{ everyone: {} }], { decision: "bypass" });
      account.bind(bypass.id!);
    },
    ['its policy "open" lets in everybody without any sign-in'],
    anotherHostname,
  ],
  [
    "an application with a policy that keeps somebody out",
    async (account) => {
      const deny = await account.policy("no", [{ ip: { ip: "192.0.2.0/24" } }], {
        decision: "deny",
      });
      account.bind(deny.id!);
    },
    ['its policy "no" keeps out ip 192.0.2.0/24'],
    anotherHostname,
  ],
  [
    "an application that lets in somebody who is not in the family",
    (account) => {
      account.data.policies[1]!.include.push({ email: { email: "aunt@example.com" } });
    },
    ["lets in aunt@example.com", "in the stack file"],
    anotherHostname,
  ],
  [
    "an application that lets in a group",
    async (account) => {
      const group = await account.api.zeroTrust.access.groups.create({
        ...{ account_id, name: "friends" },
        include: [{ email: { email: "friend@example.org" } }],
      });
      account.data.policies[1]!.include.push({ group: { id: group.id! } });
    },
    ['lets in the group "friends"'],
    anotherHostname,
  ],
  [
    "an application that asks for more than an address",
    (account) => {
      account.data.policies[1]!.require.push({ ip: { ip: "192.0.2.0/24" } });
    },
    ["asks for ip 192.0.2.0/24"],
    anotherHostname,
  ],
  [
    "an application that lets in more machines than the family has phones",
    async (account) => {
      const token = await account.api.zeroTrust.access.serviceTokens.create({
        ...{ account_id, name: "ha backup" },
      });
      account.data.policies[0]!.include.push({ service_token: { token_id: token.id! } });
    },
    ['the service token "ha backup"'],
    anotherHostname,
  ],
  [
    "a sign-in with Google that another application allows",
    (account) =>
      account.application("Wiki", "wiki.example.com", [], {
        allowed_idps: [account.ids.google!],
      }),
    ['People sign in by "Google" for "Wiki" too', "of its own beside it"],
    ["google"],
  ],
  [
    "a sign-in with Google of an account whose other application allows every one",
    (account) => account.application("Wiki", "wiki.example.com", [], { allowed_idps: [] }),
    ['for "Wiki" too'],
    ["google"],
  ],
  [
    "a sign-in with Google that a policy asks for",
    async (account) => {
      const policy = await account.policy("by google", [{ everyone: {} }]);
      account.data.policies
        .find(({ id }) => id === policy.id)!
        .require.push({ login_method: { id: account.ids.google! } });
    },
    ['for "by google" too'],
    ["google"],
  ],
];

describe("what others use too is named and left to them", () => {
  it.each(cases)("%s", async (_title, use, words, left) => {
    await use(account);
    const { adopt, hostname, remarks } = await account.find();
    const said = remarks.join("\n");
    for (const word of words) expect(said).toMatch(new RegExp(word.replaceAll(/[()./"]/g, "\\$&")));
    expect(proposed(adopt)).toEqual(everything.filter((key) => !left.includes(key)));
    // Cloudflare has one application for a name: without it the house needs another.
    expect(hostname).toBe(left.includes("application") ? "photos-home" : undefined);
    const refusal = await account.refusal();
    for (const word of words.slice(0, 1)) {
      expect(refusal).toMatch(new RegExp(word.replaceAll(/[()./"]/g, "\\$&")));
    }
    expect(refusal).toContain("Nothing was changed.");
  });
});

it("a policy that Cloudflare counts for three applications, and lists one of, is left to them", async () => {
  const read = await account.read();
  read.policies.find(({ id }) => id === account.ids.family)!.app_count = 3;
  const { adopt, remarks } = await findAdoptable(read, account.parsed(), host, new Set());
  expect(adopt.policies?.family).toBeUndefined();
  expect(remarks.join("\n")).toContain('The policy "family" lets into 2 more too');
});

it("a token that a policy of other applications names is left to them with it", async () => {
  await account.application("Wiki", "wiki.example.com", [account.ids.phones!]);
  expect((await account.find()).remarks.join("\n")).not.toContain("If a phone of the family");
  expect(await account.refusal()).toContain(
    `The service token "my phone" (${account.ids.phone}) is named by "service auth" too`,
  );
});

describe("a record", () => {
  it.each([
    ["an address", { type: "A", content: "203.0.113.5" }],
    ["somebody else's name", { type: "CNAME", content: "example.github.io" }],
    ["a tunnel of another account", { type: "CNAME", content: `${randomUUID()}.cfargotunnel.com` }],
  ])(
    "that leads to %s is left as it is, and the house gets another hostname",
    async (_what, to) => {
      Object.assign(account.data.dnsRecords[0]!, to);
      const { adopt, hostname, remarks } = await account.find();
      expect([adopt, hostname]).toEqual([{}, "photos-home"]);
      expect(remarks.join("\n")).toContain(`${to.type} ${to.content}`);
      expect(await account.refusal()).toContain("no tunnel of this account");
    },
  );

  it("is taken over beside a text record of the same name", async () => {
    await account.api.dns.records.create({
      ...{ zone_id: account.data.zones[0]!.id, type: "TXT", name: host, content: "v=1", ttl: 1 },
    });
    expect((await account.find()).adopt.record).toBe(account.ids.record);
  });
});

describe("what is typed into the setting", () => {
  it("is refused for a token that a group names too", async () => {
    await account.api.zeroTrust.access.groups.create({
      ...{ account_id, name: "machines" },
      include: [{ service_token: { token_id: account.ids.phone! } }],
    });
    expect(await account.refusal()).toContain(
      `The service token "my phone" (${account.ids.phone}) is named by "machines" too`,
    );
  });

  it("is refused for a token of another policy", async () => {
    await account.policy("ha", [{ service_token: { token_id: account.ids.phone! } }], {
      decision: "non_identity",
    });
    expect(await account.refusal()).toContain('is named by "ha" too');
  });

  it.each([
    ["another address", { mechanisms: { email: [{ id: "ken@example.com" }, { id: "it@x.org" }] } }],
    ["a webhook", { mechanisms: { email: [], webhooks: [{ id: "1" }] } }],
    ["filters", { filters: { new_status: ["TUNNEL_STATUS_TYPE_DOWN"] } }],
  ])("is refused for a notification with %s", async (_what, more) => {
    Object.assign(account.data.notificationPolicies[0]!, more);
    expect(await account.refusal()).toContain('The notification "tokens" is not taken over');
  });

  it("is refused at the import for a thing that is not there", async () => {
    account.settings.adopt = { tunnel: randomUUID() };
    await expect(
      refuseStrangersLoss(await account.read(), account.parsed(), host, new Set()),
    ).rejects.toThrow(/names what Cloudflare does not have: tunnel: /);
  });

  it("passes for what bears the kit's name already, whoever the family is by now", async () => {
    account.data.policies[1]!.name = `ouchi-photos family (${host})`;
    account.data.policies[1]!.include = [{ email: { email: "mio@example.com" } }];
    account.data.applications[0]!.name = `ouchi-photos (${host})`;
    expect(await account.refusal()).toBe("");
  });
});

describe("an application that stands in the way", () => {
  it("stops an `up` that does not name it, before anything is made", async () => {
    await expect(refuseStrangersLoss(await account.read(), account.parsed(), host)).rejects.toThrow(
      /The application "Immich" .* guards photos.example.com already/,
    );
  });
});

describe("a house that was taken over", () => {
  beforeEach(() => {
    account.becomeTheKits();
    account.adoptAll();
  });

  it("may move to another hostname with the lines left in the stack file", async () => {
    account.settings.hostname = "pictures";
    expect(await account.refusedUp("pictures.example.com")).toBe("");
  });

  it("is no stranger's to `adopt` where a cut move has left a rule for the former host", async () => {
    const former = {
      ...{ hostname: "pictures.example.com", service: "http://localhost:2283" },
      originRequest: { access: { required: true, teamName: "family", audTag: ["aud"] } },
    };
    await account.ingress([former, { hostname: host, service: "http://localhost:2283" }]);
    expect((await account.find()).adopt.tunnel).toBe(account.ids.tunnel);
  });
});

describe("the kit's own application that was renamed in the dashboard", () => {
  beforeEach(() => {
    account.becomeTheKits();
    account.setting("name", "Photos of ours");
  });

  it("is known by the kit's policies that are bound to it", async () => {
    expect(await account.refusedUp()).toBe("");
  });

  it("is kept, and not written over, once others use it", async () => {
    account.guardsHomeToo();
    expect(sharedThings(await account.read(), host)).toContainEqual(
      expect.objectContaining({ kind: "application", use: "it guards ha.example.com too" }),
    );
  });

  it("is to get its name back where its policies were changed, too", async () => {
    const aunts = await account.policy("aunts", [{ email: { email: "aunt@example.com" } }]);
    account.bind(aunts.id!);
    expect(await account.refusedUp()).toContain(
      `give it its name back in the dashboard: "ouchi-photos (${host})"`,
    );
  });
});

describe("the last phone of the family", () => {
  beforeEach(() => {
    account.becomeTheKits();
    account.settings.family = [{ name: "ken", email: "ken@example.com" }];
  });

  it("may leave a house that nobody else uses", async () => {
    expect(await account.refusedUp()).toBe("");
  });

  it.each([
    ["the application", "it guards ha.example.com too", () => account.guardsHomeToo()],
    [
      "the phones' policy",
      '"Wiki" let people in by it too',
      () => account.application("Wiki", "wiki.example.com", [account.ids.phones!]),
    ],
  ])(
    "is said to be still in while others use %s, with the way to lock it out",
    async (_what, use, share) => {
      await share();
      const refused = await account.refusedUp();
      for (const words of [
        "is still in",
        use,
        "overlapUntil in the past",
        "Nothing was changed.",
      ]) {
        expect(refused).toContain(words);
      }
    },
  );
});

describe("the token of a phone that left the family", () => {
  const going = async () => {
    const read = await account.read();
    return goingTokens(read.serviceTokens, host, [], read);
  };
  beforeEach(() => account.becomeTheKits());

  it("goes, and locks out whoever has its headers", async () => {
    expect((await going()).join()).toContain("ken's iphone goes");
  });

  it("stays where a stranger's policy names it, and is said to let in there still", async () => {
    await account.policy("theirs", [{ service_token: { token_id: account.ids.phone! } }], {
      decision: "non_identity",
    });
    const [sentence, ...more] = await going();
    expect(more).toEqual([]);
    expect(sentence).toContain('stays, since "theirs" names it too, and lets in there still');
    expect(sentence).not.toContain("goes");
  });

  it("is not spoken of once nobody names it", async () => {
    account.data.policies[0]!.include = [];
    expect(await going()).toEqual([]);
  });
});
