// Archives of a release: .tar.gz and .zip, byte for byte the same for the same files and date, whichever tools and time
// zone a machine has.

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { zipSync } from "fflate";
import { createTar } from "nanotar";

/** A file in an archive. */
export interface ArchivedFile {
  /** ASCII, at most 100 characters, without folders. */
  name: string;
  bytes: Uint8Array;
  executable: boolean;
}

/** "Made on Unix": the upper half of a file's attributes is its mode. PKWARE's APPNOTE 4.4.2. */
const ZIP_UNIX = 3;
/** Of a regular file. */
const S_IFREG = 0o100000;

/** A compressed tar archive whose files belong to root and are of this date. */
export async function tarGz(files: readonly ArchivedFile[], date: Date): Promise<Uint8Array> {
  const tar = createTar(files.map(({ name, bytes, executable }) => ({
    name: checkName(name),
    data: bytes,
    attrs: {
      mode: modeOf(executable).toString(8),
      uid: 0,
      gid: 0,
      user: "root",
      group: "root",
      mtime: date.getTime(),
    },
  })));
  return await promisify(gzip)(tar, { level: 9 });
}

/** A zip archive whose files are of this date. */
export function zip(files: readonly ArchivedFile[], date: Date): Uint8Array {
  // The format holds a date without its zone; the library writes it in the machine's.
  const mtime = new Date(date.getTime() + date.getTimezoneOffset() * 60_000);
  return zipSync(Object.fromEntries(files.map(({ name, bytes, executable }) => [checkName(name), [
    bytes,
    { mtime, level: 9, os: ZIP_UNIX, attrs: ((S_IFREG | modeOf(executable)) << 16) >>> 0 },
  ]])));
}

function modeOf(executable: boolean): number {
  return executable ? 0o755 : 0o644;
}

function checkName(name: string): string {
  if (/^[\w.-]{1,100}$/.test(name)) return name;
  throw new Error(`Cannot archive a file named "${name}"`);
}
