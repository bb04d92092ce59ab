// Sessions over links that break: at any byte, several times in a row, and while they resume. What goes in comes out all the
// same; no stream notices, and nothing is left.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import type { Stream } from "../../src/mux/stream.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { turn } from "../support/memory_link.ts";
import { type Fault, type ResumablePair, resumablePair } from "../support/resumable_pair.ts";
import { TINY_LIMITS, untilTurn } from "../support/session_pair.ts";
import { soon, whileTimeLasts } from "../support/soon.ts";
import { type Scenario, scenario, startVisits } from "../support/visits.ts";

type Role = SessionOptions["role"];

const fault: fc.Arbitrary<Fault> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      direction: fc.constantFrom("up" as const, "down" as const),
      after: fc.nat({ max: 4000 }),
    }),
  },
  // Nothing gets through, or hardly anything.
  {
    weight: 2,
    arbitrary: fc.record({
      direction: fc.constantFrom("up" as const, "down" as const),
      after: fc.nat({ max: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant("answer lost" as const) },
);

/** Waits until all streams have ended, that nothing is left, and that both sessions end in order. */
async function runToTheEnd(pair: ResumablePair, ended: Promise<void>): Promise<void> {
  const { dialler, acceptor } = pair;
  const early = Promise.race([dialler.closed, acceptor.closed]).then((reason) => {
    throw new Error(`A session ended by itself: ${reason?.message}`);
  });
  // Rejects in the end, too, when nobody waits for it any more.
  early.catch(() => {});
  await Promise.race([ended, early]);
  await untilTurn(() => dialler.streamCount + acceptor.streamCount === 0, "the tables are empty");
  await untilTurn(() => dialler.suspended === undefined, "the last loss is over");
  strictEqual(pair.claimable.waiting, 0);
  dialler.close();
  await dialler.closed;
  // The very last word may be lost: then nobody comes back for the session.
  await untilTurn(() => acceptor.suspended !== undefined || acceptor.leaving, "it has heard so");
  acceptor.close();
  await acceptor.closed;
}

Deno.test("bytes out are bytes in, whatever happens to the links", async () => {
  let resumed = 0;
  const run = async (plan: Scenario, faults: Fault[]) => {
    const { pair, ended } = startVisits(
      plan,
      (options) => resumablePair({ ...options, nextFault: () => faults.shift() }),
    );
    await runToTheEnd(pair, ended);
    resumed += pair.resumed;
  };
  const property = (plan: Scenario, faults: Fault[]) =>
    soon(run(plan, [...faults]), "all streams have ended");
  await fc.assert(
    fc.asyncProperty(
      scenario,
      // The first link is no claim: no answer to one is lost.
      fc.array(fault, { minLength: 1, maxLength: 8, size: "max" })
        .filter(([first]) => first !== "answer lost"),
      whileTimeLasts(8000, property),
    ),
    { numRuns: 300 },
  );
  ok(resumed > 0);
});

const CONTENT = new Uint8Array(3000).map((_, index) => index * 31 + (index >> 8));
/** Control of each side. */
const CONTROLS = 12;

/**
 * A transfer with all that travels: streams that either side opens, bytes both ways, grants, pings, ends, resets of either end,
 * and control. Fails unless all of it arrives once and in order.
 */
async function transfer(nextFault: () => Fault): Promise<{ links: number }> {
  const received: Record<string, Uint8Array> = {};
  const outcomes: string[] = [];
  const controls: Record<Role, string[]> = { dialler: [], acceptor: [] };
  const readAll = async (stream: Stream, name: string) => {
    const chunks: number[] = [];
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      chunks.push(...bytes);
      received[name] = new Uint8Array(chunks);
    }
  };
  const onStream = (opener: Role) => async (stream: Stream) => {
    const name = `${stream.serviceId} of the ${opener}`;
    if (stream.serviceId === "refused") return stream.reset("refused", "not here");
    stream.accept();
    const read = readAll(stream, `${name}, up`);
    if (stream.serviceId === "left") {
      await read.catch((error) => outcomes.push(`${name}: ${error.message}`));
      return stream.close();
    }
    await read;
    await stream.write(CONTENT);
    await stream.finish();
  };
  const onControl = (role: Role) => (frame: ControlFrame) => {
    if (frame.kind === "status") controls[role].push(frame.message);
  };
  const pair = resumablePair({
    bound: 3,
    limits: TINY_LIMITS,
    nextFault,
    onStream: { dialler: onStream("acceptor"), acceptor: onStream("dialler") },
    onControl: { dialler: onControl("dialler"), acceptor: onControl("acceptor") },
  });
  const visit = async (opener: Role) => {
    const session = pair[opener];
    await untilTurn(() => session.dialect !== undefined, "the peer has spoken");
    const open = (service: string) => session.open(service, "127.0.0.1:1");
    const refused = open("refused");
    const left = open("left");
    const echoed = open("echoed");
    const tell = async () => {
      for (let count = 0; count < CONTROLS; count += 1) {
        session.send({ kind: "status", serviceId: "any", status: "complete", message: `${count}` });
        await turn();
      }
    };
    await Promise.all([
      refused.read().catch((error) => outcomes.push(`refused of the ${opener}: ${error.message}`))
        .finally(() => refused.close()),
      left.write(CONTENT.subarray(0, 100)).then(() => left.reset("connection_reset", "gone")),
      echoed.write(CONTENT).then(() => echoed.finish()),
      readAll(echoed, `echoed of the ${opener}, down`),
      tell(),
    ]);
  };
  await runToTheEnd(pair, Promise.all([visit("dialler"), visit("acceptor")]).then(() => {}));
  const counted = Array.from({ length: CONTROLS }, (_, count) => `${count}`);
  deepStrictEqual(controls, { dialler: counted, acceptor: counted });
  for (const opener of ["dialler", "acceptor"]) {
    for (const way of ["up", "down"]) {
      deepStrictEqual(received[`echoed of the ${opener}, ${way}`], CONTENT);
    }
  }
  deepStrictEqual(outcomes.sort(), [
    "left of the acceptor: gone",
    "left of the dialler: gone",
    "refused of the acceptor: not here",
    "refused of the dialler: not here",
  ]);
  return { links: pair.links };
}

Deno.test("a link that is cut at any message or byte, in either direction, costs a transfer nothing", async () => {
  const untroubled = await soon(transfer(() => undefined), "the transfer is over");
  strictEqual(untroubled.links, 1);
  let cut = 0;
  const cutAt = async (...faults: Fault[]) => {
    const what = `it ends, with ${JSON.stringify(faults)}`;
    const { links } = await soon(transfer(() => faults.shift()), what);
    cut += links - 1;
    return links;
  };
  for (const [direction, other] of [["up", "down"], ["down", "up"]] as const) {
    for (let after = 0; after < 7000; after += 31) await cutAt({ direction, after });
    // Every message in turn, until there are no more; and the next link soon after.
    for (let after = 0;; after += 1) {
      const next = { direction: other, after: after % 5, of: "messages" } as const;
      if (await cutAt({ direction, after, of: "messages" }, next) === 1) break;
    }
  }
  ok(cut > 500, `${cut} cuts`);
});

Deno.test("what the peer has received is not kept", async () => {
  const received: number[] = [];
  const pair = resumablePair({
    limits: DEFAULT_LIMITS,
    onStream: {
      dialler: async (stream) => {
        stream.accept();
        for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
          received.push(bytes.length);
        }
        await stream.finish();
      },
      acceptor: () => {},
    },
  });
  await untilTurn(() => pair.acceptor.dialect !== undefined, "the dialler has spoken");
  const stream = pair.acceptor.open("any", "127.0.0.1:1");
  let most = 0;
  for (let left = 1000; left > 0; left -= 1) {
    await stream.write(new Uint8Array(32 * 1024));
    most = Math.max(most, pair.acceptor.retainedBytes);
  }
  await stream.finish();
  strictEqual(await stream.read(), null);
  strictEqual(received.reduce((sum, length) => sum + length, 0), 1000 * 32 * 1024);
  ok(most < 16 * 1024 ** 2, `${most} bytes were kept of 32 MB`);
  ok(pair.acceptor.retainedBytes < 8 * 1024 ** 2, `${pair.acceptor.retainedBytes} bytes are`);
  pair.dialler.close();
  await Promise.all([pair.dialler.closed, pair.acceptor.closed]);
});

for (const [leaving, other] of [["dialler", "acceptor"], ["acceptor", "dialler"]] as const) {
  Deno.test(`once the ${leaving} has said that it goes, the end of the link is that of the session`, async () => {
    const pair = resumablePair({ onStream: { dialler: () => {}, acceptor: () => {} } });
    await untilTurn(() => pair.dialler.resumable && pair.acceptor.resumable, "both have begun");
    pair[leaving].drain({ returns: true });
    await untilTurn(() => pair[other].leaving, "the other has heard so");
    pair.cut();
    await soon(Promise.all([pair.dialler.closed, pair.acceptor.closed]), "both have ended");
    strictEqual(pair.links, 1);
  });
}

Deno.test("a link that is cut again and again after so many bytes brings all through", async () => {
  for (const after of [1100, 1500, 2000]) {
    const fault = { direction: "down", after } as const;
    let left = 50;
    const { links } = await soon(
      transfer(() => left-- > 0 ? fault : undefined),
      `it ends, cut after ${after} each time`,
    );
    ok(links > 2, `${links} links`);
  }
});
