/** What the provider asks of each kind of resource; inputs and outputs are plain here, unless named raw. */
import type { ImmichApi } from "./api.ts";
import type { Connection } from "./connection.ts";
import type { Severity } from "./engine-log.ts";
import { sameValue, type Wire } from "./wire.ts";

export interface CheckFailure {
  /** The setting of the stack file, such as `disks.main`. */
  property: string;
  reason: string;
}

export interface Context {
  urn: string;
  api(connection: Connection): ImmichApi;
  log(severity: Severity, message: string): Promise<void>;
}

export interface ResourceKind<Inputs, Outputs extends Inputs> {
  /** Outputs that are secret whatever the inputs were, as paths such as `admin.password`. */
  secrets: string[];
  /** Outputs that are no inputs. */
  computed: string[];
  /** May change `news` in place, to the form in which it is stored. */
  check?(
    context: Context,
    olds: Inputs | undefined,
    news: Inputs,
    known: (value: unknown) => boolean,
  ): Promise<CheckFailure[]>;
  /** Inputs whose change is an update; no change is ever a replacement. */
  compared: (keyof Inputs & string)[];
  create(context: Context, inputs: Inputs): Promise<{ id: string; outputs: Outputs }>;
  /** Undefined when the thing is gone. */
  read(context: Context, id: string, state: Outputs): Promise<Outputs | undefined>;
  update(context: Context, id: string, olds: Outputs, news: Inputs): Promise<Outputs>;
  delete(context: Context, id: string, state: Outputs): Promise<void>;
}

/** What is done for a kind that only remembers its inputs: its check has the work. */
export function remembered<Inputs>(
  id: string,
): Pick<ResourceKind<Inputs, Inputs>, "create" | "read" | "update" | "delete"> {
  return {
    create: async (_context, outputs) => ({ id, outputs }),
    read: async (_context, _id, state) => state,
    update: async (_context, _id, _olds, news) => news,
    delete: async () => undefined,
  };
}

export function changedKeys(keys: string[], olds: Wire, news: Wire): string[] {
  return keys.filter((key) => !sameValue(olds[key], news[key]));
}
