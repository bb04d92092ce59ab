// Ends a transfer in which nothing moves any more, so that no wait of a chaos run is without an end.

/** Nothing may move for so long, in milliseconds: longer than any fault, its detection and the wait for a link. */
const STALL_MS = 60_000;

/** Watches one transfer until it is disposed. */
export class StallWatch implements Disposable {
  /** Whether nothing moved for too long. */
  stalled = false;
  #movedAt = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Resets the socket after a time without `moved`. */
  constructor(socket: { reset(): void }, { ms = STALL_MS }: { ms?: number } = {}) {
    this.#timer = setInterval(() => {
      if (performance.now() - this.#movedAt < ms) return;
      this.stalled = true;
      socket.reset();
    }, ms / 20);
  }

  /** Something has moved. */
  moved(): void {
    this.#movedAt = performance.now();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
