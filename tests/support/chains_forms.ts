// Rows of the table of chains.ts: certificates that are not DER of version 3 as RFC 5280 has it, each in two
// ways. Signed by the root they have to be refused because nobody makes such, and no two readers agree on them.
// Forged, signed by nobody who is known and in the root's name, they are the attack: the runtime compares names
// alone where its TLS library cannot read a certificate (denoland/deno pull 36248).

import { type CertificateShape, extension, inDays, OIDS } from "./certificate_writer.ts";
import { type ChainTable, EITHER, impostor, NO, OK, type Verdicts } from "./chains.ts";
import {
  type Bytes,
  concat,
  digitsOf,
  elementsOf,
  explicit,
  generalizedTime,
  hex,
  indefiniteTlv,
  integer,
  longTlv,
  octets,
  oid,
  sequence,
  set,
  text,
  time,
  tlv,
  utcTime,
  utf8String,
} from "./der_writer.ts";

/** One odd form of a certificate. */
interface Form {
  name: string;
  shape: CertificateShape;
  /** When the root has signed it. */
  want?: Verdicts;
  note?: string;
}

/** Every odd form. */
function formsOf(): Form[] {
  return [
    ...versions(),
    ...serials(),
    ...booleans(),
    ...lengths(),
    ...surplus(),
    ...extensionLists(),
    ...times(),
    ...otherElements(),
    ...sizes(),
  ];
}

export function addForms(table: ChainTable): void {
  for (const { name, shape, want = NO, note = "" } of formsOf()) {
    table.simple(name, want, shape, { note });
  }
  const readable: CertificateShape = {
    draft: () => ({ version: hex(""), extensions: hex("") }),
  };
  table.under("X.509 version 1 intermediate", NO, readable);
  const withoutVersion: CertificateShape = { draft: () => ({ version: hex("") }) };
  table.under("version 1 with extensions, intermediate", NO, withoutVersion);
  const twice = extension(OIDS.basicConstraints, hex("30030101ff"));
  const issuer = table.leaf({ subject: "bc twice", extensions: (list) => [twice, ...list] });
  table.add("signer with two basic constraints (CA first, then not)", [
    table.leaf({ issuer }),
    issuer,
  ], NO);
  const last = table.leaf({ subject: "bc twice, last", extensions: (list) => [...list, twice] });
  table.add(
    "signer with two basic constraints (CA last)",
    [table.leaf({ issuer: last }), last],
    NO,
  );
}

/** The same without the root's key. */
export function addForgeries(table: ChainTable): void {
  const issuer = impostor(table.root);
  table.simple("forged: version 3, as it should be", NO, { issuer });
  for (const { name, shape } of formsOf()) {
    table.simple(`forged: ${name}`, NO, { ...shape, issuer, subject: "Mallory" });
  }
  // The same a step further from the root: the leaf is in order, and signed by a CA that is forged.
  for (const [name, version] of Object.entries(VERSIONS)) {
    const ca = table.ca(`Forged CA, ${name}`, { issuer, draft: () => ({ version: hex(version) }) });
    table.add(`forged intermediate: ${name}`, [table.leaf({ issuer: ca }), ca], NO);
  }
}

const VERSIONS: Readonly<Record<string, string>> = {
  "no version field (v1) with extensions": "",
  "version 1 with extensions, spelled out": "a003020100",
  "version 2 with extensions": "a003020101",
  "version 4": "a003020103",
  "version -1": "a0030201ff",
  "version 2^32 + 2": "a00702050100000002",
  "version 3 in two bytes": "a00402020002",
  "version of no byte": "a0020200",
  "version field of nothing": "a000",
  "version field of two numbers": "a006020102020102",
  "version 3 without its context tag": "020102",
  "version in a primitive field": "8003020102",
  "version as an ENUMERATED": "a0030a0102",
};

function versions(): Form[] {
  return [
    ...Object.entries(VERSIONS).map(([name, version]) => ({
      name,
      shape: { draft: () => ({ version: hex(version) }) },
    })),
    {
      name: "X.509 version 1 leaf",
      shape: { draft: () => ({ version: hex(""), extensions: hex("") }) },
      note: "it says nothing of what it is for: every leaf here is version 3",
    },
    {
      name: "version 3 without extensions",
      shape: { draft: () => ({ extensions: hex("") }) },
      want: {
        client: "either",
        server: "no",
      },
    },
  ];
}

