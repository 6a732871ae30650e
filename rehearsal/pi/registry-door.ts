import { createConnection, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/**
 * A door on a port that stays, in front of the image registry: it leads to one registry or to another, is shut, or falls
 * shut in the middle of what comes through.
 */
export class RegistryDoor {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number | undefined;
  /** Bytes that may still come out; afterwards the door is shut. */
  #left = Number.POSITIVE_INFINITY;
  /** Bytes that came out since it was last moved. */
  passed = 0;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#target = target;
    server.on("connection", (socket) => this.#enter(socket));
  }

  static async open(target: number): Promise<RegistryDoor> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new RegistryDoor(server, target);
  }

  /** To a registry's port; after that many bytes it falls shut, with all that is under way. */
  leadTo(target: number, bytes = Number.POSITIVE_INFINITY): void {
    this.shut();
    this.#target = target;
    this.#left = bytes;
    this.passed = 0;
  }

  shut(): void {
    this.#target = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.shut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #enter(socket: Socket): void {
    if (this.#target === undefined) {
      socket.destroy();
      return;
    }
    const inner = createConnection({ host: "127.0.0.1", port: this.#target });
    for (const each of [socket, inner]) {
      this.#sockets.add(each);
      each.on("error", () => undefined);
      each.on("close", () => {
        this.#sockets.delete(each);
        (each === socket ? inner : socket).destroy();
      });
    }
    socket.pipe(inner);
    inner.on("data", (chunk: Buffer) => {
      this.passed += chunk.length;
      this.#left -= chunk.length;
      if (this.#left < 0) this.shut();
      else if (!socket.write(chunk)) {
        inner.pause();
        socket.once("drain", () => inner.resume());
      }
    });
    inner.on("end", () => socket.end());
  }
}
