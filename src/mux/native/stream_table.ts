// The native streams of a session by their numbers.

import type { NativeStream } from "./native_stream.ts";

/** One stream's place. What a Map has forgotten may live on in it (../swap_set.ts): this much, and not the stream. */
interface Slot {
  stream: NativeStream | undefined;
}

/** Streams by number. */
export class StreamTable {
  readonly #slots = new Map<number, Slot>();

  /** The stream of this number. */
  get(id: number): NativeStream | undefined {
    return this.#slots.get(id)?.stream;
  }

  /** Adds one under its number. */
  add(stream: NativeStream): void {
    this.#slots.set(stream.id, { stream });
  }

  /** Forgets the one of this number. */
  delete(id: number): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    slot.stream = undefined;
    this.#slots.delete(id);
  }

  /** All of them, in the order in which they were opened. */
  all(): NativeStream[] {
    return [...this.#slots.values()].flatMap(({ stream }) => stream ?? []);
  }

  /** Forgets all. */
  clear(): void {
    for (const id of [...this.#slots.keys()]) this.delete(id);
  }
}
