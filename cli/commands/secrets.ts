import { UserError } from "../../infra/settings/user-error.ts";
import { type EngineArgs, readEngine } from "../engine.ts";

interface PersonSecrets {
  email: string;
  /** Null where the person had an account before: they keep the password that they have. */
  firstPassword: string | null;
  /** A secret is null where the token was adopted: only the phone has it. */
  phones: Record<string, Record<string, string | null>>;
}

/** `ouchi secrets <person>`: what goes on this person's card, and nobody else's. */
export async function secrets(
  args: EngineArgs,
  person: string,
  { json }: { json?: boolean },
): Promise<void> {
  const outputs = JSON.parse(
    await readEngine(args, ["stack", "output", "--json", "--show-secrets"]),
  ) as { url?: string; people?: Record<string, PersonSecrets> };
  const found = outputs.people?.[person];
  if (!found) {
    const known = Object.keys(outputs.people ?? {});
    throw new UserError(
      known.length
        ? `The stack "${args.stack}" knows no "${person}": it knows ${known.join(", ")}. Add the person to the family list, and type: cli/ouchi up`
        : `The stack "${args.stack}" has no people yet. Type first: cli/ouchi up`,
    );
  }
  if (json) {
    console.log(JSON.stringify({ url: outputs.url, name: person, ...found }, null, 2));
    return;
  }
  const lines = [
    `Address          ${outputs.url}`,
    `E-mail           ${found.email}`,
    `First password   ${found.firstPassword ?? "(unchanged: the one that they have)"}`,
    ...Object.entries(found.phones).flatMap(([phone, headers]) => [
      `Phone ${phone}`,
      ...Object.entries(headers).map(
        ([header, value]) => `  ${header}: ${value ?? "(unchanged: the one that the phone has)"}`,
      ),
    ]),
  ];
  console.log(lines.join("\n"));
}
