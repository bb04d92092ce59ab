// What is said of a certificate that TLS refused: one clause, whatever a stranger puts into it.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { explainRefusal } from "../../src/certs/refusal.ts";
import {
  DAY_MS,
  type Made,
  makeCertificate,
  SERVER_AUTH,
  type Shape,
} from "../support/certificates.ts";

const NOW = new Date("2030-01-02T03:04:05Z");
const VALID: Shape = {
  notBefore: new Date(NOW.getTime() - DAY_MS),
  notAfter: new Date(NOW.getTime() + DAY_MS),
};

function explain(certificate: Made): string {
  return explainRefusal(new X509Certificate(certificate.certificate).raw, { now: NOW });
}

Deno.test("the first thing that is wrong with a certificate is said", async () => {
  const root = await makeCertificate({ ca: true, name: "Root" });
  const before = { ...VALID, notAfter: new Date(NOW.getTime() - 1000) };
  const after = { ...VALID, notBefore: new Date(NOW.getTime() + 1000) };
  const cases: [Shape, Made | undefined, string][] = [
    [before, root, "its certificate expired at 2030-01-02T03:04:04.000Z"],
    [after, root, "its certificate is not valid before 2030-01-02T03:04:06.000Z"],
    [
      { ...VALID, extendedUsages: [SERVER_AUTH] },
      root,
      "its certificate is not for clients: the extended key usage lacks clientAuth",
    ],
    [{ ...VALID, ca: true }, root, "its certificate is a CA, want a leaf"],
    [VALID, undefined, "its certificate is self-signed, want one that the root has signed"],
    [VALID, root, 'its certificate does not chain to the root: it was issued by "CN=Root"'],
  ];
  for (const [shape, issuer, clause] of cases) {
    assert.equal(explain(await makeCertificate(shape, issuer)), clause);
  }
});

Deno.test("an issuer's name is bounded and printable", async () => {
  const root = await makeCertificate({ ca: true, name: `${"x".repeat(300)}` });
  assert.ok(explain(await makeCertificate(VALID, root)).length < 300);
  const terminal = await makeCertificate({ ca: true, name: "a\u001b[31mb" });
  assert.match(explain(await makeCertificate(VALID, terminal)), /"CN=a\ufffd\[31mb"$/);
});

Deno.test("no bytes make it throw", async () => {
  const root = await makeCertificate({ ca: true, name: "Root" });
  const der = new Uint8Array(new X509Certificate(root.certificate).raw);
  assert.equal(explainRefusal(new Uint8Array(0)), "its certificate cannot be read");
  fc.assert(fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
    const damaged = der.slice();
    damaged[at] = (damaged[at] ?? 0) ^ bits;
    assert.match(explainRefusal(damaged, { now: NOW }), /^its certificate /);
  }));
});
