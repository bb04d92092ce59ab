// Long work in slices, between which connections are carried. A leaf.

/** How long a slice takes, in milliseconds, if no single step takes longer: no connection notices. */
const SLICE_MS = 5;

/**
 * Takes steps to the last. The first slice is done when this returns; other work goes on before each further one. Resolves
 * with what the steps return. Rejects with what a step throws.
 */
export async function inSlices<Result>(steps: Generator<void, Result, void>): Promise<Result> {
  for (let began = performance.now();;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - began < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve));
    began = performance.now();
  }
}
