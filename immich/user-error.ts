/** Something that the owner can mend, told as a sentence: no stack, and not a bug. */
export class UserError extends Error {
  /** The setting of the stack file that is to blame, such as `pi.hostKey`. */
  readonly setting: string | undefined;

  constructor(message: string, setting?: string) {
    super(message);
    this.name = "UserError";
    this.setting = setting;
    // The SDK's server prints `${error}: ${error.stack}` to the terminal; a stack helps nobody here.
    this.stack = message;
  }

  override toString(): string {
    return "immich";
  }
}
