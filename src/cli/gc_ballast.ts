// Memory that is held and never touched, so that garbage is collected less often. V8 starts a full collection
// whenever buffers outside its heap have grown by a tenth, and every message is such a buffer: with little else
// in memory that was five times a second at full speed, and a third of the processor time. Held by `connector run`.

/** The tenth of it, 51 MiB, is what lies around between two collections. More gained nothing. */
const BALLAST_BYTES = 512 * 1024 * 1024;

let ballast: ArrayBuffer | undefined;

/** Takes address space only: no page of it is ever written to, so none becomes memory. Idempotent. */
export function holdBallast(): void {
  // Windows counts untouched pages towards what all programs may have together.
  if (Deno.build.os === "windows") return;
  try {
    ballast ??= new ArrayBuffer(BALLAST_BYTES);
  } catch (error) {
    // A limit on address space forbids it: slower, and nothing else.
    if (!(error instanceof RangeError)) throw error;
  }
}
