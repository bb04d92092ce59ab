// Archives of a release: .tar.gz and .zip, byte for byte the same for the same files and date, whichever tools a
// machine has. Formats: POSIX ustar, and PKWARE's APPNOTE 6.3 without extensions.

import { Buffer } from "node:buffer";
import { promisify } from "node:util";
import { crc32, deflateRaw, gzip } from "node:zlib";

/** A file in an archive. */
export interface ArchivedFile {
  /** ASCII, at most 100 characters, without folders. */
  name: string;
  bytes: Uint8Array;
  executable: boolean;
}

const TAR_BLOCK_BYTES = 512;

/** A compressed tar archive whose files belong to root and are of this date. */
export async function tarGz(files: readonly ArchivedFile[], date: Date): Promise<Uint8Array> {
  const blocks = files.flatMap((file) => [
    tarHeader(file, date),
    file.bytes,
    new Uint8Array((TAR_BLOCK_BYTES - file.bytes.length % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES),
  ]);
  // Two empty blocks end it.
  blocks.push(new Uint8Array(2 * TAR_BLOCK_BYTES));
  return await promisify(gzip)(Buffer.concat(blocks), { level: 9 });
}

function tarHeader({ name, bytes, executable }: ArchivedFile, date: Date): Uint8Array {
  checkName(name);
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  const octal = (value: number, { at, digits }: { at: number; digits: number }) =>
    header.write(value.toString(8).padStart(digits, "0"), at, "ascii");
  header.write(name, 0, "ascii");
  octal(executable ? 0o755 : 0o644, { at: 100, digits: 7 });
  octal(0, { at: 108, digits: 7 });
  octal(0, { at: 116, digits: 7 });
  octal(bytes.length, { at: 124, digits: 11 });
  octal(Math.floor(date.getTime() / 1000), { at: 136, digits: 11 });
  header.write("0", 156, "ascii");
  header.write("ustar\0" + "00", 257, "ascii");
  header.write("root", 265, "ascii");
  header.write("root", 297, "ascii");
  // The sum is made as if its own field were spaces.
  header.fill(" ", 148, 156);
  octal(header.reduce((sum, byte) => sum + byte, 0), { at: 148, digits: 6 });
  header.writeUInt8(0, 154);
  return header;
}

/** A zip archive whose files are of this date. */
export async function zip(files: readonly ArchivedFile[], date: Date): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let offset = 0;
  for (const { name, bytes, executable } of files) {
    checkName(name);
    const packed: Uint8Array = await promisify(deflateRaw)(bytes, { level: 9 });
    // What the local header and the directory have in common: from the version needed to the extra field's length.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4); // deflated
    common.writeUInt32LE(dosDate(date), 6);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name)]);
    const rest = Buffer.alloc(14);
    // The upper half of the attributes is a Unix mode.
    rest.writeUInt32LE(((executable ? 0o100755 : 0o100644) << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    // 3: made on Unix.
    entries.push(
      Buffer.concat([Buffer.from("PK\x01\x02\x14\x03"), common, rest, Buffer.from(name)]),
    );
    parts.push(local, packed);
    offset += local.length + packed.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, directory, Buffer.from("PK\x05\x06"), end]);
}

/** Date and time as MS-DOS had them, in UTC. */
function dosDate(date: Date): number {
  const day = (date.getUTCFullYear() - 1980) << 9 | (date.getUTCMonth() + 1) << 5 |
    date.getUTCDate();
  const time = date.getUTCHours() << 11 | date.getUTCMinutes() << 5 | date.getUTCSeconds() >> 1;
  return (day << 16 | time) >>> 0;
}

function checkName(name: string): void {
  if (!/^[\w.-]{1,100}$/.test(name)) throw new Error(`Cannot archive a file named "${name}"`);
}
