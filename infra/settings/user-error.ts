/** Something that the owner can mend: shown as its message alone, without a stack; exit 1. */
export class UserError extends Error {
  override readonly name = "UserError";
}
