// DER has one spelling for everything: each other one is refused, and nothing that a stranger writes takes long to read.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  DerReader,
  type Element,
  readAscii,
  readBoolean,
  readNamedBits,
  readOid,
  readTime,
  readUnsigned,
  readWholeBytes,
  TAG,
} from "../../src/certs/reader/der.ts";
import { decodePem } from "../../src/certs/reader/pem.ts";

function elementOf(hex: string): Element {
  const reader = new DerReader(Uint8Array.fromHex(hex.replaceAll(" ", "")));
  const element = reader.next();
  reader.expectEnd();
  return element;
}

/** What reads an element, an element in hex, and what it is; undefined where it is not DER. */
const CASES: [(element: Element) => unknown, string, unknown][] = [
  [readBoolean, "01 01 ff", true],
  [readBoolean, "01 01 00", false],
  [readBoolean, "01 01 01", undefined],
  [readBoolean, "01 02 ff ff", undefined],
  [readBoolean, "01 00", undefined],
  [readUnsigned, "02 01 00", "00"],
  [readUnsigned, "02 02 00 80", "0080"],
  [readUnsigned, "02 01 80", undefined],
  [readUnsigned, "02 02 00 7f", undefined],
  [readUnsigned, "02 00", undefined],
  [readOid, "06 03 55 1d 11", "2.5.29.17"],
  [readOid, "06 03 55 1d 91", undefined],
  [readOid, "06 04 55 80 1d 11", undefined],
  [readOid, "06 00", undefined],
  [readOid, `06 29 ${"81".repeat(40)} 01`, undefined],
  [readNamedBits, "03 02 07 80", 1],
  [readNamedBits, "03 02 02 04", 32],
  [readNamedBits, "03 03 07 00 80", 256],
  [readNamedBits, "03 01 00", 0],
  [readNamedBits, "03 02 06 80", undefined],
  [readNamedBits, "03 02 07 c0", undefined],
  [readNamedBits, "03 02 08 80", undefined],
  [readNamedBits, "03 01 01", undefined],
  [readNamedBits, "03 00", undefined],
  [readWholeBytes, "03 02 00 ab", "ab"],
  [readWholeBytes, "03 02 01 aa", undefined],
  [readWholeBytes, "03 00", undefined],
  [({ content }) => readAscii(content), "16 02 41 42", "AB"],
  [({ content }) => readAscii(content), "16 01 80", undefined],
];

for (const [read, hex, want] of CASES) {
  Deno.test(`${read.name || "readAscii"} of ${hex.slice(0, 40)}: ${want ?? "refused"}`, () => {
    if (want === undefined) throws(() => read(elementOf(hex)), SyntaxError);
    else {
      const got = read(elementOf(hex));
      strictEqual(got instanceof Uint8Array ? got.toHex() : got, want);
    }
  });
}

for (
  const [what, hex] of Object.entries({
    "a length in more bytes than it needs": "04 81 01 00",
    "a length with a leading zero": `04 82 00 80 ${"00".repeat(128)}`,
    "a length that is not said": "30 80 00 00",
    "a length in four bytes": "04 84 00 00 00 00",
    "a length behind the end": "04 02 00",
    "a tag with a number that follows": "1f 01 00",
    "nothing": "",
  })
) {
  Deno.test(`${what} is refused`, () => throws(() => elementOf(hex), SyntaxError));
}

Deno.test("times are read as they are written, and days that do not exist are refused", () => {
  const time = (tag: number, text: string) =>
    readTime({ tag, content: new TextEncoder().encode(text), whole: new Uint8Array() });
  deepStrictEqual(time(TAG.utcTime, "491231235959Z"), new Date("2049-12-31T23:59:59Z"));
  deepStrictEqual(time(TAG.utcTime, "700101000000Z"), new Date(0));
  deepStrictEqual(time(TAG.generalizedTime, "20500101000000Z"), new Date("2050-01-01T00:00:00Z"));
  for (
    const [tag, text] of [
      [TAG.utcTime, "500101000000Z"],
      [TAG.generalizedTime, "19691231235959Z"],
      [TAG.utcTime, "300230000000Z"],
      [TAG.utcTime, "301301000000Z"],
      [TAG.utcTime, "3001010000Z"],
      [TAG.utcTime, "300101000000+0100"],
      [TAG.generalizedTime, "20300101000000.5Z"],
      [TAG.generalizedTime, "20300101240000Z"],
      [TAG.generalizedTime, "20300101000000"],
    ] as const
  ) {
    throws(() => time(tag, text), SyntaxError, text);
  }
});

Deno.test("a long object identifier costs nothing", () => {
  const content = new Uint8Array(10_000_000).fill(0xff);
  const started = performance.now();
  throws(() => readOid({ tag: TAG.oid, content, whole: content }), SyntaxError);
  ok(performance.now() - started < 100);
});

Deno.test("PEM is read in one pass, however its lines are laid", () => {
  const hostile = [
    "-----BEGIN CERTIFICATE-----\n".repeat(50_000),
    `-----BEGIN CERTIFICATE-----\n${"A: b\n".repeat(200_000)}`,
    `-----BEGIN CERTIFICATE-----\n${" ".repeat(1_000_000)}`,
    "-".repeat(1_000_000),
    "-----BEGIN ".repeat(100_000),
  ];
  for (const text of hostile) {
    const started = performance.now();
    try {
      deepStrictEqual(decodePem(text), []);
    } catch (error) {
      ok(error instanceof SyntaxError);
    }
    ok(performance.now() - started < 1000, text.slice(0, 40));
  }
});

Deno.test("blocks are found among other text, with any line ends, and one without an end is told of", () => {
  const block = (label: string) => `-----BEGIN ${label}-----\nAQID\n-----END ${label}-----\n`;
  const text = `Bag Attributes\n${block("CERTIFICATE")}more\n${block("EC PRIVATE KEY")}`;
  for (const variant of [text, text.replaceAll("\n", "\r\n"), `\ufeff${text}`]) {
    deepStrictEqual(decodePem(variant).map(({ label, der }) => [label, der.toHex()]), [
      ["CERTIFICATE", "010203"],
      ["EC PRIVATE KEY", "010203"],
    ]);
  }
  const headers =
    "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: a,b\n\nAQID\n-----END X-----";
  deepStrictEqual(decodePem(headers).map(({ der }) => der.toHex()), ["010203"]);
  throws(() => decodePem("-----BEGIN X-----\nAQID\n"), /a block "X" has no end/);
  throws(() => decodePem("-----BEGIN X-----\nA$==\n-----END X-----"), /is not base64/);
});

Deno.test("no bytes make a reader do anything but read or refuse", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const readers = [readBoolean, readUnsigned, readOid, readNamedBits, readWholeBytes, readTime];
    for (const read of readers) {
      try {
        read(new DerReader(bytes).next());
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
      }
    }
  }));
});
