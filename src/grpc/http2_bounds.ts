// What one HTTP/2 connection may cost, whoever is at the other end: memory for headers, frames that carry nothing, and
// output that the peer does not take. The options are node's, as far as the runtime heeds them; the rest is kept to here.
// session_guard.ts gives them to every connection that we open, windows.ts to our servers.

import http2, { type Http2Session, type SessionOptions, type Settings } from "node:http2";
import { holdOutput } from "../platform/http2_backpressure.ts";
import { internalsOf, type NativeSession } from "../platform/http2_session_internals.ts";
import { FrameMeter } from "./frame_meter.ts";

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
  { onExcess, judgeFirst = () => undefined }: {
    onExcess: (why: string) => void;
    /** Why the first bytes that arrive are none of HTTP/2. Default: they are left to nghttp2. */
    judgeFirst?: (bytes: Uint8Array) => string | undefined;
  },
): BoundedSession | undefined {
  const internals = internalsOf(session);
  if (internals === undefined) return undefined;
  const { native, socket } = internals;
  const meter = new FrameMeter(
    { bytes: MAX_RECKONED_BYTES, fields: MAX_HEADER_FIELDS },
    {
      client: session.type === http2.constants.NGHTTP2_SESSION_SERVER,
      now: performance.now(),
    },
  );
  meterInput(native, { meter, judgeFirst, onExcess });
  holdOutput(session, {
    native,
    socket,
    maxUnsentBytes: MAX_UNSENT_BYTES,
    onSent: (length) => meter.sent(length),
  });
  return { flush: () => native.sendPending() };
}

function meterInput(
  native: NativeSession,
  { meter, judgeFirst, onExcess }: {
    meter: FrameMeter;
    judgeFirst: (bytes: Uint8Array) => string | undefined;
    onExcess: (why: string) => void;
  },
): void {
  const receive = native.receive.bind(native);
  let excess: string | undefined;
  let first = true;
  native.receive = (bytes) => {
    if (excess !== undefined) return;
    if (first) excess = judgeFirst(bytes);
    first = false;
    excess ??= meter.received(bytes, performance.now());
    if (excess === undefined) receive(bytes);
    else onExcess(excess);
  };
}
