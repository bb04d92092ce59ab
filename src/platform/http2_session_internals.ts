// The native half of an HTTP/2 session and the socket under it, which node:http2 keeps to itself. Used by what bounds a
// session, and by http2_backpressure.ts.
//
// What is wrong: node:http2 shows neither what arrives before nghttp2 has taken it, nor whether the socket takes what it
// writes, and it sends no WINDOW_UPDATE for `setLocalWindowSize` before it has something else to send. Seen in Deno 2.9.6;
// node sends at once.
// Upstream: no report found. To reproduce: call `setLocalWindowSize(1 << 24)` on an idle session of a server, and look at
// `state.remoteWindowSize` of the client.
// Once mended: `flush` goes; `receive` stays for as long as frames are to be counted before nghttp2 has taken them.

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";

/** The native half of a session: private in node's types, plain properties in fact. */
export interface NativeSession {
  /** Takes bytes that have arrived. */
  receive(bytes: Uint8Array): void;
  /** The next bytes to write to the socket. */
  getOutgoingChunk(): Uint8Array | undefined;
  /** Writes all there is to the socket. */
  sendPending(): void;
  hasPendingData(): boolean;
}

/** Both, of a session that is connected; undefined when the runtime has moved them, which a test would notice. */
export function internalsOf(
  session: Http2Session,
): { native: NativeSession; socket: Socket } | undefined {
  const native = memberOf(session, isNativeSession);
  const socket = memberOf(session, isSocket);
  return native && socket && { native, socket };
}

/** What a session keeps under a symbol of its own. */
function memberOf<T>(session: Http2Session, is: (value: unknown) => value is T): T | undefined {
  for (const key of Object.getOwnPropertySymbols(session)) {
    const value: unknown = Reflect.get(session, key);
    if (is(value)) return value;
  }
  return undefined;
}

function isNativeSession(value: unknown): value is NativeSession {
  return typeof value === "object" && value !== null && "getOutgoingChunk" in value &&
    "sendPending" in value && "receive" in value && "hasPendingData" in value;
}

function isSocket(value: unknown): value is Socket {
  // The one that `session.socket` hands out hides what it writes.
  return typeof value === "object" && value !== null && "writableLength" in value &&
    "remoteAddress" in value;
}
