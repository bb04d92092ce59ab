// How much is under way over paths of every kind: the queue that it makes, and what is carried all the same.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { IncomingQueue } from "../../src/mux/native/incoming_queue.ts";
import { LinkWindow } from "../../src/mux/native/link_window.ts";
import { quantile } from "../support/quantile.ts";
import { type Sample, simulate, type Way } from "../support/simulated_path.ts";

const ALWAYS = () => true;
const NEVER = () => false;
/** Bytes a millisecond. */
const kbits = (count: number) => count / 8;

function way(rate: number, delayMs: number, busy: Way["busy"] = ALWAYS): Way {
  return { rate: () => kbits(rate), delayMs: () => delayMs, busy };
}

/** The queue as it mostly is and as it is at worst in milliseconds, and which part of the path is used, from a time on. */
function judge(samples: Sample[], rate: number, from: number) {
  const late = samples.filter(({ now }) => now >= from);
  const queues = late.map(({ queueMs }) => queueMs);
  const [first, last] = [late[0], late.at(-1)];
  const carried = (last?.carried ?? 0) - (first?.carried ?? 0);
  return {
    median: quantile(queues, 0.5),
    worst: quantile(queues, 0.99),
    use: carried / ((last?.now ?? 0) - (first?.now ?? 0)) / kbits(rate),
  };
}

for (
  const [rate, delayMs, median, worst] of [
    [64, 50, 700, 800],
    [256, 50, 150, 300],
    [1_000, 50, 150, 300],
    [10_000, 50, 150, 300],
    [100_000, 50, 150, 300],
    [10_000, 1, 150, 300],
    [1_000, 300, 700, 1500],
    [10_000, 300, 700, 1800],
  ] as const
) {
  Deno.test(`bulk over ${rate} kbit/s and ${delayMs} ms each way makes a short queue and fills the path`, () => {
    const [samples] = simulate([way(rate, delayMs), way(rate, delayMs, NEVER)], 45_000);
    const judged = judge(samples, rate, 10_000);
    ok(judged.median < median && judged.worst < worst, JSON.stringify(judged));
    ok(judged.use > 0.93, JSON.stringify(judged));
  });
}

for (const [rate, delayMs] of [[256, 50], [1_000, 50], [10_000, 50]] as const) {
  Deno.test(`bulk both ways over ${rate} kbit/s: both queues are short, and neither way starves`, () => {
    const [up, down] = simulate(
      [way(rate, delayMs), way(rate, delayMs, (now) => now > 10_000)],
      60_000,
    );
    const both = [judge(up, rate, 15_000), judge(down, rate, 15_000)];
    for (const { median, worst, use } of both) {
      ok(median < 300 && worst < 800, JSON.stringify(both));
      ok(use > 0.15, JSON.stringify(both));
    }
    ok((both[0]?.use ?? 0) + (both[1]?.use ?? 0) > 1, JSON.stringify(both));
  });
}

Deno.test("a path that becomes 400 times slower is given nothing more until its queue is gone", () => {
  const falls: Way = {
    rate: (now) => now < 10_000 ? kbits(100_000) : kbits(256),
    delayMs: () => 25,
    busy: ALWAYS,
  };
  const [samples] = simulate([falls, way(10_000, 25, NEVER)], 120_000);
  const before = samples.find(({ now }) => now >= 9_990)?.size ?? 0;
  const queues = samples.filter(({ now }) => now > 10_000).map(({ queueMs }) => queueMs);
  // Once it was sent nobody can have it back.
  ok(Math.max(...queues) < 1.1 * before / kbits(256), `${Math.max(...queues)} ms`);
  ok(judge(samples, 256, 90_000).worst < 300);
});

Deno.test("a path that becomes 400 times faster is filled within 3 s", () => {
  const rises: Way = {
    rate: (now) => now < 10_000 ? kbits(256) : kbits(100_000),
    delayMs: () => 25,
    busy: ALWAYS,
  };
  const [samples] = simulate([rises, way(10_000, 25, NEVER)], 20_000);
  const { use, worst } = judge(samples, 100_000, 13_000);
  ok(use > 0.95 && worst < 200, `${use}, ${worst} ms`);
});

