// Time that moves when a test says so: `setTimeout`, `clearTimeout` and `performance.now` until it is disposed of.
// For code that waits longer than a test may. Nothing that does real I/O runs under it.

interface Timer {
  at: number;
  callback: () => void;
}

/** The test's own clock. Only one at a time. */
export class FakeTime implements Disposable {
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    now: performance.now,
  };
  readonly #timers = new Map<number, Timer>();
  #nextId = 1;
  #now = 0;

  constructor() {
    // Only what the code under test uses: a callback without arguments.
    Object.assign(globalThis, {
      setTimeout: (callback: () => void, ms = 0) => {
        const id = this.#nextId++;
        this.#timers.set(id, { at: this.#now + ms, callback });
        return id;
      },
      clearTimeout: (id?: number) => this.#timers.delete(id ?? 0),
    });
    performance.now = () => this.#now;
  }

  /** How many timers are set. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** Moves the clock, firing what is due in its order, with time for promises to settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turns();
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end)
        .toSorted(([, a], [, b]) => a.at - b.at);
      if (next === undefined) break;
      const [id, { at, callback }] = next;
      this.#now = Math.max(this.#now, at);
      this.#timers.delete(id);
      callback();
      await turns();
    }
    this.#now = end;
  }

  /** Moves the clock while nothing runs, as for a process that is stopped: what was due fires late, at the next `advance`. */
  jump(ms: number): void {
    this.#now += ms;
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, {
      setTimeout: this.#real.setTimeout,
      clearTimeout: this.#real.clearTimeout,
    });
    performance.now = this.#real.now;
  }
}

/** Enough turns for any chain of promises in these tests. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
}
