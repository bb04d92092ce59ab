// Serial numbers of certificates: read from certificates and from lists of revoked ones, and written
// in one way, so that they can be compared as texts.

import { type Element, readUnsigned } from "./der.ts";

/** The longest, in bytes. RFC 5280 sections 4.1.2.2 and 5.1.2.6. */
const MAX_BYTES = 20;
/** The same as digits in hexadecimal. */
export const MAX_SERIAL_DIGITS = 2 * MAX_BYTES;

/** A serial number in hexadecimal, as `plainSerial` writes it. @throws {SyntaxError} */
export function readSerial(element: Element): string {
  if ((element.content[0] ?? 0) >= 0x80) throw new SyntaxError("a negative serial number");
  const bytes = readUnsigned(element);
  if (bytes.length > MAX_BYTES) {
    throw new SyntaxError(`a serial number of ${bytes.length} bytes, want ${MAX_BYTES}`);
  }
  return plainSerial(bytes.toHex());
}

/** Hexadecimal digits without leading zeros, in lower case. */
export function plainSerial(digits: string): string {
  return digits.toLowerCase().replace(/^0+(?=.)/, "");
}
