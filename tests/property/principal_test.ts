// Which certificates are one principal, held to the rule as PROTOCOL.md states it: two that differ in anything that it
// counts are two, in what is decided on and in what is shown; two that differ in anything else are one.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { parseCertificate } from "../../src/certs/reader/certificate.ts";
import { certificateIdOf } from "../../src/certs/identity/principal.ts";
import type { CertificateId } from "../../src/model/principal.ts";
import {
  dnsName,
  ipName,
  mailName,
  makeKey,
  uriName,
  writeCertificate,
} from "../support/certificate_writer.ts";
import { oid, sequence, set, tlv } from "../support/der_writer.ts";

type Kind = "spiffe" | "stamp" | "dns" | "ip" | "uri" | "mail";

interface Name {
  kind: Kind;
  value: string;
}

interface Leaf {
  names: Name[];
  subject: { text: string; tag: number };
  /** What nothing depends on. */
  validDays: number;
  key: number;
}

const KEYS = [makeKey(), makeKey()];
const ROOT = writeCertificate({ ca: true });
const LONG = "x".repeat(300);

const ascii = fc.string({ unit: fc.constantFrom(...'ab.:/,"\\= \u007f\u0001') });
const valueOf: Record<Kind, fc.Arbitrary<string>> = {
  // Few values, so that two certificates often have the same, and some that look alike.
  spiffe: fc.oneof(
    fc.constantFrom("a/b", "a/B", "a/b,spiffe://a/c", `a/${LONG}1`, `a/${LONG}2`),
    ascii,
  ).map((rest) => `spiffe://${rest}`),
  stamp: fc.constantFrom("1", "2").map((digits) => `spiffe://jumppad.dev/private/${digits}`),
  dns: fc.oneof(
    fc.constantFrom("a", "A", "b", "a,b", "10.0.0.1", "anonymous", "spiffe://a/b", "CN=a"),
    fc.constantFrom("a\u0001", "a\u0002", `${LONG}1`, `${LONG}2`),
    ascii,
  ),
  ip: fc.constantFrom("10.0.0.1", "10.0.0.2"),
  uri: fc.constantFrom("https://a/", "https://b/"),
  mail: fc.constantFrom("a@example.org", "b@example.org"),
};
const KINDS = Object.keys(valueOf) as Kind[]; // It is the table's own keys.

const leaf: fc.Arbitrary<Leaf> = fc.record({
  names: fc.uniqueArray(fc.constantFrom(...KINDS), { maxLength: 3 }).chain((kinds) =>
    kinds.length === 0 ? fc.constant([]) : fc.array(
      fc.constantFrom(...kinds).chain((kind) => valueOf[kind].map((value) => ({ kind, value }))),
      { maxLength: 4 },
    )
  ),
  subject: fc.record({
    text: fc.constantFrom("a", "A", "a, b", "anonymous", `${LONG}1`, `${LONG}2`),
    // UTF8String and PrintableString.
    tag: fc.constantFrom(0x0c, 0x13),
  }),
  validDays: fc.integer({ min: 1, max: 3 }),
  key: fc.nat(1),
});

/** The same principal with all changed that does not count. */
function disguised(of: Leaf): fc.Arbitrary<Leaf> {
  const { counts, kinds } = countedOf(of);
  const rest = KINDS.filter((kind) => !kinds.includes(kind) && isBelow(kind, of));
  const others = rest.length === 0 ? fc.constant([]) : fc.array(
    fc.constantFrom(...rest).chain((kind) => valueOf[kind].map((value) => ({ kind, value }))),
    { maxLength: 3 },
  );
  return fc.record({
    names: others.chain((more) => {
      const kept = of.names.filter(({ kind }) => kinds.includes(kind));
      return fc.shuffledSubarray([...kept, ...kept, ...more], { minLength: 0 })
        .map((some) => [...some, ...kept]);
    }),
    subject: counts === "subject"
      ? fc.constant(of.subject)
      : fc.constantFrom({ text: "a", tag: 0x0c }, { text: "other", tag: 0x13 }),
    validDays: fc.integer({ min: 4, max: 9 }),
    key: fc.nat(1),
  });
}

