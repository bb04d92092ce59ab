// Bytes in both directions: what a TCP connection and a tunnelled stream have in common, so that a splice
// can copy between any two of them. A leaf: tcp/conn.ts and the streams of mux/ implement it.

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
  /** Hard close, both directions, at once. */
  reset(reason: string): void;
  /** Releases everything, after both directions have ended; before that it is a reset. Idempotent. */
  close(): void;
}
