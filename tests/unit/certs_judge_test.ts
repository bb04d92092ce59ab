// The judge of peers by itself, held to the whole table of chains: what must be let in, what must be refused, and
// how soon.

import { deepStrictEqual, ok } from "node:assert/strict";
import { type ChainCase, chainTable } from "../support/chains.ts";
import { reasonAgainst } from "../support/judging.ts";

/**
 * The longest that one row may take, in milliseconds, once the code is warm: a wide margin on a busy machine, to find
 * what is not linear. A handshake waits for it, and so does everybody's traffic.
 */
const JUDGEMENT_LIMIT_MS = 250;

const { cases } = chainTable();

for (const purpose of ["client", "server"] as const) {
  Deno.test(`every chain of the table is judged right as a ${purpose}`, () => {
    const wrong = cases.flatMap((row) => {
      const reason = reasonAgainst(row, purpose);
      const got = reason === undefined ? "ok" : "no";
      const want = row.want[purpose];
      return want === "either" || want === got ? [] : [{ name: row.name, want, got, reason }];
    });
    deepStrictEqual(wrong, []);
  });
}

Deno.test("no chain takes long to judge, whatever it holds", () => {
  const slow = cases.flatMap((row) => {
    // The best of three: others use this machine, too.
    const took = Math.min(...[1, 2, 3].map(() => millisecondsOf(row)));
    return took > JUDGEMENT_LIMIT_MS ? [{ name: row.name, took }] : [];
  });
  deepStrictEqual(slow, []);
});

Deno.test("what is refused is refused in words that are short and printable", () => {
  for (const row of cases) {
    for (const purpose of ["client", "server"] as const) {
      const reason = reasonAgainst(row, purpose);
      if (reason === undefined) continue;
      ok(reason.length > 0 && reason.length < 600, `${row.name}: ${reason.length} characters`);
      ok(!/[\p{C}\p{Zl}\p{Zp}]/u.test(reason), `${row.name}: ${JSON.stringify(reason)}`);
    }
  }
});

Deno.test("the table holds what it should: rows of each verdict, and every name once", () => {
  const verdicts = new Set(cases.flatMap(({ want }) => [want.client, want.server]));
  deepStrictEqual([...verdicts].sort(), ["either", "no", "ok"]);
  deepStrictEqual(new Set(cases.map(({ name }) => name)).size, cases.length);
  const forged = cases.filter(({ name }) => name.startsWith("forged"));
  ok(forged.length > 100);
  for (const { name, want } of forged) {
    deepStrictEqual([name, want], [name, { client: "no", server: "no" }]);
  }
});

function millisecondsOf(row: ChainCase): number {
  const started = performance.now();
  reasonAgainst(row, "client");
  return performance.now() - started;
}
