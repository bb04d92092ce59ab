// Rows of the table of chains.ts: which host a certificate is for. As a client every one of them is good, unless its
// names are damaged.

import {
  alternativeNames,
  directoryName,
  distinguishedName,
  dnsName,
  extension,
  ipName,
  LOOPBACK_NAMES,
  mailName,
  OIDS,
  uriName,
} from "./certificate_writer.ts";
import {
  type CaseOptions,
  type ChainTable,
  CLIENT_ONLY,
  EITHER,
  NO,
  OK,
  type Verdicts,
} from "./chains.ts";
import {
  type Bytes,
  concat,
  explicit,
  hex,
  oid,
  sequence,
  text,
  tlv,
  utf8String,
} from "./der_writer.ts";

export function addNames(table: ChainTable): void {
  const names = (
    name: string,
    want: Verdicts,
    list: readonly Bytes[] | null,
    options: CaseOptions & { subject?: string } = {},
  ) => {
    const { subject = "Connector Leaf", ...rest } = options;
    table.simple(name, want, { names: list, subject }, rest);
  };
  const notLocalhost: [string, string][] = [
    ["SAN localhost\\0.evil.example", "localhost\0.evil.example"],
    ["SAN evil.example\\0localhost", "evil.example\0localhost"],
    ["SAN localhost\\0", "localhost\0"],
    ["SAN text that fakes a list (evil, DNS:localhost)", "evil.example, DNS:localhost"],
    ["SAN text in quotes", '"localhost"'],
    ["SAN *", "*"],
    ["SAN *host", "*host"],
    ["SAN l*", "l*"],
    ["SAN *.localhost", "*.localhost"],
    ["SAN xn--", "xn--lcalhost-n4a"],
    ["SAN localhost:9090", "localhost:9090"],
    ["SAN other host", "server1.example"],
    ["SAN .localhost", ".localhost"],
    ["SAN blank localhost", " localhost"],
    ["SAN localhost with a line break", "localhost\n"],
    ["SAN of no character", ""],
    ["SAN .", "."],
  ];
  for (const [name, value] of notLocalhost) names(name, CLIENT_ONLY, [dnsName(value)]);
  names("SAN URI that fakes a list", CLIENT_ONLY, [uriName("spiffe://x, DNS:localhost")]);
  names("SAN URI that is localhost", CLIENT_ONLY, [uriName("localhost")]);
  names("SAN URI of localhost", CLIENT_ONLY, [uriName("https://localhost/")]);
  names("SAN mail that is localhost", CLIENT_ONLY, [mailName("localhost")]);
  names("SAN mail that fakes a list", CLIENT_ONLY, [mailName("a@b, DNS:localhost")]);
  names("SAN directoryName localhost", CLIENT_ONLY, [
    directoryName(distinguishedName("localhost")),
  ]);
  names("SAN directoryName that fakes a list", CLIENT_ONLY, [
    directoryName(distinguishedName("a, DNS:localhost")),
  ]);
  names("SAN otherName localhost", CLIENT_ONLY, [
    explicit(0, oid("1.3.6.1.4.1.311.20.2.3"), explicit(0, utf8String("localhost"))),
  ]);
  names("SAN registeredID", CLIENT_ONLY, [tlv(0x88, oid("1.2.3").subarray(2))]);
  names("SAN x400Address and ediPartyName, and good ones", EITHER, [
    explicit(3, sequence()),
    explicit(5, explicit(1, utf8String("localhost"))),
    ...LOOPBACK_NAMES,
  ], { note: "nobody uses them" });
  names("SAN every other kind, and good ones", OK, [
    explicit(0, oid("1.3.6.1.4.1.311.20.2.3"), explicit(0, utf8String("a@b"))),
    directoryName(distinguishedName("other")),
    tlv(0x88, oid("1.2.3").subarray(2)),
    uriName("spiffe://x, DNS:evil.example"),
    ...LOOPBACK_NAMES,
  ]);
  names("SAN LOCALHOST", OK, [dnsName("LOCALHOST")]);
  names("SAN localhost. (dot)", CLIENT_ONLY, [dnsName("localhost.")], {
    note: "TLS takes no name with a dot at its end (RFC 6066 section 3)",
  });
  names("CN localhost, no SAN", CLIENT_ONLY, null, { subject: "localhost" });
  names("CN localhost, SAN only a URI", CLIENT_ONLY, [uriName("spiffe://jumppad.dev/x")], {
    subject: "localhost",
  });
  names("CN localhost, SAN other host", CLIENT_ONLY, [dnsName("server1.example")], {
    subject: "localhost",
  });

  addAddresses(table);
  addOtherHosts(table);
  addDamaged(table);
}

