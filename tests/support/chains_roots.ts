// Rows of the table of chains.ts: roots that are trusted, and should not be or not for this. A connector does not
// start with most of them; the judge has to hold where it has them all the same.

import {
  type CertificateShape,
  extendedUsages,
  extension,
  keyUsage,
  makeKey,
  OIDS,
  USAGE,
  writeCertificate,
} from "./certificate_writer.ts";
import { type ChainTable, EITHER, NO, OK, type Verdicts } from "./chains.ts";
import { hex } from "./der_writer.ts";

export function addRoots(table: ChainTable): void {
  const byRoot = (name: string, want: Verdicts, shape: CertificateShape, note = "") => {
    const root = writeCertificate({ ca: true, subject: `Root: ${name}`, ...shape });
    table.add(`root: ${name}`, [table.leaf({ issuer: root })], want, { roots: [root.der], note });
  };
  byRoot("version 1", NO, { draft: () => ({ version: hex(""), extensions: hex("") }) });
  byRoot("version 1 with extensions", NO, { draft: () => ({ version: hex("") }) });
  byRoot("CA:FALSE", NO, { ca: false, usage: keyUsage(USAGE.keyCertSign) });
  byRoot("without basic constraints", NO, { constraints: null });
  byRoot("without keyCertSign", NO, { usage: keyUsage(USAGE.digitalSignature) });
  byRoot("expired", NO, { from: -30, to: -1 });
  byRoot("not yet valid", NO, { from: 1 });
  byRoot("EKU serverAuth only", { client: "either", server: "ok" }, {
    extra: [extendedUsages("server")],
  }, "RFC 5280 does not say that a root's extended key usages count");
  byRoot("critical unknown extension", EITHER, {
    extra: [extension(OIDS.unknown, hex("0500"), { critical: true })],
  }, "as above");

  const { root } = table;
  const leaf = writeCertificate({ issuer: root });
  const v1 = writeCertificate({
    subject: "Version 1",
    draft: () => ({ version: hex(""), extensions: hex("") }),
  });
  table.add("root: a trusted version 1 certificate, with its key", [v1], NO, {
    roots: [root.der, v1.der],
  });
  table.add("root: a leaf of another root is among the roots", [leaf], NO, {
    roots: [root.der, leaf.der],
    note: "a peer whose leaf is one of the roots is refused",
  });
  const intermediate = table.ca("An intermediate that is trusted");
  table.add(
    "root: an intermediate is trusted, its issuer is not",
    [
      table.leaf({ issuer: intermediate }),
    ],
    OK,
    { roots: [intermediate.der] },
  );
  const key = makeKey();
  const old = writeCertificate({ ca: true, subject: "Renewed", key, from: -30, to: -1 });
  const renewed = writeCertificate({ ca: true, subject: "Renewed", key });
  table.add(
    "root: renewed with its key, the old one first",
    [table.leaf({ issuer: renewed })],
    OK,
    {
      roots: [old.der, renewed.der],
    },
  );
  const rekeyed = writeCertificate({ ca: true, subject: "Renewed" });
  for (const issuer of [old, rekeyed]) {
    const which = issuer === rekeyed ? "the new key" : "the old key";
    table.add(`root: renewed with another key, a leaf of ${which}`, [table.leaf({ issuer })], OK, {
      roots: [renewed.der, rekeyed.der],
    });
  }
  table.add("root: none", [table.leaf()], NO, { roots: [] });
}
