// Has the system ask, now and then, whether the other end of an idle TCP connection is still there. Without it a
// machine that vanished is never noticed: a connection that is open both ways has no time limit, and the other
// end's own questions are answered by us. A leaf: for every socket of visitors, destinations and links.

import type { Socket } from "node:net";

/**
 * So long without a byte until the system asks, in milliseconds: often enough for the tables of firewalls and NAT on
 * the way, which forget idle connections after some minutes. It gives up after as many questions as it always does.
 */
export const KEEP_ALIVE_IDLE_MS = 60_000;

/** Has the system watch over a connection of node's. */
export function keepAlive(socket: Socket): void {
  socket.setKeepAlive(true, KEEP_ALIVE_IDLE_MS);
}
