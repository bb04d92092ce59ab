// Which dialect a session speaks: the native one if both sides have agreed on it, else that of the reference.

import type { PeerLimits } from "../limits.ts";
import type { Dialect, DialectOptions } from "./dialect.ts";
import { NativeDialect } from "./native/native_dialect.ts";
import { ReferenceDialect } from "./reference/reference_dialect.ts";

/** Makes the dialect of a session. `peerLimits`: what the peer lets us do; undefined with a peer that negotiates nothing. */
export function createDialect(
  peerLimits: PeerLimits | undefined,
  options: DialectOptions,
): Dialect {
  return peerLimits === undefined
    ? new ReferenceDialect(options)
    : new NativeDialect(peerLimits, options);
}
