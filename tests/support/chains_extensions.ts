// Rows of the table of chains.ts: what certificates may be used for, as their extensions say.

import {
  type CertificateShape,
  directoryName,
  distinguishedName,
  dnsName,
  extension,
  ipName,
  keyUsage,
  LOOPBACK_NAMES,
  mailName,
  makeKey,
  nameConstraints,
  OIDS,
  type PurposeName,
  PURPOSES,
  uriName,
  USAGE,
  writeCertificate,
} from "./certificate_writer.ts";
import {
  type ChainTable,
  CLIENT_ONLY,
  EITHER,
  NO,
  OK,
  SERVER_ONLY,
  type Verdicts,
} from "./chains.ts";
import { type Bytes, explicit, hex, integer, oid, sequence, tlv } from "./der_writer.ts";

/** ::1 */
const IPV6_LOOPBACK = ipName(...new Uint8Array(15), 1);

export function addExtensions(table: ChainTable): void {
  addUsages(table);
  addConstraints(table);
  addNameConstraints(table);
  const NOTHING = hex("0500");
  const criticals: [string, Bytes][] = [
    ["critical unknown extension", extension(OIDS.unknown, NOTHING, { critical: true })],
    [
      "critical certificate policies",
      extension("2.5.29.32", sequence(sequence(oid("2.5.29.32.0"))), { critical: true }),
    ],
    [
      "critical policy constraints",
      extension("2.5.29.36", sequence(tlv(0x80, hex("00"))), { critical: true }),
    ],
    ["critical inhibit any policy", extension("2.5.29.54", integer(0), { critical: true })],
    [
      "critical policy mappings",
      extension(
        "2.5.29.33",
        sequence(sequence(oid("1.2.3"), oid("1.2.4"))),
        { critical: true },
      ),
    ],
    [
      "critical OCSP must-staple",
      extension("1.3.6.1.5.5.7.1.24", hex("3003020105"), {
        critical: true,
      }),
    ],
    ["critical CT poison", extension("1.3.6.1.4.1.11129.2.4.3", NOTHING, { critical: true })],
  ];
  const points = (name: string, want: Verdicts, value: Bytes) =>
    table.simple(`CRL distribution points ${name}`, want, {
      extra: [extension("2.5.29.31", value)],
    });
  // http://x/
  const uri = tlv(0x86, hex("687474703a2f2f782f"));
  points("that name one", OK, sequence(sequence(tlv(0xa0, tlv(0xa0, uri)))));
  // The runtime's TLS library reads no certificate with these, and then verifies neither it nor its key.
  for (
    const [name, value] of [["of nothing", "0500"], ["of text", "04026161"], [
      "and more",
      "30000500",
    ]] as const
  ) {
    points(name, NO, hex(value));
  }
  for (const [name, extra] of criticals) {
    table.simple(name, NO, { extra: [extra] });
    table.under(`${name} in the intermediate`, NO, { extra: [extra] });
  }
}

function addUsages(table: ChainTable): void {
  const purposes = (name: string, want: Verdicts, list: PurposeName[], note = "") =>
    table.simple(name, want, { purposes: list }, { note });
  purposes("EKU serverAuth only", SERVER_ONLY, ["server"]);
  purposes("EKU clientAuth only", CLIENT_ONLY, ["client"]);
  purposes("EKU codeSigning", NO, ["code"]);
  const any =
    "RFC 5280 section 4.2.1.12 lets whoever needs one purpose refuse it; TLS does so here";
  purposes("EKU anyExtendedKeyUsage only", NO, ["any"], any);
  purposes("EKU any and clientAuth", CLIENT_ONLY, ["any", "client"], any);
  table.simple("EKU of no purpose", NO, {
    purposes: null,
    extra: [extension(OIDS.extendedUsages, sequence())],
  });
  table.simple("EKU of somebody's own purpose", NO, {
    purposes: null,
    extra: [extension(OIDS.extendedUsages, sequence(oid(`${PURPOSES.client}.1`)))],
  });
  const under = (name: string, want: Verdicts, list: PurposeName[]) =>
    table.under(name, want, { purposes: list });
  under("intermediate EKU codeSigning only", NO, ["code"]);
  under("intermediate EKU serverAuth only", SERVER_ONLY, ["server"]);
  under("intermediate EKU clientAuth only", CLIENT_ONLY, ["client"]);
  under("intermediate EKU both", OK, ["client", "server"]);
  under("intermediate EKU any", NO, ["any"]);
  const upper = table.ca("EKU upper", { purposes: ["server"] });
  const lower = table.ca("EKU lower", { issuer: upper, purposes: ["client", "server"] });
  table.add("upper intermediate EKU serverAuth only", [
    table.leaf({ issuer: lower }),
    lower,
    upper,
  ], SERVER_ONLY);

  const usage = (name: string, want: Verdicts, ...list: number[]) =>
    table.simple(name, want, { usage: keyUsage(...list) });
  usage("key usage without digitalSignature", NO, USAGE.keyAgreement);
  usage("key usage keyEncipherment only", NO, USAGE.keyEncipherment);
  usage("key usage keyCertSign only, in a leaf", NO, USAGE.keyCertSign);
  usage("key usage of no bit", NO);
}

