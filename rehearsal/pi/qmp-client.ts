/**
 * QEMU's monitor protocol, and the guest agent's, which has the same shape: one JSON object a
 * line over a unix socket. https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
import { EventEmitter } from "node:events";
import { createConnection, type Socket } from "node:net";

export interface QmpEvent {
  event: string;
  data?: Record<string, unknown>;
}

interface Waiting {
  command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** QEMU's own answer that it will not or cannot. */
export class QmpRefusal extends Error {
  readonly command: string;
  readonly errorClass: string;
  constructor(command: string, errorClass: string, description: string) {
    super(`QEMU refused "${command}": ${description}`);
    this.name = "QmpRefusal";
    this.command = command;
    this.errorClass = errorClass;
  }
}

export class QmpClient extends EventEmitter<{ event: [QmpEvent]; close: [] }> {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #text = "";
  #next = 1;
  #closed = false;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#read(text));
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#closed = true;
      for (const [id, waiting] of this.#waiting) {
        this.#waiting.delete(id);
        clearTimeout(waiting.timer);
        waiting.reject(new Error(`QEMU ended before it answered "${waiting.command}".`));
      }
      this.emit("close");
    });
  }

  /** Connects to a monitor (greeting and capabilities) or to a guest agent (neither). */
  static async connect(path: string, kind: "monitor" | "agent" = "monitor"): Promise<QmpClient> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const client = new QmpClient(socket);
    if (kind === "monitor") await client.execute("qmp_capabilities");
    return client;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Runs one command and gives what it returns. */
  execute<T = unknown>(command: string, args?: object, timeoutMs = 60_000): Promise<T> {
    if (this.#closed) return Promise.reject(new Error(`QEMU is gone: "${command}" was not sent.`));
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`QEMU did not answer "${command}" within ${timeoutMs / 1000} s.`));
      }, timeoutMs);
      this.#waiting.set(id, {
        command,
        resolve: (value) => resolve(value as T),
        reject,
        timer,
      });
      this.#socket.write(
        `${JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id })}\n`,
      );
    });
  }

  /** A command of the human monitor, for the few that the protocol lacks. */
  async human(line: string): Promise<string> {
    return this.execute<string>("human-monitor-command", { "command-line": line });
  }

  /** Waits for an event that `matches`. Ask before doing what causes it. */
  waitFor(
    matches: (event: QmpEvent) => boolean,
    what: string,
    timeoutMs: number,
  ): Promise<QmpEvent> {
    return new Promise((resolve, reject) => {
      const settle = (then: () => void) => {
        clearTimeout(timer);
        this.off("event", onEvent);
        this.off("close", onClose);
        then();
      };
      const onEvent = (event: QmpEvent) => {
        if (matches(event)) settle(() => resolve(event));
      };
      const onClose = () => settle(() => reject(new Error(`QEMU ended before ${what}.`)));
      const timer = setTimeout(
        () => settle(() => reject(new Error(`QEMU: no ${what} within ${timeoutMs / 1000} s.`))),
        timeoutMs,
      );
      this.on("event", onEvent);
      this.on("close", onClose);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    const lines = this.#text.split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      // The guest agent begins an answer after a reset with a 0xff byte.
      const json = line.replace(/^[^{]*/, "");
      if (json.trim() !== "") this.#take(JSON.parse(json));
    }
  }

  #take(message: {
    id?: number;
    return?: unknown;
    error?: { class: string; desc: string };
    event?: string;
    data?: Record<string, unknown>;
  }): void {
    if (message.event !== undefined) {
      this.emit("event", {
        event: message.event,
        ...(message.data ? { data: message.data } : {}),
      });
      return;
    }
    if (message.id === undefined) return;
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.error) {
      waiting.reject(new QmpRefusal(waiting.command, message.error.class, message.error.desc));
    } else waiting.resolve(message.return);
  }
}
