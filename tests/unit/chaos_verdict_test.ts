// What a chaos run makes of the bytes that it sees: right, missing, wrong; and of its figures.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { bytesOf, digestOf, StreamCheck } from "../chaos/bytes.ts";
import { complaint, Disturbances } from "../chaos/disturbance.ts";
import { describeEnd, type End, endOf, judge, type Outcome } from "../chaos/ends.ts";
import { Ledger } from "../chaos/ledger.ts";
import type { VisitKind } from "../chaos/plan.ts";
import { formatReport, type RunFacts } from "../chaos/report.ts";
import { Counts, median, Samples, table } from "../chaos/statistics.ts";
import { header, HeaderReader } from "../chaos/transfer.ts";

const STREAM = { seed: 1_048_000, length: 3000 };
const DIGEST = digestOf(STREAM);
const ANSWER = new Uint8Array([...bytesOf(STREAM, 0, 3000), ...DIGEST]);

Deno.test("chaos bytes: a whole stream is right, however it is cut", () => {
  for (const size of [1, 7, 1000, ANSWER.length]) {
    const check = checked(ANSWER, size);
    deepStrictEqual(endOf(check, { inOrder: true }), { kind: "whole" });
    strictEqual(check.received, check.expected);
  }
  deepStrictEqual(checked(bytesOf(STREAM, 0, 3000), 100).digest(), DIGEST);
});

Deno.test("chaos bytes: what is missing, doubled, changed or too much is found", () => {
  const end = (bytes: Uint8Array) => endOf(checked(bytes, 100), { inOrder: true });
  deepStrictEqual(end(ANSWER.slice(0, -1)), { kind: "truncated", received: 3031, expected: 3032 });
  deepStrictEqual(end(new Uint8Array(0)), { kind: "truncated", received: 0, expected: 3032 });
  strictEqual(end(new Uint8Array([...ANSWER, 0])).kind, "wrong");
  for (const at of [0, 1500, 2999, 3000, 3031]) {
    const changed = ANSWER.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    const wrongAt = Math.floor(at / 100) * 100;
    const bytes = changed.slice(wrongAt, wrongAt + 100).slice(0, 24).toHex();
    const found = end(changed);
    deepStrictEqual(found, { kind: "wrong", at: wrongAt, bytes });
    ok(describeEnd(found).includes(bytes));
  }
  const lost = new Uint8Array([...ANSWER.subarray(0, 1000), ...ANSWER.subarray(1100)]);
  strictEqual(end(lost).kind, "wrong");
  const doubled = new Uint8Array([...ANSWER.subarray(0, 1000), ...ANSWER.subarray(900)]);
  strictEqual(end(doubled).kind, "wrong");
});

Deno.test("chaos ends: wrong bytes are wrong even when a reset follows, missing ones only in order", () => {
  const check = checked(ANSWER.slice(0, 10), 10);
  deepStrictEqual(endOf(check, { inOrder: false }), { kind: "interrupted" });
  const wrong = checked(new Uint8Array(ANSWER.length), 100);
  strictEqual(endOf(wrong, { inOrder: false }).kind, "wrong");
});

Deno.test("chaos ends: a kill excuses missing bytes at that very end, and nothing else", () => {
  const truncated: End = { kind: "truncated", received: 1, expected: 2 };
  strictEqual(judge(truncated, { killed: false }), "WRONG");
  strictEqual(judge(truncated, { killed: true }), "cut off by a kill");
  for (const end of [{ kind: "wrong", at: 1 }, { kind: "stalled" }] satisfies End[]) {
    strictEqual(judge(end, { killed: true }), "WRONG");
  }
  for (const kind of ["whole", "interrupted", "refused", "left"] as const) {
    strictEqual(judge({ kind }, { killed: false }), kind);
    strictEqual(describeEnd({ kind }), kind);
  }
  strictEqual(describeEnd(truncated), "ended in order after 1 of 2 bytes");
});

Deno.test("chaos disturbances: what was wrong when, and what a visitor may meet then", () => {
  const disturbances = new Disturbances();
  strictEqual(disturbances.since(0), false);
  disturbances.begin({ kind: "kill dialler", lastsMs: 100 }, 10_000);
  strictEqual(disturbances.since(50_000), true);
  disturbances.end(11_000);
  strictEqual(disturbances.since(12_000), true);
  strictEqual(disturbances.since(14_000), false);
  strictEqual(disturbances.mayRefuseSince(12_000, "dialler"), true);
  strictEqual(disturbances.mayRefuseSince(12_000, "acceptor"), false);
  disturbances.begin({ kind: "refuse", lastsMs: 9000 }, 20_000);
  strictEqual(disturbances.mayRefuseSince(25_000, "acceptor"), true);
  strictEqual(disturbances.mayRefuseSince(25_000, "dialler"), false);
});