function serials(): Form[] {
  const serial = (name: string, bytes: string, want?: Verdicts, note?: string): Form => ({
    name,
    shape: { draft: () => ({ serial: hex(bytes) }) },
    ...want && { want },
    ...note && { note },
  });
  const never =
    "RFC 5280 section 4.1.2.2: positive, at most 20 bytes; old authorities have made others";
  return [
    serial("negative serial number", "0202ff01", EITHER, never),
    serial("serial number 0", "020100", EITHER, never),
    serial("serial number of 21 bytes", `0215${"11".repeat(21)}`, EITHER, never),
    serial("serial with leading zeros", "0206000011111111"),
    serial("serial with leading ones", "0204ffff8001"),
    serial("serial of no bytes", "0200"),
    serial("serial as an octet string", "040101"),
    serial("serial of 4 KiB", `02821000${"11".repeat(4096)}`, EITHER, never),
    serial("serial left out", ""),
  ];
}

function booleans(): Form[] {
  /** One more extension, which nobody knows, whose `critical` is this. */
  const critical = (name: string, bytes: string): Form => ({
    name,
    shape: {
      extra: [sequence(oid(OIDS.unknown), hex(bytes), octets(hex("0500")))],
    },
  });
  return [
    critical("BOOLEAN 01", "010101"),
    critical("BOOLEAN FALSE spelled out", "010100"),
    critical("BOOLEAN of two bytes", "0102ffff"),
    critical("BOOLEAN of no byte", "0100"),
    critical("BOOLEAN twice", "0101000101ff"),
    critical("BOOLEAN is an INTEGER", "0201ff"),
    {
      name: "BOOLEAN 01 at the key usage",
      shape: {
        usage: sequence(oid(OIDS.keyUsage), hex("010101"), octets(hex("03020780"))),
      },
    },
  ];
}

function lengths(): Form[] {
  const content = (bytes: Bytes): Bytes => elementsOf(bytes)[0]?.content ?? bytes;
  /** The element written again, with its length in another form. */
  const inEach = (what: string, rewrite: (tag: number, content: Bytes) => Bytes): Form[] => {
    const again = (bytes: Bytes): Bytes => rewrite(bytes[0] ?? 0, content(bytes));
    return [
      { name: `${what}: the whole`, shape: { whole: again } },
      { name: `${what}: the signed part`, shape: { body: again } },
      {
        name: `${what}: serial number`,
        shape: { draft: ({ serial }) => ({ serial: again(serial) }) },
      },
      {
        name: `${what}: validity`,
        shape: { draft: ({ validity }) => ({ validity: again(validity) }) },
      },
      {
        name: `${what}: subject`,
        shape: { draft: ({ subject }) => ({ subject: again(subject) }) },
      },
      {
        name: `${what}: public key`,
        shape: { draft: ({ publicKey }) => ({ publicKey: again(publicKey) }) },
      },
      {
        name: `${what}: list of extensions`,
        shape: {
          draft: ({ extensions }) => ({ extensions: explicit(3, again(content(extensions))) }),
        },
      },
      {
        name: `${what}: tag of the extensions`,
        shape: { draft: ({ extensions }) => ({ extensions: again(extensions) }) },
      },
      {
        name: `${what}: an extension`,
        shape: { extensions: ([first = hex(""), ...rest]) => [again(first), ...rest] },
      },
      {
        name: `${what}: inside the alternative names`,
        shape: {
          names: null,
          extra: [extension(OIDS.alternativeNames, again(sequence(tlv(0x82, text("localhost")))))],
        },
      },
      {
        name: `${what}: signature algorithm`,
        shape: { draft: ({ algorithm }) => ({ algorithm: again(algorithm) }) },
      },
      { name: `${what}: signature`, shape: { signature: again } },
    ];
  };
  return [
    ...inEach("length in 3 bytes", (tag, bytes) => longTlv(tag, bytes, 3)),
    ...inEach("indefinite length", (tag, bytes) => indefiniteTlv(tag, bytes)),
    { name: "length in 9 bytes", shape: { whole: (der) => longTlv(0x30, content(der), 9) } },
    { name: "length in 126 bytes", shape: { body: (tbs) => longTlv(0x30, content(tbs), 126) } },
    {
      name: "length of 4 GiB",
      shape: { whole: (der) => concat(hex("3084ffffffff"), content(der)) },
    },
    {
      name: "tag in two bytes",
      shape: { draft: ({ serial }) => ({ serial: concat(hex("1f02"), serial.subarray(1)) }) },
    },
    {
      name: "tag in two bytes: the list of extensions",
      shape: {
        draft: ({ extensions }) => ({ extensions: concat(hex("bf03"), extensions.subarray(1)) }),
      },
    },
    {
      name: "tag of endless bytes",
      shape: { draft: () => ({ serial: concat(hex("1f"), new Uint8Array(200).fill(0xff)) }) },
    },
  ];
}

