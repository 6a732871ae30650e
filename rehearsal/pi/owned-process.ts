/**
 * A long-running program that ends with the process that started it, however that one ends:
 * `setpriv --pdeathsig KILL` has the kernel see to it, so that no interrupted run leaves one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

export class OwnedProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #logFile: string;
  readonly #ended: Promise<void>;
  #exit: string | undefined;

  private constructor(child: ChildProcess, what: string, logFile: string) {
    this.#child = child;
    this.#what = what;
    this.#logFile = logFile;
    this.pid = child.pid ?? 0;
    this.#ended = new Promise((resolve) => {
      child.once("error", (error) => {
        this.#exit ??= error.message;
        resolve();
      });
      child.once("exit", (code, signal) => {
        this.#exit ??= signal ? `signal ${signal}` : `exit status ${code}`;
        resolve();
      });
    });
  }

  /** Starts `argv`; what it prints is appended to `logFile`. */
  static start(
    what: string,
    argv: string[],
    logFile: string,
    options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ): OwnedProcess {
    const log = openSync(logFile, "a");
    try {
      const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
        stdio: ["ignore", log, log],
        // Its own session: Ctrl-C reaches the rehearsal, which ends things in order.
        detached: true,
        ...(options.cwd ? { cwd: options.cwd } : {}),
        env: { ...process.env, ...options.env },
      });
      child.unref();
      return new OwnedProcess(child, what, logFile);
    } finally {
      closeSync(log);
    }
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Resolves when the program has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Polls `ready` until it gives a value; fails with the log when the program ends or time is up. */
  async until<T>(
    ready: () => Promise<T | undefined> | T | undefined,
    timeoutMs: number,
  ): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (!this.running) throw await this.failure(`ended with ${this.#exit}`);
      const value = await ready();
      if (value !== undefined) return value;
      if (Date.now() > deadline) {
        throw await this.failure(`was not ready within ${Math.round(timeoutMs / 1000)} s`);
      }
      await sleep(50);
    }
  }

  async failure(happened: string): Promise<Error> {
    const log = await readFile(this.#logFile, "utf8").catch(() => "");
    const end = log.split("\n").slice(-40).join("\n").trim();
    return new Error(`${this.#what} ${happened}. The end of its log, "${this.#logFile}":\n${end}`);
  }

  /** Asks the program to end, then makes it. */
  async stop(graceMs = 5000): Promise<void> {
    if (!this.running) return;
    this.#child.ref();
    this.#child.kill("SIGTERM");
    const cutOff = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    cutOff.unref();
    await this.#ended;
    clearTimeout(cutOff);
  }

  /** Ends the program at once, without letting it finish anything. */
  async kill(): Promise<void> {
    if (!this.running) return;
    this.#child.ref();
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
