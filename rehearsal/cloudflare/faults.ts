import { z } from "zod";

export const faultSchema = z.strictObject({
  /** Any when undefined. */
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]).optional(),
  /** A regular expression over the path below /client/v4; any when undefined. */
  path: z.string().optional(),
  /** How many matching calls pass unharmed before. */
  after: z.number().int().min(0).default(0),
  /** How many matching calls are hit. */
  times: z.number().int().min(1).default(1),
  /**
   * - status: answered so, nothing is done
   * - unsuccessful: 200 with `success: false`, nothing is done
   * - cut: the connection breaks before anything is done
   * - lost-reply: all is done, then the connection breaks
   * - slow: all is done, late
   */
  kind: z.enum(["status", "unsuccessful", "cut", "lost-reply", "slow"]),
  status: z.number().int().min(400).max(599).default(500),
  code: z.number().int().default(10001),
  message: z.string().default("Injected by the rehearsal"),
  retryAfterSeconds: z.number().int().min(0).optional(),
  delayMs: z.number().int().min(0).optional(),
});

export type Fault = z.infer<typeof faultSchema>;

/** What tests make go wrong in the API. */
export class Faults {
  #pending: Fault[] = [];

  add(fault: z.input<typeof faultSchema>): void {
    this.#pending.push(faultSchema.parse(fault));
  }

  clear(): void {
    this.#pending = [];
  }

  get pending(): readonly Fault[] {
    return this.#pending;
  }

  /** The fault that hits this call, which is thereby used up. */
  take(method: string, path: string): Fault | undefined {
    for (const fault of this.#pending) {
      if (fault.method && fault.method !== method) continue;
      if (fault.path && !new RegExp(fault.path).test(path)) continue;
      if (fault.after > 0) {
        fault.after--;
        continue;
      }
      fault.times--;
      if (fault.times === 0) this.#pending = this.#pending.filter((one) => one !== fault);
      return fault;
    }
    return undefined;
  }
}
