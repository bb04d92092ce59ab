// Keeps a listener of node's accepting. When an accept fails for want of a file descriptor, the runtime gives the
// listener up without a word, and whoever connects from then on waits for good (seen on Deno 2.9.6). To listen
// once more makes it go on, and changes nothing where it had not stopped. A leaf: for whoever listens.

import type { Server } from "node:net";

/** How often it is made to go on, in milliseconds: how long visitors wait once there are descriptors again. */
const REARM_MS = 1000;
/** Any number does: the system is not asked again. */
const BACKLOG = 511;

/** The handle of a server that listens; null when it has closed. Private in its types, a plain property in fact. */
type Listening = Server & { _handle: { listen: (backlog: number) => number } | null };

/** Keeps a server accepting for as long as it listens. Returns what ends that at once. */
export function keepAccepting(server: Server): () => void {
  const timer = setInterval(() => {
    const { _handle: handle } = server as Listening;
    if (handle !== null) handle.listen(BACKLOG);
  }, REARM_MS);
  return () => clearInterval(timer);
}
