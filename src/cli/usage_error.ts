// A command line that cannot be followed. The program ends with code 2, before anything was done.

/** Wrong use of the command line: what was wrong, and in `hint` what to write instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly hint: string | undefined;
  /** The flag, the variable or the key of a file that is at fault, as its setting names it; absent if none alone is. */
  readonly origin: string | undefined;

  constructor(message: string, hint?: string, { origin }: { origin?: string } = {}) {
    super(message);
    this.hint = hint;
    this.origin = origin;
  }
}
