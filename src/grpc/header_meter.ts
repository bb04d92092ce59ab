// How large the headers of a call become when HPACK (RFC 7541) unpacks them: one byte can stand for a field of 4 KB. The
// setting that forbids it binds a peer only once it has confirmed it, and what the runtime was given of headers that it
// then refuses it never lets go (seen on Deno 2.9.6). So sizes are reckoned as the bytes arrive, and nothing is unpacked. Pure
// arithmetic; frame_meter.ts feeds it.

/** The fields that have a number of their own (RFC 7541 appendix A). */
const STATIC_FIELDS = 61;
/** The longest of them, in bytes. */
const STATIC_BYTES = 40;
/** What a field counts besides its bytes (RFC 9113 section 6.5.2). */
const FIELD_OVERHEAD_BYTES = 32;
/** What Huffman's code makes of a byte at most: its shortest code has 5 bits. */
const HUFFMAN_GROWTH = 8 / 5;
/** No integer in headers needs more bits. */
const MAX_INTEGER_BITS = 28;

/** What the next byte is. */
type Expected =
  /** The first of a field. */
  | "field"
  /** One more of the number that names a field, or of a table's size. */
  | "number"
  /** The first of a string: its length. */
  | "string"
  /** One more of a string's length. */
  | "length"
  /** Of a string itself. */
  | "text";

/** Reckons the headers of one connection's one direction. */
export class HeaderMeter {
  /** Bytes that the fields of this block take, at most. */
  bytes = 0;
  /** Fields of this block. */
  fields = 0;
  #expected: Expected = "field";
  #value = 0;
  #shift = 0;
  /** Of this field: the number in its first byte names a table's size, no field. */
  #sizeUpdate = false;
  /** Of this field: it has a value of its own. */
  #literal = false;
  /** Of this field: it stays in the table. */
  #indexed = false;
  /** Of this field: its name comes first. */
  #nameComes = false;
  #huffman = false;
  #textLeft = 0;
  #fieldBytes = 0;
  /** The largest that may be in the table: each reference may mean it. */
  #largest = STATIC_BYTES;

  /** A block begins. */
  begin(): void {
    this.bytes = 0;
    this.fields = 0;
    this.#expected = "field";
  }

  /** Takes a part of the block, in order. Returns false when no header could be so. */
  take(block: Uint8Array): boolean {
    let at = 0;
    while (at < block.length) {
      if (this.#expected === "text") {
        const taken = Math.min(this.#textLeft, block.length - at);
        this.#textLeft -= taken;
        at += taken;
        if (this.#textLeft === 0) this.#endText();
        continue;
      }
      if (!this.#takeByte(block[at++] ?? 0)) return false;
    }
    return true;
  }

  #takeByte(byte: number): boolean {
    switch (this.#expected) {
      case "field":
        this.#beginField(byte);
        return true;
      case "string":
        this.#huffman = (byte & 0x80) !== 0;
        if (this.#beginInteger(byte, 7, "length")) this.#beginText();
        return true;
      default:
        if (this.#shift > MAX_INTEGER_BITS) return false;
        this.#value += (byte & 0x7f) * 2 ** this.#shift;
        this.#shift += 7;
        if ((byte & 0x80) !== 0) return true;
        if (this.#expected === "length") this.#beginText();
        else this.#endNumber();
        return true;
    }
  }

  #beginField(byte: number): void {
    this.#literal = (byte & 0x80) === 0;
    this.#indexed = (byte & 0xc0) === 0x40;
    this.#sizeUpdate = (byte & 0xe0) === 0x20;
    this.#fieldBytes = 0;
    const bits = !this.#literal ? 7 : this.#indexed ? 6 : this.#sizeUpdate ? 5 : 4;
    if (this.#beginInteger(byte, bits, "number")) this.#endNumber();
  }

  /** Returns whether the integer is in this byte alone (RFC 7541 section 5.1). */
  #beginInteger(byte: number, bits: number, more: "number" | "length"): boolean {
    const full = 2 ** bits - 1;
    this.#value = byte & full;
    this.#shift = 0;
    if (this.#value < full) return true;
    this.#expected = more;
    return false;
  }

  #endNumber(): void {
    this.#expected = "field";
    if (this.#sizeUpdate) return;
    this.#nameComes = this.#literal && this.#value === 0;
    if (this.#value > 0) {
      this.#fieldBytes += this.#value > STATIC_FIELDS ? this.#largest : STATIC_BYTES;
    }
    if (this.#literal) this.#expected = "string";
    else this.#endField();
  }

  #beginText(): void {
    this.#fieldBytes += Math.ceil(this.#value * (this.#huffman ? HUFFMAN_GROWTH : 1));
    // Counted at once: what is to come may be too much already.
    this.bytes += this.#value;
    this.#textLeft = this.#value;
    this.#expected = "text";
    if (this.#textLeft === 0) this.#endText();
  }

  #endText(): void {
    this.bytes -= this.#value;
    this.#expected = "string";
    if (this.#nameComes) this.#nameComes = false;
    else this.#endField();
  }

  #endField(): void {
    this.#expected = "field";
    this.fields += 1;
    this.bytes += this.#fieldBytes + FIELD_OVERHEAD_BYTES;
    if (this.#indexed) this.#largest = Math.max(this.#largest, this.#fieldBytes);
  }
}
