// Notices when a port that refused accepts connections again, so that dialling it need not wait
// longer. It also finds out cheaply whether opening a link is worthwhile.

import { type Address, formatAddress } from "../model/address.ts";
import { delay } from "../delay.ts";
import { reasonOf } from "../model/errors.ts";
import { denoNetwork } from "./deno/sockets.ts";

/** How often the port is tried, in milliseconds: a peer that is back is found within 2 s, for a packet a second. */
const INTERVAL_MS = 1000;
/** How long a try may take, in milliseconds. */
const TIMEOUT_MS = 1000;

/** What was seen of a port. */
export type Reachability =
  /** It takes connections now, and had not before. */
  | "opened"
  /** It takes connections, and nothing else was seen of it: then it is not the port that keeps the peer away. */
  | "open"
  /** It did not take any when the signal was aborted. */
  | "refusing";

/**
 * Looks at an address until it takes TCP connections, or the signal is aborted. `before` is what the last look has
 * seen: a port that refused then, and is open at the first look, has opened. Never rejects.
 */
export async function becomesReachable(
  address: Address,
  { signal, before = "open", intervalMs = INTERVAL_MS, turn = () => Promise.resolve(undefined) }: {
    signal: AbortSignal;
    before?: Reachability | undefined;
    intervalMs?: number;
    /** Waits for the turn to look. */
    turn?: (signal: AbortSignal) => Promise<Disposable | undefined>;
  },
): Promise<Reachability> {
  let refused = before === "refusing";
  while (!signal.aborted) {
    const refusal = await look(address, { signal, turn });
    if (refusal === undefined) return refused ? "opened" : "open";
    // Whatever the reason, other than that nobody wants to know any more: what matters is that it ends.
    refused ||= !signal.aborted;
    await delay(intervalMs, { signal });
  }
  return refused ? "refusing" : "open";
}

/** One look, which is over when this resolves. */
async function look(
  address: Address,
  { signal, turn }: {
    signal: AbortSignal;
    turn: (signal: AbortSignal) => Promise<Disposable | undefined>;
  },
): Promise<string | undefined> {
  using _turn = await turn(signal);
  return await refusalOf(address, { signal, timeoutMs: TIMEOUT_MS });
}

/** Why an address takes no TCP connection, in words; undefined when it takes one. Never rejects. */
export async function refusalOf(
  address: Address,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<string | undefined> {
  // Deno's sockets do: nothing is sent, and they need no choice.
  const dial = denoNetwork.dial(address, timeoutMs);
  const onAbort = () => dial.abort();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    const conn = await dial.conn;
    conn.close();
    return undefined;
  } catch (error) {
    const reason = reasonOf(error);
    const action = `Cannot connect to ${formatAddress(address)}: `;
    return reason.startsWith(action) ? reason.slice(action.length) : reason;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
