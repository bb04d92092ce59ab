// Certificates are read by hand: what is read is held to what the certificate library reads, for certificates
// of every kind that it makes, for those of the Go connector, and for damaged ones.

import "reflect-metadata"; // @peculiar/x509 does not load without it
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Certificate,
  certificatePem,
  parseCertificate,
  parseCertificates,
} from "../../src/certs/reader/certificate.ts";
import { labelled, referenceFile } from "../support/certificates.ts";

/** What has no counterpart in the library, or another form there. */
const ONLY_BY_HAND = [
  "der",
  "version",
  "signedContent",
  "signatureAlgorithm",
  "signature",
  "publicKeyInfo",
  "subjectName",
  "issuerName",
  "names",
  "nameConstraints",
  "unknownCritical",
] as const;
type OnlyByHand = typeof ONLY_BY_HAND[number];

/** What the library reads. */
function byLibrary(der: BufferSource): Omit<Certificate, OnlyByHand> {
  const x509 = new X509Certificate(der);
  const constraints = x509.getExtension(BasicConstraintsExtension);
  const keyUsage = x509.getExtension(KeyUsagesExtension)?.usages;
  const extendedUsages = x509.getExtension(ExtendedKeyUsageExtension)?.usages;
  const { pathLength } = constraints ?? {};
  return {
    // The library keeps the zeros.
    serial: BigInt(`0x${x509.serialNumber}`).toString(16),
    subject: x509.subject,
    issuer: x509.issuer,
    notBefore: x509.notBefore,
    notAfter: x509.notAfter,
    isCa: constraints?.ca === true && (keyUsage === undefined || (keyUsage & 32) !== 0),
    claimsCa: constraints?.ca === true,
    ...(pathLength === undefined ? {} : { pathLength }),
    ...(keyUsage === undefined ? {} : { keyUsage }),
    ...(extendedUsages === undefined ? {} : { extendedUsages: Array.from(extendedUsages, String) }),
    alternativeNames: x509.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [],
    hasExtensions: x509.extensions.length > 0,
  };
}

function byHand(der: Uint8Array<ArrayBuffer>): ReturnType<typeof byLibrary> {
  const read = parseCertificate(der);
  assert.ok(read.subjectName.length > 0 && read.issuerName.length > 0);
  const rest: Partial<Certificate> = { ...read };
  for (const member of ONLY_BY_HAND) delete rest[member];
  // The members that are left are those of the type.
  return rest as ReturnType<typeof byLibrary>;
}

const text = fc.string({ unit: "binary", maxLength: 20 }).filter((value) =>
  // The library writes only the first of several line breaks as an escape, and lone surrogates differently.
  !/[\r\n\t]/.test(value) && value.isWellFormed()
);
const printable = fc.stringMatching(/^[A-Za-z0-9 '()+,\-./:=?]{0,20}$/);
const attribute = fc.oneof(
  text.map((utf8String) => ({ utf8String })),
  printable.map((printableString) => ({ printableString })),
  fc.stringMatching(/^[ -~]{0,20}$/).map((ia5String) => ({ ia5String })),
  fc.stringMatching(/^[\u0020-\u07ff]{0,20}$/).map((bmpString) => ({ bmpString })),
);
const attributeType = fc.constantFrom("CN", "O", "OU", "C", "L", "ST", "E", "DC", "SN", "1.2.3.4");
const name = fc.array(fc.tuple(attributeType, attribute), { maxLength: 5 });
const oid = fc.array(fc.nat(), { minLength: 1, maxLength: 5 }).map((rest) =>
  `1.3.${rest.join(".")}`
);
const alternativeName: fc.Arbitrary<JsonGeneralName> = fc.oneof(
  fc.domain().map((value) => ({ type: "dns", value } as const)),
  fc.webUrl().map((value) => ({ type: "url", value } as const)),
  fc.ipV4().map((value) => ({ type: "ip", value } as const)),
  fc.ipV6().filter((value) => !value.includes(".")).map((
    value,
  ) => ({ type: "ip", value } as const)),
);
const extensions = fc.record({
  constraints: fc.option(fc.tuple(fc.boolean(), fc.option(fc.nat(300), { nil: undefined }))),
  keyUsage: fc.option(fc.integer({ min: 1, max: 511 })),
  extendedUsages: fc.option(fc.array(oid, { minLength: 1, maxLength: 5 })),
  names: fc.option(fc.array(alternativeName, { minLength: 1, maxLength: 10 })),
}).map(({ constraints, keyUsage, extendedUsages, names }): Extension[] => [
  ...(constraints ? [new BasicConstraintsExtension(...constraints)] : []),
  ...(keyUsage ? [new KeyUsagesExtension(keyUsage)] : []),
  ...(extendedUsages ? [new ExtendedKeyUsageExtension(extendedUsages)] : []),
  ...(names ? [new SubjectAlternativeNameExtension(names)] : []),
  // A list without any is not DER of a certificate, though the library writes it.
]).filter((extensions) => extensions.length > 0);
const time = fc.date({
  min: new Date("1970-01-01T00:00:00Z"),
  max: new Date("9999-12-31T23:59:59Z"),
  noInvalidDate: true,
}).map((date) => new Date(Math.floor(date.getTime() / 1000) * 1000));

const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
  "sign",
  "verify",
]);

Deno.test("what is read is what the library reads", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({ subject: name, issuer: name, notBefore: time, notAfter: time, extensions }),
      async ({ subject, issuer, ...rest }) => {
        const certificate = await X509CertificateGenerator.create({
          ...rest,
          subject: toName(subject),
          issuer: toName(issuer),
          publicKey: keys.publicKey,
          signingKey: keys.privateKey,
          signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
        });
        const der = new Uint8Array(certificate.rawData);
        assert.deepEqual(byHand(der), byLibrary(der));
        const [fromPem] = parseCertificates(labelled("test", certificate.toString("pem")));
        assert.deepEqual(fromPem, parseCertificate(der));
        assert.ok(fromPem);
        assert.equal(certificatePem(fromPem), certificate.toString("pem"));
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("certificates of the Go connector are read as the library reads them", () => {
  for (const file of ["root.cert", "leaf.cert"] as const) {
    const [certificate] = parseCertificates(labelled(file, referenceFile(file)));
    assert.ok(certificate);
    assert.deepEqual(byHand(certificate.der), byLibrary(certificate.der));
  }
});

Deno.test("damaged bytes are refused, or read to the same effect", () => {
  const [{ der }] = parseCertificates(labelled("leaf", referenceFile("leaf.cert"))) as [
    Certificate,
  ];
  const damage = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(damage, fc.option(fc.nat(der.length - 1), { nil: undefined }), (bytes, length) => {
      const damaged = der.slice(0, length);
      for (const [at, byte] of bytes) if (at < damaged.length) damaged[at] = byte;
      let read: ReturnType<typeof byHand>;
      try {
        read = byHand(damaged);
      } catch (error) {
        assert.ok(error instanceof SyntaxError, String(error));
        return;
      }
      let wanted: typeof read;
      try {
        wanted = byLibrary(damaged);
      } catch {
        // The library looks at the key and the signature, too.
        return;
      }
      // Texts are for people: of one that is none each writes something else.
      const { subject: _subject, issuer: _issuer, alternativeNames: _names, ...decisive } = read;
      assert.partialDeepStrictEqual(wanted, decisive);
    }),
    { numRuns: 3000 },
  );
});

function toName(attributes: [string, Record<string, string>][]): Name {
  return new Name(attributes.map(([type, value]) => ({ [type]: [value] })));
}
