import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { listen } from "./listen.ts";

const packetLength = 48;
/** Seconds between NTP's epoch, 1900, and Unix'. */
const epoch = 2_208_988_800;

export interface NtpServer {
  /** SNTP as everybody speaks it. */
  udpPort: number;
  /** The same packets, one after another, on a TCP stream: what comes through QEMU's forwards. */
  tcpPort: number;
  close(): Promise<void>;
}

/** Serves the pretend clock by SNTP version 4 on loopback. */
export async function startNtp(clock: Clock): Promise<NtpServer> {
  const udp = createSocket("udp4");
  udp.on("message", (packet, { address, port }) => {
    const reply = answer(packet, clock.now());
    if (reply) udp.send(reply, port, address);
  });
  await new Promise<void>((resolve, reject) => {
    udp.once("error", reject);
    udp.bind(0, "127.0.0.1", resolve);
  });

  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    let pending: Buffer = Buffer.alloc(0);
    sockets.add(socket);
    socket.setNoDelay();
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= packetLength) {
        const reply = answer(pending.subarray(0, packetLength), clock.now());
        pending = pending.subarray(packetLength);
        if (!reply) return void socket.destroy();
        socket.write(reply);
      }
    });
  });
  const tcpPort = await listen(tcp);

  return {
    udpPort: udp.address().port,
    tcpPort,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        new Promise<void>((resolve) => udp.close(() => resolve())),
        new Promise<void>((resolve) => tcp.close(() => resolve())),
      ]);
    },
  };
}

/** The answer to a client's packet; undefined for what is none. */
function answer(request: Buffer, now: Date): Buffer | undefined {
  if (request.length < packetLength) return undefined;
  const version = (request[0]! >> 3) & 7;
  const mode = request[0]! & 7;
  // 3 is a client; 1 a peer, which some clients call themselves.
  if (mode !== 3 && mode !== 1) return undefined;
  const reply = Buffer.alloc(packetLength);
  reply[0] = (version << 3) | 4;
  reply[1] = 1; // stratum: a clock of its own
  reply[2] = request[2]!; // poll
  reply.writeInt8(-20, 3); // precision, about a microsecond
  reply.write("LOCL", 12, "latin1"); // reference
  writeTime(reply, 16, now);
  // The client's transmit time comes back as the originate time.
  request.copy(reply, 24, 40, 48);
  writeTime(reply, 32, now);
  writeTime(reply, 40, now);
  return reply;
}

function writeTime(packet: Buffer, offset: number, moment: Date): void {
  const milliseconds = moment.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  packet.writeUInt32BE((seconds + epoch) % 2 ** 32, offset);
  packet.writeUInt32BE(Math.floor(((milliseconds - seconds * 1000) / 1000) * 2 ** 32), offset + 4);
}
