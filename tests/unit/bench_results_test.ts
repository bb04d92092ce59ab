// How samples become figures, ratios, goals and a table.

import assert from "node:assert/strict";

import { GOALS, isMet } from "../../bench/goals.ts";
import { formatNumber, formatTable, median, Results } from "../../bench/results.ts";

const UPLOAD = "one stream, visitor to upstream";

Deno.test("a figure is the median of its runs", () => {
  const results = new Results();
  for (const value of [9, 1, 4]) results.add("relay", [{ figure: "f", unit: "ms", value }]);
  assert.deepEqual(results.figures().map(({ values }) => values), [{ relay: 4 }]);
});

Deno.test("the median of an even number of values is the mean of the middle two", () => {
  assert.equal(median([10, 1, 2, 4]), 3);
  assert.equal(median([7]), 7);
});

Deno.test("ratios refer to the relay, and the paths they stand on have none", () => {
  const results = new Results();
  results.add("direct", [{ figure: UPLOAD, unit: "Gbit/s", value: 16 }]);
  results.add("relay", [{ figure: UPLOAD, unit: "Gbit/s", value: 8 }]);
  results.add("connector", [{ figure: UPLOAD, unit: "Gbit/s", value: 4 }]);
  const [figure] = results.figures();
  assert.deepEqual(figure?.ratios, { connector: 0.5 });
  assert.deepEqual(figure?.goals, {
    connector: { of: "ratio", at: "least", bound: 0.3, met: true },
  });
});

Deno.test("without a relay there is no ratio, and a goal on the ratio is not judged", () => {
  const results = new Results();
  results.add("connector", [{ figure: UPLOAD, unit: "Gbit/s", value: 4 }]);
  const [figure] = results.figures();
  assert.deepEqual([figure?.ratios, figure?.goals], [{}, {}]);
});

Deno.test("a goal on the value needs no relay", () => {
  const results = new Results();
  results.add("connector", [{ figure: "idle memory", unit: "MB", value: 91 }]);
  assert.equal(results.figures()[0]?.goals.connector?.met, false);
});

Deno.test("a goal is met at its bound, on the right side of it", () => {
  assert.deepEqual([0.29, 0.3, 0.31].map((value) => isMet(goal("least"), value)), [
    false,
    true,
    true,
  ]);
  assert.deepEqual([0.29, 0.3, 0.31].map((value) => isMet(goal("most"), value)), [
    true,
    true,
    false,
  ]);
  function goal(at: "least" | "most") {
    return { of: "value", at, bound: 0.3 } as const;
  }
});

Deno.test("the table has a line for each figure and columns for what was measured", () => {
  const results = new Results();
  results.add("relay", [
    { figure: UPLOAD, unit: "Gbit/s", value: 8 },
    { figure: "idle memory", unit: "MB", value: 35 },
  ]);
  results.add("connector", [
    { figure: UPLOAD, unit: "Gbit/s", value: 2 },
    { figure: "start to healthy", unit: "ms", value: 350 },
  ]);
  assert.equal(
    formatTable(results.figures()),
    [
      "                                          relay  connector  ratio              wanted",
      "one stream, visitor to upstream (Gbit/s)   8.00       2.00   0.25  ratio ≥ 0.3 MISSED",
      "idle memory (MB)                           35.0          -      -",
      "start to healthy (ms)                         -        350      -     value ≤ 500 met",
    ].join("\n"),
  );
});

Deno.test("numbers keep three significant digits, or every digit before the point", () => {
  assert.deepEqual(
    [0, 0.0346, 0.2, 1.234, 12.34, 123.4, 12345.6, undefined].map(formatNumber),
    ["0", "0.035", "0.200", "1.23", "12.3", "123", "12346", "-"],
  );
});

Deno.test("every goal is a bound above zero", () => {
  for (const [figure, byPath] of Object.entries(GOALS)) {
    for (const goal of Object.values(byPath)) assert.ok(goal.bound > 0, figure);
  }
});
