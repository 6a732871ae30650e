import { fileURLToPath } from "node:url";

/** Paths in the settings begin here: Pulumi runs the program in the folder of its main file instead. */
export const repository = fileURLToPath(new URL("../..", import.meta.url));