Deno.test("chaos disturbances: nobody is refused without a reason, and nobody interrupted without a fault", () => {
  const quiet = { disturbed: false, mayRefuse: false };
  const about = (kind: VisitKind, outcome: Outcome, state = quiet) =>
    complaint({ kind, outcome }, state);
  match(about("mute", "refused") ?? "", /port was kept/);
  strictEqual(about("mute", "refused", { disturbed: true, mayRefuse: true }), undefined);
  match(about("half-close", "interrupted") ?? "", /nothing was in its way/);
  strictEqual(about("half-close", "interrupted", { ...quiet, disturbed: true }), undefined);
  strictEqual(about("upstream resets", "interrupted"), undefined);
  strictEqual(about("both ways", "whole"), undefined);
});

Deno.test("chaos header: it is read across chunks, and what is none is refused", () => {
  const reader = new HeaderReader();
  deepStrictEqual(reader.take(header(77).subarray(0, 3)), new Uint8Array(0));
  strictEqual(reader.value, undefined);
  const rest = new Uint8Array([...header(77).subarray(3), 1, 2]);
  deepStrictEqual(reader.take(rest), new Uint8Array([1, 2]));
  strictEqual(reader.value, 77);
  deepStrictEqual(reader.take(new Uint8Array([3])), new Uint8Array([3]));
  const other = new HeaderReader();
  other.take(new Uint8Array(8));
  strictEqual(other.value, null);
});

Deno.test("chaos statistics: medians, samples, counts and tables", () => {
  deepStrictEqual([[], [3], [1, 2], [9, 1, 5]].map(median), [0, 3, 1.5, 5]);
  const samples = new Samples();
  samples.add("b", 2);
  samples.add("a", 1);
  samples.add("b", 3);
  deepStrictEqual(samples.entries(), [["b", [2, 3]], ["a", [1]]]);
  deepStrictEqual(samples.all(), [2, 3, 1]);
  const counts = new Counts();
  counts.add("x", "good");
  counts.add("x", "bad", 2);
  counts.add("y", "good");
  strictEqual(counts.get("x", "bad"), 2);
  strictEqual(counts.get("z", "bad"), 0);
  strictEqual(counts.sum({ row: "x" }), 3);
  strictEqual(counts.sum({ column: "good" }), 2);
  strictEqual(counts.sum({}), 4);
  strictEqual(table(["a", "bc"], [["long", "1"]]), "| a    | bc |\n| ---- | -: |\n| long |  1 |");
});

Deno.test("chaos report: it says what was counted and what was wrong", () => {
  const lines: string[] = [];
  const ledger = new Ledger((line) => lines.push(line));
  const service = "plain local";
  const seen = { kind: "both ways", id: 4, service, killed: false } as const;
  ledger.visited({ ...seen, end: { kind: "whole" } });
  ledger.served({ ...seen, end: { kind: "truncated", received: 1, expected: 2 } });
  ledger.bytes.add("both ways", "up", 3 * 1024 * 1024);
  ledger.recovered("plain", "cut", 1500);
  ledger.recovered("plain", "cut", 500);
  ledger.memory.add("plain dialler", 50 * 1024 * 1024);
  const facts: RunFacts = { seed: 9, minutes: 2, descriptors: [["plain dialler", 20, 21]] };
  const report = formatReport(ledger, facts);
  match(report, /^Chaos run of 2 min, seed 9: 1 PROBLEMS\n/);
  match(report, /\| both ways \| +1 \| +0 \| +0 \| +0 \| +0 \| +0 \| +1 \|/);
  match(report, /\| both ways \| +3\.0 \| +0\.0 \|/);
  match(report, /\| cut +\| +2 \| +1\.00 \| +1\.50 \|/);
  match(report, /\| plain dialler \| +1 \| +50 \| +50 \| +50 \| +50 \|/);
  match(report, /\| plain dialler \| +20 \| +21 \|/);
  match(
    report,
    /upstream of visit 4 \(both ways\) of plain local: ended in order after 1 of 2 byt/,
  );
  strictEqual(ledger.problemCount, 1);
  ok(lines.some((line) => line.startsWith("PROBLEM ")));
  match(formatReport(new Ledger(), facts), /nothing was wrong/);
});

function checked(bytes: Uint8Array, size: number): StreamCheck {
  const check = new StreamCheck(STREAM, DIGEST);
  for (let offset = 0; offset < bytes.length; offset += size) {
    check.take(bytes.subarray(offset, offset + size));
  }
  return check;
}
