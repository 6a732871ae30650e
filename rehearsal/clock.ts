import { EventEmitter } from "node:events";

interface ClockEvents {
  /** The clock was stepped by so many milliseconds. */
  moved: [milliseconds: number];
}

/**
 * The rehearsal's one pretend clock: the machine's own, shifted. It moves for every part or for none:
 * whoever keeps time of its own follows "moved".
 */
export class Clock extends EventEmitter<ClockEvents> {
  #offset: number;

  /** @param offset Milliseconds ahead of the machine's clock. */
  constructor(offset = 0) {
    super();
    this.#offset = offset;
  }

  /** Milliseconds ahead of the machine's clock. */
  get offset(): number {
    return this.#offset;
  }

  now(): Date {
    return new Date(Date.now() + this.#offset);
  }

  /** Steps the clock; forward when positive. */
  advance(milliseconds: number): void {
    if (!Number.isFinite(milliseconds)) {
      throw new RangeError(`The clock cannot be stepped by ${milliseconds} milliseconds.`);
    }
    this.#offset += milliseconds;
    this.emit("moved", milliseconds);
  }

  /** Steps the clock to a moment. */
  set(moment: Date): void {
    this.advance(moment.getTime() - this.now().getTime());
  }
}
