// Reads DER, the binary form of certificates (X.690), element by element, and accepts nothing else:
// two spellings of one thing could be read in two ways, here and by the runtime's TLS library.
// Every length is checked before it is used, and every cost is bounded, because the bytes come from
// a stranger. certificate.ts knows what the elements mean.

/** One element: what it is, and what it holds. Both are views, not copies. */
export interface Element {
  tag: number;
  content: Uint8Array;
  /** With its tag and length. */
  whole: Uint8Array;
}

/** Tags of the elements that certificates are made of. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The bits of a tag that say "the number follows": no element of a certificate has so high a number. */
const HIGH_TAG = 0x1f;
/** The longest object identifier that is read, in bytes: those made of a UUID take 20. */
const MAX_OID_BYTES = 40;

/** Reads elements that follow one another. Whatever does not fit throws a `SyntaxError`. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether everything was read. */
  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** The next element, which has to be of this tag when one is given. */
  next(tag?: number): Element {
    const start = this.#offset;
    const found = this.#byte();
    if ((found & HIGH_TAG) === HIGH_TAG) throw new SyntaxError("a tag that cannot be");
    if (tag !== undefined && found !== tag) {
      throw new SyntaxError(`an element of tag ${found} where ${tag} belongs`);
    }
    const length = this.#length();
    if (length > this.#bytes.length - this.#offset) throw new SyntaxError("it is cut off");
    const content = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return { tag: found, content, whole: this.#bytes.subarray(start, this.#offset) };
  }

  /** The next element when it is of this tag. */
  optional(tag: number): Element | undefined {
    return this.#bytes[this.#offset] === tag ? this.next() : undefined;
  }

  /** Reads within the next element. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** Makes sure that everything was read. */
  expectEnd(): void {
    if (!this.done) throw new SyntaxError("an element that does not belong there");
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset++];
    if (byte === undefined) throw new SyntaxError("it is cut off");
    return byte;
  }

  /** In the fewest bytes there are: X.690 section 10.1. */
  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    // Three bytes of length are more than any certificate has; none would mean a length that is not said.
    const count = first & 0x7f;
    if (count === 0 || count > 3) throw new SyntaxError("a length that cannot be");
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new SyntaxError("a length in more bytes than it needs");
    }
    return length;
  }
}

/** A truth value: X.690 section 11.1 has one spelling for each. */
export function readBoolean({ content }: Element): boolean {
  if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff)) {
    throw new SyntaxError("a truth value that is neither true nor false");
  }
  return content[0] === 0xff;
}

/** The bytes of a whole number that is not negative, in the fewest that there are (X.690 section 8.3.2). */
export function readUnsigned({ content }: Element): Uint8Array {
  const [first, second] = content;
  if (first === undefined) throw new SyntaxError("a number without digits");
  if (first >= 0x80) throw new SyntaxError("a negative number");
  if (first === 0 && second !== undefined && second < 0x80) {
    throw new SyntaxError("a number with leading zeros");
  }
  return content;
}

/** An object identifier as people write it, such as `2.5.4.3`. */
export function readOid({ content }: Element): string {
  if (content.length > MAX_OID_BYTES) {
    throw new SyntaxError(`an OID of ${content.length} bytes, at most ${MAX_OID_BYTES} are read`);
  }
  const numbers: bigint[] = [];
  let value = 0n;
  let starts = true;
  for (const byte of content) {
    if (starts && byte === 0x80) throw new SyntaxError("an OID with leading zeros");
    value = (value << 7n) | BigInt(byte & 0x7f);
    starts = byte < 0x80;
    if (!starts) continue;
    numbers.push(value);
    value = 0n;
  }
  const [first] = numbers;
  if (first === undefined || !starts) throw new SyntaxError("a damaged OID");
  // The first number holds two: 40 times the one, which is at most 2, and the other.
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...numbers.slice(1)].join(".");
}

/** Bytes as text, each one a character. */
export function readLatin1(bytes: Uint8Array): string {
  // Not TextDecoder: what it calls latin1 is windows-1252.
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The text of an IA5String, which is ASCII. */
export function readAscii(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte >= 0x80)) throw new SyntaxError("a text that is not ASCII");
  return readLatin1(bytes);
}

/** A time in either form, as RFC 5280 section 4.1.2.5 has them: to the second, in UTC. */
export function readTime({ tag, content }: Element): Date {
  const text = content.length <= 15 ? readLatin1(content) : "";
  if (tag === TAG.utcTime && /^\d{12}Z$/.test(text)) {
    return toDate(`${text < "5" ? "20" : "19"}${text}`);
  }
  if (tag === TAG.generalizedTime && /^\d{14}Z$/.test(text)) return toDate(text);
  throw new SyntaxError("a time that cannot be read");
}

function toDate(digits: string): Date {
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const date = new Date(iso);
  // A day that a month does not have is taken for one of the next. TLS counts from 1970.
  if (!(date.getTime() >= 0) || date.toISOString() !== iso) {
    throw new SyntaxError("a time that cannot be");
  }
  return date;
}

/** The bytes of a bit string that is made of whole bytes, as keys and signatures are. */
export function readWholeBytes({ content }: Element): Uint8Array {
  if (content[0] !== 0) throw new SyntaxError("a bit string that is not made of bytes");
  return content.subarray(1);
}

/**
 * The bits of a list of named ones as a number: the first bit is 1, the second 2. At most 16 bits count. X.690 section
 * 11.2: bits that only fill the last byte are 0, and no bit at the end is.
 */
export function readNamedBits({ content }: Element): number {
  const [unused, ...bytes] = content.subarray(0, 3);
  if (unused === undefined || unused > 7) throw new SyntaxError("a damaged bit string");
  const last = content.length > 1 ? content.at(-1) ?? 0 : undefined;
  if (last === undefined ? unused !== 0 : (last & ((1 << unused) - 1)) !== 0) {
    throw new SyntaxError("a bit string with bits behind its end");
  }
  if (last !== undefined && (last & (1 << unused)) === 0) {
    throw new SyntaxError("a list of bits that ends in zeros");
  }
  const count = Math.min((content.length - 1) * 8, 16);
  let bits = 0;
  for (let bit = 0; bit < count; bit++) {
    if ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) bits |= 1 << bit;
  }
  return bits;
}
