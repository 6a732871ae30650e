import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QmpClient, QmpRefusal } from "../../../rehearsal/pi/qmp-client.ts";

interface Request {
  execute: string;
  arguments?: unknown;
  id: number;
}

/** A monitor of a few words. */
function answer(socket: Socket, request: Request): void {
  const say = (message: object) => socket.write(`${JSON.stringify(message)}\r\n`);
  switch (request.execute) {
    case "human-monitor-command":
      say({ return: "two\r\nlines\r\n", id: request.id });
      break;
    case "device_del":
      say({ return: {}, id: request.id });
      say({ event: "DEVICE_DELETED", data: { device: "hdd1" } });
      break;
    case "in-two-parts": {
      const text = `${JSON.stringify({ return: "whole", id: request.id })}\n`;
      socket.write(text.slice(0, 9));
      setImmediate(() => socket.write(text.slice(9)));
      break;
    }
    case "quit":
      socket.destroy();
      break;
    case "qmp_capabilities":
      say({ return: {}, id: request.id });
      break;
    case "nothing":
      break;
    default:
      say({ error: { class: "CommandNotFound", desc: "no such command" }, id: request.id });
  }
}

describe("the QMP client", () => {
  let folder: string;
  let server: Server;
  let client: QmpClient;
  const heard: Request[] = [];

  beforeEach(async () => {
    heard.length = 0;
    folder = await mkdtemp(join(tmpdir(), "qmp-"));
    server = createServer((socket) => {
      socket.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        for (const line of bytes.toString().trim().split("\n")) {
          const request = JSON.parse(line) as Request;
          heard.push(request);
          answer(socket, request);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(join(folder, "socket"), resolve));
    client = await QmpClient.connect(join(folder, "socket"));
  });

  afterEach(async () => {
    client.close();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  it("negotiates before anything else", () => {
    expect(heard.map((request) => request.execute)).toEqual(["qmp_capabilities"]);
  });

  it("gives a human command's answer", async () => {
    expect(await client.human("info usernet")).toBe("two\r\nlines\r\n");
    expect(heard[1]?.arguments).toEqual({ "command-line": "info usernet" });
  });

  it("puts an answer together that comes in parts", async () => {
    expect(await client.execute("in-two-parts")).toBe("whole");
  });

  it("tells a refusal from a failure", async () => {
    const refused = client.execute("fly");
    await expect(refused).rejects.toBeInstanceOf(QmpRefusal);
    await expect(refused).rejects.toThrow('QEMU refused "fly": no such command');
  });

  it("waits for the event that it is asked for", async () => {
    const gone = client.waitFor(({ event }) => event === "DEVICE_DELETED", "removal", 5000);
    await client.execute("device_del", { id: "hdd1" });
    expect(await gone).toEqual({ event: "DEVICE_DELETED", data: { device: "hdd1" } });
  });

  it("fails what is waiting when QEMU ends", async () => {
    await expect(client.execute("quit")).rejects.toThrow('QEMU ended before it answered "quit".');
    await expect(client.execute("stop")).rejects.toThrow('QEMU is gone: "stop" was not sent.');
  });

  it("does not wait for ever", async () => {
    await expect(client.execute("nothing", undefined, 20)).rejects.toThrow(
      'QEMU did not answer "nothing" within 0.02 s.',
    );
  });
});
