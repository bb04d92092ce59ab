// What a certificate proves of its holder: who it names, to the last byte, and its key.

import { match, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { decodePem } from "../../src/certs/reader/pem.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { identifyPeer } from "../../src/certs/identity/principal.ts";
import { type Made, makeCertificate, referenceFile, type Shape } from "../support/certificates.ts";
import { writeCertificate } from "../support/certificate_writer.ts";
import { oid, sequence, set, tlv } from "../support/der_writer.ts";
import { leafIdOf } from "../support/mtls.ts";

const root = await makeCertificate({ ca: true });
const keys = (await makeCertificate({})).keys;
const idOf = ({ certificate: pem }: Pick<Made, "certificate">) => leafIdOf(pem);
const idWith = async (shape: Shape) => idOf(await makeCertificate({ keys, ...shape }, root));

const uri = (value: string) => ({ type: "url", value }) as const;
const dns = (value: string) => ({ type: "dns", value }) as const;
const ip = (value: string) => ({ type: "ip", value }) as const;

Deno.test("a renewed certificate has the same names, with its old key or a new one", async () => {
  const names = [{ type: "dns", value: "a.example" }] as const;
  const before = await idWith({ names: [...names] });
  const after = await idWith({ names: [...names], notAfter: new Date(Date.now() + 1e9) });
  strictEqual(after.name, before.name);
  strictEqual(after.key, before.key);
  const rekeyed = idOf(await makeCertificate({ names: [...names] }, root));
  strictEqual(rekeyed.name, before.name);
  notStrictEqual(rekeyed.key, before.key);
});

Deno.test("certificates that look alike to people are not the same", async () => {
  const long = "x".repeat(600);
  const alike: [Shape, Shape][] = [
    // What is shown of a name is cut, made printable, and of a hundred at most.
    [
      { names: [{ type: "url", value: `spiffe://a/${long}1` }] },
      { names: [{ type: "url", value: `spiffe://a/${long}2` }] },
    ],
    [{ name: "a\u0001" }, { name: "a\u0002" }],
    [
      { names: Array.from({ length: 101 }, (_, n) => ({ type: "dns", value: `n${n}` })) },
      {
        names: Array.from({ length: 101 }, (_, n) => ({
          type: "dns",
          value: n === 100 ? "other" : `n${n}`,
        })),
      },
    ],
    // Only the first SPIFFE id is shown.
    [
      { names: [uri("spiffe://a/b"), uri("spiffe://a/c")] },
      { names: [uri("spiffe://a/b"), uri("spiffe://a/d")] },
    ],
  ];
  for (const [one, other] of alike) {
    const [first, second] = [
      await makeCertificate({ keys, ...one }, root),
      await makeCertificate({ keys, ...other }, root),
    ];
    const shown = ({ certificate }: Made) =>
      JSON.stringify(describePeer(decodePem(certificate)[0]?.der ?? new Uint8Array()));
    strictEqual(shown(first), shown(second));
    notStrictEqual(idOf(first).name, idOf(second).name);
  }
});

Deno.test("whoever is named the same is the same: SPIFFE id, else hosts, else a time stamp, else the subject", async () => {
  const stamp = (digits: string) => uri(`spiffe://jumppad.dev/private/${digits}`);
  const same: [string, Shape, Shape][] = [
    ["a SPIFFE id decides alone", { name: "x", names: [uri("spiffe://a/b"), dns("one")] }, {
      name: "y",
      names: [uri("spiffe://a/b"), dns("two"), uri("https://a/")],
    }],
    ["hosts, in whatever order", { names: [dns("a"), ip("10.0.0.1"), dns("b")] }, {
      name: "y",
      names: [dns("b"), dns("a"), ip("10.0.0.1"), dns("a")],
    }],
    ["leaves of the Go connector go by their hosts", { names: [dns("a"), stamp("1")] }, {
      names: [dns("a"), stamp("2")],
    }],
    ["a SPIFFE id beside a time stamp", { names: [uri("spiffe://a/b"), stamp("1")] }, {
      names: [uri("spiffe://a/b"), stamp("2")],
    }],
  ];
  for (const [what, one, other] of same) {
    strictEqual((await idWith(one)).name, (await idWith(other)).name, what);
  }
  const different: [string, Shape, Shape][] = [
    ["another SPIFFE id", { names: [uri("spiffe://a/b")] }, { names: [uri("spiffe://a/B")] }],
    ["a SPIFFE id and a host", { names: [uri("spiffe://a/b")] }, { names: [dns("spiffe://a/b")] }],
    ["another host", { names: [dns("a"), dns("b")] }, { names: [dns("ab")] }],
    ["one host more", { names: [dns("a")] }, { names: [dns("a"), dns("b")] }],
    ["a name and an address", { names: [dns("a")] }, { names: [ip("10.0.0.1")] }],
    ["upper case", { names: [dns("a")] }, { names: [dns("A")] }],
    ["Go leaves for no host", { names: [stamp("1")] }, { names: [stamp("2")] }],
    ["what only resembles a time stamp", { names: [dns("a"), stamp("1x")] }, {
      names: [dns("a"), stamp("2x")],
    }],
    ["subjects", { name: "x" }, { name: "y" }],
    ["subjects, beside names of other kinds", { name: "x", names: [uri("https://a/")] }, {
      name: "y",
      names: [uri("https://a/")],
    }],
  ];
  for (const [what, one, other] of different) {
    notStrictEqual((await idWith(one)).name, (await idWith(other)).name, what);
  }
});

Deno.test("a principal is shown as the names that were counted, all of them and no others", async () => {
  const stamp = uri("spiffe://jumppad.dev/private/1");
  const shown: [Shape, string | RegExp][] = [
    [{ names: [uri("spiffe://a/b"), dns("one")] }, "spiffe://a/b"],
    [{ names: [stamp, uri("spiffe://a/c"), uri("spiffe://a/b")] }, "spiffe://a/b,spiffe://a/c"],
    [{ names: [dns("b"), dns("a:1"), ip("10.0.0.1"), dns("b")] }, "10.0.0.1,a:1,b"],
    [{ names: [dns("a"), stamp] }, "a"],
    [{ names: [stamp] }, "spiffe://jumppad.dev/private/1"],
    // What could be taken for something else is quoted.
    [{ names: [dns("anonymous")] }, 'dns:"anonymous"'],
    [{ names: [dns("10.0.0.1")] }, 'dns:"10.0.0.1"'],
    [{ names: [dns("spiffe://a/b")] }, 'dns:"spiffe://a/b"'],
    [{ names: [dns("a,b")] }, 'dns:"a,b"'],
    [{ names: [uri("spiffe://a,spiffe://b")] }, 'spiffe:"spiffe://a,spiffe://b"'],
    // What is cut, or does not print, has a part of the digest of what was counted.
    [{ names: [uri(`spiffe://a/${"x".repeat(600)}`)] }, /^spiffe:\/\/a\/x{245}… \([0-9a-f]{16}\)$/],
    [{ names: [dns("a\u007f")] }, /^dns:"a\ufffd"… \([0-9a-f]{16}\)$/],
    // One text of a subject can be encoded in several ways.
    [{ name: "x" }, /^CN=x \([0-9a-f]{16}\)$/],
    [{ name: "a\u0001" }, /^CN=a\ufffd \([0-9a-f]{16}\)$/],
    [{ name: "x".repeat(600) }, /^CN=x{253}… \([0-9a-f]{16}\)$/],
  ];
  for (const [shape, wanted] of shown) {
    const { displayName } = await idWith(shape);
    if (typeof wanted === "string") strictEqual(displayName, wanted);
    else match(displayName, wanted);
  }
});

Deno.test("a subject whose text is damaged has no other's text", () => {
  const subjectWith = (tag: number, ...bytes: number[]) => {
    const value = tlv(tag, Uint8Array.from(bytes));
    const subjectName = sequence(set(sequence(oid("2.5.4.3"), value)));
    return identifyPeer(writeCertificate({ subjectName, names: null }).der).subject;
  };
  strictEqual(subjectWith(0x0c, 0x61), "CN=a");
  strictEqual(subjectWith(0x0c, 0x61, 0xff), "CN=#0c0261ff");
  strictEqual(subjectWith(0x0c, 0x61, 0xfe), "CN=#0c0261fe");
  strictEqual(subjectWith(0x1e, 0x00, 0x61), "CN=a");
  strictEqual(subjectWith(0x1e, 0xd8, 0x00), "CN=#1e02d800");
  strictEqual(subjectWith(0x1c, 0, 0, 0, 0x61), "CN=a");
  strictEqual(subjectWith(0x1c, 0, 0, 0xd8, 0), "CN=#1c040000d800");
  strictEqual(subjectWith(0x1c, 0, 0, 0), "CN=#1c03000000");
});

Deno.test("no alternative names are names of their own", async () => {
  notStrictEqual(
    (await idWith({})).name,
    (await idWith({ names: [{ type: "dns", value: "Test Leaf" }] })).name,
  );
});

Deno.test("a certificate of the Go connector has an identity, and of several in a file the first counts", () => {
  const leaf = { certificate: referenceFile("leaf.cert") };
  const both = { certificate: `${leaf.certificate}${referenceFile("root.cert")}` };
  strictEqual(idOf(leaf).name.length, 64);
  strictEqual(idOf(both).key, idOf(leaf).key);
});

Deno.test("what is no certificate proves nothing", () => {
  throws(() => identifyPeer(new Uint8Array([0x30, 0])), { code: "invalid_argument" });
  throws(() => identifyPeer(new Uint8Array()), { code: "invalid_argument" });
});