Deno.test("100 Mbit/s and 50 ms each way are filled within 2 s, from the first byte of bulk", () => {
  const [samples] = simulate(
    [way(100_000, 50, (now) => now > 1_000), way(100_000, 50, NEVER)],
    5_000,
  );
  ok(judge(samples, 100_000, 3_000).use > 0.95, JSON.stringify(judge(samples, 100_000, 3_000)));
});

Deno.test("a path that becomes longer is found to be, and filled again", () => {
  const longer: Way = { ...way(10_000, 20), delayMs: (now) => now < 10_000 ? 20 : 300 };
  const [samples] = simulate([longer, way(10_000, 20, NEVER)], 60_000);
  const { use, median } = judge(samples, 10_000, 30_000);
  ok(use > 0.9 && median < 700, `${use}, ${median} ms`);
});

Deno.test("a path that pauses for 8 s now and then is filled after each pause, with no queue", () => {
  const pauses: Way = {
    rate: (now) => now % 30_000 > 22_000 ? 0 : kbits(5_000),
    delayMs: () => 50,
    busy: ALWAYS,
  };
  const [all] = simulate([pauses, way(5_000, 50, NEVER)], 120_000);
  const open = all.filter(({ now }) => now % 30_000 < 22_000);
  const { use, worst } = judge(open, 5_000 * 22 / 30, 5_000);
  ok(use > 0.93 && worst < 400, `${use}, ${worst} ms`);
});

Deno.test("an older peer whose own bulk holds its answers back is still sent to", () => {
  const old: Way = { ...way(1_000, 50), unbounded: 64 * 1024 };
  const [samples] = simulate([way(1_000, 50), old], 60_000);
  const { use, median } = judge(samples, 1_000, 20_000);
  ok(use > 0.3 && median < 800, `${use}, ${median} ms`);
});

Deno.test("a window takes no answer to a ping that was not sent, or not in its turn", () => {
  const window = new LinkWindow();
  throws(() => window.answer(1, 0), { code: "internal", message: /ping that was not sent/ });
  const first = window.mark(5);
  const second = window.mark(7);
  throws(() => window.answer(second, 8), { code: "internal" });
  window.answer(first, 8);
  window.answer(second, 8);
  throws(() => window.answer(second, 9), { code: "internal" });
});

Deno.test("the round trip is assumed before the first answer, then the shortest of the last without a queue", () => {
  const window = new LinkWindow();
  ok(window.roundTrip > 0);
  let now = 1_000_000;
  const ping = (ms: number) => {
    const nonce = window.mark(now);
    now += ms;
    window.answer(nonce, now);
    now += 5_000;
  };
  for (const ms of [42, 30, 5, 80, 90]) ping(ms);
  strictEqual(window.roundTrip, 5);
  for (let round = 0; round < 8; round += 1) ping(60);
  strictEqual(window.roundTrip, 60);
});

Deno.test("a full window always has a mark under way: its answer opens it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }), (messages) => {
      const window = new LinkWindow();
      const marks: number[] = [];
      let now = 0;
      for (const bytes of messages) {
        window.send(bytes);
        while (window.room <= 0) {
          if (window.wantsMark) marks.push(window.mark(now));
          const [nonce] = marks.splice(0, 1);
          ok(nonce !== undefined, "nothing would open the window");
          now += 1 + bytes % 700;
          window.answer(nonce, now);
          window.limit();
        }
        if (window.wantsMark) marks.push(window.mark(now));
      }
    }),
  );
});

