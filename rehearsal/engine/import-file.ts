import { readFileSync } from "node:fs";
import { z } from "zod";
import { EngineError } from "./engine-error.ts";

const importFile = z.strictObject({
  /** URNs of parents that the state holds. */
  nameTable: z.record(z.string(), z.string()).default({}),
  resources: z.array(
    z.strictObject({
      type: z.string(),
      name: z.string(),
      /** As the provider wants it for an import; empty for a component. */
      id: z.string().default(""),
      /** The name of a resource before this one, or in the name table. @default the stack */
      parent: z.string().optional(),
      component: z.boolean().default(false),
      version: z.string().default(""),
    }),
  ),
});

/** What `pulumi import --file` takes. */
export type ImportFile = z.infer<typeof importFile>;

export function readImportFile(file: string): ImportFile {
  const parsed = importFile.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (parsed.success) return parsed.data;
  throw new EngineError(
    `The import file "${file}" holds what the rehearsal engine does not know:\n${z.prettifyError(parsed.error)}`,
  );
}
