// Two sessions over links of every temper, with tiny buffers: what goes in comes out, in whatever order streams are
// opened, read, finished and reset; nothing stalls, and nothing is left.

import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import { turn } from "../support/memory_link.ts";
import { sessionPair, untilTurn } from "../support/session_pair.ts";
import { soon, whileTimeLasts } from "../support/soon.ts";
import { type Scenario, scenario, startVisits } from "../support/visits.ts";

/** How a session ends before its streams have. */
const endInTheMiddle = fc.record({
  after: fc.nat({ max: 60 }),
  by: fc.constantFrom("dialler" as const, "acceptor" as const),
  how: fc.constantFrom("close" as const, "abort" as const),
});

type EndInTheMiddle = typeof endInTheMiddle extends fc.Arbitrary<infer Value> ? Value : never;

const start = (plan: Scenario) => startVisits(plan, sessionPair);

Deno.test("bytes out are bytes in, nothing stalls, and nothing is left", async () => {
  const run = async (plan: Scenario) => {
    const { pair: { dialler, acceptor }, ended } = start(plan);
    const early = Promise.race([dialler.closed, acceptor.closed]).then((reason) => {
      throw new Error(`A session ended by itself: ${reason?.message}`);
    });
    // Rejects in the end, too, when nobody waits for it any more.
    early.catch(() => {});
    await Promise.race([ended, early]);
    await untilTurn(() => dialler.streamCount + acceptor.streamCount === 0, "the tables are empty");
    dialler.close();
    deepStrictEqual(await Promise.all([dialler.closed, acceptor.closed]), [undefined, undefined]);
  };
  const property = (plan: Scenario) => soon(run(plan), "all streams have ended");
  await fc.assert(fc.asyncProperty(scenario, whileTimeLasts(8000, property)), { numRuns: 400 });
});

Deno.test("a session that ends in the middle ends every stream, and nothing is left", async () => {
  const run = async (plan: Scenario, { after, by, how }: EndInTheMiddle) => {
    const { pair, ended, interrupt } = start(plan);
    for (let left = after; left > 0; left -= 1) await turn();
    interrupt();
    if (how === "close") pair[by].close();
    else pair[by].abort(new ConnectorError("internal", "as the test wants it"));
    await Promise.all([ended, pair.dialler.closed, pair.acceptor.closed]);
    deepStrictEqual([pair.dialler.streamCount, pair.acceptor.streamCount], [0, 0]);
  };
  const property = (plan: Scenario, how: EndInTheMiddle) =>
    soon(run(plan, how), "all streams have ended");
  await fc.assert(
    fc.asyncProperty(scenario, endInTheMiddle, whileTimeLasts(6000, property)),
    { numRuns: 200 },
  );
});
