/** What the person at the keyboard can mend: printed as its sentence, without a stack. */
export class EngineError extends Error {
  override name = "EngineError";
}
