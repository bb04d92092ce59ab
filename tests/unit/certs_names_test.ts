// Names with their kinds: which hosts a certificate is for, and which names a CA allows those below it.

import { strictEqual } from "node:assert/strict";
import {
  type Certificate,
  type GeneralName,
  NAME_TAG,
} from "../../src/certs/reader/certificate.ts";
import { isFor } from "../../src/certs/judge/host_names.ts";
import { parseIp } from "../../src/model/ip.ts";
import { keepsTo } from "../../src/certs/judge/name_constraints.ts";

const ascii = (text: string) => new TextEncoder().encode(text);
const dns = (text: string): GeneralName => ({ tag: NAME_TAG.dns, content: ascii(text) });
const uri = (text: string): GeneralName => ({ tag: NAME_TAG.uri, content: ascii(text) });
const email = (text: string): GeneralName => ({ tag: NAME_TAG.email, content: ascii(text) });
const ip = (...bytes: number[]): GeneralName => ({
  tag: NAME_TAG.ip,
  content: Uint8Array.from(bytes),
});
const EMPTY_NAME = Uint8Array.of(0x30, 0);

/** An attribute in a part of a name: `CN` as UTF8String, or as PrintableString. */
function directory(text: string, { tag = 0x0c, oid = 3 } = {}): Uint8Array {
  const value = ascii(text);
  const tlv = (type: number, content: Uint8Array) =>
    Uint8Array.of(type, content.length, ...content);
  const attribute = tlv(0x30, Uint8Array.of(6, 3, 0x55, 4, oid, ...tlv(tag, value)));
  return tlv(0x30, tlv(0x31, attribute));
}

/** Of a certificate, the members that matter here. */
function certificate(
  names: GeneralName[],
  { subjectName = EMPTY_NAME, permitted = [], excluded = [] }: {
    subjectName?: Uint8Array;
    permitted?: GeneralName[];
    excluded?: GeneralName[];
  } = {},
): Certificate {
  const members = {
    names,
    alternativeNames: [],
    subjectName,
    nameConstraints: { permitted, excluded },
  };
  // The functions under test read no other members.
  return members as Partial<Certificate> as Certificate;
}

const HOSTS: [GeneralName, string, boolean][] = [
  [dns("localhost"), "localhost", true],
  [dns("LOCALHOST"), "localhost", true],
  [dns("localhost"), "LocalHost.", true],
  [dns("localhost."), "localhost", false],
  [dns("localhost\0.evil.example"), "localhost", false],
  [dns("evil.example, DNS:localhost"), "localhost", false],
  [uri("x://y, DNS:localhost"), "localhost", false],
  [email("localhost"), "localhost", false],
  [dns("localhost:9090"), "localhost", false],
  [dns("*"), "localhost", false],
  [dns("*host"), "localhost", false],
  [dns("*.localhost"), "localhost", false],
  [dns("*.localhost"), "a.localhost", false],
  [dns("*.example.com"), "a.example.com", true],
  [dns("*.example.com"), "a.b.example.com", false],
  [dns("*.example.com"), "example.com", false],
  [dns("*.example.com"), "*.example.com", true],
  [dns("a.*.com"), "a.example.com", false],
  [dns("a*.example.com"), "ab.example.com", false],
  [dns("*.*.com"), "a.example.com", false],
  [dns("xn--lcalhost-n4a"), "localhost", false],
  [dns("my_service.internal"), "my_service.internal", true],
  [dns("127.0.0.1"), "127.0.0.1", false],
  [ip(127, 0, 0, 1), "127.0.0.1", true],
  [ip(127, 0, 0, 1), "127.0.0.2", false],
  [ip(127, 0, 0, 1), "localhost", false],
  [ip(...new Array<number>(15).fill(0), 1), "::1", true],
  [ip(...new Array<number>(15).fill(0), 1), "0:0:0:0:0:0:0:1", true],
  [ip(127, 0, 0, 1), "::ffff:127.0.0.1", false],
  [ip(0xfe, 0x80, ...new Array<number>(13).fill(0), 1), "fe80::1%eth0", true],
];

for (const [name, host, want] of HOSTS) {
  const shown = JSON.stringify(new TextDecoder().decode(name.content));
  Deno.test(`a certificate for ${name.tag} ${shown} is ${want ? "" : "not "}for ${host}`, () => {
    strictEqual(isFor(certificate([name]), host), want);
  });
}

Deno.test("addresses are compared as bytes, in whichever form they were written", () => {
  strictEqual(parseIp("::ffff:1.2.3.4")?.toHex(), "00000000000000000000ffff01020304");
  strictEqual(parseIp("2001:db8::1")?.toHex(), "20010db8000000000000000000000001");
  strictEqual(parseIp("1.2.3.4")?.toHex(), "01020304");
  for (const text of ["localhost", "1.2.3", "1.2.3.04", "010.0.0.1", "0x7f.0.0.1", "::g", ""]) {
    strictEqual(parseIp(text), undefined, text);
  }
});

