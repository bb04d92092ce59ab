// Closes a connection over which nothing arrives any more. Used by either side of a link.
//
// What is wrong: grpc-js sends HTTP/2 pings and closes the connection when an answer is late, whatever else arrives; but on
// a slow path answers wait behind data. So here its pings only make a peer send something, and any data that arrives
// counts, as in grpc-go: https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md. Seen in grpc-js 1.14.7.
// Upstream: https://github.com/grpc/grpc-node/pull/2304 asked for "any byte", and was closed.
// Once mended: give grpc-js both times as its own options, and delete this file.

import type { ChannelOptions } from "@grpc/grpc-js";
import type { Socket } from "node:net";
import { LOOK_MS, Silence } from "../silence.ts";

/** How often a peer is asked by HTTP/2 whether it is there, and how long it may then be silent, in milliseconds. */
export interface PingTimes {
  intervalMs: number;
  timeoutMs: number;
}

/** Silence is looked for so many times, at least, before it is too long. */
const LOOKS = 10;
/** The longest that a timer takes, in milliseconds: grpc-js itself never finds an answer late. */
const NEVER_MS = 2 ** 31 - 1;

/** Has grpc-js ask so often. */
export function pingOptions({ intervalMs }: PingTimes): ChannelOptions {
  return { "grpc.keepalive_time_ms": intervalMs, "grpc.keepalive_timeout_ms": NEVER_MS };
}

/**
 * Cuts a TCP connection, under TLS or not, once nothing has arrived for the interval and the timeout together. `onSilence` is
 * told before.
 */
export function watchSilence(
  socket: Socket,
  { intervalMs, timeoutMs }: PingTimes,
  onSilence: () => void = () => {},
): void {
  const most = intervalMs + timeoutMs;
  const lookMs = Math.min(LOOK_MS, most / LOOKS);
  const silence = new Silence(performance.now(), lookMs);
  let received = socket.bytesRead;
  const timer = setInterval(() => {
    const heard = socket.bytesRead !== received;
    received = socket.bytesRead;
    if (silence.look(heard, performance.now()) < most) return;
    onSilence();
    socket.destroy();
  }, lookMs);
  socket.once("close", () => clearInterval(timer));
}
