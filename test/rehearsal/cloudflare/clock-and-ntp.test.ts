import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Clock } from "../../../rehearsal/clock.ts";
import { type NtpServer, startNtp } from "../../../rehearsal/cloudflare/ntp.ts";
import { startCloudflare } from "../../../rehearsal/cloudflare/server.ts";

const clock = new Clock();
let ntp: NtpServer;
beforeAll(async () => {
  ntp = await startNtp(clock);
});
afterAll(() => ntp.close());

/** A client's packet with a transmit time to recognize. */
function ask(): Buffer {
  const packet = Buffer.alloc(48);
  packet[0] = (4 << 3) | 3;
  packet.write("whenever", 40, "latin1");
  return packet;
}

function transmitted(reply: Buffer): number {
  const seconds = reply.readUInt32BE(40) - 2_208_988_800;
  return seconds * 1000 + (reply.readUInt32BE(44) / 2 ** 32) * 1000;
}

function expectNow(reply: Buffer): void {
  expect(reply).toHaveLength(48);
  expect(reply[0]).toBe((4 << 3) | 4);
  expect(reply.subarray(24, 32).toString("latin1")).toBe("whenever");
  expect(Math.abs(transmitted(reply) - clock.now().getTime())).toBeLessThan(5000);
}

test("the clock tells who follows it by how much it moved", () => {
  const own = new Clock(1000);
  const moves: number[] = [];
  own.on("moved", (milliseconds) => moves.push(milliseconds));
  own.advance(3_600_000);
  own.advance(-1000);
  expect(moves).toEqual([3_600_000, -1000]);
  expect(own.offset).toBe(3_600_000);
  expect(() => own.advance(Number.NaN)).toThrow(RangeError);
});

test("NTP serves the pretend clock by UDP", async () => {
  clock.advance(30 * 24 * 3_600_000);
  const socket = createSocket("udp4");
  const reply = await new Promise<Buffer>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("message", resolve);
    socket.send(ask(), ntp.udpPort, "127.0.0.1");
  });
  socket.close();
  expectNow(reply);
});

test("NTP answers packet by packet on a TCP stream, however they are cut", async () => {
  const replies = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(ntp.tcpPort, "127.0.0.1");
    let got: Buffer = Buffer.alloc(0);
    socket.once("error", reject);
    socket.on("data", (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length === 96) {
        socket.destroy();
        resolve(got);
      }
    });
    const two = Buffer.concat([ask(), ask()]);
    socket.write(two.subarray(0, 50));
    setTimeout(() => socket.write(two.subarray(50)), 20);
  });
  expectNow(replies.subarray(0, 48));
  expectNow(replies.subarray(48));
});

test("a world that is kept comes back with its clock, its zone and its keys", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-kept-"));
  try {
    const start = (moved: Clock) =>
      startCloudflare({
        clock: moved,
        accountId: "0123456789abcdef0123456789abcdef",
        zoneName: "example.com",
        teamName: "family",
        stateFile: join(folder, "state.json"),
        certificateFolder: join(folder, "certificates"),
      });
    const first = await start(new Clock());
    first.state.clock.advance(3_600_000);
    const [zone] = first.state.data.zones;
    const { keys } = first.tokens.keys();
    await first.close();
    const later = new Clock();
    const second = await start(later);
    expect(second.state.data.zones[0]!.id).toBe(zone!.id);
    expect(second.tokens.keys().keys).toEqual(keys);
    expect(later.offset).toBe(3_600_000);
    await second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