Deno.test("an incoming queue is what a ping takes beyond the quickest, whatever the peer's clock says", () => {
  for (const start of [0, 12_345, 2 ** 32 - 500]) {
    const queue = new IncomingQueue();
    const ping = (sent: number, took: number) => {
      queue.ping((start + sent) >>> 0, 77_000 + sent + took);
      return queue.length(77_000 + sent + took);
    };
    const told = [[0, 50], [300, 50], [600, 80], [900, 450], [1200, 50]] as const;
    deepStrictEqual(told.map(([sent, took]) => ping(sent, took)), [0, 0, 30, 400, 0]);
  }
});

Deno.test("a pause ends though short exchanges and control go on all the time", () => {
  const window = new LinkWindow();
  const marks: { nonce: number; at: number }[] = [];
  let rounds = 0;
  let waited = 0;
  let longest = 0;
  // Two minutes of bulk over 100 ms, with 8 KB of what does not wait for room in each round trip.
  for (let now = 0; now < 120_000; now += 10, rounds += 1) {
    while ((marks[0]?.at ?? Infinity) <= now - 100) {
      window.answer(marks.shift()?.nonce ?? 0, now);
    }
    window.send(800);
    waited = window.room <= 0 && window.underWay < window.size / 2 ? waited + 10 : 0;
    longest = Math.max(longest, waited);
    if (window.room > 0) window.send(window.room);
    window.limit();
    while (window.wantsMark) marks.push({ nonce: window.mark(now), at: now });
  }
  ok(longest < 1_000, `bulk has waited for ${longest} ms`);
});

Deno.test("an incoming queue is known after months, too", () => {
  const queue = new IncomingQueue();
  const ping = (sent: number, took: number) => {
    queue.ping(sent >>> 0, sent + took);
    return queue.length(sent + took);
  };
  const end = 120 * 24 * 3600_000;
  for (let sent = 0; sent < end; sent += 600_000) strictEqual(ping(sent, 50), 0);
  strictEqual(ping(end, 450), 400);
});

Deno.test("what a ping told of a queue is soon forgotten", () => {
  const clock = new IncomingQueue();
  for (const [sent, at] of [[0, 0], [1000, 1000], [2000, 2400]] as const) clock.ping(sent, at);
  strictEqual(clock.length(2500), 400);
  strictEqual(clock.length(4000), 0);
});

Deno.test("another path is measured anew: what was under way over the former one tells nothing of it", () => {
  const window = new LinkWindow({ maxBytes: 100_000 });
  let now = 0;
  const round = (took: number) => {
    window.limit();
    window.send(window.room);
    const nonce = window.mark(now);
    now += took;
    window.answer(nonce, now);
  };
  for (let left = 20; left > 0; left -= 1) round(1);
  strictEqual(window.size, 100_000, "it never grows beyond what it may");
  window.send(50_000);
  const lost = window.mark(now);
  now += 30_000;
  window.restart();
  strictEqual(window.size, 16 * 1024);
  strictEqual(window.underWay, 50_000, "it is under way again");
  ok(window.room <= 0);
  // The peer has answered it over the former path: the answer is sent again as the next one begins.
  window.answer(lost, now);
  strictEqual(window.underWay, 0);
  // Neither that, nor half a minute without a link, nor the quick path before it counts.
  strictEqual(window.measuredRoundTrip, undefined);
  const { size } = window;
  const idle = window.mark(now);
  now += 200;
  window.answer(idle, now);
  strictEqual(window.measuredRoundTrip, 200);
  for (let left = 5; left > 0; left -= 1) round(200);
  ok(window.size > 2 * size, `${window.size} bytes`);
});

Deno.test("where what was sent is kept, a mark follows soon, however large the window is", () => {
  const window = new LinkWindow({ maxUnmarkedBytes: 10_000 });
  for (let left = 8; left > 0; left -= 1) {
    window.limit();
    window.send(window.room);
    window.answer(window.mark(0), 1);
  }
  ok(window.partBytes > 20_000, `${window.partBytes} bytes`);
  window.send(9_999);
  strictEqual(window.wantsMark, false);
  window.send(1);
  strictEqual(window.wantsMark, true);
});
