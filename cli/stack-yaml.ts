import { isAlias, isMap, isPair, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { UserError } from "../infra/settings/user-error.ts";
import { goScalar } from "./go-scalar.ts";

/**
 * What a stack file says, with its values as Pulumi's own reader takes them. Never quotes a line of it: a secret may stand there.
 *
 * @throws {UserError} that names line and column, for whatever is wrong with it.
 */
export function readYaml(content: Buffer, name: string): unknown {
  const text = asText(content, name);
  const lines = new LineCounter();
  const slip = (offset: number, what: string) => {
    const { line, col } = lines.linePos(offset);
    const near = lookalikes(text, line);
    return new UserError(
      `${name}, line ${line}, column ${col}: ${what}.${near ? ` ${near}` : ""} Nothing was changed.`,
      "settings",
    );
  };
  let at = 0;
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
    const error = document.errors[0];
    if (error) throw slip(error.pos[0], sentences[error.code] ?? lowerFirst(error.message));
    const control = /(?![\t\n\r\u0085])\p{Cc}/u.exec(text);
    if (control) throw slip(control.index, "a character stands there that nobody can see");
    visit(document, (_, node, path) => {
      const parent = path.at(-1);
      if (isPair(node) && isScalar(node.key) && node.key.type === "PLAIN") {
        const problem = keyProblem(node.key.source ?? "", isMap(parent) && parent.flow === true);
        // A name without a value: what should have been one stands in the name.
        const isAlone = node.value === null || (isScalar(node.value) && node.value.value === null);
        if (problem && (isAlone || problem.always)) {
          throw slip(node.key.range?.[0] ?? 0, problem.what);
        }
      }
      if (isAlias(node) && !at) at = node.range?.[0] ?? 0;
      if (!isScalar(node) || node.type !== "PLAIN" || node.tag !== undefined) return;
      // "<<" is a sign of the parser's own.
      if (node.source === undefined || typeof node.value === "symbol") return;
      node.value = goScalar(node.source);
    });
    const value: unknown = document.toJS();
    if (typeof value === "string")
      throw slip(0, 'no setting begins there, which is a name and ":"');
    return value;
  } catch (error) {
    if (error instanceof UserError) throw error;
    // The parser's own limits, such as on names that stand for more and more of each other.
    throw slip(at, lowerFirst((error as Error).message));
  }
}

/** What is wrong with a name that to YAML is one. */
function keyProblem(name: string, inBraces: boolean): { what: string; always?: true } | undefined {
  if (/^[\u3000\u00a0]/.test(name)) {
    const space = name.startsWith("\u3000") ? "a full-width space" : "a space that does not break";
    return { what: `this line begins with ${space}: indent it by plain spaces`, always: true };
  }
  return inBraces && /^\w+[:：]\S/.test(name)
    ? { what: 'this name has no ":" and space after it' }
    : undefined;
}

/** What the parser says in words of its own trade. */
const sentences: Partial<Record<string, string>> = {
  TAB_AS_INDENT: "a tab stands where YAML wants spaces",
  DUPLICATE_KEY: "this setting stands here a second time: remove one of the two",
  MULTIPLE_DOCS: 'a second document begins ("---"), which Pulumi would not read',
  MULTILINE_IMPLICIT_KEY: 'this line, or the one before it, has no ":" and space after its name',
  BLOCK_AS_IMPLICIT_KEY:
    'two names with ":" stand on this line: indent the second on a line of its own, or quote the value',
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  BAD_INDENT: "this line is indented by more or fewer spaces than its neighbours",
};

const lowerFirst = (text: string) =>
  (text.charAt(0).toLowerCase() + text.slice(1)).replaceAll("\n", " ").replace(/[.:]$/, "");

/** Japanese input makes them, and to YAML they are letters. */
const fullWidth = new Map([
  ...["：:", "，,", "、,", "｛{", "｝}", "［[", "］]", "＃#", '“"', '”"', "’'", "‘'"].map(
    (pair) => [pair[0]!, `"${pair[0]}", in place of "${pair[1]}"`] as const,
  ),
  ["\u3000", "a full-width space"],
  ["\u00a0", "a space that does not break"],
]);

function lookalikes(text: string, line: number): string | undefined {
  // What is wrong with a line may show on the next one only.
  const lines = text.split("\n");
  for (const number of [line, line - 1]) {
    const found = [...(lines[number - 1] ?? "")].find((letter) => fullWidth.has(letter));
    if (found) return `Line ${number} holds ${fullWidth.get(found)}.`;
  }
  return undefined;
}

/** UTF-8, with or without its mark. */
function asText(content: Buffer, name: string): string {
  const wide = content.subarray(0, 2).toString("hex");
  if (wide === "fffe" || wide === "feff" || content.subarray(0, 64).includes(0)) {
    throw new UserError(
      `${name} is saved as UTF-16: save it as UTF-8, in the editor's "save as". Nothing was changed.`,
      "settings",
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    const { line, column } = firstForeign(content);
    throw new UserError(
      `${name}, line ${line}, column ${column}: this letter is not UTF-8, as after saving in Shift_JIS: save the file as UTF-8, in the editor's "save as". Nothing was changed.`,
      "settings",
    );
  }
}

function firstForeign(content: Buffer): { line: number; column: number } {
  const tolerant = new TextDecoder().decode(content);
  const before = tolerant.slice(0, tolerant.indexOf("�"));
  return {
    line: before.split("\n").length,
    column: before.length - before.lastIndexOf("\n"),
  };
}
