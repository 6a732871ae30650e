import type { LogSeverity } from "./stand-in.ts";

export type Operation =
  | "create"
  | "update"
  | "replace"
  | "delete"
  | "same"
  | "read"
  | "import"
  | "refresh"
  | "delete-replaced";

export interface Step {
  op: Operation;
  urn: string;
  type: string;
  name: string;
  /** Names of the properties that differ, each marked "+", "-" or "~". */
  diff?: string[];
}

export interface Diagnostic {
  severity: LogSeverity;
  message: string;
  urn?: string;
}

export interface Summary {
  create: number;
  update: number;
  replace: number;
  delete: number;
  same: number;
  read: number;
  import: number;
}

export interface UpdateResult {
  summary: Summary;
  steps: Step[];
  /** The stack's outputs, with "[secret]" unless secrets were asked for. */
  outputs: Record<string, unknown>;
  diagnostics: Diagnostic[];
}

/** The update stopped; the state holds what had been done by then. */
export class UpdateFailed extends Error {
  override name = "UpdateFailed";
  readonly result: UpdateResult;
  constructor(message: string, result: UpdateResult) {
    super(message);
    this.result = result;
  }
}

export function summarize(steps: Step[]): Summary {
  const summary: Summary = {
    create: 0,
    update: 0,
    replace: 0,
    delete: 0,
    same: 0,
    read: 0,
    import: 0,
  };
  for (const { op } of steps) {
    if (op !== "refresh" && op !== "delete-replaced") summary[op] += 1;
  }
  return summary;
}
