import type { CloudflareState } from "./state.ts";

/** What the edge did with one request, and why. */
export interface Decision {
  /** ISO 8601 on the pretend clock. */
  at: string;
  host: string;
  method: string;
  path: string;
  /** Did it get past Access? */
  allowed: boolean;
  reason: string;
  application?: string;
  policy?: string;
  /** The e-mail address, or the service token's name. */
  who?: string;
  /** What the client was answered in the end; missing while it is under way. */
  status?: number;
}

const kept = 2000;

/** The edge's last decisions. */
export class Decisions {
  readonly #state: CloudflareState;
  #list: Decision[] = [];

  constructor(state: CloudflareState) {
    this.#state = state;
  }

  get list(): readonly Decision[] {
    return this.#list;
  }

  add(decision: Omit<Decision, "at">): Decision {
    const whole = { at: this.#state.clock.now().toISOString(), ...decision };
    this.#list.push(whole);
    if (this.#list.length > kept) this.#list = this.#list.slice(-kept);
    return whole;
  }
}
