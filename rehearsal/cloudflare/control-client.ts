import type { z } from "zod";
import type { LoggedCall } from "./api.ts";
import type { ThroughTunnel, TunnelRequest } from "./control.ts";
import type { Decision } from "./decisions.ts";
import type { faultSchema } from "./faults.ts";
import type { Data, Mail } from "./state.ts";

/** The control API, for tests and the story. */
export class ControlClient {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  state(): Promise<Omit<Data, "signingKeys">> {
    return this.#send("GET", "/state");
  }

  /** The edge's last decisions, oldest first. */
  decisions(): Promise<Decision[]> {
    return this.#send("GET", "/decisions");
  }

  /** What Cloudflare has mailed to an address, oldest first. */
  async mails(to: string): Promise<Mail[]> {
    const all = await this.#send<Mail[]>("GET", "/mailbox");
    return all.filter((mail) => mail.to === to.toLowerCase());
  }

  /** The API's calls, oldest first. */
  requests(): Promise<LoggedCall[]> {
    return this.#send("GET", "/requests");
  }

  addFault(fault: z.input<typeof faultSchema>): Promise<void> {
    return this.#send("POST", "/faults", fault);
  }

  clearFaults(): Promise<void> {
    return this.#send("DELETE", "/faults");
  }

  async now(): Promise<Date> {
    return new Date((await this.#send<{ now: string }>("GET", "/clock")).now);
  }

  async advance(milliseconds: number): Promise<void> {
    await this.#send("POST", "/clock", { advanceMs: milliseconds });
  }

  /** A request that enters the tunnel behind Access' back, as the connector gets it. */
  throughTunnel(request: TunnelRequest): Promise<ThroughTunnel> {
    return this.#send("POST", "/tunnel-request", request);
  }

  async #send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new Error(`The control API answered ${response.status} to ${method} ${path}: ${text}`);
    }
    return JSON.parse(text) as T;
  }
}
