// Chains over real TLS 1.2 and 1.3, shown by OpenSSL to our server and to our dialler, or where OpenSSL cannot load
// them by a TLS 1.3 of our own: who must be in is in, who must be out is out, with a reason.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { type ChainCase, chainTable } from "../support/chains.ts";
import { CORE_CHAINS } from "../support/chains_core.ts";
import { isForTls, isWrong, tableOf, tryRows, tryWithoutKeys } from "../support/chains_tls.ts";

const table = chainTable();

function rowsOf(names: readonly string[]): ChainCase[] {
  return names.map((name) => {
    const row = table.cases.find((each) => each.name === name);
    ok(row && isForTls(row), `"${name}" is a row that can be tried over TLS`);
    return row;
  });
}

/**
 * Certificates of nobody's, in the name of our root, that the runtime's TLS library cannot read. It compares names alone
 * then, and says that they are authorized (https://github.com/denoland/deno/pull/36248): without a judge of ours, whoever
 * is on the way to a server that we dial gets our OpenStream. Kept after an upgrade of the runtime that mends it.
 */
const TAKEN_BY_THE_RUNTIME = [
  "forged: no version field (v1) with extensions",
  "forged: version 1 with extensions, spelled out",
  "forged: version 2 with extensions",
  "forged: version 4",
  "forged: BOOLEAN 01",
  "forged: length in 3 bytes: serial number",
  "forged: trailing bytes behind the certificate",
  "forged: notAfter with an offset",
  "forged: notAfter of 2050 as a UTCTime",
  "forged intermediate: no version field (v1) with extensions",
  "forged intermediate: version 4",
];

Deno.test("a forged certificate that the runtime cannot read gets no call of ours, and makes none", async () => {
  const results = await tryRows(table, rowsOf([...TAKEN_BY_THE_RUNTIME, "good"]));
  strictEqual(tableOf(results.filter(isWrong)), "");
  for (const { name, version, as, got, reason } of results) {
    if (name === "good") deepStrictEqual([as, version, got], [as, version, "in"]);
    else if (got !== "unpresentable") match(reason, /certificate/, name);
  }
  const shown = results.filter(({ got, name }) => got === "out" && name !== "good");
  // OpenSSL loads all but one, which TLS 1.3 of our own shows.
  ok(shown.length >= 4 * (TAKEN_BY_THE_RUNTIME.length - 1), tableOf(results));
});

Deno.test("a certificate that a root of ours has signed is of no use without its key", async () => {
  const rows = table.cases.filter(({ name }) =>
    name === "good" || name.startsWith("CRL distribution points")
  );
  strictEqual(rows.length, 5);
  strictEqual(tableOf((await tryWithoutKeys(table, rows)).filter(({ got }) => got !== "out")), "");
});

Deno.test("chains as clients and as servers, over TLS 1.2 and 1.3, are let in or refused as the table says", async () => {
  const rows = rowsOf(CORE_CHAINS);
  const results = await tryRows(table, rows);
  strictEqual(tableOf(results.filter(isWrong)), "");
  // Whatever OpenSSL cannot show is shown over TLS 1.3 all the same, but for keys that the runtime cannot sign with.
  const missing = results.filter(({ got, version }) =>
    got === "unpresentable" && version === "TLSv1.3"
  );
  strictEqual(tableOf(missing), "");
});