function addAddresses(table: ChainTable): void {
  const byAddress = (name: string, want: Verdicts, list: readonly Bytes[], host = "127.0.0.1") =>
    table.simple(name, want, { names: list }, { host });
  byAddress("SAN DNS:127.0.0.1 (IP as DNS)", CLIENT_ONLY, [dnsName("127.0.0.1")]);
  byAddress("SAN URI:127.0.0.1", CLIENT_ONLY, [uriName("127.0.0.1")]);
  byAddress("SAN text that fakes an address", CLIENT_ONLY, [dnsName("a, IP Address:127.0.0.1")]);
  byAddress("SAN another IP address", CLIENT_ONLY, [ipName(127, 0, 0, 2)]);
  byAddress("SAN IPv4 in IPv6", CLIENT_ONLY, [
    ipName(...new Uint8Array(10), 255, 255, 127, 0, 0, 1),
  ]);
  byAddress("SAN localhost, dialled by address", CLIENT_ONLY, [dnsName("localhost")]);
  byAddress("SAN IP of the address", OK, [ipName(10, 0, 0, 1), ipName(127, 0, 0, 1)]);
  byAddress("SAN *.0.0.1", CLIENT_ONLY, [dnsName("*.0.0.1")]);
  byAddress("SAN ::1 as text", CLIENT_ONLY, [dnsName("::1")], "::1");
  byAddress("SAN IPv6 of another address", CLIENT_ONLY, [ipName(...new Uint8Array(15), 2)], "::1");
}

/** Hosts that no test can dial: for the judge by itself. */
function addOtherHosts(table: ChainTable): void {
  const rows: [host: string, san: string, fits: boolean][] = [
    ["web.example.org", "web.example.org", true],
    ["web.example.org", "WEB.Example.ORG", true],
    ["WEB.example.org", "web.example.org", true],
    ["web.example.org", "*.example.org", true],
    ["example.org", "*.example.org", false],
    ["a.web.example.org", "*.example.org", false],
    ["web.example.org", "*.*.org", false],
    ["web.example.org", "web.*.org", false],
    ["web.example.org", "w*.example.org", false],
    ["web.example.org", "*eb.example.org", false],
    ["web.example.org", "*.org", false],
    ["web.example.org", "**.example.org", false],
    ["web.example.org", ".example.org", false],
    ["web.example.org", "example.org", false],
    ["web.example.org", "web.example.org.evil.example", false],
    ["web.example.org", "evilweb.example.org", false],
    ["web.example.org", "web.example.org\0", false],
    ["web.example.org", "web.example.org:443", false],
    ["xn--bcher-kva.example", "*.example", false],
    ["xn--bcher-kva.example", "xn--*.example", false],
  ];
  for (const [host, san, fits] of rows) {
    table.simple(`${host} and SAN ${JSON.stringify(san)}`, fits ? OK : CLIENT_ONLY, {
      names: [dnsName(san)],
    }, { host });
  }
}

function addDamaged(table: ChainTable): void {
  const value = (name: string, want: Verdicts, bytes: Uint8Array, note = "") =>
    table.simple(name, want, {
      names: null,
      extra: [extension(OIDS.alternativeNames, bytes)],
    }, { note });
  const localhost = dnsName("localhost");
  value("SAN of no name", NO, sequence(), "RFC 5280 wants at least one");
  value("SAN of no bytes", NO, hex(""));
  value("SAN that is a SET", NO, tlv(0x31, localhost));
  value("SAN with bytes behind it", NO, concat(sequence(localhost), hex("00")));
  value("SAN IP of 5 bytes", NO, sequence(localhost, ipName(127, 0, 0, 1, 0)));
  value("SAN IP of 8 bytes", NO, sequence(localhost, ipName(127, 0, 0, 1, 255, 0, 0, 0)));
  value("SAN IP of no bytes", NO, sequence(localhost, ipName()));
  value("SAN of a kind that is none", NO, sequence(localhost, tlv(0x89, text("localhost"))));
  value("SAN of a plain string", NO, sequence(localhost, tlv(0x16, text("localhost"))));
  value("SAN DNS constructed", NO, sequence(localhost, tlv(0xa2, tlv(0x16, text("localhost")))));
  value("SAN cut off", NO, hex("3009820a6c6f63616c686f7374"));
  value(
    "SAN DNS with bytes beyond ASCII",
    EITHER,
    sequence(localhost, tlv(0x82, hex("6c6fe96c"))),
    "no IA5String; it is nobody's name either",
  );
  const good = alternativeNames(LOOPBACK_NAMES);
  const bad = alternativeNames([dnsName("evil.example")]);
  const twice = (name: string, ...extra: Bytes[]) => table.simple(name, NO, { names: null, extra });
  twice("two SAN extensions (evil.example first)", bad, good);
  twice("two SAN extensions (evil.example last)", good, bad);
  twice("two SAN extensions that are equal", good, good);
}
