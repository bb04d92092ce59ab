// Writes DER, the binary form of certificates, and what only looks like it: no function here minds whether the
// whole makes sense. Made for tests alone, so that nothing of the reader under test is trusted.

export type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes one after another. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Bytes from hex; blanks are for the eye. */
export function hex(text: string): Bytes {
  return Uint8Array.fromHex(text.replaceAll(" ", ""));
}

/** One element: its tag, the length of what it holds, and that. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Bytes {
  const body = concat(...content);
  return concat(Uint8Array.of(tag), lengthOf(body.length), body);
}

/** The length of an element in as many bytes as it needs; with `bytes` in so many, which is no DER. */
export function lengthOf(length: number, { bytes }: { bytes?: number } = {}): Bytes {
  if (length < 0x80 && bytes === undefined) return Uint8Array.of(length);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  while (digits.length < (bytes ?? 1)) digits.unshift(0);
  return Uint8Array.of(0x80 | digits.length, ...digits);
}

/** An element whose length takes `bytes` bytes, more than it needs. */
export function longTlv(tag: number, content: Uint8Array, bytes: number): Bytes {
  return concat(Uint8Array.of(tag), lengthOf(content.length, { bytes }), content);
}

/** An element of indefinite length, which BER has and DER has not. */
export function indefiniteTlv(tag: number, content: Uint8Array): Bytes {
  return concat(Uint8Array.of(tag, 0x80), content, hex("0000"));
}

export const sequence = (...content: readonly Uint8Array[]) => tlv(0x30, ...content);
export const set = (...content: readonly Uint8Array[]) => tlv(0x31, ...content);
export const octets = (...content: readonly Uint8Array[]) => tlv(0x04, ...content);
export const NULL: Bytes = hex("0500");
export const TRUE: Bytes = hex("0101ff");

/** A context tag around whole elements. */
export const explicit = (number: number, ...content: readonly Uint8Array[]) =>
  tlv(0xa0 | number, ...content);
/** A context tag in place of a primitive element's own. */
export const implicit = (number: number, content: Uint8Array) => tlv(0x80 | number, content);

/** A bit string of whole bytes, or of which the last `unused` bits do not count. */
export const bits = (content: Uint8Array, { unused = 0 } = {}) =>
  tlv(0x03, Uint8Array.of(unused), content);

/** An integer that is not negative. */
export function integer(value: number | bigint): Bytes {
  const digits = value.toString(16);
  const bytes = hex(digits.length % 2 === 0 ? digits : `0${digits}`);
  return tlv(0x02, (bytes[0] ?? 0) < 0x80 ? bytes : concat(Uint8Array.of(0), bytes));
}

/** An object identifier, such as `2.5.4.3`. */
export function oid(text: string): Bytes {
  const [top = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [top * 40 + second, ...rest].flatMap((number) => {
    const digits = [number % 128];
    for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(left % 128 | 0x80);
    }
    return digits;
  });
  return tlv(0x06, Uint8Array.from(bytes));
}

/** Text as bytes: UTF-8, of which ASCII is part. */
export function text(value: string): Bytes {
  return new TextEncoder().encode(value);
}

export const utf8String = (value: string) => tlv(0x0c, text(value));
export const printableString = (value: string) => tlv(0x13, text(value));

/** A time in the form that RFC 5280 wants for its year. */
export function time(date: Date): Bytes {
  return date.getUTCFullYear() < 2050 ? utcTime(date) : generalizedTime(date);
}

export const utcTime = (date: Date) => tlv(0x17, text(`${digitsOf(date).slice(2)}Z`));
export const generalizedTime = (date: Date) => tlv(0x18, text(`${digitsOf(date)}Z`));

/** The time as YYYYMMDDhhmmss. */
export function digitsOf(date: Date): string {
  return date.toISOString().replace(/\D/g, "").slice(0, 14);
}

/** One element as it is found in well-formed bytes. */
export interface Found {
  tag: number;
  content: Bytes;
  /** With its tag and length. */
  whole: Bytes;
}

/** The elements that stand one after another in well-formed bytes. */
export function elementsOf(bytes: Bytes): Found[] {
  const found: Found[] = [];
  for (let start = 0; start < bytes.length;) {
    const first = bytes[start + 1] ?? 0;
    const count = first < 0x80 ? 0 : first & 0x7f;
    let length = count === 0 ? first : 0;
    for (let index = 0; index < count; index++) {
      length = length * 256 + (bytes[start + 2 + index] ?? 0);
    }
    const from = start + 2 + count;
    const end = from + length;
    if (end > bytes.length) throw new SyntaxError("not well-formed");
    found.push({
      tag: bytes[start] ?? 0,
      content: bytes.subarray(from, end),
      whole: bytes.subarray(start, end),
    });
    start = end;
  }
  return found;
}

/** DER as PEM. */
export function pem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
