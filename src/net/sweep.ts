// One timer for everything that has a long time limit: a timer for each connection would cost more
// than the rest of its bookkeeping. For limits of seconds and more: what is due is noticed half a
// second late at most.

import { SwapSet, type SwapSetMember } from "../swap_set.ts";

/** How often everything is looked at, in milliseconds. */
export const SWEEP_MS = 500;

/** What is looked at. */
export interface Swept extends SwapSetMember {
  /** Called at every look; `now` as of `performance.now()`. */
  look(now: number): void;
}

const swept = new SwapSet<Swept>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Begins to look at something. */
export function sweep(each: Swept): void {
  swept.add(each);
  timer ??= setInterval(() => {
    const now = performance.now();
    // What one look has ended is not looked at again.
    for (const each of swept.all()) if (swept.has(each)) each.look(now);
  }, SWEEP_MS);
}

/** Looks at it no more. Idempotent. */
export function unsweep(each: Swept): void {
  swept.delete(each);
  if (swept.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
