import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { destroy } from "../../../rehearsal/engine/engine.ts";
import { errorsOf } from "../engine/project-folder.ts";
import { EdgeHouse, hostOfEdge, ken, lines, writes } from "./edge-house.ts";
import { failureOf, moments } from "./moments.ts";
import { ouchiAdopt, ouchiDestroy } from "./ouchi.ts";
import { haHost, Strangers } from "./strangers.ts";
import { baaba, takeoverWalk, undisturbed } from "./takeover-walk.ts";

const yetOffline = 530;

describe("an account with a shared tunnel and a shared policy", { timeout: 300_000 }, () => {
  let house: EdgeHouse;
  let strangers: Strangers;
  beforeAll(async () => {
    house = await EdgeHouse.build([ken, baaba]);
    strangers = await Strangers.moveIn(house);
  });
  afterAll(async () => {
    strangers.close();
    await house.close();
  });

  it("is proposed without them, and each is named with what would be lost", async () => {
    await undisturbed(strangers);
    house.takeCalls();
    const { adopt, printed } = await ouchiAdopt(house);
    const { applications, policies, dnsRecords } = house.world.state.data;
    expect(adopt).toEqual({
      record: dnsRecords.find(({ name }) => name === hostOfEdge)!.id,
      application: applications.find(({ name }) => name === "Immich")!.id,
      policies: { phones: policies.find(({ name }) => name === "service auth")!.id },
    });
    expect(printed).toMatch(/The tunnel "raspberrypi" is used by others too: ha.example.com leads/);
    expect(printed).toContain('The policy "household" lets into "Home Assistant", "Wiki" too');
    expect(printed).toContain("work@example.org");
    expect(printed).not.toContain("onetimepin");
    expect(writes(house.takeCalls())).toEqual([]);
    house.set("adopt", {
      ...(adopt as object),
      phones: { "ken-iphone": strangers.phone.id },
    });
  });

  it("refuses what is typed all the same, before anything changes", async () => {
    const { policies } = house.world.state.data;
    const household = policies.find(({ name }) => name === "household")!.id;
    const lines = house.setting("adopt") as { policies: object };
    house.set("adopt", {
      ...lines,
      tunnel: strangers.tunnelId,
      policies: { ...lines.policies, family: household },
    });
    const { printed, exitCode } = await ouchiAdopt(house);
    expect(exitCode).toBe(1);
    expect(printed).toContain('The tunnel "raspberrypi" is used by others too');
    expect(printed).toContain('The policy "household" lets into');
    const errors = errorsOf(await house.failure()).join("\n");
    expect(errors).toContain('The tunnel "raspberrypi" is used by others too');
    expect(writes(house.takeCalls())).toEqual([]);
    house.set("adopt", lines);
  });

  it("is taken over with the old tunnel serving the photos until the name is turned, last of all", async () => {
    const { printed } = await ouchiAdopt(house);
    expect(printed).toContain("= 4 imported");
    expect(writes(house.takeCalls())).toEqual([]);
    await undisturbed(strangers);
    const photos = async () => {
      const answer = await house.send("/", { headers: strangers.phone.headers });
      return answer.status === 200 ? answer.body.toString() : String(answer.status);
    };
    expect(await photos()).toBe("the old photos");
    house.takeCalls();
    // One after the other, each write is refused once; whatever is left lets the phone in to the photos.
    const { data } = house.world.state;
    const wholeRun = async () => {
      const failed = await failureOf(house);
      house.world.faults.clear();
      return failed;
    };
    house.world.faults.add({
      ...{ method: "PUT", path: "dns_records", kind: "status", status: 400, times: 50 },
    });
    expect(await wholeRun()).toBeDefined();
    const [last] = moments(writes(house.takeCalls())).slice(-1);
    expect(last).toMatchObject({ method: "PUT" });
    expect(last!.path).toContain("dns_records");
    expect(await photos()).toBe("the old photos");
    await undisturbed(strangers);
    house.takeCalls();
    const { summary } = await house.up();
    expect(summary).toMatchObject({ replace: 0, delete: 0 });
    expect(lines(writes(house.takeCalls()))).toEqual([
      expect.stringMatching(/^PUT \/zones\/.*\/dns_records\//),
    ]);
    expect(await photos()).toBe(String(yetOffline));
    expect(house.gaps).toEqual([]);
    await undisturbed(strangers);
    const names = data.tunnels.filter(({ deletedAt }) => !deletedAt).map(({ name }) => name);
    expect(names.sort()).toEqual([`ouchi-photos (${hostOfEdge})`, "raspberrypi"]);
    await house.up({ expectNoChanges: true });
  });

  it("leaves everything of theirs when the house goes", async () => {
    const { printed, exitCode } = await ouchiDestroy(house);
    expect(printed).toContain("the one-time PIN stays");
    expect(exitCode ?? 0).toBe(0);
    await undisturbed(strangers);
    expect(house.things()).toEqual(
      [
        "application Home Assistant",
        "application Wiki",
        "policy household",
        "policy machines",
        `record ${haHost}`,
        "sign-in One-time PIN",
        "token ha backup",
        "tunnel raspberrypi",
      ].sort(),
    );
  });
});

takeoverWalk("every second");

describe("an application for the photos and for something else", { timeout: 300_000 }, () => {
  it("is left alone: the house gets another hostname, and goes again, and nobody notices", async () => {
    const house = await EdgeHouse.build([ken, baaba]);
    const strangers = await Strangers.moveIn(house);
    try {
      const { data } = house.world.state;
      // One application for both names, as the dashboard makes it.
      data.applications = data.applications.filter(({ name }) => name !== "Immich");
      const home = data.applications.find(({ name }) => name === "Home Assistant")!;
      home.self_hosted_domains = [haHost, hostOfEdge];
      home.destinations = home.self_hosted_domains.map((uri) => ({ type: "public", uri }));
      house.gaps.length = 0;
      const theirs = house.things();
      const { adopt, hostname, printed } = await ouchiAdopt(house);
      expect([adopt, hostname]).toEqual([undefined, "photos-home"]);
      expect(printed).toContain(`it also guards ${haHost}`);
      house.takeCalls();
      const record = data.dnsRecords.find(({ name }) => name === hostOfEdge)!.id;
      house.set("adopt", { record });
      expect(errorsOf(await house.failure()).join("\n")).toContain("Home Assistant");
      expect(writes(house.takeCalls())).toEqual([]);
      house.set("adopt", undefined);
      house.set("hostname", hostname);
      await house.up();
      await undisturbed(strangers);
      expect(house.things()).toContain("record photos-home.example.com");
      await house.folder.update({ skipPreview: true }, destroy);
      expect(house.things()).toEqual(theirs);
      await undisturbed(strangers);
    } finally {
      strangers.close();
      await house.close();
    }
  });
});

describe("things of the house that others come to use", { timeout: 300_000 }, () => {
  let house: EdgeHouse;
  let strangers: Strangers;
  beforeAll(async () => {
    house = await EdgeHouse.build([ken]);
    await house.up();
    strangers = await Strangers.comeBy(house);
    const { data } = house.world.state;
    const own = (kind: "policies" | "serviceTokens", role: string) =>
      data[kind].find(({ name }) => name.includes(role))!.id;
    const application = data.applications[0]!;
    application.self_hosted_domains.push(haHost);
    application.destinations.push({ type: "public", uri: haHost });
    await strangers.application("Wiki", "wiki.example.com", [own("policies", "family")]);
    await strangers.machines("theirs", own("serviceTokens", "iphone"));
    const tunnel = data.tunnels[0]!;
    const { ingress } = tunnel.configuration!.config!;
    ingress!.unshift({ hostname: haHost, service: "http://localhost:8123" });
    await strangers.record(haHost, tunnel.id);
  });
  afterAll(async () => {
    strangers.close();
    await house.close();
  });

  it("are not taken away by `ouchi destroy`, which says what to do", async () => {
    house.takeCalls();
    const { printed, exitCode } = await ouchiDestroy(house);
    expect(exitCode).toBe(1);
    for (const words of [`it guards ${haHost} too`, '"Wiki"', '"theirs"', "8123"]) {
      expect(printed).toContain(words);
    }
    expect(printed).toContain('Type "cli/ouchi up" once');
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("are named before each `up`, which keeps them and writes nothing", async () => {
    house.takeCalls();
    const { diagnostics } = await house.up({ expectNoChanges: true });
    const warned = diagnostics
      .filter(({ severity }) => severity === "warning")
      .map(({ message }) => message);
    for (const kind of ["tunnel", "application", "policy", "service token"]) {
      expect(warned.some((each) => each.startsWith(`Others use the ${kind} `))).toBe(true);
    }
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("are not written over: an `up` that would have to is refused", async () => {
    house.set("sessionDuration", "24h");
    const errors = errorsOf(await house.failure()).join("\n");
    expect(errors).toContain(`it guards ${haHost} too`);
    expect(house.world.state.data.applications[0]!.self_hosted_domains).toContain(haHost);
    house.set("sessionDuration", undefined);
    await house.up();
  });

  it("stay when the house goes, with all that they need", async () => {
    const { printed } = await ouchiDestroy(house);
    expect(printed).toContain("stays at Cloudflare, since it guards");
    expect(house.things()).toEqual(
      [
        `application ouchi-photos (${hostOfEdge})`,
        "application Wiki",
        `policy ouchi-photos family (${hostOfEdge})`,
        `policy ouchi-photos phones (${hostOfEdge})`,
        "policy theirs",
        `record ${haHost}`,
        "sign-in One-time PIN",
        `token ouchi-photos ken iphone (${hostOfEdge})`,
        `tunnel ouchi-photos (${hostOfEdge})`,
      ].sort(),
    );
  });
});

describe("a house that moves from an application that guards another host by now", {
  timeout: 300_000,
}, () => {
  it("leaves it its gate, and all that this needs, and says so", async () => {
    const house = await EdgeHouse.build([ken]);
    try {
      await house.up();
      const [application] = house.world.state.data.applications;
      application!.self_hosted_domains.push(haHost);
      await house.up();
      house.set("hostname", "pictures");
      const { diagnostics } = await house.up();
      expect(diagnostics.map(({ message }) => message).join("\n")).toContain(
        `The application "ouchi-photos (${hostOfEdge})" guards ${haHost} too`,
      );
      expect(house.things()).toContain(`application ouchi-photos (${hostOfEdge})`);
      expect((await ouchiDestroy(house)).printed).toContain('Type "cli/ouchi up" once');
      await house.up({ expectNoChanges: true });
      expect((await ouchiDestroy(house)).exitCode ?? 0).toBe(0);
      expect(house.things()).toEqual([
        `application ouchi-photos (${hostOfEdge})`,
        "policy ouchi-photos family (pictures.example.com)",
        "policy ouchi-photos phones (pictures.example.com)",
        "sign-in One-time PIN",
        "token ouchi-photos ken iphone (pictures.example.com)",
      ]);
    } finally {
      await house.close();
    }
  });
});

describe("a house whose tunnel serves another name by now, and whose hostname was changed", {
  timeout: 300_000,
}, () => {
  let house: EdgeHouse;
  const ha = () => JSON.stringify(house.world.state.data.tunnels[0]!.configuration);
  beforeAll(async () => {
    house = await EdgeHouse.build([ken]);
    await house.up();
    const { ingress } = house.world.state.data.tunnels[0]!.configuration!.config!;
    ingress!.unshift({ hostname: haHost, service: "http://localhost:8123" });
    house.set("hostname", "pictures");
    house.takeCalls();
  });
  afterAll(() => house.close());

  it("does not move, before anything changes", async () => {
    const errors = errorsOf(await house.failure()).join("\n");
    expect(errors).toContain(`The tunnel "ouchi-photos (${hostOfEdge})" of this house is used by`);
    expect(errors).toContain(`${haHost} leads to http://localhost:8123`);
    expect(writes(house.takeCalls())).toEqual([]);
    expect(ha()).toContain(haHost);
  });

  it("does not go by `ouchi destroy` either, which knows its things by their ids", async () => {
    const { printed, exitCode } = await ouchiDestroy(house);
    expect(exitCode).toBe(1);
    expect(printed).toContain(`${haHost} leads to http://localhost:8123`);
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("names the permission that the look lacks, and the way without the look", async () => {
    house.world.faults.add({
      ...{ method: "GET", path: "teamnet/routes", kind: "status", status: 403, times: 50 },
    });
    const { printed, exitCode } = await ouchiDestroy(house);
    house.world.faults.clear();
    expect(exitCode).toBe(1);
    expect(printed).toContain('"Cloudflare Tunnel Edit"');
    expect(printed).toContain("type: pulumi destroy --exclude-protected");
    expect(writes(house.takeCalls())).toEqual([]);
  });

  it("moves once they have left it, and goes after a cut with what it left behind", async () => {
    house.world.state.data.tunnels[0]!.configuration!.config!.ingress!.shift();
    house.world.faults.add({
      ...{ method: "PUT", path: "configurations", kind: "status", status: 400, times: 50 },
    });
    expect(errorsOf(await house.failure())).not.toEqual([]);
    house.world.faults.clear();
    const { printed, exitCode } = await ouchiDestroy(house);
    expect([exitCode ?? 0, printed]).toEqual([0, expect.stringContaining("one-time PIN stays")]);
    expect(house.things()).toEqual(["sign-in One-time PIN"]);
  });
});

describe("a phone that left, and whose token a stranger's policy names", {
  timeout: 300_000,
}, () => {
  it("comes back by what the refusal says, with its headers", async () => {
    const phones = [{ name: "iphone" }, { name: "ipad" }];
    const house = await EdgeHouse.build([{ ...ken, phones }]);
    const strangers = await Strangers.comeBy(house);
    try {
      await house.up();
      const { serviceTokens } = house.world.state.data;
      const { id, clientSecret } = serviceTokens.find(({ name }) => name.includes("ipad"))!;
      await strangers.machines("theirs", id);
      await house.up();
      house.set("family", [ken]);
      await house.up();
      house.set("family", [{ ...ken, phones }]);
      const refused = errorsOf(await house.failure()).join("\n");
      expect(refused).toContain(`put "ken-ipad: ${id}" below adopt.phones`);
      house.set("adopt", { phones: { "ken-ipad": id } });
      expect((await ouchiAdopt(house)).printed).toContain("= 1 imported");
      await house.up();
      const now = house.world.state.data.serviceTokens.filter(({ name }) => name.includes("ipad"));
      expect(now).toMatchObject([{ id, clientSecret }]);
    } finally {
      strangers.close();
      await house.close();
    }
  });
});

describe("leftovers of the kit's names that a stranger uses", { timeout: 300_000 }, () => {
  it.each([
    [
      "a token that a stranger's policy names",
      async (strangers: Strangers) => {
        const { id } = await strangers.token(`ouchi-photos ken iphone (${hostOfEdge})`);
        await strangers.machines("theirs", id);
      },
      '"theirs" let it in',
    ],
    [
      "a token that a stranger's group names",
      async (strangers: Strangers) => {
        const { id } = await strangers.token(`ouchi-photos ken iphone (${hostOfEdge})`);
        await strangers.api.zeroTrust.access.groups.create({
          ...{ account_id: "0123456789abcdef0123456789abcdef", name: "machines" },
          include: [{ service_token: { token_id: id } }],
        });
      },
      '"machines" let it in',
    ],
    [
      "a policy that a stranger's application uses",
      async (strangers: Strangers) => {
        const policy = await strangers.allow({
          name: `ouchi-photos family (${hostOfEdge})`,
          emails: ["work@example.org"],
        });
        await strangers.application("Wiki", "wiki.example.com", [policy]);
      },
      "an application uses it",
    ],
    [
      "a tunnel with another name's rule, which no connector has run yet",
      async (strangers: Strangers) => {
        await strangers.configuredTunnel(`ouchi-photos (${hostOfEdge})`, {
          [haHost]: "http://localhost:8123",
        });
      },
      `${haHost} leads to http://localhost:8123`,
    ],
    [
      "an application that guards another host too",
      async (strangers: Strangers) => {
        await strangers.application(`ouchi-photos (${hostOfEdge})`, hostOfEdge, [], {
          destinations: [hostOfEdge, haHost].map((uri) => ({ type: "public", uri })),
        });
      },
      `it guards ${haHost} too`,
    ],
    [
      "a notification that tells others too",
      async (strangers: Strangers) => {
        await strangers.api.alerting.policies.create({
          account_id: "0123456789abcdef0123456789abcdef",
          name: `ouchi-photos token-expiry (${hostOfEdge})`,
          alert_type: "expiring_service_token_alert" as never,
          enabled: true,
          mechanisms: { email: [{ id: "ken@example.com" }, { id: "it@example.org" }] },
        });
      },
      "it tells it@example.org too",
    ],
  ])("are not cleared away: %s", async (_what, leave, words) => {
    const house = await EdgeHouse.build();
    const strangers = await Strangers.comeBy(house);
    try {
      await leave(strangers);
      const theirs = house.things();
      expect(errorsOf(await house.failure()).join("\n")).toContain(words);
      expect(house.things()).toEqual(expect.arrayContaining(theirs));
    } finally {
      strangers.close();
      await house.close();
    }
  });
});

describe("two houses in one account", { timeout: 300_000 }, () => {
  it("use the one one-time PIN, and neither takes it from the other", async () => {
    const house = await EdgeHouse.build();
    const other = await EdgeHouse.beside(house, [baaba]);
    try {
      await house.up();
      const [pin] = house.world.state.data.identityProviders;
      other.set("hostname", "album");
      await other.up();
      expect((await ouchiAdopt(other)).printed).toContain("nothing more");
      await house.folder.update({ skipPreview: true }, destroy);
      await other.up({ expectNoChanges: true });
      await house.up();
      await house.up({ expectNoChanges: true });
      await other.folder.update({ skipPreview: true }, destroy);
      const { identityProviders, applications } = house.world.state.data;
      expect(identityProviders).toEqual([pin]);
      expect(applications.map(({ allowed_idps }) => allowed_idps)).toEqual([[pin!.id]]);
    } finally {
      await other.close();
      await house.close();
    }
  });

  it("make one where there is none, although its reply was lost, and say before that it stays", async () => {
    const house = await EdgeHouse.build();
    try {
      house.world.faults.add({ method: "POST", path: "identity_providers", kind: "lost-reply" });
      await house.up({ skipPreview: false });
      expect(house.world.state.data.identityProviders).toHaveLength(1);
      expect(house.folder.printed).toContain("it stays when the house goes");
      expect(house.folder.state).not.toContain("onetimepin");
    } finally {
      await house.close();
    }
  });
});
