import { chromium } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { House, host, teamHost, until } from "./house.ts";

let house: House;
beforeAll(async () => {
  house = await House.build({ strict: true });
});
afterAll(() => house.close());

function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      `--host-resolver-rules=MAP * 127.0.0.1:${house.world.edgePort}, EXCLUDE 127.0.0.1`,
    ],
  });
}

test("a person in a real browser signs in by the mailed code and stays signed in", async () => {
  const browser = await launch();
  try {
    // The authority is this run's own; the other tests do verify it.
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    await page.goto(`https://${host}/albums?of=2022`);
    expect(new URL(page.url()).host).toBe(teamHost);
    expect(house.seen).toEqual([]);
    await page.fill("input[type=email]", "ken@example.com");
    await page.click("button[type=submit]");
    await page.waitForSelector("text=A code has been emailed to you");
    await until("the mail", async () => (await house.control.mails("ken@example.com")).length > 0);
    const { code } = (await house.control.mails("ken@example.com")).at(-1)!;
    await page.fill("input[name=code]", code);
    await page.click("button[type=submit]");
    await page.waitForURL(`https://${host}/albums?of=2022`);
    expect(await page.textContent("body")).toContain("pong");
    await page.goto(`https://${host}/again`);
    expect(page.url()).toBe(`https://${host}/again`);
    // A signed-in browser opens a websocket too.
    const echoed = await page.evaluate(
      (url) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(url);
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("error");
        }),
      `wss://${host}/api/socket.io`,
    );
    expect(echoed).toBe("open");
  } finally {
    await browser.close();
  }
});

test("the page for people shows what exists, the mailbox and why the edge let whom in", async () => {
  await house.send("/film", { headers: house.phoneHeaders() });
  await house.send("/film", { headers: house.phoneHeaders("wrong") });
  house.world.state.data.policies[0]!.name = "phones <script>document.title = 'broken'</script>";
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(house.world.controlUrl);
    expect(await page.title()).toBe("The pretend Cloudflare");
    const text = (id: string) => page.textContent(`#${id}`);
    expect(await text("records")).toContain(host);
    expect(await text("applications")).toMatch(/phones <script>.*<\/script>, family/);
    expect(await text("policies")).toContain("ken iphone");
    expect(await text("policies")).toContain("ken@example.com");
    expect(await text("mailbox")).toContain("ken@example.com");
    const decisions = await page.locator("#decisions tr").allTextContents();
    expect(decisions[1]).toContain("a wrong secret");
    expect(decisions[1]).toContain("401");
    expect(decisions[2]).toContain("ken iphone");
    const secrets = house.world.state.data.serviceTokens.map(({ clientSecret }) => clientSecret);
    for (const secret of secrets) expect(await page.content()).not.toContain(secret);
  } finally {
    await browser.close();
  }
});
