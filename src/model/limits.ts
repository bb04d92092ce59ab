// The bounds of a session, each with its default and reason. They are options of the program, told
// to peers when a link opens, and enforced in mux/.

/** What one side lets the other do. */
export interface PeerLimits {
  /** Streams that the peer may have open at once. */
  streams: number;
  /** Of those, streams that wait for `opened`. */
  opens: number;
  /** Bytes of one data frame. */
  frame: number;
  /** Bytes that may be sent on a new stream before the first grant. */
  window: number;
}

/** Bounds of one session. */
export interface SessionLimits extends PeerLimits {
  /** A stream's receive window grows up to this, in bytes. */
  maxWindow: number;
  /**
   * Bytes that may wait for slow readers in all streams of a session; beyond it the stream that holds most is
   * reset. All its windows together may grow by half of it.
   */
  budget: number;
}

/** What a chunk that waits in memory costs besides its bytes, in bytes: counted, or tiny chunks would be free. */
export const CHUNK_OVERHEAD_BYTES = 128;

/** What is used where nothing else is asked for. */
export const DEFAULT_LIMITS: Readonly<SessionLimits> = {
  // One service may have the 10,000 connections that it may have by default, and leaves some to others. About 160 MiB of
  // memory if they are used.
  streams: 16_000,
  // A burst of visitors while destinations are dialled; one that cannot be reached holds its place for 10 s. One service may
  // have half of what others leave.
  opens: 1_000,
  // Large enough to make the cost of a frame small, small enough for streams to take turns within 1 ms.
  frame: 64 * 1024,
  // What a TCP receiver starts with. It doubles every round trip while it is what holds the sender back.
  window: 64 * 1024,
  // 1 Gbit/s over a path of 130 ms.
  maxWindow: 16 * 1024 * 1024,
  // Four streams at full window, and a thousand stuck ones at their first.
  budget: 128 * 1024 * 1024,
};

/** The lowest and highest value of each bound. */
export const LIMIT_RANGES: Readonly<Record<keyof SessionLimits, readonly [number, number]>> = {
  streams: [1, 1_000_000],
  opens: [1, 1_000_000],
  // A frame has to fit into a batch, beside others.
  frame: [1024, 128 * 1024],
  window: [1024, 16 * 1024 * 1024],
  maxWindow: [1024, 1024 ** 3],
  // A single stream's first window always fits.
  budget: [16 * 1024 * 1024, 16 * 1024 ** 3],
};
