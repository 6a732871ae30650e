import { z } from "zod";
import { keyProblem, misplacedSecret, namespace } from "./keys.ts";
import { type Settings, settingsSchema } from "./schema.ts";
import { isSecretSetting, plainSecretProblem, secretSettings, unseenSecret } from "./secrets.ts";
import { UserError } from "./user-error.ts";

export { namespace } from "./keys.ts";

type Path = PropertyKey[];
interface Problem {
  path: Path;
  message: string;
}

/**
 * The settings of a stack, from its configuration as Pulumi hands it to the program:
 * `ouchi-photos:<setting>` → text, with lists and objects as JSON.
 *
 * @param isSecret whether the stack keeps the value of such a key encrypted, wholly or in part.
 * @throws {UserError} that lists every problem with its path and what would be right, and shows no secret.
 */
export function parseSettings(
  config: Record<string, string>,
  stack: string,
  isSecret: (key: string) => boolean,
  now = new Date(),
): Settings {
  const schema = settingsSchema(now);
  const keys = Object.entries(config).flatMap(([key]) => {
    const problem = keyProblem(key, Object.keys(schema.shape), isSecret);
    return problem ? [`${key} ${problem}.`] : [];
  });
  return judged(schema, config, stack, isSecret, keys);
}

/** `pi` alone: who wants to reach the Pi is not stopped by another setting. */
export function parsePi(config: Record<string, string>, stack: string): Settings["pi"] {
  const key = `${namespace}:pi`;
  const own: Record<string, string> = config[key] === undefined ? {} : { [key]: config[key] };
  const schema = z.object({ pi: settingsSchema(new Date()).shape.pi });
  return judged(schema, own, stack, () => false, []).pi;
}

function judged<Shape extends z.core.$ZodShape>(
  schema: z.ZodObject<Shape, z.core.$strict> | z.ZodObject<Shape>,
  config: Record<string, string>,
  stack: string,
  isSecret: (key: string) => boolean,
  keys: string[],
): z.infer<z.ZodObject<Shape>> {
  const lines = [...keys];
  const raw: Record<string, unknown> = {};
  const kept: Problem[] = [];
  const settings = Object.keys(schema.shape);
  for (const [key, value] of Object.entries(config)) {
    const name = key.startsWith(`${namespace}:`) ? key.slice(namespace.length + 1) : undefined;
    const isOpen = isSecretSetting(key) && !isSecret(key);
    if (isOpen && value === "") {
      lines.push(
        `${key} is empty: type "pulumi config set --secret ${key}", and the value when it asks, or remove the line.`,
      );
      continue;
    }
    if (isOpen && name === undefined) lines.push(`${key} ${plainSecretProblem(key)}.`);
    if (name === undefined || misplacedSecret(key, settings)) continue;
    if (isOpen) kept.push({ path: [name], message: plainSecretProblem(key) });
    // What is in the open is judged for that alone.
    raw[name] = isOpen ? unseenSecret : isSecretSetting(key) ? value : decode(value);
    const isNeedless = isSecret(key) && !isSecretSetting(key) && settings.includes(name);
    if (isNeedless) kept.push(...needlessSecrets(raw[name], name));
  }
  const result = schema.safeParse(raw, { reportInput: true });
  const found = (result.error?.issues ?? [])
    .flatMap((issue) => problemsOf(issue, schema))
    .map((problem): Problem => {
      const name = problem.path[0] as keyof Shape & string;
      const isEmpty =
        problem.path.length === 1 &&
        raw[name] === "" &&
        name in schema.shape &&
        !(name in secretSettings);
      return isEmpty ? emptyProblem(problem, schema.shape[name]!) : problem;
    });
  const judged = found.filter(
    ({ path }) =>
      !kept.some((each) => each.path.every((part, index) => String(part) === String(path[index]))),
  );
  const sentences = [...kept, ...judged].map(({ path, message }) => `${written(path)} ${message}.`);
  // Of an empty line, which has a wrong kind and a wrong length.
  lines.push(...new Set(sentences));
  if (result.success && lines.length === 0) return result.data;
  throw new UserError(
    [
      `Pulumi.${stack}.yaml has ${lines.length === 1 ? "a problem" : `${lines.length} problems`}; nothing was changed:`,
      ...lines.map((line) => `  - ${line}`),
    ].join("\n"),
    "settings",
  );
}

/** Of a line that has a name and no value. */
function emptyProblem({ path, message }: Problem, setting: z.core.$ZodType): Problem {
  const cure = message.replace(/^is (?:""|empty): /, "");
  const isNeeded = !z.safeParse(setting, undefined).success;
  return { path, message: `is empty: ${cure}${isNeeded ? "" : ", or remove the line"}` };
}

function decode(value: string): unknown {
  if (!/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** `ouchi` sees where in the value the secret is; the program only that there is one. */
function needlessSecrets(value: unknown, name: string): Problem[] {
  const places = ciphertexts(value, [name]);
  return (places.length > 0 ? places : [[name]]).map((path) => ({
    path,
    message: `is kept as a secret, and is none: nothing can read it beforehand, and it stands in the state in the open. Write it in the stack file as plain text, in place of {secure: …}; secrets are only ${Object.keys(secretSettings).join(", ")}`,
  }));
}

function ciphertexts(value: unknown, path: Path): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0] === "secure") return [path];
  return entries.flatMap(([key, each]) =>
    ciphertexts(each, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function written(path: Path): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number"
        ? `${text}[${part}]`
        : text
          ? `${text}.${String(part)}`
          : String(part),
    "",
  );
}

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType): Problem[] {
  const { path } = issue;
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `is not a setting: ${meantPlace(path, key, schema) ?? "remove it, or see Pulumi.prod.yaml for how it is spelt"}`,
    }));
  }
  const message =
    issue.message.startsWith("Invalid input") && issue.code === "invalid_type"
      ? `is not of the right kind: ${issue.expected} is expected`
      : issue.message;
  return [{ path, message }];
}

interface Place {
  name: string;
  /** Such as "family.phones"; empty at the top. */
  below: string;
}

/** How a name is spelt, or where it belongs: of a name that is one elsewhere, or in other letters. */
function meantPlace(path: Path, key: string, schema: z.ZodType): string | undefined {
  const here = path.filter((part) => typeof part === "string").join(".");
  const plain = (text: string) => text.toLowerCase().replaceAll(/[-_]/g, "");
  const places = placesIn(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }), "");
  const whole = ({ name, below }: Place) => (below ? `${below}.${name}` : name);
  const same = places.filter((each) => plain(each.name) === plain(key));
  const meant =
    same.find(({ below }) => below === here) ??
    places.find((each) => each.below !== "" && plain(whole(each)) === plain(key)) ??
    (same.length === 1 ? same[0] : undefined);
  if (!meant) return undefined;
  if (meant.below === here) return `write ${meant.name}`;
  return meant.below
    ? `it belongs below ${meant.below}, as ${meant.name}`
    : `it belongs beside ${String(path[0])}, as ${namespace}:${meant.name}`;
}

interface Node {
  properties?: Record<string, Node>;
  items?: Node;
}

function placesIn(schema: object, below: string): Place[] {
  const { properties, items } = schema as Node;
  if (items) return placesIn(items, below);
  return Object.entries(properties ?? {}).flatMap(([name, each]) => [
    { name, below },
    ...placesIn(each, below ? `${below}.${name}` : name),
  ]);
}
