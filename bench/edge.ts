// What the edge costs: requests to Cloudflare's API for each thing that an owner does, a rotation under load, and the
// way through the pretend edge beside the way straight to the origin.
import { request } from "node:http";
import { House } from "../test/rehearsal/cloudflare/house.ts";
import {
  EdgeHouse,
  inAMonth,
  type PersonSetting,
  writes,
} from "../test/rehearsal/edge/edge-house.ts";
import { keepResult, median, rounded, seconds } from "./result.ts";

const person = (name: string, phones: string[]): PersonSetting => ({
  name,
  email: `${name}@example.com`,
  phones: phones.map((phone) => ({ name: phone })),
});
// Six people with eight phones.
const family = [
  person("ken", ["iphone", "ipad"]),
  person("mio", ["iphone", "watch"]),
  person("sora", ["pixel"]),
  person("umi", ["pixel"]),
  person("baaba", ["tab"]),
  person("jiiji", ["tab"]),
];

async function requests() {
  const house = await EdgeHouse.build(family);
  try {
    // With its preview, as it is typed: the program runs twice.
    const count = async () => {
      house.takeCalls();
      await house.up({ skipPreview: false });
      const calls = house.takeCalls();
      return { requests: calls.length, writes: writes(calls).length };
    };
    const firstUp = await count();
    const unchangedUp = await count();
    house.set("family", [...family, person("nana", ["phone"])]);
    const onePersonMore = await count();
    const [ken, ...others] = family;
    const rotated = {
      ...ken!,
      phones: [{ name: "iphone", secretVersion: 2, overlapUntil: inAMonth }, { name: "ipad" }],
    };
    house.set("family", [rotated, ...others, person("nana", ["phone"])]);
    const headers = (await house.headers()).ken!.iphone as Record<string, string>;
    let sent = 0;
    let refused = 0;
    let going = true;
    const phone = async () => {
      while (going || sent < 2000) {
        const { status } = await house.send("/api/server/ping", { headers });
        sent += 1;
        // 530: past the gate, and no connector behind it.
        if (status !== 530) refused += 1;
      }
    };
    const phones = [phone(), phone()];
    const rotation = await count();
    going = false;
    await Promise.all(phones);
    return { firstUp, unchangedUp, onePersonMore, rotation, underRotation: { sent, refused } };
  } finally {
    await house.close();
  }
}

async function overhead() {
  const house = await House.build({ strict: true });
  const times = 200;
  try {
    const straight = () =>
      new Promise<void>((resolve, reject) => {
        const call = request({ port: house.originPort, path: "/", agent: false }, (response) => {
          response.resume().on("end", resolve);
        });
        call.on("error", reject).end();
      });
    const edge: number[] = [];
    const origin: number[] = [];
    for (let run = 0; run < times; run++) {
      edge.push(await seconds(() => house.send("/", { headers: house.phoneHeaders() })));
      origin.push(await seconds(straight));
    }
    const milliseconds = (list: number[]) => rounded(median(list) * 1000);
    return {
      edgeMilliseconds: milliseconds(edge),
      originMilliseconds: milliseconds(origin),
      ratio: rounded(median(edge) / median(origin)),
    };
  } finally {
    await house.close();
  }
}

await keepResult("edge", {
  what: "requests to Cloudflare's API: a family of six with eight phones; each up with its preview, two runs of the program",
  ...(await requests()),
  overhead: await overhead(),
});
