// What one HTTP/2 connection may cost, whoever is at the other end: memory for headers, frames that carry nothing, and
// output that the peer does not take. The options are node's, as far as the runtime heeds them; the rest is kept to here.
// session_guard.ts gives them to every connection that we open, windows.ts to our servers.

import http2, { type Http2Session, type SessionOptions, type Settings } from "node:http2";
import type { Socket } from "node:net";
import { holdOutput } from "../platform/http2_backpressure.ts";
import { internalsOf, type NativeSession } from "../platform/http2_session_internals.ts";
import { startReceiving, stopReceiving } from "../platform/tls_pause.ts";
import { tcpSocketOf } from "../platform/tls_socket.ts";
import { FrameMeter } from "./frame_meter.ts";
import { Input } from "./input_turns.ts";

/**
 * The headers of one call, in bytes, each with 32 bytes for itself (RFC 9113 section 6.5.2): ours have 400, grpc-go's as
 * many, and one that says why a call failed has up to 8 KiB.
 */
const MAX_HEADER_LIST_BYTES = 16 * 1024;
/** What is reckoned of them is an upper bound: Huffman's code may make five bytes of eight. */
const MAX_RECKONED_BYTES = MAX_HEADER_LIST_BYTES * 8 / 5;
/** The fields of one call: ours have 10. */
const MAX_HEADER_FIELDS = 128;
/** Pings or settings of the peer whose answers wait; ours that wait for an answer. */
const MAX_UNANSWERED = 100;
/** Entries of one settings frame. There are ten settings. */
const MAX_SETTINGS_ENTRIES = 32;
/** Calls that a peer may open and drop again at once, and a second from then on. */
const RESET_BURST = 200;
const RESETS_PER_SECOND = 33;
/** Bytes that wait in the process for a socket to take them; what is more waits in its calls, which are held back. */
export const MAX_UNSENT_BYTES = 1024 * 1024;

/**
 * What we announce as a server. The size of HPACK's table stays the default: HAProxy up to 2.6 confirms a smaller one as a
 * client and then does not begin its headers with the update that it owes (RFC 7541 section 4.2), which ends the connection.
 */
export const SERVER_SETTINGS: Readonly<Settings> = { maxHeaderListSize: MAX_HEADER_LIST_BYTES };

/** What we announce as a client. A table of size 0 leaves nothing of one header for the next. */
export const CLIENT_SETTINGS: Readonly<Settings> = {
  ...SERVER_SETTINGS,
  headerTableSize: 0,
  enablePush: false,
};

/** Options of both ends that node documents; not all are in its types. */
export const SESSION_OPTIONS: SessionOptions & Readonly<Record<string, unknown>> = {
  maxHeaderListPairs: MAX_HEADER_FIELDS,
  maxOutstandingPings: MAX_UNANSWERED,
  maxOutstandingSettings: MAX_UNANSWERED,
  maxSettings: MAX_SETTINGS_ENTRIES,

  maxSessionInvalidFrames: MAX_UNANSWERED,
  maxSessionRejectedStreams: MAX_UNANSWERED,
  streamResetBurst: RESET_BURST,
  streamResetRate: RESETS_PER_SECOND,
};

/** A session that is bounded. */
export interface BoundedSession {
  /** Sends what the runtime would keep until it has something else to send. */
  flush(): void;
}

/**
 * Bounds what a session that was just made may cost. `onExcess` is told why, once, and ends it. Undefined when that cannot
 * be done: a test fails when the runtime moves what it hangs on.
 */
export function boundSession(
  session: Http2Session,
  { onExcess, judgeFirst = () => undefined, isLinked = () => true }: {
    onExcess: (why: string) => void;
    /** Whether the connection carries a link. Default: it does. */
    isLinked?: () => boolean;
    /** Why the first bytes that arrive are none of HTTP/2. Default: they are left to nghttp2. */
    judgeFirst?: (bytes: Uint8Array) => string | undefined;
  },
): BoundedSession | undefined {
  const internals = internalsOf(session);
  if (internals === undefined) return undefined;
  const { native, socket } = internals;
  ignoreLateErrors(session, socket);
  const meter = new FrameMeter(
    { bytes: MAX_RECKONED_BYTES, fields: MAX_HEADER_FIELDS },
    {
      client: session.type === http2.constants.NGHTTP2_SESSION_SERVER,
      now: performance.now(),
    },
  );
  const input = inputOf(session, { native, socket, isLinked });
  meterInput(native, { input, meter, judgeFirst, onExcess });
  holdOutput(session, {
    native,
    socket,
    maxUnsentBytes: MAX_UNSENT_BYTES,
    onSent: (length) => meter.sent(length),
  });
  return { flush: () => native.sendPending() };
}

/**
 * The last bytes of a session that was destroyed may fail when its peer has gone. The runtime tells the socket of it when
 * nobody else listens any more, and an error that nobody listens to ends the process.
 */
function ignoreLateErrors(session: Http2Session, socket: Socket): void {
  for (const emitter of [session, socket, tcpSocketOf(socket)]) emitter.on("error", () => {});
}

/** What arrives is taken in turns with what arrives over other connections. */
function inputOf(
  session: Http2Session,
  { native, socket, isLinked }: {
    native: NativeSession;
    socket: Socket;
    isLinked: () => boolean;
  },
): Input {
  const receive = native.receive.bind(native);
  const tcp = tcpSocketOf(socket);
  // The runtime sends what there is to answer after what it has just given to `receive`.
  let isLate = false;
  const input = new Input({
    take(bytes) {
      // It may have ended since they arrived.
      if (session.destroyed) return;
      receive(bytes);
      if (!isLate || session.destroyed) return;
      native.sendPending();
      // What the runtime looks at after each read: it has said its last word.
      if (!native.hasPendingData()) session.destroy();
    },
    pause: () => {
      isLate = true;
      stopReceiving(tcp);
    },
    resume: () => {
      isLate = false;
      if (!session.destroyed) startReceiving(tcp);
    },
    isLinked,
  });
  session.once("close", () => input[Symbol.dispose]());
  return input;
}

function meterInput(
  native: NativeSession,
  { input, meter, judgeFirst, onExcess }: {
    input: Input;
    meter: FrameMeter;
    judgeFirst: (bytes: Uint8Array) => string | undefined;
    onExcess: (why: string) => void;
  },
): void {
  let excess: string | undefined;
  let first = true;
  native.receive = (bytes) => {
    if (excess !== undefined) return;
    if (first) excess = judgeFirst(bytes);
    first = false;
    const { work } = meter;
    excess ??= meter.received(bytes, performance.now());
    if (excess === undefined) input.arrived(bytes, meter.work - work);
    else onExcess(excess);
  };
}
