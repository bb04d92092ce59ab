// Bytes in both directions: what a TCP connection and a tunnelled stream have in common, so that a splice
// can copy between any two of them. A leaf: net/conn.ts and the streams of mux/ implement it.

/** Why a channel was reset. */
export type ResetCode =
  | "connection_reset" // the TCP connection behind it was reset
  | "refused" // the destination refused, or could not be reached in time
  | "no_service" // there is no such service at the egress
  | "limit" // a bound was reached
  | "closing" // the service was removed, or the connector is closing
  | "idle"; // half-open for too long without a byte

/** What `write` and `finish` may return when all is done at once: whoever knows it need not wait for it. */
export const TAKEN: Promise<void> = Promise.resolve();

/** Bytes in both directions, each of which ends on its own. A TCP connection and a stream both are one. */
export interface ByteChannel {
  /**
   * The next bytes, valid until the next call; null once the other side has finished. Reading on is what
   * tells the other side that the bytes before were consumed.
   *
   * @throws {ConnectorError} when the channel was reset.
   */
  read(): Promise<Uint8Array | null>;
  /**
   * Takes bytes, all of them; resolves when more may follow. The caller may then reuse their buffer.
   *
   * @throws {ConnectorError} when the channel was reset or the other side takes no more.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Half-close: no more bytes will be written. What was written is still delivered. */
  finish(): Promise<void>;
  /**
   * Calls back when nothing more will come than what `read` still gives, because the channel was reset or what carries
   * it is gone: whether anybody reads and writes or not. For the channel's one user, who may be told more than once.
   */
  onLost(listener: (reason: string) => void): void;
  /** Hard close, both directions, at once; `reason` says why in words. Idempotent. */
  reset(code: ResetCode, reason: string): void;
  /** Releases everything, after both directions have ended; before that it is a reset. Idempotent. */
  close(): void;
}
