// Notices connections that were reset while they are held back: their sockets are not read then, and the runtime
// tells of a reset only to who reads. Used by Conn; it looks at all connections at once, a timer each would cost more.

import type { Socket } from "node:net";

/** How often connections are looked at, in milliseconds. One that is lost is noticed at the second look. */
export const LOSS_CHECK_MS = 500;

/** What is looked at. */
export interface Watched {
  /** Called at every look. */
  checkLoss(): void;
}

const watched = new Set<Watched>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Begins to look at a connection. */
export function watchLoss(conn: Watched): void {
  watched.add(conn);
  timer ??= setInterval(() => {
    for (const each of watched) each.checkLoss();
  }, LOSS_CHECK_MS);
}

/** Looks at it no more. Idempotent. */
export function unwatchLoss(conn: Watched): void {
  watched.delete(conn);
  if (watched.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}

/** Whether the system still knows the other end of a socket: after a reset it does not, whatever waits to be read. */
export function isConnected(socket: Socket): boolean {
  // The socket's own properties remember the address that it once had.
  const { _handle: handle } = socket as unknown as {
    _handle: { getpeername: (result: Record<string, unknown>) => number } | null;
  };
  return handle !== null && handle.getpeername({}) === 0;
}
