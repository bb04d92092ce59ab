// Tells of what arrives over a call while a message is not whole yet. grpc-js shows messages, and one of 120 KB takes
// minutes over the slowest paths: a peer is not silent meanwhile. Bytes of HTTP/2 itself do not count, which a proxy on
// the way may send. Used by call_link.ts's makers: for calls that we open dial.ts, for others server.ts.

import type { ClientHttp2Session } from "node:http2";
import type { Duplex, Readable } from "node:stream";

/** By the socket that a session was made on: grpc-js tells nobody which session is whose. */
const listeners = new WeakMap<Duplex, () => void>();

/** Tells the listener whenever a piece of a message arrives over a socket on which a session is made later. */
export function tellOfArrivals(socket: Duplex, listener: () => void): void {
  listeners.set(socket, listener);
}

/** Watches the calls of a session that was just made on a socket, for whoever has asked about that. */
export function watchArrivals(session: ClientHttp2Session, socket: Duplex): void {
  const request = session.request.bind(session);
  session.request = (...args) => {
    const stream = request(...args);
    stream.on("data", () => listeners.get(socket)?.());
    return stream;
  };
}

/** Tells the listener whenever a piece of a message arrives over a call that a peer has opened. */
export function onArrivalOver(call: object, listener: () => void): void {
  // grpc-js has the stream of HTTP/2 two layers below what handlers are given. Whole messages still tell of the peer where
  // it has moved: a test fails then.
  const inner: unknown = Reflect.get(call, "call");
  const stream: unknown = typeof inner === "object" && inner !== null
    ? Reflect.get(inner, "stream")
    : undefined;
  if (isReadable(stream)) stream.on("data", () => listener());
}

function isReadable(value: unknown): value is Readable {
  return typeof value === "object" && value !== null && "on" in value && "pause" in value;
}
