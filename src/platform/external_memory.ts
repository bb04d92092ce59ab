// Address space that is reserved and never touched, so that garbage is collected less often. Reserved by `connector run`.
//
// What is wrong: V8 starts a full collection whenever buffers outside its heap have grown by a tenth, and every message is
// such a buffer. With little else in memory that was five times a second at full speed, and a third of the processor time.
// Seen in Deno 2.9.6. docs/ARCHITECTURE.md, "Memory", has the figures of V8's flag for that tenth, which costs more.
// Upstream: https://github.com/denoland/deno/issues/35808
// Once mended: delete this file and its call.

/** The default, in bytes. The tenth of it, 51 MiB, is the garbage between two collections. More gained nothing. */
export const DEFAULT_RESERVED_BYTES = 512 * 1024 * 1024;

let reserved: ArrayBuffer | undefined;

/**
 * Takes so many bytes of address space only: no page of it is ever written to, so none becomes memory. Returns how many are
 * reserved: none where the system counts or refuses them.
 */
export function reserveMemory(bytes: number): number {
  // Windows counts untouched pages towards what all programs may have together.
  if (Deno.build.os === "windows") return 0;
  try {
    reserved = new ArrayBuffer(bytes);
  } catch (error) {
    // A limit on address space forbids it: slower, and nothing else.
    if (!(error instanceof RangeError)) throw error;
    reserved = undefined;
  }
  return reserved?.byteLength ?? 0;
}