function surplus(): Form[] {
  const inside = (bytes: Bytes, more: string): Bytes =>
    tlv(bytes[0] ?? 0, elementsOf(bytes)[0]?.content ?? bytes, hex(more));
  return [
    {
      name: "trailing bytes behind the certificate",
      shape: { whole: (der) => concat(der, new Uint8Array(16)) },
    },
    { name: "one more certificate behind it", shape: { whole: (der) => concat(der, der) } },
    { name: "trailing element in the certificate", shape: { whole: (der) => inside(der, "0500") } },
    { name: "trailing element in the signed part", shape: { body: (tbs) => inside(tbs, "0500") } },
    {
      name: "trailing element in the validity",
      shape: { draft: ({ validity }) => ({ validity: inside(validity, "0500") }) },
    },
    {
      name: "trailing element in the public key",
      shape: { draft: ({ publicKey }) => ({ publicKey: inside(publicKey, "0500") }) },
    },
    {
      name: "trailing element behind the list of extensions",
      shape: { draft: ({ extensions }) => ({ extensions: inside(extensions, "0500") }) },
    },
    {
      name: "trailing element in an extension",
      shape: { extensions: ([first = hex(""), ...rest]) => [inside(first, "0500"), ...rest] },
    },
    {
      name: "trailing bytes in an extension's value",
      shape: {
        usage: extension(OIDS.keyUsage, hex("0302078000"), { critical: true }),
      },
    },
    {
      name: "NULL before the list of extensions",
      shape: { draft: () => ({ uniqueIds: hex("0500") }) },
    },
    {
      name: "unique identifiers",
      shape: { draft: () => ({ uniqueIds: hex("81020001 82020001") }) },
      want: EITHER,
      note: "RFC 5280 lets nobody make them, and wants readers to cope",
    },
    {
      name: "unique identifiers the wrong way round",
      shape: { draft: () => ({ uniqueIds: hex("82020001 81020001") }) },
    },
    {
      name: "the list of extensions twice",
      shape: { draft: ({ extensions }) => ({ uniqueIds: extensions }) },
    },
  ];
}

function extensionLists(): Form[] {
  const unknown = extension(OIDS.unknown, hex("0500"));
  const extra = (name: string, ...list: Bytes[]): Form => ({ name, shape: { extra: list } });
  const value = octets(hex("0500"));
  return [
    {
      name: "extensions: an empty list",
      shape: { extensions: () => [] },
      want: { client: "no", server: "no" },
      note: "RFC 5280 wants at least one",
    },
    extra("extensions: an unknown one twice", unknown, unknown),
    {
      name: "extensions: key usage twice",
      shape: { extensions: (list) => [...list, list[1] ?? unknown] },
    },
    {
      name: "extensions: extended key usage twice",
      shape: { extensions: (list) => [...list, list[2] ?? unknown] },
    },
    {
      name: "extensions: key usage twice, the second of no bit",
      shape: { extensions: (list) => [...list, extension(OIDS.keyUsage, hex("030100"))] },
    },
    extra("extensions: one without a value", sequence(oid(OIDS.unknown))),
    extra("extensions: one without a name", sequence(value)),
    extra("extensions: one of nothing", sequence()),
    extra("extensions: one that is a SET", set(oid(OIDS.unknown), value)),
    extra("extensions: value before critical", sequence(oid(OIDS.unknown), value, hex("0101ff"))),
    extra("extensions: value is a bit string", sequence(oid(OIDS.unknown), hex("03020500"))),
    extra("extensions: value is constructed", sequence(oid(OIDS.unknown), tlv(0x24, value))),
    extra("identifier of no bytes", sequence(hex("0600"), value)),
    extra("identifier that does not end", sequence(hex("06032a8683"), value)),
    extra("identifier with padding", sequence(hex("06042a800304"), value)),
    {
      name: "key usage: its unused bits are set",
      shape: { usage: extension(OIDS.keyUsage, hex("030207ff"), { critical: true }) },
    },
    {
      name: "key usage: more unused bits than there are",
      shape: { usage: extension(OIDS.keyUsage, hex("03020880"), { critical: true }) },
    },
    {
      name: "key usage: bits of zero at its end",
      shape: { usage: extension(OIDS.keyUsage, hex("03020080"), { critical: true }) },
      want: EITHER,
      note: "DER leaves them out; some authorities have not",
    },
    {
      name: "key usage: a bit string of no byte",
      shape: { usage: extension(OIDS.keyUsage, hex("0300"), { critical: true }) },
    },
    {
      name: "key usage: of no bit but unused ones",
      shape: { usage: extension(OIDS.keyUsage, hex("030107"), { critical: true }) },
    },
    {
      name: "key usage: an INTEGER",
      shape: { usage: extension(OIDS.keyUsage, hex("02020780"), { critical: true }) },
    },
    {
      name: "extended key usage: an identifier alone",
      shape: {
        purposes: null,
        extra: [extension(OIDS.extendedUsages, oid("1.3.6.1.5.5.7.3.2"))],
      },
    },
  ];
}

