// Two sessions over a link in memory, with limits as tiny as a test wants them.

import { DEFAULT_LIMITS, type SessionLimits } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import type { OnStream } from "../../src/mux/stream.ts";
import { type MemoryLinkOptions, memoryLinks, turn } from "./memory_link.ts";
import { soon } from "./soon.ts";

/** The smallest limits that can be negotiated, but for the streams. */
export const TINY_LIMITS: SessionLimits = {
  streams: 4,
  opens: 4,
  frame: 1024,
  window: 1024,
  maxWindow: 1024,
  budget: 1024 * 1024,
};

/** What a pair is made of. */
export interface SessionPairOptions extends MemoryLinkOptions {
  limits?: Partial<SessionLimits>;
  /** What each side does with streams that the other opened. */
  onStream: Record<SessionOptions["role"], OnStream>;
}

/** Both sessions. */
export type SessionPair = Record<SessionOptions["role"], Session>;

/** Joins two sessions that speak the native dialect. */
export function sessionPair({ limits, onStream, ...link }: SessionPairOptions): SessionPair {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const greeting = hello(all);
  const links = memoryLinks({ offer: greeting, answer: greeting, ...link });
  const session = (role: SessionOptions["role"]) =>
    Session.start(links[role], {
      role,
      limits: all,
      onControl: () => {},
      onStream: onStream[role],
      connects: () => false,
    });
  return { dialler: session("dialler"), acceptor: session("acceptor") };
}

/** Waits turn by turn until a condition holds; fails after a deadline, saying what was awaited. */
export async function untilTurn(condition: () => boolean, what: string): Promise<void> {
  let late = false;
  await soon(
    (async () => {
      while (!condition() && !late) await turn();
    })(),
    what,
  ).finally(() => late = true);
}
