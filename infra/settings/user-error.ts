/** Whose turn it is: which exit status `ouchi` gives for it stands in cli/exit-status.ts. */
export type ErrorKind = "usage" | "unwell" | "unreachable" | "refused" | "settings" | "interrupted";

/** Something that the owner can mend: shown as its message alone, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly kind: ErrorKind;

  constructor(message: string, kind: ErrorKind = "refused") {
    super(message);
    this.kind = kind;
  }
}
