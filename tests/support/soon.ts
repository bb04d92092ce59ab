// A deadline for any promise, so that a test that stalls fails and says what it was waiting for.

/** Rejects when a promise takes too long. */
export async function soon<T>(
  promise: Promise<T>,
  what: string,
  { timeoutMs = 10_000 }: { timeoutMs?: number } = {},
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Waited ${timeoutMs} ms in vain until ${what}`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Makes a property that does nothing any more after so many milliseconds. A time limit of fast-check would leave the
 * run that is under way to itself, with its timers.
 */
export function whileTimeLasts<Values extends unknown[]>(
  ms: number,
  run: (...values: Values) => Promise<void>,
): (...values: Values) => Promise<void> {
  let deadline: number | undefined;
  return async (...values) => {
    deadline ??= performance.now() + ms;
    if (performance.now() < deadline) await run(...values);
  };
}
