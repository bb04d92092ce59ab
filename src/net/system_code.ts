// The system's code of an error. The runtime's own errors have it, and so have those of handles/.

/** `ECONNREFUSED` and the like; empty when it has none. */
export function systemCodeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
