// How many lines strangers can cause.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { configure, getLogger, type Logger, type LogRecord, reset } from "@logtape/logtape";
import { AuditLog, BoundedLog, type BoundedLogOptions } from "../../src/bounded_log.ts";
import { FakeTime } from "../support/fake_time.ts";

/** What a log wrote, in time that moves by hand. */
async function logged(
  options: BoundedLogOptions,
  run: (log: BoundedLog, time: FakeTime) => Promise<void> | void,
): Promise<{ lines: string[]; timersLeft: number }> {
  using time = new FakeTime();
  const lines = await recorded((logger) => run(new BoundedLog(logger, options), time));
  return { lines, timersLeft: time.timerCount };
}

/** What was logged. */
async function recorded(run: (logger: Logger) => Promise<void> | void): Promise<string[]> {
  const lines: string[] = [];
  const sink = ({ rawMessage, properties }: LogRecord) =>
    void lines.push(`${rawMessage} ${Object.values(properties).join(" ")}`);
  await configure({
    sinks: { sink },
    loggers: [
      { category: [], sinks: ["sink"] },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
  });
  try {
    await run(getLogger("test"));
    return lines;
  } finally {
    await reset();
  }
}

Deno.test("lines are written up to the burst, and the rest is one line with their number", async () => {
  const { lines, timersLeft } = await logged({ burst: 3, perSecond: 1 }, async (log, time) => {
    for (let n = 0; n < 1000; n += 1) log.warn("refused", { n });
    await time.advance(1000);
  });
  deepStrictEqual(lines, ["refused 0", "refused 1", "refused 2", "lines left out refused 997"]);
  strictEqual(timersLeft, 0);
});

Deno.test("under a flood that goes on, a second has a few lines, and every line is counted", async () => {
  const floods = 50 * 100;
  const { lines } = await logged({ burst: 5, perSecond: 2 }, async (log, time) => {
    for (let n = 0; n < floods; n += 1) {
      log.warn("refused", { n });
      await time.advance(10);
    }
    await time.advance(1000);
  });
  ok(lines.length <= 5 + 50 * (2 + 1) + 1, `${lines.length} lines`);
  const counted = lines.map((line) => line.startsWith("lines") ? Number(line.split(" ")[4]) : 1);
  strictEqual(counted.reduce((sum, count) => sum + count, 0), floods);
});

Deno.test("lines that come seldom are all written", async () => {
  const { lines } = await logged({ burst: 2, perSecond: 2 }, async (log, time) => {
    for (let n = 0; n < 20; n += 1) {
      log.warn("refused", { n });
      await time.advance(500);
    }
  });
  strictEqual(lines.length, 20);
});

Deno.test("each message has its own number", async () => {
  const { lines } = await logged({ burst: 0 }, async (log, time) => {
    log.warn("connection refused", {});
    log.warn("request refused", {});
    log.leaveOut("request refused");
    await time.advance(1000);
  });
  deepStrictEqual(lines, [
    "lines left out connection refused 1",
    "lines left out request refused 2",
  ]);
});

Deno.test("it says beforehand whether a line would be written", async () => {
  await logged({ burst: 1, perSecond: 1 }, async (log, time) => {
    ok(log.open);
    log.warn("refused", {});
    ok(!log.open);
    await time.advance(1000);
    ok(log.open);
  });
});

Deno.test("disposing writes what is due, and leaves no timer", async () => {
  const { lines, timersLeft } = await logged({ burst: 1 }, (log) => {
    log.warn("refused", { n: 0 });
    log.warn("refused", { n: 1 });
    log[Symbol.dispose]();
    log[Symbol.dispose]();
  });
  deepStrictEqual(lines, ["refused 0", "lines left out refused 1"]);
  strictEqual(timersLeft, 0);
});

Deno.test("however many are refused, what is done is written", async () => {
  const lines = await recorded((logger) => {
    using audit = new AuditLog(logger);
    for (let n = 0; n < 10_000; n += 1) audit.refused.info("request", { status: 403 });
    audit.done.info("request", { status: 200 });
  });
  strictEqual(lines.filter((line) => line === "request 200").length, 1);
  ok(lines.length < 200, `${lines.length} lines`);
});
