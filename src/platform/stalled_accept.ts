// Keeps a listener accepting. Used by whatever listens.
//
// What is wrong: when an accept fails because no file descriptor is left, the runtime gives up the
// listener without an error, and later visitors wait for ever. Listening once more makes it go on,
// and changes nothing if it had not stopped. Seen in Deno 2.9.6, with sockets of node:net and the
// handles below them.
// Upstream: no report of these; https://github.com/denoland/deno/issues/10148 is the same of `Deno.listen`.
// Once mended: delete this file and the calls of `keepAccepting`.

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

/** The most listeners that are looked at without a pause, so that ten thousand do not hold up traffic. */
const AT_ONCE = 100;

/** Everything that is kept accepting, in the order of the next look. One timer serves all. */
const kept = new Set<() => ListeningHandle | null>();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Keeps what listens accepting, as long as there is something, until it is disposed. */
export function keepAccepting(listening: () => ListeningHandle | null): Disposable {
  // The same function twice would be one entry.
  const entry = () => listening();
  kept.add(entry);
  timer ??= setTimeout(rearmSome, REARM_MS);
  return {
    [Symbol.dispose]() {
      kept.delete(entry);
      if (kept.size > 0) return;
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

function rearmSome(): void {
  const rounds = Math.ceil(kept.size / AT_ONCE);
  const some = [...kept.keys().take(Math.ceil(kept.size / rounds))];
  for (const entry of some) {
    entry()?.listen(BACKLOG);
    // Behind all others.
    kept.delete(entry);
    kept.add(entry);
  }
  timer = setTimeout(rearmSome, REARM_MS / rounds);
}
