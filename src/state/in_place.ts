// Overwrites a file that cannot be replaced by a new one: a mount point, or a file in a folder that we may not write
// to. A crash at any moment loses nothing, without a second file: the new content is first appended to the old, with
// its digest, then written over it, then cut off. A reader finds one of the two complete. Used by state_file.ts.
//
//     old                            before
//     old RS                         on disk first: whatever the disk has behind it, this is where old ends
//     old RS LF* RS digest LF new    until this is on disk, old counts; from then on, new
//     new                            after

/** Begins what stands behind the content: ASCII's record separator, which is in no JSON. */
const SEPARATOR = 0x1e;
const LINE_END = 0x0a;
/** Digits of a SHA-256 in hex. */
const DIGEST_LENGTH = 64;

/** What a file holds that may have been left in the middle of `overwrite`. */
export async function contentOf(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const separator = bytes.lastIndexOf(SEPARATOR);
  if (separator < 0) return bytes;
  const start = separator + 1 + DIGEST_LENGTH + 1;
  const behind = bytes.subarray(start);
  const digest = new TextDecoder().decode(bytes.subarray(separator + 1, start - 1));
  // One that was cut off was never written over anything, whatever else is behind.
  return digest === await digestOf(behind) ? behind : bytes.subarray(0, bytes.indexOf(SEPARATOR));
}

/** A file that is open for reading and writing. */
export type OverwritableFile = Pick<
  Deno.FsFile,
  "stat" | "read" | "write" | "seek" | "truncate" | "sync"
>;

/** Replaces the content of a file; it is on disk when that resolves. What was there counts when it is rejected. */
export async function overwrite(
  file: OverwritableFile,
  content: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { size } = await file.stat();
  const old = await contentOf(await readAll(file, size));
  // An earlier write that was cut off is completed, if its content counts.
  if (old.byteOffset > 0) await putFirst(file, old);
  const end = old.length;
  const gap = new Uint8Array(Math.max(content.length - end - 1, 0)).fill(LINE_END);
  const header = new TextEncoder().encode(`\x1e${await digestOf(content)}\n`);
  try {
    await file.truncate(end);
    await writeAt(file, end, Uint8Array.of(SEPARATOR));
    await file.sync();
    await writeAt(file, end + 1, concat([gap, header, content]));
    await file.sync();
  } catch (error) {
    // What cannot be cut off does not count.
    await file.truncate(end).catch(() => {});
    throw error;
  }
  await putFirst(file, content);
}

/** Writes what stands behind, and is on disk, over what is in front of it. There is room: see the gap. */
async function putFirst(file: OverwritableFile, content: Uint8Array): Promise<void> {
  await writeAt(file, 0, content);
  await file.sync();
  await file.truncate(content.length);
  await file.sync();
}

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function readAll(file: OverwritableFile, size: number): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(0, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const count = await file.read(bytes.subarray(length));
    if (count === null) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

async function writeAt(file: OverwritableFile, place: number, bytes: Uint8Array): Promise<void> {
  await file.seek(place, Deno.SeekMode.Start);
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await file.write(rest));
}

function concat(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
