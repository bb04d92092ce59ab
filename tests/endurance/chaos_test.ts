// A short chaos run with a fixed seed, so that `deno task chaos` does not rot: everything fails for half a minute, and
// nothing is wrong.

import { deepStrictEqual, ok } from "node:assert/strict";
import { formatReport } from "../chaos/report.ts";
import { runChaos } from "../chaos/run.ts";

Deno.test("chaos: half a minute of links that are lost, and no connection is interrupted", async () => {
  const { ledger, facts } = await runChaos({
    minutes: 0.5,
    seed: 20_261,
    visitors: 12,
    longestFaultMs: 5000,
    linksOnly: true,
  });
  deepStrictEqual(ledger.problems, [], formatReport(ledger, facts));
  ok(ledger.recoveries.all().length >= 15, "there were faults");
  ok(ledger.visits.sum({ column: "whole" }) >= 50, "there were transfers that ended in order");
  deepStrictEqual(ledger.visits.sum({ column: "refused" }), 0);
});

Deno.test("chaos: half a minute of faults, and every transfer that ended in order was whole", async () => {
  const { ledger, facts } = await runChaos({
    minutes: 0.5,
    seed: 20_251,
    visitors: 12,
    longestFaultMs: 3000,
  });
  deepStrictEqual(ledger.problems, [], formatReport(ledger, facts));
  ok(ledger.recoveries.all().length >= 5, "there were faults");
  ok(ledger.visits.sum({ column: "whole" }) >= 50, "there were transfers that ended in order");
  ok(ledger.bytes.sum({ column: "up" }) > 1024 * 1024, "bytes went up");
  ok(ledger.bytes.sum({ column: "down" }) > 1024 * 1024, "bytes came down");
});
