// Paces what is tried again and again: so many attempts at once, so many a second, in the order in
// which they were asked for. With few attempts nobody waits; with thousands each has its turn
// later, and the processor stays free.

/** How fast. */
export interface PacerOptions {
  /** Attempts under way at once. */
  atOnce: number;
  /** Attempts begun in a second. */
  perSecond: number;
  /** Attempts that begin without a wait after a time without any. */
  burst: number;
}

/** An attempt that is under way, until it is disposed: then another one may begin. */
export interface Turn extends Disposable {
  /** Whether there was a wait for it: others are away too. */
  readonly waited: boolean;
}

interface Waiter {
  begin: (turn: Turn) => void;
  left: boolean;
  waited: boolean;
}

/** Gives turns. */
export class Pacer {
  readonly #options: PacerOptions;
  #underWay = 0;
  /** How many may begin now; grows with time. */
  #credit: number;
  #grownAt = performance.now();
  /** Those that wait, and those that have left and are not taken out yet. */
  #waiting: Waiter[] = [];
  /** Up to here they have had their turn. */
  #head = 0;
  #left = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#credit = options.burst;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length - this.#head - this.#left;
  }

  /** Resolves when it is one's turn; with undefined when the signal is aborted before. Never rejects. */
  turn(signal: AbortSignal): Promise<Turn | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const onAbort = () => {
        waiter.left = true;
        this.#left += 1;
        this.#sweep();
        resolve(undefined);
      };
      const waiter: Waiter = {
        begin: (turn) => {
          signal.removeEventListener("abort", onAbort);
          resolve(turn);
        },
        left: false,
        waited: false,
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiter);
      this.#serve();
      waiter.waited = true;
    });
  }

  #serve(): void {
    while (this.waiting > 0 && this.#underWay < this.#options.atOnce) {
      if (!this.#hasCredit()) return;
      const waiter = this.#waiting[this.#head];
      this.#head += 1;
      if (waiter?.left) this.#left -= 1;
      else if (waiter) {
        this.#credit -= 1;
        this.#underWay += 1;
        waiter.begin(this.#newTurn(waiter));
      }
    }
    this.#sweep();
    if (this.waiting > 0) return;
    // A timer that nobody needs would keep the process from ending.
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #newTurn({ waited }: Waiter): Turn {
    let over = false;
    return {
      waited,
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#underWay -= 1;
        this.#serve();
      },
    };
  }

  /** Whether one may begin now; if not, it is looked at again when one may. */
  #hasCredit(): boolean {
    const { perSecond, burst } = this.#options;
    const now = performance.now();
    this.#credit = Math.min(burst, this.#credit + (now - this.#grownAt) / 1000 * perSecond);
    this.#grownAt = now;
    if (this.#credit >= 1) return true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#serve();
    }, Math.ceil((1 - this.#credit) / perSecond * 1000));
    return false;
  }

  /** Forgets those that have had their turn or have left, once they are most. */
  #sweep(): void {
    if (this.waiting === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (this.#head + this.#left <= this.#waiting.length / 2) return;
    this.#waiting = this.#waiting.slice(this.#head).filter(({ left }) => !left);
    this.#head = 0;
    this.#left = 0;
  }
}
