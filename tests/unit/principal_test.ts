// Who a peer is for decisions: what counts as the local user, under what key bounds are counted, and that a proof is never
// shown. Who may have whose service is a table in tests/integration/exposures_test.ts.

import { deepStrictEqual, doesNotMatch, notStrictEqual, strictEqual } from "node:assert/strict";
import { inspect } from "node:util";
import { identityFields, whoFields } from "../../src/model/peer_identity.ts";
import { addressKey, isLocalUser, Principal, shareKeyOf } from "../../src/model/principal.ts";
import { certificateId } from "../support/principals.ts";

const OWN = certificateId({ name: "own", key: "1" });
const PROOF = new TextEncoder().encode("a proof that is nobody's business");

const LOCAL: [what: string, caller: ConstructorParameters<typeof Principal>[0], own: boolean][] = [
  ["over plaintext, from 127.0.0.1", { host: "127.0.0.1" }, true],
  ["over plaintext, from 127.0.0.2, where who ends TLS comes from", { host: "127.0.0.2" }, false],
  ["over plaintext, from ::1", { host: "::1" }, true],
  ["over plaintext, from [::1]", { host: "[::1]" }, true],
  ["over plaintext, from 127.0.0.1 as IPv6", { host: "::ffff:127.0.0.1" }, true],
  ["over plaintext, from another host", { host: "192.0.2.1" }, false],
  ["over plaintext, from another host as IPv6", { host: "::ffff:192.0.2.1" }, false],
  ["over plaintext, from 128.0.0.1", { host: "128.0.0.1" }, false],
  ["over plaintext, from a name that begins like it", { host: "127.0.0.1.example" }, false],
  ["over plaintext, from nobody knows where", { host: "" }, false],
  ["with a certificate where there are none", { host: "127.0.0.1", certificate: OWN }, false],
];

const LOCAL_WITH_CERTIFICATES: typeof LOCAL = [
  ["with our own", { host: "127.0.0.1", certificate: OWN }, true],
  ["with our own, from another host", { host: "192.0.2.1", certificate: OWN }, false],
  ["with our names and another key", { host: "::1", certificate: { ...OWN, key: "2" } }, false],
  ["with our key and other names", { host: "::1", certificate: { ...OWN, name: "x" } }, false],
  [
    "with another one",
    { host: "127.0.0.1", certificate: certificateId({ name: "x", key: "2" }) },
    false,
  ],
  ["without any", { host: "127.0.0.1" }, false],
];

for (const [own, cases] of [[undefined, LOCAL], [OWN, LOCAL_WITH_CERTIFICATES]] as const) {
  for (const [what, parts, expected] of cases) {
    const kind = own === undefined ? "" : "where there are certificates, ";
    Deno.test(`${kind}a caller ${what} is ${expected ? "" : "not "}the local user`, () => {
      strictEqual(isLocalUser(new Principal(parts), own), expected);
    });
  }
}

Deno.test("a proof is not in what is logged or shown of a peer", () => {
  const principal = new Principal({ host: "192.0.2.1", proof: PROOF });
  const peer = { address: "192.0.2.1:1", principal };
  for (const text of [JSON.stringify(peer), inspect(peer, { depth: 9 }), Deno.inspect(peer)]) {
    doesNotMatch(text, /proof:|Uint8Array|Buffer/);
  }
  deepStrictEqual(whoFields(peer), { peer: "192.0.2.1:1", principal: "anonymous" });
});

Deno.test("two have proven to be one instance when both sent the same proof", () => {
  const one = new Principal({ host: "a", proof: PROOF });
  strictEqual(one.provesSame(new Principal({ host: "b", proof: PROOF.slice() })), true);
  strictEqual(one.provesSame(new Principal({ host: "a", proof: PROOF.slice(1) })), false);
  strictEqual(one.provesSame(new Principal({ host: "a" })), false);
  strictEqual(new Principal({ host: "a" }).provesSame(new Principal({ host: "a" })), false);
});

Deno.test("the log names a peer as it is decided about, whatever else its certificate says", () => {
  const certificate = { ...certificateId({ name: "n", key: "0123456789abcdefgh" }) };
  const principal = new Principal({
    host: "",
    certificate: { ...certificate, displayName: "a,b" },
  });
  const identity = { subject: "CN=x", spiffe: "spiffe://x", dnsNames: ["x"], ipAddresses: [] };
  const peer = { address: "h:1", principal, identity };
  deepStrictEqual(whoFields(peer), { peer: "h:1", principal: "a,b", key: "0123456789abcdef" });
  deepStrictEqual(identityFields(peer), { principal: "a,b", ...identity });
  deepStrictEqual(identityFields({ address: "h:1", principal: new Principal({ host: "" }) }), {});
});

Deno.test("bounds are counted by certificate, whatever it is called, and else by address", () => {
  const key = (host: string, certificate?: typeof OWN) =>
    shareKeyOf({ address: `${host}:1`, principal: new Principal({ host, certificate }) });
  strictEqual(key("192.0.2.1", OWN), key("192.0.2.2", OWN));
  notStrictEqual(key("192.0.2.1", OWN), key("192.0.2.1", { ...OWN, key: "2" }));
  notStrictEqual(key("192.0.2.1"), key("192.0.2.2"));
  strictEqual(key("192.0.2.1"), shareKeyOf({ address: "192.0.2.1:99" }));
  strictEqual(key("[2001:db8::1]"), key("[2001:db8::2]"));
  strictEqual(addressKey("::ffff:192.0.2.1"), "192.0.2.1");
});
