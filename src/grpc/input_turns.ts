// Shares the event loop between the connections of HTTP/2: what they bring in one turn of the loop is taken for some
// milliseconds, and the rest waits, a piece of each connection in its turn. A connection that waits is not read. Without
// it a hundred connections with a hundred calls each, or megabytes of frames of one byte, keep everybody waiting for
// seconds. Used by http2_bounds.ts.

import { setImmediate } from "node:timers";

/** So long input is taken in one turn, in milliseconds: some MB of data. */
const TURN_MS = 8;
/** So much work is taken at once, as `FrameMeter.work`: some milliseconds. 64 KiB of data are far less. */
const PIECE_WORK = 800;

/** A connection whose input is taken in turns. */
export interface TurnTaker {
  /** Takes bytes that have arrived. */
  take(bytes: Uint8Array): void;
  /** Reads no more of its socket, for now. */
  pause(): void;
  /** All that waited has been taken: goes on reading. */
  resume(): void;
  /** Whether it carries a link, and so waits for no others than such. */
  isLinked(): boolean;
}

/** The connections of the process whose input waits: those that carry a link, and the others. */
const linked: Input[] = [];
const others: Input[] = [];
/** When the first input of this turn of the event loop was taken; undefined when none was. */
let turnBeganAt: number | undefined;

/** The input of one connection. */
export class Input implements Disposable {
  readonly #taker: TurnTaker;
  /** What has arrived and waits, oldest first. */
  #held: { bytes: Uint8Array; pieceBytes: number }[] = [];
  #closed = false;

  constructor(taker: TurnTaker) {
    this.#taker = taker;
  }

  /** Bytes have arrived that bring so much work: they are taken now, or in their turn. */
  arrived(bytes: Uint8Array, work: number): void {
    if (this.#closed) return;
    const isLittle = work <= PIECE_WORK;
    if (isLittle && this.#held.length === 0 && !isTurnOver()) return this.#taker.take(bytes);
    const pieceBytes = isLittle ? bytes.length : Math.ceil(bytes.length * PIECE_WORK / work);
    this.#held.push({ bytes, pieceBytes });
    if (this.#held.length > 1) return;
    this.#taker.pause();
    this.wait();
    // So that there is a next turn.
    isTurnOver();
  }

  /** It is to have a turn. */
  wait(): void {
    (this.#taker.isLinked() ? linked : others).push(this);
  }

  /** What waits is dropped. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#held = [];
  }

  /** Takes a piece of what waits. Returns whether more does. */
  takePiece(): boolean {
    const [first] = this.#held;
    if (first === undefined) return false;
    const { bytes, pieceBytes } = first;
    first.bytes = bytes.subarray(pieceBytes);
    if (first.bytes.length === 0) this.#held.shift();
    this.#taker.take(bytes.subarray(0, pieceBytes));
    if (this.#closed) return false;
    if (this.#held.length > 0) return true;
    this.#taker.resume();
    return false;
  }
}

/** Whether this turn of the event loop has had its input. What that has led to in the meantime counts, too. */
function isTurnOver(): boolean {
  const now = performance.now();
  if (turnBeganAt !== undefined) return now - turnBeganAt >= TURN_MS;
  turnBeganAt = now;
  setImmediate(takeTurn);
  return false;
}

/** A piece of each kind a turn: what follows from them is only done once this returns. */
function takeTurn(): void {
  turnBeganAt = undefined;
  for (const waiting of [linked, others]) {
    const input = waiting.shift();
    if (input === undefined) continue;
    // So that there is a next turn.
    isTurnOver();
    if (input.takePiece()) input.wait();
  }
}