function addConstraints(table: ChainTable): void {
  const { root } = table;
  table.simple("leaf is a CA", NO, {
    ca: true,
    purposes: ["server", "client"],
    names: LOOPBACK_NAMES,
  }, {
    note: "RFC 5280 allows it; TLS stacks refuse it, and whoever holds it could issue",
  });
  table.simple("leaf is a CA that may not sign", NO, {
    ca: true,
    usage: keyUsage(USAGE.digitalSignature),
    purposes: ["server", "client"],
    names: LOOPBACK_NAMES,
  });
  table.add("the root as the leaf", [root], NO);
  const lone = writeCertificate({ subject: "A leaf that was given as a root" });
  table.add("a self-signed leaf that is one of the roots", [lone], NO, {
    roots: [root.der, lone.der],
    note: "who shows it may have it from the file of roots",
  });
  const value = (name: string, want: Verdicts, bytes: string, note = "") =>
    table.simple(name, want, {
      constraints: extension(OIDS.basicConstraints, hex(bytes), { critical: true }),
    }, { note });
  value(
    "basic constraints: path length without CA",
    EITHER,
    "3003020100",
    "RFC 5280 forbids it to authorities, and it means nothing",
  );
  value("basic constraints: CA:FALSE spelled out", NO, "3003010100", "DER leaves defaults out");
  value("basic constraints: nothing", NO, "");
  value("basic constraints: a CA by BOOLEAN 01", NO, "3003010101");
  value("basic constraints: more than there is", NO, "30030500");
  const inCa = (name: string, want: Verdicts, bytes: string, note = "") => {
    const issuer = table.ca(name, {
      constraints: extension(OIDS.basicConstraints, hex(bytes), { critical: true }),
    });
    table.add(name, [table.leaf({ issuer }), issuer], want, { note });
  };
  inCa("intermediate: CA by BOOLEAN 01", NO, "3003010101");
  inCa("intermediate: CA by BOOLEAN of two bytes", NO, "30040102ffff");
  inCa("intermediate: CA by BOOLEAN of no byte", NO, "30020100");
  inCa("intermediate: negative path length", NO, "30060101ff0201ff");
  inCa("intermediate: path length of no byte", NO, "30050101ff0200");
  inCa("intermediate: path length with a leading zero", NO, "30070101ff02020000");
  inCa("intermediate: path length of 2^64", EITHER, "300e0101ff0209010000000000000000");
  inCa("intermediate: CA with something behind", NO, "30050101ff0500");
  inCa("intermediate: CA and bytes behind the value", NO, "30030101ff00");
}

