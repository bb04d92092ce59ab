// Lets an HTTP/2 session be pinged for as long as it has calls. Used for every session, by grpc/session_guard.ts.
//
// What is wrong: node:http2 closes a session when a GOAWAY comes, lets its calls go on, and from then on answers every ping
// by itself that it was cancelled, without sending it; grpc-js, on either side, takes that for a lost connection and resets
// the calls. Seen in Deno 2.9.6 (as in node) with grpc-js 1.14.7.
// Upstream: https://github.com/grpc/grpc-node/issues/3068
// Once mended in grpc-js: delete this file and its call.

import type { Http2Session } from "node:http2";

/** Sends pings over a session that is closed and has calls, too. */
export function pingWhileClosing(session: Http2Session): void {
  const ping = session.ping.bind(session);
  const whileOpen = (...args: Parameters<typeof ping>) => {
    // V8 finds every property of an object more slowly once it has lost one.
    if (!session.closed) return ping(...args);
    Object.defineProperty(session, "closed", { value: false, configurable: true });
    try {
      return ping(...args);
    } finally {
      Reflect.deleteProperty(session, "closed");
    }
  };
  // It has overloads, which a function expression cannot have.
  Object.assign(session, { ping: whileOpen });
}
