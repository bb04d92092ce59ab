// One pace of dialling for all peers: links, checks whether a peer's port is open, and requests
// that peers refused and are sent again. While few peers are unreachable, nobody waits; with
// thousands unreachable, the processor stays free for those that are there. A peer that was
// connected before never waits behind others that never were.

import { Pacer } from "./pacer.ts";

/** The pace of each kind of dialling. Together: 176 attempts under way, 350 begun in a second. */
export interface DialPace {
  /** Peers that have answered before. */
  known: Pacer;
  /** The first try of a peer that has never answered, and the next when a service was added or its port has opened. */
  fresh: Pacer;
  /** Every further try of it, and looks at its port. */
  failing: Pacer;
  /** Asking again for a service that is in error; it costs a message, or an attempt to listen. */
  services: Pacer;
}

/**
 * A look at a port that refuses costs 0.2 ms of the processor, so that each of these takes some percent of one core at most.
 * An attempt without an answer lasts 5 s: as many again can begin in that time.
 */
export function newDialPace(): DialPace {
  return {
    known: new Pacer({ atOnce: 32, perSecond: 100, burst: 100 }),
    // Thousands that are away must not keep a new one waiting: those that waited are looked at first, which costs a socket.
    fresh: new Pacer({ atOnce: 128, perSecond: 200, burst: 50 }),
    failing: new Pacer({ atOnce: 16, perSecond: 50, burst: 50 }),
    services: new Pacer({ atOnce: 1, perSecond: 50, burst: 50 }),
  };
}