function addNameConstraints(table: ChainTable): void {
  const constrained = (
    name: string,
    want: Verdicts,
    constraints: Bytes,
    leaf: CertificateShape = {},
  ) => table.under(name, want, { extra: [constraints] }, leaf);
  const violated = (
    name: string,
    subtrees: Parameters<typeof nameConstraints>[0],
    leaf?: CertificateShape,
  ) => constrained(name, NO, nameConstraints(subtrees), leaf);
  const kept = (
    name: string,
    subtrees: Parameters<typeof nameConstraints>[0],
    leaf?: CertificateShape,
  ) => constrained(name, OK, nameConstraints(subtrees), leaf);
  const ten = ipName(10, 0, 0, 0, 255, 0, 0, 0);
  const loopback = ipName(127, 0, 0, 0, 255, 0, 0, 0);
  const localhost = dnsName("localhost");

  violated("name constraint DNS violated", { permitted: [dnsName("example.org")] });
  violated("name constraint DNS violated, not critical", {
    permitted: [dnsName("example.org")],
    critical: false,
  });
  violated("name constraint IP violated", { permitted: [ten] });
  violated("name constraint DNS excluded", { excluded: [localhost] });
  violated("name constraint DNS excluded, in capitals", { excluded: [dnsName("LOCALHOST")] });
  violated("name constraint: every DNS name excluded", { excluded: [dnsName("")] });
  violated("name constraint IP excluded", { excluded: [loopback] });
  violated("name constraint: every IPv4 address excluded", {
    excluded: [ipName(0, 0, 0, 0, 0, 0, 0, 0)],
  });
  violated("name constraint: excluded although permitted", {
    permitted: [localhost, loopback],
    excluded: [localhost],
  });
  violated("name constraint DNS: a label that ends alike", {
    permitted: [dnsName("host"), loopback],
  });
  violated("name constraint: one name of many violates", { permitted: [localhost, loopback] }, {
    names: [...LOOPBACK_NAMES, dnsName("evil.example")],
  });
  violated("name constraint URI violated (spiffe)", { permitted: [uriName(".trusted.example")] }, {
    names: [...LOOPBACK_NAMES, uriName("spiffe://evil.example/x")],
  });
  violated("name constraint URI excluded (spiffe)", { excluded: [uriName(".evil.example")] }, {
    names: [...LOOPBACK_NAMES, uriName("spiffe://a.evil.example/x")],
  });
  constrained(
    "name constraint DNS kept, and got round by a URI that fakes a list",
    CLIENT_ONLY,
    nameConstraints({ permitted: [dnsName("example.org")] }),
    { names: [dnsName("a.example.org"), uriName("x://y, DNS:localhost")] },
  );
  violated("name constraint directoryName violated", {
    permitted: [directoryName(distinguishedName(undefined, "Acme"))],
  });
  violated("name constraint directoryName excluded", {
    excluded: [directoryName(distinguishedName(undefined, "Jumppad"))],
  });
  violated("name constraint mail violated", { permitted: [mailName("example.org")] }, {
    names: [...LOOPBACK_NAMES, mailName("a@evil.example")],
  });
  violated("name constraint IPv6 violated", {
    permitted: [ipName(0x20, ...new Uint8Array(15), 0xff, ...new Uint8Array(15))],
  }, { names: [...LOOPBACK_NAMES, IPV6_LOOPBACK] });
  kept("name constraint kept", { permitted: [localhost, loopback] });
  kept("name constraint of kinds that the leaf has not", {
    permitted: [mailName("example.org"), localhost, loopback],
  });
  kept("name constraint excludes others", { excluded: [dnsName("example.org"), ten] });
  kept("name constraint: every name permitted", {
    permitted: [dnsName(""), ipName(0, 0, 0, 0, 0, 0, 0, 0)],
  });
  constrained(
    "name constraint URI kept (spiffe)",
    EITHER,
    nameConstraints({ permitted: [uriName(".trusted.example")] }),
    { names: [...LOOPBACK_NAMES, uriName("spiffe://a.trusted.example/x")] },
  );
  constrained(
    "name constraint directoryName kept",
    EITHER,
    nameConstraints({ permitted: [directoryName(distinguishedName(undefined, "Jumppad"))] }),
  );

  const damaged = (name: string, value: Bytes) =>
    constrained(name, NO, extension(OIDS.nameConstraints, value, { critical: true }));
  damaged(
    "name constraints: IP without a mask",
    sequence(explicit(0, sequence(ipName(127, 0, 0, 1)))),
  );
  constrained(
    "name constraints: IP with a mask that is none",
    EITHER,
    nameConstraints({ permitted: [ipName(127, 0, 0, 1, 255, 0, 255, 0), localhost] }),
  );
  damaged(
    "name constraints: with a minimum",
    sequence(explicit(0, sequence(localhost, tlv(0x80, hex("01"))), sequence(loopback))),
  );
  damaged(
    "name constraints: trailing bytes",
    tlv(0x30, explicit(0, sequence(localhost), sequence(loopback)), hex("0500")),
  );

  // The root's own constraints hold for all below it.
  const strict = writeCertificate({
    ca: true,
    subject: "Constrained root",
    extra: [nameConstraints({ permitted: [dnsName("example.org"), ten] })],
  });
  table.add("name constraint of the root violated", [table.leaf({ issuer: strict })], NO, {
    roots: [strict.der],
  });
  const upper = table.ca("NC upper", {
    extra: [nameConstraints({ permitted: [dnsName("example.org")] })],
  });
  const lower = table.ca("NC lower", { issuer: upper, key: makeKey() });
  table.add("name constraint two levels up violated", [
    table.leaf({ issuer: lower }),
    lower,
    upper,
  ], NO);
  table.simple("name constraints in a leaf", EITHER, {
    extra: [nameConstraints({ permitted: [dnsName("example.org")] })],
  }, { note: "they mean nothing in a leaf, and RFC 5280 allows them in a CA only" });
}
