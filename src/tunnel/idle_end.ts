// Closes a link that another one has replaced, once nothing uses it any more.

import type { Session } from "../mux/session.ts";

/** How often a link is looked at, in milliseconds. */
const LOOK_MS = 1000;
/**
 * Looks in a row that find it of no use, before it is ended. What the peer still opened over it, before it knew of the newer
 * one, has arrived by then.
 */
const QUIET_LOOKS = 3;

/** Ends a session in order when no stream has been open over it for a while and nothing needs it: `inUse` says. */
export function endWhenIdle(session: Session, { inUse }: { inUse: () => boolean }): void {
  let quiet = 0;
  const timer = setInterval(() => {
    quiet = session.streamCount > 0 || inUse() ? 0 : quiet + 1;
    if (quiet >= QUIET_LOOKS) session.close();
  }, LOOK_MS);
  session.closed.then(() => clearInterval(timer));
}
