// Notices that a port which refused takes connections again, so that whoever waits to dial it need not wait longer.

import type { Address } from "../address.ts";
import { delay } from "../delay.ts";
import { dialTcp } from "./dial.ts";

/** How often the port is tried, in milliseconds: a peer that is back is found within 2 s, for a packet a second. */
const INTERVAL_MS = 1000;
/** How long a try may take, in milliseconds. */
const TIMEOUT_MS = 1000;

/**
 * Resolves with true as soon as an address takes TCP connections that it had not taken before; with false when the
 * signal is aborted, or when it takes them already: then it is not the port that keeps the peer away. Never rejects.
 */
export async function becomesReachable(
  address: Address,
  { signal, intervalMs = INTERVAL_MS }: { signal: AbortSignal; intervalMs?: number },
): Promise<boolean> {
  for (let refused = false; !signal.aborted; refused = true) {
    try {
      const conn = await dialTcp(address, { timeoutMs: TIMEOUT_MS, signal });
      conn.close();
      return refused;
    } catch {
      // Whatever the reason: what matters is that it ends.
      await delay(intervalMs, { signal });
    }
  }
  return false;
}
