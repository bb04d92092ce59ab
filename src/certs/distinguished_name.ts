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

/** Writes the content of a name. @throws {SyntaxError} */
export function describeName({ content }: Element): string {
  const sets = new DerReader(content);
  const parts: string[] = [];
  while (!sets.done) {
    const set = sets.enter(TAG.set);
    const attributes: string[] = [];
    while (!set.done) {
      const attribute = set.enter(TAG.sequence);
      const oid = readOid(attribute.next(TAG.oid));
      attributes.push(`${NAMES[oid] ?? oid}=${describeValue(attribute.next())}`);
    }
    parts.push(attributes.join("+"));
  }
  return parts.join(", ");
}

function describeValue(value: Element): string {
  const text = readText(value);
  return text === undefined ? `#${value.whole.toHex()}` : escape(text);
}

/** Undefined for what is no text. */
function readText({ tag, content }: Element): string | undefined {
  if (tag === TEXT_TAGS.utf8) return UTF8.decode(content);
  if (ONE_BYTE_TAGS.includes(tag)) return readLatin1(content);
  if (tag === BMP_TAG) return UTF16.decode(content);
  if (tag !== UNIVERSAL_TAG) return undefined;
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  let text = "";
  for (let offset = 0; offset + 4 <= content.length; offset += 4) {
    const point = view.getUint32(offset);
    text += point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  }
  return text;
}

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const UTF16 = new TextDecoder("utf-16be", { ignoreBOM: true });

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
