/** The rig's hand inside the virtual Pi: QEMU's guest agent, which needs neither network nor SSH. */
import { setTimeout as sleep } from "node:timers/promises";
import { QmpClient } from "./qmp-client.ts";

export interface GuestCommandResult {
  stdout: string;
  stderr: string;
  code: number;
}

interface ExecStatus {
  exited: boolean;
  exitcode?: number;
  "out-data"?: string;
  "err-data"?: string;
}

export class GuestAgent {
  readonly #socket: string;
  #client: QmpClient | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** True once the agent runs; asks again on a new line each time, as it may not have listened. */
  async answers(): Promise<true | undefined> {
    try {
      this.#client ??= await QmpClient.connect(this.#socket, "agent");
      await this.#client.execute("guest-ping", undefined, 2000);
      return true;
    } catch {
      this.close();
      return undefined;
    }
  }

  async exists(path: string): Promise<boolean> {
    return (await this.run(["test", "-e", path])).code === 0;
  }

  /** Runs a program as root. */
  async run(argv: string[], timeoutMs = 120_000): Promise<GuestCommandResult> {
    this.#client ??= await QmpClient.connect(this.#socket, "agent");
    const client = this.#client;
    const [path = "", ...arg] = argv;
    const started = Date.now();
    const deadline = started + timeoutMs;
    const { pid } = await client.execute<{ pid: number }>(
      "guest-exec",
      { path, arg, "capture-output": true },
      timeoutMs,
    );
    for (;;) {
      const status = await client.execute<ExecStatus>("guest-exec-status", { pid }, timeoutMs);
      if (status.exited) {
        return {
          stdout: text(status["out-data"]),
          stderr: text(status["err-data"]),
          code: status.exitcode ?? 255,
        };
      }
      if (Date.now() > deadline) {
        throw new Error(
          `"${argv.join(" ")}" did not end on the virtual Pi within ${timeoutMs / 1000} s.`,
        );
      }
      // Each question costs the Pi some of its time: what takes long is asked about seldom.
      await sleep(Math.min(Math.max((Date.now() - started) / 10, 50), 2000));
    }
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

function text(base64: string | undefined): string {
  return Buffer.from(base64 ?? "", "base64").toString("utf8");
}
