// Ends what takes too long at the gRPC port: control calls whose request or answer does not get through, links that are
// over, and connections without a call. A leaf of gates.ts: the deadline of handshakes is in handshake_gate.ts, the one of a
// link's first message in server.ts.

import http2 from "node:http2";
import type { Call, Connection, ConnectionTable, OnGateRefusal } from "./connections.ts";

/**
 * How long a connection may stay without a call once control calls have come over it, in milliseconds: a client comes back
 * by itself when it has more to ask.
 */
export const IDLE_MS = 30_000;
/** How long a client has to leave when it was told to, in milliseconds. */
const LEAVE_MS = 5_000;
/** How long a first call, the request of a control call, and the first message of a link may take, in milliseconds. */
export const REQUEST_MS = 10_000;
/**
 * How long a control call may take in all, in milliseconds, and a link to end for the client once it has for us: far above
 * what any takes, but a client may never read what it is sent.
 */
const CALL_MS = 60_000;
/** How often deadlines are looked at, in milliseconds. */
const SWEEP_MS = 1_000;

const { NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

/** What the deadlines need. */
export interface DeadlinesOptions {
  /** A control call was ended: whose it was, and why. */
  onRefused: OnGateRefusal;
  /** As `IDLE_MS`. */
  idleMs: number;
  /** As `REQUEST_MS`. */
  requestMs: number;
}

/** Looks at all connections of a table, once it was started. */
export class Deadlines {
  readonly #table: ConnectionTable;
  readonly #options: DeadlinesOptions;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(table: ConnectionTable, options: DeadlinesOptions) {
    this.#table = table;
    this.#options = options;
  }

  /** There is a connection. Idempotent. */
  start(): void {
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** Looks no more, until it is started again. Idempotent. */
  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#table.all()) {
      for (const call of connection.calls) {
        const late = this.#lateness(call, { now, isNew: connection.isNew });
        if (late === undefined) continue;
        if (call.control) {
          const principal = connection.principal();
          this.#options.onRefused(connection.address, { rule: "time", reason: late, principal });
        }
        call.stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      }
      this.#endIdle(connection, now);
    }
  }

  /** What a call has taken too long for. */
  #lateness(call: Call, { now, isNew }: { now: number; isNew: boolean }): string | undefined {
    const { stream, openedAt, control } = call;
    const { requestMs } = this.#options;
    if (!control) {
      // gRPC's status is a call's last word, but HTTP/2 lets a client go on sending. What was sent ahead of it may take its
      // time on a slow path.
      if (stream.writableFinished) call.answeredAt ??= now;
      const over = call.answeredAt !== undefined &&
        now - call.answeredAt >= (isNew ? requestMs : CALL_MS);
      return over ? "it did not end a link that was over" : undefined;
    }
    const whole = stream.readableEnded || stream.endAfterHeaders;
    if (now - openedAt < (whole ? CALL_MS : requestMs)) return undefined;
    return `it did not ${whole ? "take the answer" : "send the request"} of a control call in time`;
  }

  #endIdle(connection: Connection, now: number): void {
    const { session, calls, dismissedAt, idleSince, hasControlCalls } = connection;
    // TLS and the start of HTTP/2 have a deadline of their own.
    if (session === undefined || calls.size > 0) return;
    const { idleMs, requestMs } = this.#options;
    if (dismissedAt !== undefined) {
      if (now - dismissedAt >= LEAVE_MS) session.destroy();
    } else if (now - idleSince >= (hasControlCalls ? idleMs : requestMs)) {
      connection.dismissedAt = now;
      // In order: a client that has a call on its way makes it again over another connection.
      session.close();
    }
  }
}