/** Whether names of a kind may be added without being counted. */
function isBelow(kind: Kind, of: Leaf): boolean {
  const { counts } = countedOf(of);
  if (kind === "uri" || kind === "mail") return true;
  if (counts === "spiffe") return true;
  return counts === "hosts" && kind === "stamp";
}

/** The rule, word by word. */
function countedOf({ names, subject }: Leaf): { counts: string; kinds: Kind[]; set: string[] } {
  const of = (...kinds: Kind[]) =>
    [...new Set(names.filter(({ kind }) => kinds.includes(kind)).map((n) => JSON.stringify(n)))]
      .sort();
  const rules: [string, Kind[]][] = [
    ["spiffe", ["spiffe"]],
    ["hosts", ["dns", "ip"]],
    ["stamps", ["stamp"]],
  ];
  for (const [counts, kinds] of rules) {
    const set = of(...kinds);
    if (set.length > 0) return { counts, kinds, set };
  }
  return { counts: "subject", kinds: [], set: [JSON.stringify(subject)] };
}

function idOf({ names, subject, validDays, key }: Leaf): CertificateId {
  const [first, second] = KEYS;
  ok(first && second);
  const written = names.map(({ kind, value }) => {
    if (kind === "dns") return dnsName(value);
    if (kind === "ip") return ipName(...value.split(".").map(Number));
    return kind === "mail" ? mailName(value) : uriName(value);
  });
  const { der } = writeCertificate({
    issuer: ROOT,
    subjectName: sequence(
      set(sequence(oid("2.5.4.3"), tlv(subject.tag, new TextEncoder().encode(subject.text)))),
    ),
    names: written.length === 0 ? null : written,
    to: validDays,
    key: key === 0 ? first : second,
  });
  return certificateIdOf(parseCertificate(der));
}

Deno.test("two certificates are one principal exactly when all that the rule counts is the same", () => {
  fc.assert(
    fc.property(leaf, leaf, (one, other) => {
      const [first, second] = [idOf(one), idOf(other)];
      const [ours, theirs] = [countedOf(one), countedOf(other)];
      const same = JSON.stringify(ours) === JSON.stringify(theirs);
      strictEqual(first.name === second.name, same);
      strictEqual(first.displayName === second.displayName, same);
      strictEqual(first.key === second.key, one.key === other.key);
    }),
    { numRuns: 400 },
  );
});

Deno.test("what the rule does not count makes no difference", () => {
  const pair = leaf.chain((of) => fc.tuple(fc.constant(of), disguised(of)));
  fc.assert(
    fc.property(pair, ([one, other]) => {
      const [first, second] = [idOf(one), idOf(other)];
      deepStrictEqual([second.name, second.displayName], [first.name, first.displayName]);
    }),
    { numRuns: 200 },
  );
});

Deno.test("a display name is one short printable line, and none is that of a peer without a certificate", () => {
  fc.assert(
    fc.property(leaf, (one) => {
      const { displayName } = idOf(one);
      ok(displayName.length > 0 && displayName.length < 300, displayName);
      ok(!/[\p{C}\p{Zl}\p{Zp}]/u.test(displayName), JSON.stringify(displayName));
      ok(displayName !== "anonymous");
    }),
    { numRuns: 200 },
  );
});

Deno.test("every name of a certificate is there whole, for rules that match names", () => {
  fc.assert(
    fc.property(leaf, (one) => {
      const { spiffeIds, dnsNames, ipAddresses, subject } = idOf(one);
      const of = (...kinds: Kind[]) =>
        one.names.filter(({ kind }) => kinds.includes(kind)).map(({ value }) => value);
      deepStrictEqual(spiffeIds, of("spiffe", "stamp"));
      deepStrictEqual(dnsNames, of("dns"));
      deepStrictEqual(ipAddresses, of("ip"));
      strictEqual(subject, `CN=${one.subject.text.replaceAll(",", "\\,")}`);
    }),
    { numRuns: 100 },
  );
});
