// The SPIFFE id of a new certificate: the same for the same names, and texts that are not valid ids.

import { match, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { type CertificateNames, checkSpiffeId, spiffeIdFor } from "../../src/certs/issue/spiffe.ts";

const NAMES: CertificateNames = {
  commonName: "Connector Leaf",
  dnsNames: ["a.example", "b.example"],
  ipAddresses: ["10.0.0.1"],
};

Deno.test("the same names have the same id, in whatever order", () => {
  const id = spiffeIdFor(NAMES);
  match(id, /^spiffe:\/\/jumppad\.dev\/connector\/[0-9a-f]{64}$/);
  strictEqual(checkSpiffeId(id), id);
  strictEqual(spiffeIdFor({ ...NAMES, dnsNames: ["b.example", "a.example"] }), id);
});

Deno.test("other names have another id", () => {
  const others: Partial<CertificateNames>[] = [
    { commonName: "x" },
    { dnsNames: ["a.example"] },
    { dnsNames: ["a.example,b.example"] },
    { ipAddresses: [] },
    { dnsNames: ["a.example", "b.example", "10.0.0.1"], ipAddresses: [] },
  ];
  for (const other of others) {
    notStrictEqual(spiffeIdFor({ ...NAMES, ...other }), spiffeIdFor(NAMES), JSON.stringify(other));
  }
});

Deno.test("a certificate without any name has an id of its own, one with only a common name has not", () => {
  const nobody = { commonName: "Connector Leaf", dnsNames: [], ipAddresses: [] };
  notStrictEqual(spiffeIdFor(nobody), spiffeIdFor(nobody));
  const laptop = { ...nobody, commonName: "laptop-anna" };
  strictEqual(spiffeIdFor(laptop), spiffeIdFor(laptop));
  notStrictEqual(spiffeIdFor(laptop), spiffeIdFor({ ...laptop, commonName: "laptop-bert" }));
});

Deno.test("an id is one by the standard, or refused in words", () => {
  const good = ["spiffe://example.org", "spiffe://example.org/laptop/Anna_1.2-x", "spiffe://a/..b"];
  for (const id of good) strictEqual(checkSpiffeId(id), id);
  const bad = [
    "",
    "example.org/a",
    "https://example.org/a",
    "SPIFFE://example.org/a",
    "spiffe://",
    "spiffe:///a",
    "spiffe://Example.org/a",
    "spiffe://example.org/",
    "spiffe://example.org//a",
    "spiffe://example.org/a/",
    "spiffe://example.org/a/../b",
    "spiffe://example.org/.",
    "spiffe://example.org:80/a",
    "spiffe://user@example.org/a",
    "spiffe://example.org/a?b",
    "spiffe://example.org/a#b",
    "spiffe://example.org/%61",
    "spiffe://example.org/\u00e4",
    "spiffe://example.org/a\n",
    `spiffe://${"a".repeat(256)}/a`,
    `spiffe://a/${"b".repeat(2048)}`,
  ];
  for (const id of bad) {
    throws(() => checkSpiffeId(id), { code: "invalid_argument", message: /want one like spiffe:/ });
  }
});