function times(): Form[] {
  const from = time(inDays(-1));
  const until = (name: string, end: Bytes, want?: Verdicts, note?: string): Form => ({
    name: `notAfter ${name}`,
    shape: { draft: () => ({ validity: sequence(from, end) }) },
    ...want && { want },
    ...note && { note },
  });
  const later = inDays(30);
  const year = later.getUTCFullYear() + 1;
  const utc = (value: string) => tlv(0x17, text(value));
  const general = (value: string) => tlv(0x18, text(value));
  const digits = digitsOf(later);
  return [
    until(
      "as a GeneralizedTime before 2050",
      generalizedTime(later),
      EITHER,
      "RFC 5280 wants the other",
    ),
    until("of 2050 as a UTCTime", utc("500101000000Z"), NO, "it is 1950"),
    until("without seconds", utc(`${digits.slice(2, 12)}Z`)),
    until("with an offset", utc(`${digits.slice(2)}+0000`)),
    until("with an offset and no seconds", utc(`${digits.slice(2, 12)}+0100`)),
    until("without a zone", utc(digits.slice(2))),
    until("in lower case", utc(`${digits.slice(2)}z`)),
    until("with a fraction", general(`${digits}.5Z`)),
    until("with a fraction of zeros", general(`${digits}.0Z`)),
    until("local time", general(digits)),
    until("with an offset, generalized", general(`${digits}+0000`)),
    until("with four digits of year in a UTCTime", utc(`${digits}Z`)),
    until("with two digits of year, generalized", general(`${digits.slice(2)}Z`)),
    until("in month 13", general(`${year}1301000000Z`)),
    until("in month 0", general(`${year}0001000000Z`)),
    until("on day 0", general(`${year}0100000000Z`)),
    until("on 30 February", general(`${year}0230000000Z`)),
    until("on 31 April", general(`${year}0431000000Z`)),
    until("on 29 February of 2100", general("21000229000000Z")),
    until("at hour 24", general(`${year}0101240000Z`)),
    until("at minute 60", general(`${year}0101006000Z`)),
    until("at second 60", general(`${year}0101000060Z`)),
    until("with a sign", general(`+${year}01010000Z`)),
    until("with blanks", general(`${year} 1 1000000Z`)),
    until("with other digits", tlv(0x18, text("２０９９０１０１００００００Z"))),
    until("with a zero byte", general(`${digits}Z\0`)),
    until("of no bytes", general("")),
    until("as a text", utf8String(`${digits}Z`)),
    until("as a number", integer(later.getTime())),
    until("as an old date", tlv(0x1f, text("20990101"))),
    {
      name: "validity of one time",
      shape: { draft: () => ({ validity: sequence(from) }) },
    },
    {
      name: "validity of no time",
      shape: { draft: () => ({ validity: sequence() }) },
    },
    {
      name: "notBefore on 30 February of 2020",
      shape: { draft: () => ({ validity: sequence(general("20200230000000Z"), utcTime(later)) }) },
    },
  ];
}

