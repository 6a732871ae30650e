/** A small job queue in Redis or Valkey; a job that was running when the power went is taken up again. */
import { Redis } from "ioredis";

export type Job =
  | { name: "AssetExtractMetadata"; id: string }
  | { name: "StorageTemplateMigrationSingle"; id: string }
  | { name: "FileDelete"; files: string[] };

export interface RedisOptions {
  host: string;
  port?: number;
}

export class Jobs {
  readonly #commands: Redis;
  readonly #blocking: Redis;
  readonly #waiting: string;
  readonly #active: string;
  #worker: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RedisOptions, prefix = "immich_bull") {
    const connection = {
      host: options.host,
      port: options.port ?? 6379,
      maxRetriesPerRequest: null,
      lazyConnect: true,
    };
    this.#commands = new Redis(connection);
    this.#blocking = new Redis(connection);
    for (const client of [this.#commands, this.#blocking]) client.on("error", () => undefined);
    this.#waiting = `${prefix}:pretend:wait`;
    this.#active = `${prefix}:pretend:active`;
  }

  async connect(): Promise<void> {
    await Promise.all([this.#commands.connect(), this.#blocking.connect()]);
    await this.#commands.ping();
  }

  async add(job: Job): Promise<void> {
    await this.#commands.lpush(this.#waiting, JSON.stringify(job));
  }

  async pending(): Promise<number> {
    const [waiting, active] = await Promise.all([
      this.#commands.llen(this.#waiting),
      this.#commands.llen(this.#active),
    ]);
    return waiting + active;
  }

  start(handle: (job: Job) => Promise<void>, failed: (job: Job, error: unknown) => void): void {
    this.#worker = this.#work(handle, failed);
  }

  async #work(
    handle: (job: Job) => Promise<void>,
    failed: (job: Job, error: unknown) => void,
  ): Promise<void> {
    while (await this.#commands.lmove(this.#active, this.#waiting, "LEFT", "RIGHT"));
    while (!this.#stopped) {
      const text = await this.#blocking
        .blmove(this.#waiting, this.#active, "RIGHT", "LEFT", 1)
        .catch(() => null);
      if (!text) continue;
      const job = JSON.parse(text) as Job;
      try {
        await handle(job);
      } catch (error) {
        failed(job, error);
      }
      await this.#commands.lrem(this.#active, 1, text).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#blocking.disconnect();
    await this.#worker?.catch(() => undefined);
    this.#commands.disconnect();
  }
}
