// Reads DER, the binary form of certificates (X.690), element by element; every length is checked before it
// is used. What the elements mean is certificate.ts's business.

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
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

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
  end(): void {
    if (!this.done) throw new SyntaxError("an element that does not belong there");
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset++];
    if (byte === undefined) throw new SyntaxError("it is cut off");
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    // Four bytes of length are more than any certificate has; none would mean a length that is not said.
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw new SyntaxError("a length that cannot be");
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    return length;
  }
}

/** An object identifier as people write it, such as `2.5.4.3`. */
export function readOid({ content }: Element): string {
  const numbers: bigint[] = [];
  let value = 0n;
  for (const byte of content) {
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(value);
    value = 0n;
  }
  const [first] = numbers;
  if (first === undefined || (content.at(-1) ?? 0) >= 0x80) throw new SyntaxError("a damaged OID");
  // The first number holds two: 40 times the one, which is at most 2, and the other.
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...numbers.slice(1)].join(".");
}

/** Bytes as text, each one a character. */
export function readLatin1(bytes: Uint8Array): string {
  // Not TextDecoder: what it calls latin1 is windows-1252.
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** A time in either form, as RFC 5280 section 4.1.2.5 has them: to the second, in UTC. */
export function readTime({ tag, content }: Element): Date {
  const text = readLatin1(content);
  if (tag === TAG.utcTime && /^\d{12}Z$/.test(text)) {
    return toDate(`${text < "5" ? "20" : "19"}${text}`);
  }
  if (tag === TAG.generalizedTime && /^\d{14}Z$/.test(text)) return toDate(text);
  throw new SyntaxError("a time that cannot be read");
}

function toDate(digits: string): Date {
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) throw new SyntaxError("a time that cannot be");
  return date;
}

/** The bits of a bit string as a number: the first bit is 1, the second 2. At most 16 bits count. */
export function readBits({ content }: Element): number {
  const [unused = 8, ...bytes] = content.subarray(0, 3);
  if (unused > 7) throw new SyntaxError("a damaged bit string");
  // Those at its end that are there to fill the last byte.
  const count = Math.min((content.length - 1) * 8 - unused, 16);
  let bits = 0;
  for (let bit = 0; bit < count; bit++) {
    if ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) bits |= 1 << bit;
  }
  return bits;
}
