/** `npm run stack-file-schema`: writes the JSON Schema that the stack files name in their first line. */
import { writeFileSync } from "node:fs";
import { stackFileSchema } from "./json-schema.ts";

writeFileSync(
  new URL("stack-file.schema.json", import.meta.url),
  `${JSON.stringify(stackFileSchema(), null, 2)}\n`,
);