/** A name, what a CA permits, what it excludes, and whether the name keeps to it. */
const CONSTRAINTS: [GeneralName, GeneralName[], GeneralName[], boolean][] = [
  [dns("a.example.com"), [dns("example.com")], [], true],
  [dns("example.com"), [dns("example.com")], [], true],
  [dns("EXAMPLE.com"), [dns("example.COM")], [], true],
  [dns("badexample.com"), [dns("example.com")], [], false],
  [dns("example.com"), [dns(".example.com")], [], false],
  [dns("a.example.com"), [dns(".example.com")], [], true],
  [dns("anything"), [dns("")], [], true],
  [dns("anything"), [], [dns("")], false],
  [dns("a.example.com"), [], [dns("example.com")], false],
  [dns("b.example.com"), [], [dns("a.example.com")], true],
  [dns("*.example.com"), [], [dns("a.example.com")], false],
  [dns("*.example.com"), [], [dns("a.b.example.com")], true],
  [dns("*.example.com"), [dns("a.example.com")], [], false],
  [dns("localhost"), [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], true],
  [ip(10, 1, 2, 3), [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], true],
  [ip(11, 1, 2, 3), [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], false],
  [ip(10, 1, 2, 3), [], [ip(10, 0, 0, 0, 255, 0, 0, 0)], false],
  [ip(...new Array<number>(16).fill(0)), [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], false],
  [uri("spiffe://example.org/a"), [uri("example.org")], [], true],
  [uri("spiffe://evil.org/example.org"), [uri("example.org")], [], false],
  [uri("spiffe://example.org@evil.org/"), [uri("example.org")], [], false],
  [uri("spiffe://a.example.org/x"), [uri(".example.org")], [], true],
  [uri("spiffe://a.example.org/x"), [uri("example.org")], [], false],
  [uri("spiffe://EXAMPLE.org:80/x"), [], [uri("example.org")], false],
  [uri("urn:uuid:1"), [uri("example.org")], [], false],
  [uri("urn:uuid:1"), [], [uri("example.org")], false],
  [uri("https://10.0.0.1/"), [uri("10.0.0.1")], [], false],
  [email("a@example.org"), [email("example.org")], [], true],
  [email("a@evil.org"), [email("example.org")], [], false],
  [email("b@example.org"), [email("a@example.org")], [], false],
  [email("b@example.org"), [], [email("example.org")], false],
  [
    { tag: NAME_TAG.other, content: ascii("x") },
    [{ tag: NAME_TAG.other, content: ascii("x") }],
    [],
    false,
  ],
  [
    { tag: NAME_TAG.other, content: ascii("x") },
    [],
    [{ tag: NAME_TAG.other, content: ascii("y") }],
    false,
  ],
];

for (const [name, permitted, excluded, want] of CONSTRAINTS) {
  const show = ({ tag, content }: GeneralName) =>
    `${tag} ${new TextDecoder("latin1").decode(content)}`;
  const title = `${show(name)} under [${permitted.map(show)}] without [${excluded.map(show)}]`;
  Deno.test(`${title.replaceAll(/[^ -~]/g, "?")}: ${want ? "kept" : "broken"}`, () => {
    strictEqual(keepsTo(certificate([name]), certificate([], { permitted, excluded })), want);
  });
}

Deno.test("a subject counts as a name, whatever its spelling, and so does an address in it", () => {
  const base: GeneralName = { tag: NAME_TAG.directory, content: directory("Evil  Corp") };
  for (const text of ["Evil Corp", "EVIL corp", " evil   corp "]) {
    for (const tag of [0x0c, 0x13]) {
      const leaf = certificate([], { subjectName: directory(text, { tag }) });
      strictEqual(keepsTo(leaf, certificate([], { excluded: [base] })), false, text);
      strictEqual(keepsTo(leaf, certificate([], { permitted: [base] })), true, text);
    }
  }
  const other = certificate([], { subjectName: directory("Other") });
  strictEqual(keepsTo(other, certificate([], { excluded: [base] })), true);
  strictEqual(keepsTo(other, certificate([], { permitted: [base] })), false);
});

Deno.test("more names and constraints than can be compared in a moment are refused", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => dns(`h${index}.example`));
  strictEqual(keepsTo(certificate(many(1000)), certificate([], { permitted: many(1000) })), false);
  strictEqual(keepsTo(certificate(many(100)), certificate([], { permitted: many(100) })), true);
});
