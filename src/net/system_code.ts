// The system's code of an error, which the runtime's own errors and those of handles/ have.

/** `ECONNREFUSED` and the like; empty when it has none. */
export function systemCodeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
