// Pulumi's plain display: one line for each resource that changes, what was said, the sum.
import type { Diagnostic, Operation, Step, UpdateResult } from "./result.ts";
import { nameOf, typeOf } from "./urn.ts";

const marks: Record<Operation, string> = {
  create: "+ ",
  update: "~ ",
  replace: "+-",
  delete: "- ",
  "delete-replaced": "--",
  same: "  ",
  read: "> ",
  import: "= ",
  refresh: "~ ",
};

const done: Record<Operation, string> = {
  create: "created",
  update: "updated",
  replace: "replaced",
  delete: "deleted",
  "delete-replaced": "deleted original",
  same: "unchanged",
  read: "read",
  import: "imported",
  refresh: "refreshed",
};

const titles = {
  preview: "Previewing update",
  update: "Updating",
  refresh: "Refreshing",
  import: "Importing",
  destroy: "Destroying",
};

export class Display {
  readonly #write: (line: string) => void;
  #startedAt = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  line(text: string): void {
    this.#write(text);
  }

  start(verb: keyof typeof titles, stack: string): void {
    this.#startedAt = performance.now();
    this.#write(`${titles[verb]} (${stack}):`);
  }

  step({ op, type, name, diff }: Step, dryRun: boolean): void {
    if (op === "same") return;
    const word = dryRun ? op : done[op];
    const differs = diff && diff.length > 0 ? ` [diff: ${diff.join(",")}]` : "";
    this.#write(` ${marks[op]} ${type} ${name} ${word}${differs}`);
  }

  end(result: UpdateResult, dryRun: boolean): void {
    this.#diagnostics(result.diagnostics);
    if (Object.keys(result.outputs).length > 0) {
      this.#write("Outputs:");
      for (const [name, value] of Object.entries(result.outputs)) {
        this.#write(`    ${name}: ${JSON.stringify(value)}`);
      }
    }
    this.#write("Resources:");
    const { summary } = result;
    const counts: [number, string, string][] = [
      [summary.create, "+ ", dryRun ? "to create" : "created"],
      [summary.update, "~ ", dryRun ? "to update" : "updated"],
      [summary.delete, "- ", dryRun ? "to delete" : "deleted"],
      [summary.replace, "+-", dryRun ? "to replace" : "replaced"],
      [summary.read, "> ", dryRun ? "to read" : "read"],
      [summary.import, "= ", dryRun ? "to import" : "imported"],
    ];
    for (const [count, mark, words] of counts) {
      if (count > 0) this.#write(`    ${mark}${count} ${words}`);
    }
    if (summary.same > 0) this.#write(`    ${summary.same} unchanged`);
    if (!dryRun) {
      this.#write(`Duration: ${((performance.now() - this.#startedAt) / 1000).toFixed(1)}s`);
    }
  }

  #diagnostics(diagnostics: Diagnostic[]): void {
    if (diagnostics.length === 0) return;
    this.#write("Diagnostics:");
    for (const [urn, list] of groupByUrn(diagnostics)) {
      this.#write(urn === "" ? "  the stack:" : `  ${typeOf(urn)} (${nameOf(urn)}):`);
      for (const { severity, message } of list) {
        const prefix = severity === "info" ? "" : `${severity}: `;
        for (const [index, line] of message.split("\n").entries()) {
          this.#write(`    ${index === 0 ? prefix : ""}${line}`);
        }
      }
    }
  }
}

function groupByUrn(diagnostics: Diagnostic[]): Map<string, Diagnostic[]> {
  const groups = new Map<string, Diagnostic[]>();
  for (const diagnostic of diagnostics) {
    const urn = diagnostic.urn ?? "";
    groups.set(urn, [...(groups.get(urn) ?? []), diagnostic]);
  }
  return groups;
}
