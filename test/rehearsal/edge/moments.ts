import { expect } from "vitest";
import type { LoggedCall } from "../../../rehearsal/cloudflare/api.ts";
import type { UpdateOptions, UpdateResult } from "../../../rehearsal/engine/engine.ts";
import { UpdateFailed } from "../../../rehearsal/engine/engine.ts";
import { EdgeHouse } from "./edge-house.ts";

export type Fault = Parameters<EdgeHouse["world"]["faults"]["add"]>[0];

/** A request by what it is, whatever ids are in it, and which one of these it is. */
export interface Moment {
  method: Fault["method"];
  path: string;
  after: number;
}

export function moments(calls: LoggedCall[]): Moment[] {
  const seen = new Map<string, number>();
  return calls.map(({ method, path }) => {
    const pattern = `^${path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g, "[0-9a-f-]+")}$`;
    const key = `${method} ${pattern}`;
    const after = seen.get(key) ?? 0;
    seen.set(key, after + 1);
    return { method: method as Fault["method"], path: pattern, after };
  });
}

/** Two houses at a time: most of a run is waiting. */
export async function twoAtATime<T>(
  items: T[],
  work: (item: T, house: EdgeHouse) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const failures: string[] = [];
  const worker = async () => {
    const house = await EdgeHouse.build();
    try {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        try {
          await work(item, house);
        } catch (error) {
          failures.push(`${JSON.stringify(item)}: ${(error as Error).message}`);
          return;
        }
      }
    } finally {
      await house.close();
    }
  };
  await Promise.all([worker(), worker()]);
  expect(failures).toEqual([]);
}

/** The result of a run that may fail, when it did. */
export async function failureOf(
  house: EdgeHouse,
  run?: (options: UpdateOptions) => Promise<UpdateResult>,
): Promise<UpdateResult | undefined> {
  try {
    await house.folder.update({ skipPreview: true }, run);
    return undefined;
  } catch (error) {
    if (error instanceof UpdateFailed) return error.result;
    throw error;
  }
}
