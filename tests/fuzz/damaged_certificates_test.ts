// Damaged certificates for the reader and the judge: each is a foreseen error, soon, and none is let in. The seed is
// printed; SEED=n repeats a run.

import { deepStrictEqual, ok } from "node:assert/strict";
import { parseCertificate } from "../../src/certs/reader/certificate.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { JudgePeer } from "../../src/model/peer_judge.ts";
import { type ChainCase, chainTable } from "../support/chains.ts";
import { damage, Random } from "../support/damaged_certificates.ts";
import { type Bytes, elementsOf } from "../support/der_writer.ts";
import { judgeOf } from "../support/judging.ts";

const DAMAGED = 4000;
/** The longest that one may take, in milliseconds; the code is warm, and the second try counts. */
const LIMIT_MS = 5;

/** Chains that are let in, of many kinds of extensions, names, keys and signatures. */
const GOOD = [
  "good",
  "RSA-2048 leaf",
  "good, under a root with the key rsa-4096",
  "good, under a root with the key p384",
  "good, under a root with the key ed25519",
  "two intermediates, pathlen kept",
  "name constraint kept",
  "SAN every other kind, and good ones",
  "a subject of many kinds of text",
  "the Go connector's own",
];

Deno.test(`${DAMAGED} damaged certificates: none is let in, each is refused soon and in words`, () => {
  const seed = Number(Deno.env.get("SEED") ?? Date.now() % 2 ** 32);
  console.log(`SEED=${seed}`);
  const random = new Random(seed);
  const good = chainTable().cases.filter(({ name }) => GOOD.includes(name));
  deepStrictEqual(good.length, GOOD.length);
  const judges = new Map(good.map((row) => [row, judgeOf(row)]));
  const readable = { yes: 0, no: 0 };
  for (let index = 0; index < DAMAGED; index++) {
    const row = good[index % good.length];
    const judge = row && judges.get(row);
    if (!row || !judge) throw new TypeError("there are some");
    const position = random.below(row.chain.length);
    const original = row.chain[position] ?? new Uint8Array();
    const { bytes, how } = damage(original, random);
    const what =
      `SEED=${seed}, number ${index}, ${row.name}, certificate ${position}, ${how}: ${bytes.toHex()}`;
    readable[isReadable(bytes, what) ? "yes" : "no"] += 1;
    const chain = row.chain.map((der, each) => each === position ? bytes : der);
    ok(!isLetIn(judge, chain, row) || isSameCertificate(bytes, original), `it is let in: ${what}`);
    if (millisecondsOf(judge, chain, row) <= LIMIT_MS) continue;
    // Something else used the machine, or it does take long.
    const tries = Array.from({ length: 20 }, () => millisecondsOf(judge, chain, row));
    const again = Math.min(...tries);
    ok(again <= LIMIT_MS, `it takes ${again} ms: ${what}`);
  }
  // Damage reaches all depths: some is noticed by the reader, some by the judge alone.
  ok(readable.no > DAMAGED / 4 && readable.yes > DAMAGED / 20, JSON.stringify(readable));
});

/** The reader throws a SyntaxError for what it cannot read, and nothing else. */
function isReadable(bytes: Bytes, what: string): boolean {
  try {
    parseCertificate(bytes);
    return true;
  } catch (error) {
    ok(error instanceof SyntaxError, `${error} of ${what}`);
    return false;
  }
}

/** The judge throws a ConnectorError, and nothing else. */
function isLetIn(judge: JudgePeer, chain: readonly Uint8Array[], { host }: ChainCase): boolean {
  try {
    judge(chain, { purpose: "server", host });
    return true;
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    return false;
  }
}

function millisecondsOf(judge: JudgePeer, chain: readonly Uint8Array[], row: ChainCase): number {
  const started = performance.now();
  isLetIn(judge, chain, row);
  return performance.now() - started;
}

/** Whether what is signed, and the signature, are the same all the same. */
function isSameCertificate(bytes: Bytes, original: Bytes): boolean {
  const partsOf = (der: Bytes) =>
    elementsOf(elementsOf(der)[0]?.content ?? der).map(({ whole }) => whole.toHex());
  try {
    const [body, , signature] = partsOf(bytes);
    const [wanted, , proof] = partsOf(original);
    return body === wanted && signature === proof;
  } catch {
    return false;
  }
}
