// Keeps a listener accepting. When an accept fails for want of a file descriptor, the runtime gives the
// listener up without a word, and whoever connects from then on waits for good (seen on Deno 2.9.6). To listen
// once more makes it go on, and changes nothing where it had not stopped. A leaf: for whoever listens.

import type { Server } from "node:net";

/** How often it is made to go on, in milliseconds: how long visitors wait once there are descriptors again. */
const REARM_MS = 1000;
/** Any number does: the system is not asked again. */
const BACKLOG = 511;

/** What listens: the runtime's own handle of it. */
export interface ListeningHandle {
  listen(backlog: number): number;
}

/** The handle of a server of node's; null when it has closed. Private in its types, a plain property in fact. */
export function handleOf(server: Server): ListeningHandle | null {
  return (server as Server & { _handle: ListeningHandle | null })._handle;
}

/** Keeps what listens accepting, as long as there is something. Returns what ends that at once. */
export function keepAccepting(listening: () => ListeningHandle | null): () => void {
  const timer = setInterval(() => listening()?.listen(BACKLOG), REARM_MS);
  return () => clearInterval(timer);
}