function otherElements(): Form[] {
  const subject = (name: string, bytes: Bytes, want?: Verdicts, note?: string): Form => ({
    name: `subject: ${name}`,
    shape: { subjectName: bytes },
    ...want && { want },
    ...note && { note },
  });
  const commonName = oid("2.5.4.3");
  const dn = (value: Uint8Array) => sequence(set(sequence(commonName, value)));
  return [
    subject("a set of nothing", sequence(set())),
    subject("an attribute without a value", sequence(set(sequence(commonName)))),
    subject("an attribute of two values", sequence(set(sequence(commonName, hex("0c01610c0162"))))),
    subject("an attribute that is a SET", sequence(set(set(commonName, utf8String("a"))))),
    subject("a sequence of sequences", sequence(sequence(sequence(commonName, utf8String("a"))))),
    subject("a SET", set(set(sequence(commonName, utf8String("a"))))),
    subject("no UTF-8", dn(tlv(0x0c, hex("ff"))), EITHER, "nobody depends on it"),
    subject("half a character of UTF-16", dn(tlv(0x1e, hex("00"))), EITHER, "nobody depends on it"),
    subject("a value that is a number", dn(integer(5)), EITHER, "nobody depends on it"),
    {
      name: "signed part: a SET",
      shape: { body: (tbs) => tlv(0x31, elementsOf(tbs)[0]?.content ?? tbs) },
    },
    {
      name: "signed part: empty",
      shape: { body: () => sequence() },
    },
    {
      name: "signed part: in a sequence more",
      shape: { body: (tbs) => sequence(tbs) },
    },
    {
      name: "issuer and subject exchanged",
      shape: { draft: ({ issuer, subject }) => ({ issuer: subject, subject: issuer }) },
    },
    { name: "no bytes", shape: { whole: () => hex("") } },
    { name: "one byte", shape: { whole: () => hex("30") } },
    { name: "no certificate but 64 KiB of zeros", shape: { whole: () => new Uint8Array(65_000) } },
    {
      name: "cut off in the signature",
      shape: { whole: (der) => der.subarray(0, der.length - 5) },
    },
    {
      name: "1,000 sequences within each other",
      shape: { extra: [extension(OIDS.unknown, nested(1000), { critical: true })] },
    },
    {
      name: "1,000 sequences within each other, not critical",
      shape: { extra: [extension(OIDS.unknown, nested(1000))] },
      want: OK,
      note: "the value of an extension that is not known is nobody's business",
    },
  ];
}

function nested(depth: number): Bytes {
  let bytes = sequence();
  for (let level = 0; level < depth; level++) bytes = sequence(bytes);
  return bytes;
}

/** More than any certificate has: it must be judged soon, whatever the verdict. */
function sizes(): Form[] {
  const big = "a stranger's certificate has a bound, and nobody has such a one";
  const localhost = tlv(0x82, text("localhost"));
  const sans = (count: number) => [
    localhost,
    ...Array.from({ length: count }, (_, index) => tlv(0x82, text(`h${index}.example`))),
  ];
  return [
    { name: "5,000 SANs", shape: { names: sans(5000) }, want: EITHER, note: big },
    {
      name: "60 KiB certificate",
      shape: { extra: [extension("1.2.3.4.5.7", new Uint8Array(60_000))] },
      want: EITHER,
      note: big,
    },
    {
      name: "1 MiB certificate",
      shape: { extra: [extension("1.2.3.4.5.7", new Uint8Array(983_040))] },
      want: EITHER,
      note: big,
    },
    {
      name: "an object identifier of 60 KB",
      shape: {
        subjectName: sequence(
          set(sequence(tlv(0x06, new Uint8Array(60_000).fill(0xff), hex("7f")), utf8String("A"))),
        ),
      },
    },
    {
      name: "an object identifier of 60 KB as an extension",
      shape: { extra: [extensionOf(tlv(0x06, new Uint8Array(60_000).fill(0x81), hex("01")))] },
    },
    {
      name: "3,000 extensions",
      shape: {
        extra: Array.from({ length: 3000 }, (_, index) => extension(`1.2.3.4.${index}`, hex(""))),
      },
      want: EITHER,
      note: big,
    },
    {
      name: "3,000 attributes in the subject",
      shape: {
        subjectName: sequence(
          ...Array.from({ length: 3000 }, () => set(sequence(oid("2.5.4.3"), utf8String("a")))),
        ),
      },
      want: EITHER,
      note: big,
    },
    {
      name: "5,000 extended key usages",
      shape: {
        purposes: null,
        extra: [
          extension(
            OIDS.extendedUsages,
            sequence(
              ...Array.from({ length: 5000 }, (_, index) => oid(`1.3.${index}`)),
              oid("1.3.6.1.5.5.7.3.1"),
              oid("1.3.6.1.5.5.7.3.2"),
            ),
          ),
        ],
      },
      want: EITHER,
      note: big,
    },
  ];
}

function extensionOf(identifier: Bytes): Bytes {
  return sequence(identifier, octets(hex("0500")));
}
