// A command line that cannot be followed. The program ends with code 2, before anything was done.

/** Wrong use of the command line: what was wrong, and in `hint` what to write instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}
