// A response that is sent piece by piece, for as long as there is something to send. The API makes one for `GET /events`;
// exchange.ts sends it.

/** How a stream is read. */
export interface OpenStreamOptions {
  /** Aborting it ends the stream: its reader has gone, or the server ends. */
  signal: AbortSignal;
}

/** Opens the stream: nothing is made, or counted as read, before. It ends by itself, or when the signal is aborted. */
export type OpenStream = (options: OpenStreamOptions) => AsyncIterable<Uint8Array>;

/** A response whose body is a stream. `Response` itself would begin to read it before there is a client. */
export class StreamedResponse extends Response {
  readonly open: OpenStream;

  constructor(open: OpenStream, init: ResponseInit) {
    super(null, init);
    this.open = open;
  }
}
