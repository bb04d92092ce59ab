// Pauses sockets, some of which speak TLS. Used by api/paced_stream.ts and grpc/http2_bounds.ts.
//
// What is wrong: a TLS socket that is paused goes on receiving, and keeps everything in memory; and it never calls back for
// a write of no bytes. Seen in Deno 2.9.6. Node keeps reading a paused TLS socket too, up to its high-water mark.
// Upstream: https://github.com/denoland/deno/pull/33524 mended `readStop` of the handle, which is what is used here; no
// report of `pause` found. To reproduce: pause the socket of a TLS server, and send it 64 MB.
// Once mended: `pause` and `resume` of the socket are enough, and empty writes can be passed on.

import type { Socket } from "node:net";

/** Stops reading a socket; `tcp` is the TCP socket under it, or itself. */
export function pauseReading(socket: Socket, tcp: Socket): void {
  socket.pause();
  stopReceiving(tcp);
}

/** Reads it again. */
export function resumeReading(socket: Socket, tcp: Socket): void {
  startReceiving(tcp);
  socket.resume();
}

/** Takes no more from the system for a TCP socket; what is on its way through TLS still comes. */
export function stopReceiving(tcp: Socket): void {
  handleOf(tcp)?.readStop();
}

/** Takes from the system again. */
export function startReceiving(tcp: Socket): void {
  handleOf(tcp)?.readStart();
}

/** Writes, and calls back once the socket has taken it. */
export function writeTo(
  socket: Socket,
  chunk: Uint8Array,
  callback: (error?: Error | null) => void,
): void {
  if (chunk.length === 0) callback();
  else socket.write(chunk, callback);
}

/** The runtime's own handle of a connection. Private in its types, a plain property in fact; null when it has closed. */
function handleOf(socket: Socket): { readStart(): number; readStop(): number } | null | undefined {
  return (socket as Socket & { _handle?: ReturnType<typeof handleOf> })._handle;
}
