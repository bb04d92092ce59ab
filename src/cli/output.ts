// Writes what a command prints.

import { ConnectorError } from "../model/errors.ts";

/** Writes to standard output. @throws {ConnectorError} unless its reader has gone. */
export function writeOut(text: string): void {
  try {
    writeWhole(Deno.stdout, text);
  } catch (error) {
    // The reader has seen enough, as in `connector run --help | head -1`.
    if (error instanceof Deno.errors.BrokenPipe) return;
    throw ConnectorError.from(error, "Cannot write to standard output");
  }
}

/** Writes to standard error, if that can be. */
export function writeError(text: string): void {
  try {
    writeWhole(Deno.stderr, text);
  } catch {
    // Nowhere is left to say it; the exit code still tells.
  }
}

/** Writes all of a text. */
function writeWhole(output: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += output.writeSync(bytes.subarray(written));
  }
}
