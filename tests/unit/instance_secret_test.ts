// What proves a connector to its peers: a proof for each of them, and one text for each proof.

import {
  deepStrictEqual,
  doesNotMatch,
  notDeepStrictEqual,
  strictEqual,
  throws,
} from "node:assert/strict";
import { parseAddress } from "../../src/model/address.ts";
import { decodeProof, encodeProof, InstanceSecret } from "../../src/instance_secret.ts";

Deno.test("a secret proves itself to a peer each time alike, and to no other peer so", () => {
  const secret = InstanceSecret.random();
  const proof = (address: string) => secret.proofFor(parseAddress(address));
  deepStrictEqual(proof("server1:9090"), proof("server1:9090"));
  notDeepStrictEqual(proof("server1:9090"), proof("server1:9091"));
  notDeepStrictEqual(proof("server1:9090"), proof("server2:9090"));
  notDeepStrictEqual(
    proof("server1:9090"),
    InstanceSecret.random().proofFor(parseAddress("server1:9090")),
  );
  strictEqual(proof("server1:9090").length, 32);
});

Deno.test("a secret is HMAC-SHA-256's key, as docs/PROTOCOL.md has it", () => {
  const secret = InstanceSecret.import("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  // printf server1:9090 | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
  strictEqual(
    secret.proofFor(parseAddress("server1:9090")).toHex(),
    "025df34d6a53a3655b4363ec9317e979ce85adaa5de0ae6d026ceefbca3acd31",
  );
});

Deno.test("a secret that was kept proves the same", () => {
  const secret = InstanceSecret.random();
  const address = parseAddress("server1:9090");
  deepStrictEqual(
    InstanceSecret.import(secret.export()).proofFor(address),
    secret.proofFor(address),
  );
});

Deno.test("a secret is in nothing that shows it", () => {
  const secret = InstanceSecret.random();
  for (const text of [JSON.stringify(secret), Deno.inspect(secret), String(secret)]) {
    doesNotMatch(text, new RegExp(`${secret.export()}|[0-9a-f]{2}, |\\d+,`));
  }
});

const PROOF = encodeProof(new Uint8Array(32).fill(7));

Deno.test("a proof has one text", () => {
  deepStrictEqual(decodeProof(PROOF), new Uint8Array(32).fill(7));
  const wrong = [
    "",
    PROOF.slice(1),
    `${PROOF}A`,
    `${PROOF}=`,
    `${PROOF}, ${PROOF}`,
    // Its last character holds bits that no byte has.
    `${PROOF.slice(0, -1)}d`,
    `${PROOF.slice(0, -1)}+`,
    `${PROOF.slice(0, -1)} `,
    `${PROOF}\n`,
    "x".repeat(100_000),
  ];
  for (const text of wrong) {
    throws(() => decodeProof(text), (error) => {
      const { code, message } = error as Error & { code: string };
      strictEqual(code, "invalid_argument");
      // It may be somebody's secret, cut or with something added.
      strictEqual(message.includes(PROOF.slice(2, 12)), false);
      return true;
    });
  }
});
