// Ends HTTP/2 sessions outside of the native code that reads them. Used for every session, by grpc/session_guard.ts.
//
// What is wrong: when a GOAWAY arrives over a connection without open calls, node:http2 closes the session, and with it
// frees the native one that is still reading that frame. The process dies of it, so every peer that leaves in order could
// take us with it. Seen in Deno 2.9.5 and 2.9.6.
// Upstream: https://github.com/denoland/deno/issues/36788
// Once mended: delete this file and its call.

import type { Http2Session } from "node:http2";
import { setImmediate } from "node:timers";

/** Both ways to end a session, the runtime's own uses of them too, take effect in the next turn of the event loop. */
export function deferEnd(session: Http2Session): void {
  const close = session.close.bind(session);
  const destroy = session.destroy.bind(session);
  session.close = (...args) => void setImmediate(() => close(...args));
  session.destroy = (...args) => void setImmediate(() => destroy(...args));
}
