import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RegistryDoor } from "../../../rehearsal/pi/registry-door.ts";

const size = 400_000;

describe("the door in front of the registry", () => {
  let door: RegistryDoor;
  let port: number;
  let stop: () => unknown;
  beforeEach(async () => {
    const server = createServer((_, response) => response.end(Buffer.alloc(size)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
    stop = () => server.close();
    door = await RegistryDoor.open(port);
  });
  afterEach(async () => {
    await door.close();
    stop();
  });
  const get = async () => {
    const answer = await fetch(`http://127.0.0.1:${door.port}/`);
    return (await answer.arrayBuffer()).byteLength;
  };

  it("leads to it, is shut, and leads there again", async () => {
    expect(await get()).toBe(size);
    door.shut();
    await expect(get()).rejects.toThrow();
    door.leadTo(port);
    expect(await get()).toBe(size);
  });

  it("falls shut in the middle, and stays so", async () => {
    door.leadTo(port, 100_000);
    await expect(get()).rejects.toThrow();
    expect(door.passed).toBeGreaterThan(100_000);
    await expect(get()).rejects.toThrow();
  });
});
