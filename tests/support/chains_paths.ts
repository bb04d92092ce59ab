// Rows of the table of chains.ts: who signed whom, and whether that leads to a root.

import {
  type CertificateShape,
  distinguishedName,
  keyUsage,
  makeKey,
  type Signer,
  USAGE,
  writeCertificate,
  type Written,
} from "./certificate_writer.ts";
import { type ChainTable, EITHER, impostor, NO, OK } from "./chains.ts";
import { hex, oid, printableString, sequence, set, text, tlv } from "./der_writer.ts";

export function addPaths(table: ChainTable): void {
  const { root } = table;
  table.add("self-signed leaf", [writeCertificate({})], NO);
  table.add("self-signed, subject of the root", [
    writeCertificate({ ca: true, subjectName: root.name, names: null }),
  ], NO);
  table.add("self-signed leaf, subject of the root", [
    writeCertificate({ subjectName: root.name }),
  ], NO);
  const other = writeCertificate({ ca: true, subject: "Other CA" });
  table.add("other root", [table.leaf({ issuer: other }), other], NO);
  table.add("other root, without it", [table.leaf({ issuer: other })], NO);
  const evil = writeCertificate({ ca: true, subjectName: root.name });
  const forged = table.leaf({ issuer: evil });
  table.add("same-subject root with another key (sent along)", [forged, evil], NO);
  table.add("same-subject other-key root, without it", [forged], NO);
  table.add("same-subject other-key root, then the true root", [forged, evil, root], NO);
  table.add("the true root, then the same-subject other-key root", [forged, root, evil], NO);
  table.simple("expired", NO, { from: -30, to: -1 });
  table.simple("not yet valid", NO, { from: 1 });
  table.simple("never valid: it ends before it begins", NO, { from: 1, to: -1 });
  table.under("intermediate expired", NO, { from: -30, to: -1 });
  table.under("intermediate not yet valid", NO, { from: 1 });

  const leafAsIssuer = (name: string, shape: CertificateShape) => {
    const issuer = table.leaf({ key: makeKey(), subject: `issuer of ${name}`, ...shape });
    table.add(name, [table.leaf({ issuer, subject: "under it" }), issuer], NO);
  };
  leafAsIssuer("signed by a leaf (CA:FALSE)", {});
  leafAsIssuer("signed by a leaf with keyCertSign (CA:FALSE)", {
    usage: keyUsage(USAGE.digitalSignature, USAGE.keyCertSign),
  });
  leafAsIssuer("signed by a cert without basic constraints", {
    constraints: null,
    usage: null,
    purposes: null,
  });
  table.under("CA:TRUE without keyCertSign", NO, { usage: keyUsage(USAGE.digitalSignature) });
  table.under("CA:TRUE with an empty key usage", NO, { usage: keyUsage() });

  const narrow = table.ca("Int A", { pathLength: 0 });
  const below = table.ca("Int B", { issuer: narrow });
  table.add("pathlen 0 violated", [table.leaf({ issuer: below }), below, narrow], NO);
  const one = table.ca("Int one", { pathLength: 1 });
  const two = table.ca("Int two", { issuer: one });
  const three = table.ca("Int three", { issuer: two });
  table.add("pathlen 1 violated", [table.leaf({ issuer: three }), three, two, one], NO);
  const rekeyed = table.ca("Int A", { issuer: narrow, key: makeKey() });
  table.add(
    "pathlen 0, a self-issued CA below",
    [
      table.leaf({ issuer: rekeyed }),
      rekeyed,
      narrow,
    ],
    EITHER,
    { note: "RFC 5280 does not count self-issued ones; TLS stacks mostly do" },
  );
  const strange = writeCertificate({ ca: true, subject: "Narrow root", pathLength: 0 });
  const under = table.ca("Under the narrow root", { issuer: strange });
  table.add("pathlen 0 of the root violated", [table.leaf({ issuer: under }), under], NO, {
    roots: [strange.der],
  });

  const upper = table.ca("Int A2");
  const lower = table.ca("Int B2", { issuer: upper });
  const leaf = table.leaf({ issuer: lower });
  table.add("two intermediates, one missing", [leaf, lower], NO);
  table.add("two intermediates, the other missing", [leaf, upper], NO);
  table.add("a leaf whose intermediate is a leaf's twin", [
    leaf,
    table.leaf({ subjectName: lower.name, key: makeKey() }),
    upper,
  ], NO);

  addLoops(table);
  addNameMatches(table);
  table.add(
    "an unreadable certificate behind a good one",
    [
      table.leaf(),
      { ...root, der: text("this is no certificate at all") },
    ],
    EITHER,
    { note: "it is not needed; to refuse what is not DER is right too" },
  );
  table.add(
    "an empty certificate behind a good one",
    [
      table.leaf(),
      { ...root, der: hex("") },
    ],
    EITHER,
    { note: "as above" },
  );
}

