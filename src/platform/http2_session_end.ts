// Ends HTTP/2 sessions outside of the native code that reads them. Used for every session, by grpc/session_guard.ts.
//
// What is wrong: when a GOAWAY arrives over a connection without open calls, node:http2 closes the
// session, and so frees the native session that is still reading that frame. The process dies of
// it, so every peer that leaves in order could end ours. Seen in Deno 2.9.5 and 2.9.6.
// Upstream: https://github.com/denoland/deno/issues/36788
// Once mended: delete this file and its calls. Then grpc-js hears of the reason by itself ("Flooding was detected …"), and
// grpc/status.ts translates it.

import http2, { type ClientHttp2Session, type Http2Session } from "node:http2";
import { setImmediate } from "node:timers";

/** Both ways to end a session, the runtime's own uses of them too, take effect in the next turn of the event loop. */
export function deferEnd(session: Http2Session): void {
  const close = session.close.bind(session);
  const destroy = session.destroy.bind(session);
  session.close = (...args) => void setImmediate(() => close(...args));
  session.destroy = (...args) => void setImmediate(() => destroy(...args));
}

/** Why we end a session, as a clause about its peer. */
export class Breach extends Error {}

/**
 * Tells the calls of a session why it is ended: as that comes a turn late, they would only learn that it is, as if the peer
 * had ended it. `runtimeBreaches`: what the runtime says when it ends a session by itself, and what that
 * means.
 */
export function tellCalls(
  session: ClientHttp2Session,
  runtimeBreaches: Readonly<Record<string, string>>,
): void {
  let why: string | undefined;
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => {
    const text = error?.message ?? "";
    why ??= error instanceof Breach ? text : runtimeBreaches[text];
    destroy(error, code);
  };
  const request = session.request.bind(session);
  session.request = (...args) => {
    const call = request(...args);
    // Ahead of grpc-js, which takes the code and the last error for the reason.
    call.once("close", () => {
      if (why === undefined) return;
      Object.defineProperty(call, "rstCode", { value: http2.constants.NGHTTP2_INTERNAL_ERROR });
      // Without a listener it would end the process.
      if (call.listenerCount("error") > 0) call.emit("error", new Error(why));
    });
    return call;
  };
}
