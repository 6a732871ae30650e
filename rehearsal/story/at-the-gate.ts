import { Buffer } from "node:buffer";
import { parseDocument } from "yaml";
import { promise, type Step, until } from "./step.ts";

export const stranger: Step = {
  number: 3,
  title: "a stranger gets Cloudflare's sign-in page and never Immich",
  async live(world) {
    const page = await world.browse(async (open) => {
      const { url, text } = await open(`https://${world.host}/`);
      return { url, text };
    });
    promise(
      new URL(page.url).host === world.teamHost,
      `The browser ended at ${page.url} and not at the sign-in page.`,
    );
    promise(!/immich/i.test(page.text), "The stranger saw something of Immich.");
    const ping = await world.edge.send({ path: "/api/server/ping" });
    promise(
      ping.status !== 200 && !ping.body.toString().includes("pong"),
      `/api/server/ping is reachable: status ${ping.status}.`,
    );
    const straight = await world.cloudflare.throughTunnel({
      host: world.host,
      path: "/api/server/ping",
      headers: {},
    });
    promise(
      straight.status === 403,
      `A request without Cloudflare's JWT was answered ${straight.status} by the connector.`,
    );
    return `the sign-in page at ${world.teamHost}; ping ${ping.status}; without a JWT 403`;
  },
};

export const fatherSignsIn: Step = {
  number: 4,
  title: "the father signs in with the code from his mailbox, then to Immich",
  async live(world) {
    const password = world.passwords.get("ken") ?? (await world.person("ken")).firstPassword!;
    const seen = await world.browse(async (open, page) => {
      await open(`https://${world.host}/`);
      const mails = (await world.cloudflare.mails("ken@yamada.test")).length;
      await page.fill("input[type=email]", "ken@yamada.test");
      await page.click("button[type=submit]");
      const code = await until("The mail with the code", 30, async () => {
        const arrived = await world.cloudflare.mails("ken@yamada.test");
        return arrived.length > mails && arrived.at(-1)!.code;
      });
      await page.fill("input[name=code]", code);
      await page.click("button[type=submit]");
      await page.waitForURL(`https://${world.host}/**`);
      await page.fill("input[type=email]", "ken@yamada.test");
      await page.fill("input[type=password]", password);
      await page.click("button[type=submit]");
      await page.waitForSelector("text=健");
      return page.url();
    });
    return `code by mail, then Immich at ${seen}`;
  },
};

export const wrongSecretAndTooLarge: Step = {
  number: 6,
  title: "a wrong secret never reaches Immich, and 101 MB are refused",
  async live(world) {
    const headers = (await world.person("ken")).phones.iphone!;
    const wrong = world.edge.with({ ...headers, "CF-Access-Client-Secret": "0".repeat(64) });
    const answer = await wrong.send({ path: "/api/server/ping" });
    promise(
      [302, 401, 403].includes(answer.status) && !answer.body.toString().includes("pong"),
      `A wrong secret was answered ${answer.status}.`,
    );
    const decision = (await world.cloudflare.decisions()).at(-1)!;
    promise(decision.allowed === false, `The edge let it through: ${JSON.stringify(decision)}.`);

    const phone = await world.phone("ken", "iphone");
    const before = await world.photoFiles();
    const large = await phone.send("POST", "/api/assets", Buffer.alloc(101 * 1000 * 1000));
    promise(large.status === 413, `A body of 101 MB was answered ${large.status}.`);
    promise(
      JSON.stringify(await world.photoFiles()) === JSON.stringify(before),
      "Something of it was stored.",
    );
    return `wrong secret ${answer.status} (${decision.reason}); 101 MB 413, nothing stored`;
  },
};

export const tokenIsRotated: Step = {
  number: 10,
  title: "a phone's token is rotated without one failed request, also with the Pi off",
  async live(world) {
    const old = await world.phoneHeaders("ken", "iphone");
    const overlapUntil = new Date(world.clock.now().getTime() + 2 * 3600_000);
    let failed = "";
    let sent = 0;
    let going = true;
    const phone = (async () => {
      while (going) {
        const { status } = await old.send({ path: "/api/server/ping" });
        sent++;
        if (status !== 200) failed ||= `request ${sent} was answered ${status}`;
      }
    })();
    const ran = await rotate(world, overlapUntil);
    const fresh = await world.phoneHeaders("ken", "iphone");
    for (let count = 0; count < 20; count++) {
      const { status } = await fresh.send({ path: "/api/server/ping" });
      if (status !== 200) failed ||= `the new secret was answered ${status}`;
    }
    going = false;
    await phone;
    promise(failed === "", `During the rotation ${failed}:\n${ran}`);

    await world.advance(3 * 3600_000);
    const late = await old.send({ path: "/api/server/ping" });
    promise(late.status !== 200, "The old secret still works after the overlap.");
    const good = await fresh.send({ path: "/api/server/ping" });
    promise(good.status === 200, `After the overlap the new secret is answered ${good.status}.`);

    await world.pi.powerCut();
    await rotate(world, new Date(world.clock.now().getTime() - 60_000));
    await world.advance(60_000);
    for (const [thief, what] of [
      [fresh, "revoked secret with its cookies"],
      [fresh.cookiesAlone(), "cookies of the revoked phone alone"],
    ] as const) {
      const { status } = await thief.send({ path: "/api/server/ping" });
      promise(
        [302, 401, 403].includes(status),
        `With the Pi off, a minute later, the ${what} got the answer ${status}.`,
      );
    }
    const newest = await (await world.phoneHeaders("ken", "iphone")).send({ path: "/" });
    promise(
      newest.status === 530,
      `With the Pi off the newest secret should get as far as the missing tunnel: ${newest.status}.`,
    );
    await world.pi.powerOn();
    await world.untilServing(300);
    return `${sent} requests with the old secret and 20 with the new, none failed; revoked with the Pi off`;
  },
};

async function rotate(world: Parameters<Step["live"]>[0], overlapUntil: Date): Promise<string> {
  const path = ["config", "ouchi-photos:family", 0, "phones", 0];
  await world.engine.editSettings((text) => {
    const document = parseDocument(text);
    const version = (document.getIn([...path, "secretVersion"]) as number | undefined) ?? 1;
    document.setIn([...path, "secretVersion"], version + 1);
    const time = document.createNode(`${overlapUntil.toISOString().slice(0, 19)}Z`);
    // A bare time would be rewritten by Pulumi.
    (time as { type?: string }).type = "QUOTE_DOUBLE";
    document.setIn([...path, "overlapUntil"], time);
    return document.toString();
  });
  const { exitCode, text } = await world.engine.up();
  promise(exitCode === 0, `up failed with status ${exitCode}:\n${text}`);
  return text;
}