function addLoops(table: ChainTable): void {
  const { root } = table;
  /** CAs of which each is signed by the next, the last by the first. */
  const ring = (label: string, length: number): Written[] => {
    const signers: Signer[] = Array.from({ length }, (_, index) => ({
      name: distinguishedName(`${label} ${index}`),
      key: makeKey(),
    }));
    return signers.map(({ name, key }, index) =>
      table.ca("", { subjectName: name, key, issuer: signers[(index + 1) % length] ?? root })
    );
  };
  const two = ring("Loop", 2);
  table.add("loop of two CAs", [table.leaf({ issuer: two[0] ?? root }), ...two], NO);
  const hundred = ring("Ring", 100);
  const [first = root] = hundred;
  table.add("loop of 100 CAs", [table.leaf({ issuer: first }), ...hundred], NO);
  const exit = table.ca("", { subjectName: first.name, key: first.key });
  table.add("loop of 20 CAs with a way to the root", [
    table.leaf({ issuer: first }),
    ...ring("Small ring", 20),
    exit,
  ], OK);
  const own = writeCertificate({ ca: true, subject: "Its own issuer" });
  table.add("a CA that signed itself, 20 times", [
    table.leaf({ issuer: own }),
    ...Array.from({ length: 20 }, () => own),
  ], NO);

  // Levels of CAs of one name and key: as many ways as there are CAs of a level, to the power of the levels.
  const bush = (label: string, top: Signer): Written[] => {
    const all: Written[] = [];
    let above = top;
    for (let level = 0; level < 6; level++) {
      const key = makeKey();
      const cas = Array.from(
        { length: 8 },
        () => table.ca(`${label} ${level}`, { key, issuer: above }),
      );
      all.push(...cas);
      above = cas[0] ?? top;
    }
    return all;
  };
  const dead = bush("Bush", { name: root.name, key: makeKey() });
  table.add(
    "bush: 8 x 6 cross-signed CAs, dead end",
    [
      table.leaf({ issuer: dead.at(-1) ?? root }),
      ...dead,
    ],
    NO,
    { note: "a search of all ways would take 262,144 signatures" },
  );
  const alive = bush("Live bush", root);
  table.add(
    "bush: 8 x 6 cross-signed CAs, every way leads to the root",
    [
      table.leaf({ issuer: alive.at(-1) ?? root }),
      ...alive,
    ],
    EITHER,
    { note: "nobody has such a chain; a bound on the search may end it" },
  );
}

/** Names are compared as bytes: what differs is another name, and what is equal is not enough. */
function addNameMatches(table: ChainTable): void {
  const { root } = table;
  const named = (name: string, subjectName: Uint8Array) =>
    table.simple(name, NO, {
      issuer: { name: new Uint8Array(subjectName), key: root.key },
    }, {
      note: "RFC 5280 section 7.1 would fold them; no authority writes its own name in two ways",
    });
  named(
    "issuer in another type of string",
    sequence(
      set(sequence(oid("2.5.4.10"), printableString("Jumppad"))),
      set(sequence(oid("2.5.4.3"), printableString("Connector CA"))),
    ),
  );
  named("issuer in other case", distinguishedName("CONNECTOR CA"));
  named(
    "issuer with the attributes the other way round",
    sequence(
      set(sequence(oid("2.5.4.3"), tlv(0x0c, text("Connector CA")))),
      set(sequence(oid("2.5.4.10"), tlv(0x0c, text("Jumppad")))),
    ),
  );
  table.simple("signed by the root under another issuer's name", NO, {
    issuer: { name: distinguishedName("Somebody else"), key: root.key },
  });
  table.simple("no issuer, signed by the root", NO, {
    issuer: { name: sequence(), key: root.key },
  });
  table.simple("forged, no issuer", NO, { issuer: { ...impostor(root), name: sequence() } });
}
