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

function textOf(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What was logged. */
async function recorded(run: (logger: Logger) => Promise<void> | void): Promise<string[]> {
  const lines: string[] = [];
  const sink = ({ rawMessage, properties }: LogRecord) =>
    void lines.push(`${rawMessage} ${Object.values(properties).map(textOf).join(" ")}`);
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
  deepStrictEqual(lines, [
    "refused 0",
    "refused 1",
    "refused 2",
    'lines left out refused 997 {"n":999}',
  ]);
  strictEqual(timersLeft, 0);
});

Deno.test("a flood that goes on is one line a second, and every line of it is counted", async () => {
  const floods = 50 * 100;
  const { lines } = await logged({ burst: 5, perSecond: 2 }, async (log, time) => {
    for (let n = 0; n < floods; n += 1) {
      log.warn("refused", { n });
      await time.advance(10);
    }
    await time.advance(1000);
  });
  deepStrictEqual(lines.slice(0, 5), Array.from({ length: 5 }, (_, n) => `refused ${n}`));
  const counts = lines.slice(5).map((line) =>
    Number(/^lines left out refused (\d+) /.exec(line)?.[1])
  );
  ok(counts.length >= 45 && counts.length <= 51, `${counts.length} lines`);
  strictEqual(counts.reduce((sum, count) => sum + count, 5), floods);
});

Deno.test("once a flood is over, lines are written again", async () => {
  const { lines } = await logged({ burst: 2, perSecond: 2 }, async (log, time) => {
    for (let n = 0; n < 100; n += 1) log.info("refused", { n });
    await time.advance(2001);
    log.info("refused", { n: "after" });
  });
  deepStrictEqual(lines.slice(2), ['lines left out refused 98 {"n":99}', "refused after"]);
});

Deno.test("a log that trickles goes on with some lines, beside their number", async () => {
  const { lines } = await logged({ burst: 5, perSecond: 2, trickles: true }, async (log, time) => {
    for (let n = 0; n < 1000; n += 1) {
      log.info("changed", { n });
      await time.advance(10);
    }
    await time.advance(1000);
  });
  const written = lines.filter((line) => line.startsWith("changed")).length;
  ok(written >= 5 + 18 && written <= 5 + 21, `${written} lines`);
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

Deno.test("each message has its own bound and number: a flood of one hides no other", async () => {
  const { lines } = await logged({ burst: 1 }, async (log, time) => {
    for (let n = 0; n < 1000; n += 1) log.info("connection refused", { n });
    log.info("request refused", {});
    log.leaveOut("events", { count: 7, level: "info" });
    await time.advance(1000);
  });
  deepStrictEqual(lines, [
    "connection refused 0",
    "request refused ",
    'lines left out connection refused 999 {"n":999}',
    "lines left out events 7",
  ]);
});

Deno.test("lines that are counted have the level of those that they stand for", () => {
  const levels: string[] = [];
  const write = (level: string) => (message: string) => void levels.push(`${level} ${message}`);
  // Of a logger, this is all that is used.
  const logger = { info: write("info"), warn: write("warn") } as unknown as Logger;
  using log = new BoundedLog(logger, { burst: 1 });
  for (let n = 0; n < 3; n += 1) {
    log.info("refused", {});
    log.warn("cut", {});
  }
  log[Symbol.dispose]();
  const left = "lines left out";
  deepStrictEqual(levels, ["info refused", "warn cut", `info ${left}`, `warn ${left}`]);
});

Deno.test("disposing writes what is due, and leaves no timer", async () => {
  const { lines, timersLeft } = await logged({ burst: 1 }, (log) => {
    log.warn("refused", { n: 0 });
    log.warn("refused", { n: 1 });
    log[Symbol.dispose]();
    log[Symbol.dispose]();
  });
  deepStrictEqual(lines, ["refused 0", 'lines left out refused 1 {"n":1}']);
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
