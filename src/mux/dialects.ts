// Chooses the dialect of a session: the native one if both sides have agreed on it, otherwise the
// reference dialect.

import type { Dialect, DialectOptions } from "./dialect.ts";
import { NativeDialect } from "./native/native_dialect.ts";
import type { Terms } from "./negotiation.ts";
import { ReferenceDialect } from "./reference/reference_dialect.ts";

/** Makes the dialect of a session. `agreed`: undefined with a peer that negotiates nothing. */
export function createDialect(agreed: Terms | undefined, options: DialectOptions): Dialect {
  return agreed === undefined ? new ReferenceDialect(options) : new NativeDialect(agreed, options);
}
