// Stand-in for pulumi-random 4.21: passwords and bytes, made once and kept in the state.
// Unlike the real one it gives no bcryptHash.
import { randomBytes, randomInt } from "node:crypto";
import { checkInputs, type Inputs } from "../../schema-check.ts";
import type { Difference, StandIn } from "../../stand-in.ts";
import { equal, type Properties, unknown } from "../../values.ts";

const keepers = { kind: "object", replaces: true } as const;
const flag = { kind: "boolean", default: true } as const;
const least = { kind: "number", default: 0 } as const;

const schemas: Record<string, Inputs> = {
  "random:index/randomPassword:RandomPassword": {
    keepers,
    length: { kind: "number", required: true },
    lower: flag,
    upper: flag,
    numeric: flag,
    special: flag,
    minLower: least,
    minUpper: least,
    minNumeric: least,
    minSpecial: least,
    overrideSpecial: { kind: "string" },
    number: { kind: "boolean", notCarried: true },
  },
  "random:index/randomBytes:RandomBytes": {
    keepers,
    length: { kind: "number", required: true },
  },
};

const specialCharacters = "!@#$%&*()-_=+[]{}<>:?";

export class Random implements StandIn {
  readonly version = "4.21.2";

  checkConfig() {
    return [];
  }

  configure() {}

  check({ type, news }: Parameters<StandIn["check"]>[0]) {
    const checked = checkInputs(schemaOf(type), news);
    const { length } = checked.inputs;
    if (typeof length === "number" && length < 1) {
      checked.failures.push({ property: "length", reason: "length must be at least 1" });
    }
    return checked;
  }

  // What was drawn cannot be changed: any difference draws anew.
  diff({ type, oldInputs, news }: Parameters<StandIn["diff"]>[0]): Difference {
    const changed = Object.keys(schemaOf(type)).filter((key) => !equal(oldInputs[key], news[key]));
    return { changed, replaces: changed };
  }

  async create({ type, inputs, preview }: Parameters<StandIn["create"]>[0]) {
    const isBytes = type.endsWith(":RandomBytes");
    const drawn: Properties = isBytes ? { base64: unknown, hex: unknown } : { result: unknown };
    if (!preview && isBytes) {
      const bytes = randomBytes(Number(inputs.length));
      drawn.base64 = bytes.toString("base64");
      drawn.hex = bytes.toString("hex");
    }
    if (!preview && !isBytes) drawn.result = password(inputs);
    return { id: "none", outputs: { ...inputs, ...drawn } };
  }

  async read({ id, outputs, inputs }: Parameters<StandIn["read"]>[0]) {
    return { id, outputs, inputs };
  }

  async update(): Promise<Properties> {
    throw new Error("random resources are replaced, never updated");
  }

  async delete() {}

  async invoke(): Promise<Properties> {
    throw new Error("the random provider has no functions");
  }

  cancel() {}
}

function schemaOf(type: string): Inputs {
  const schema = schemas[type];
  if (schema === undefined) {
    throw new Error(`The rehearsal engine's random does not carry "${type}".`);
  }
  return schema;
}

function password(inputs: Properties): string {
  const special = String(inputs.overrideSpecial ?? specialCharacters);
  const sets: [string, unknown, unknown][] = [
    ["abcdefghijklmnopqrstuvwxyz", inputs.lower, inputs.minLower],
    ["ABCDEFGHIJKLMNOPQRSTUVWXYZ", inputs.upper, inputs.minUpper],
    ["0123456789", inputs.numeric, inputs.minNumeric],
    [special, inputs.special, inputs.minSpecial],
  ];
  const pick = (set: string) => set[randomInt(set.length)]!;
  const drawn = sets.flatMap(([set, , least]) =>
    Array.from({ length: Number(least) }, () => pick(set)),
  );
  const alphabet = sets.map(([set, used]) => (used === true ? set : "")).join("");
  if (alphabet === "") throw new Error("no characters are left to draw a password from");
  while (drawn.length < Number(inputs.length)) drawn.push(pick(alphabet));
  for (let index = drawn.length - 1; index > 0; index -= 1) {
    const other = randomInt(index + 1);
    [drawn[index], drawn[other]] = [drawn[other]!, drawn[index]!];
  }
  return drawn.join("");
}
