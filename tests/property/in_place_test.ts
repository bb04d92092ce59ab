// A file that is written in place is, whatever the moment at which the machine fails, the old one or the new one; and a
// write that fails loses nothing.

import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import fc from "fast-check";
import { contentOf, type OverwritableFile, overwrite } from "../../src/state/in_place.ts";

/** A change of a file that is not on disk yet. */
type Change = { at: number; bytes: Uint8Array } | { size: number };

/** Ends a write. */
class Failure extends Error {}

/** A file that takes a few bytes at a time, and what a disk has of it. */
class MemoryFile implements OverwritableFile {
  #place = 0;
  #now: Uint8Array<ArrayBuffer>;
  #disk: Uint8Array<ArrayBuffer>;
  #pending: Change[] = [];
  /** So many changes and syncs are still done. */
  #stepsLeft: number;
  /** The largest that it may become. */
  readonly #maxSize: number;

  constructor(content: Uint8Array, { steps = Infinity, maxSize = Infinity } = {}) {
    this.#now = new Uint8Array(content);
    this.#disk = this.#now;
    this.#stepsLeft = steps;
    this.#maxSize = maxSize;
  }

  get now(): Uint8Array<ArrayBuffer> {
    return this.#now;
  }

  /** What is on disk when the machine fails now: of what was not synced, any part. */
  afterFailure(isDone: () => boolean): Uint8Array<ArrayBuffer> {
    return this.#pending.filter(isDone).reduce(applied, this.#disk);
  }

  stat(): Promise<Deno.FileInfo> {
    return Promise.resolve({ size: this.#now.length } as Deno.FileInfo);
  }

  seek(place: number | bigint): Promise<number> {
    this.#place = Number(place);
    return Promise.resolve(this.#place);
  }

  read(buffer: Uint8Array): Promise<number | null> {
    const part = this.#now.subarray(this.#place, this.#place + buffer.length);
    buffer.set(part);
    this.#place += part.length;
    return Promise.resolve(part.length === 0 ? null : part.length);
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async write(bytes: Uint8Array): Promise<number> {
    const part = bytes.slice(0, 50);
    if (this.#place + part.length > this.#maxSize) throw new Failure("no space");
    this.#change({ at: this.#place, bytes: part });
    this.#place += part.length;
    return part.length;
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async truncate(size = 0): Promise<void> {
    this.#change({ size });
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async sync(): Promise<void> {
    this.#step();
    this.#disk = this.#now;
    this.#pending = [];
  }

  #change(change: Change): void {
    this.#step();
    this.#pending.push(change);
    this.#now = applied(this.#now, change);
  }

  #step(): void {
    if (this.#stepsLeft <= 0) throw new Failure("killed");
    this.#stepsLeft -= 1;
  }
}

function applied(file: Uint8Array<ArrayBuffer>, change: Change): Uint8Array<ArrayBuffer> {
  const size = "size" in change
    ? change.size
    : Math.max(file.length, change.at + change.bytes.length);
  const after = new Uint8Array(size);
  after.set(file.subarray(0, size));
  if ("at" in change) after.set(change.bytes, change.at);
  return after;
}

/** What JSON may be: no separator, and no blanks at its end. */
const content = fc.string({ maxLength: 300, unit: fc.constantFrom("{", "}", "a", '"', "1") })
  .map((text) => new TextEncoder().encode(`{${text}}`));

async function textOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new TextDecoder().decode(await contentOf(bytes)).trimEnd();
}

const textIn = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("in place: when the machine fails at any moment, the old content is there or the new one, and can be replaced", async () => {
  await fc.assert(
    fc.asyncProperty(
      content,
      fc.array(
        fc.record({ next: content, steps: fc.nat(40), done: fc.infiniteStream(fc.boolean()) }),
        { minLength: 1, maxLength: 4 },
      ),
      content,
      async (first, failures, last) => {
        let disk = new Uint8Array(first);
        let possible = [textIn(first)];
        // One failure after another, each on what the last has left.
        for (const { next, steps, done } of failures) {
          const file = new MemoryFile(disk, { steps });
          const written = await overwrite(file, next).then(() => true, () => false);
          disk = file.afterFailure(() => done.next().value === true);
          possible = written ? [textIn(next)] : [...possible, textIn(next)];
          const found = await textOf(disk);
          ok(possible.includes(found), `${found} is none of ${possible.join(", ")}`);
          possible = [found];
        }
        const file = new MemoryFile(disk);
        await overwrite(file, last);
        deepStrictEqual(file.now, new Uint8Array(last));
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("in place: when there is no room, the old content is there, and the new one once there is", async () => {
  await fc.assert(
    fc.asyncProperty(content, content, fc.nat(700), async (old, next, room) => {
      const file = new MemoryFile(old, { maxSize: old.length + room });
      const needed = Math.max(old.length + 1, next.length) + 66 + next.length;
      if (old.length + room >= needed) return await overwrite(file, next);
      await rejects(overwrite(file, next), Failure);
      deepStrictEqual(file.now, new Uint8Array(old));
      const roomy = new MemoryFile(file.now);
      await overwrite(roomy, next);
      deepStrictEqual(roomy.now, new Uint8Array(next));
    }),
  );
});
