// Tells the calls of a session why we, or the runtime, have ended it. Used for every session that we open, by
// grpc/session_guard.ts.
//
// What is wrong: when a session is ended for what its peer has sent, its calls only learn that it is over, and grpc-js says
// that the connection was dropped, as if the peer had done it. Seen in Deno 2.9.6 with grpc-js 1.14.7.
// Upstream: no report found. To reproduce: call a server that answers with 12,000 pings, and print the status's details.
// Once mended: delete this file and its call, and translate the runtime's words in grpc/status.ts.

import http2, { type ClientHttp2Session } from "node:http2";

/** Why we end a session, as a clause about its peer. */
export class Breach extends Error {}

/** `runtimeBreaches`: what the runtime says when it ends a session by itself, and what that means. */
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
