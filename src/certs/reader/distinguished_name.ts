// Names of subjects and issuers for people, such as `O=Jumppad, CN=Connector CA`, from DER: as RFC 4514 writes
// them, but in the order in which they stand.

import { DerReader, type Element, readLatin1, readOid, TAG } from "./der.ts";

/** What attributes are called. */
const NAMES: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.4": "SN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.12": "T",
  "2.5.4.42": "G",
  "2.5.4.43": "I",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "E",
};

/** How texts of each tag are encoded: most are one byte a character. */
const TEXT_TAGS = { utf8: 0x0c, numeric: 0x12, printable: 0x13, teletex: 0x14, ia5: 0x16 };
const BMP_TAG = 0x1e;
const UNIVERSAL_TAG = 0x1c;
const ONE_BYTE_TAGS: readonly number[] = [
  TEXT_TAGS.numeric,
  TEXT_TAGS.printable,
  TEXT_TAGS.teletex,
  TEXT_TAGS.ia5,
];

/** The most attributes that a name may have: more than any that people can read. */
const MAX_ATTRIBUTES = 64;

/** One attribute of a name. */
export interface NameAttribute {
  oid: string;
  value: Element;
}

/** The parts of a name in order; each is a set of attributes, nearly always one. @throws {SyntaxError} */
export function readName({ content }: Element): NameAttribute[][] {
  const sets = new DerReader(content);
  const parts: NameAttribute[][] = [];
  let count = 0;
  while (!sets.done) {
    const set = sets.enter(TAG.set);
    if (set.done) throw new SyntaxError("a part of a name without an attribute");
    const part: NameAttribute[] = [];
    while (!set.done) {
      if (++count > MAX_ATTRIBUTES) throw new SyntaxError(`more than ${MAX_ATTRIBUTES} attributes`);
      const attribute = set.enter(TAG.sequence);
      const oid = readOid(attribute.next(TAG.oid));
      part.push({ oid, value: attribute.next() });
      attribute.expectEnd();
    }
    parts.push(part);
  }
  return parts;
}

/** Writes the content of a name. @throws {SyntaxError} */
export function describeName(name: Element): string {
  const describe = ({ oid, value }: NameAttribute) =>
    `${NAMES[oid] ?? oid}=${describeValue(value)}`;
  return readName(name).map((part) => part.map(describe).join("+")).join(", ");
}

/** A value as names are compared: RFC 5280 section 7.1 folds case and blanks of texts. */
export function comparableValue(value: Element): string {
  const text = readText(value);
  if (text === undefined) return `#${value.whole.toHex()}`;
  return text.normalize("NFKC").toLowerCase().trim().replaceAll(/\s+/g, " ");
}

function describeValue(value: Element): string {
  const text = readText(value);
  return text === undefined ? `#${value.whole.toHex()}` : escape(text);
}

/** Undefined for what is no text, and for text that is damaged: shown as it stands, it is like no other. */
function readText({ tag, content }: Element): string | undefined {
  if (ONE_BYTE_TAGS.includes(tag)) return readLatin1(content);
  try {
    if (tag === TEXT_TAGS.utf8) return UTF8.decode(content);
    if (tag === BMP_TAG) return UTF16.decode(content);
    return tag === UNIVERSAL_TAG ? readUniversal(content) : undefined;
  } catch {
    return undefined;
  }
}

/** Four bytes a character. @throws {RangeError} */
function readUniversal(content: Uint8Array): string | undefined {
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  let text = "";
  for (let offset = 0; offset < content.length; offset += 4) {
    text += String.fromCodePoint(view.getUint32(offset));
  }
  return text.isWellFormed() ? text : undefined;
}

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const UTF16 = new TextDecoder("utf-16be", { ignoreBOM: true, fatal: true });

function escape(text: string): string {
  return text
    .replace(/[,+"\\<>;]/g, "\\$&")
    .replace(/^[ #]/, "\\$&")
    .replace(/ $/, "\\ ")
    .replace(
      /[\r\n\t]/g,
      (character) => `\\0${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
}
