// Collects the garbage of the start. Held by `connector run`.
//
// What is wrong: loading a program leaves V8 with a heap half of which is empty, and V8 gives that back to the system only
// after half a minute of rest, or never. Seen in Deno 2.9.6.
// Upstream: no report found. To reproduce: let a program drop 30 MB of objects, and read Deno.memoryUsage().heapTotal
// seconds after that, and after a collection.
// Once mended: delete this file and its call.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How long after the start, in milliseconds: what is loaded with the first links and requests has come by then. */
const AFTER_MS = 1000;
/** With more in use, in bytes, a collection would hold up those who are served already; V8 makes its own, bit by bit. */
const MAX_USED_BYTES = 32 * 1024 * 1024;

/** Collects once, which stops the process for some 20 ms. Disposing prevents that. */
export function collectStartGarbage(): Disposable {
  const timer = setTimeout(() => {
    if (Deno.memoryUsage().heapUsed <= MAX_USED_BYTES) collect();
  }, AFTER_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** V8 shows its collector only to programs that ask for it, and only to contexts that are made after that. */
function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof gc === "function") gc();
}
