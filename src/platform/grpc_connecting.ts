// Releases what a client leaves behind that is closed while it connects: its timer here, and its connection by whoever has
// asked to be told when that is ready, and was not.
//
// What is wrong: grpc-js waits 250 ms for the first address of a peer before it tries the next one, and does not clear that
// timer when its client is closed. Nor does it close a connection whose other end has not sent its settings of HTTP/2 by
// then: one that never sends any is held open for ever. Seen in grpc-js 1.14.7.
// Upstream: no report found. To reproduce: call a TCP server that never answers, close the client at once, and see that
// `startNextSubchannelConnecting` of its PickFirstLoadBalancer is called all the same, and that the connection stays.
// Once mended: delete this file, its entry in deno.json, and `onReady` in credentials.ts and dial.ts.

import { PickFirstLoadBalancer } from "@grpc/grpc-js/load-balancer-pick-first";
import type { ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";

const { destroy } = PickFirstLoadBalancer.prototype;

PickFirstLoadBalancer.prototype.destroy = function (): void {
  destroy.call(this);
  clearTimeout(this["connectionDelayTimeout"]);
};

/** By the socket that a session was made on: grpc-js tells nobody which session is whose. */
const listeners = new WeakMap<Duplex, () => void>();

/** Tells the listener once grpc-js closes a socket with its client, on which a session is made later. */
export function tellWhenReady(socket: Duplex, listener: () => void): void {
  listeners.set(socket, listener);
}

/** Watches a session that was just made on a socket, for whoever has asked about that. */
export function watchReadiness(session: ClientHttp2Session, socket: Duplex): void {
  session.once("remoteSettings", () => listeners.get(socket)?.());
}
