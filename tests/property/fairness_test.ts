// Readers that are stuck cost their neighbours nothing, over links of every temper, in both directions.

import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { ByteChannel } from "../../src/byte_channel.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { seeded } from "../support/memory_link.ts";
import { sessionPair, TINY_LIMITS, untilTurn } from "../support/session_pair.ts";
import { soon, whileTimeLasts } from "../support/soon.ts";

/** Far more than a window. */
const CONTENT = new Uint8Array(2 ** 16).map((_, index) => (index * 167 + (index >> 8) * 13) & 0xff);

Deno.test("readers that are stuck hold up nobody else, however many bytes wait for them", async () => {
  const model = fc.record({
    seed: fc.integer(),
    bound: fc.integer({ min: 1, max: 5 }),
    slowness: fc.nat({ max: 3 }),
    stuck: fc.array(fc.constantFrom("dialler" as const, "acceptor" as const), {
      minLength: 1,
      maxLength: 3,
    }),
  });
  await fc.assert(
    fc.asyncProperty(
      model,
      whileTimeLasts(5000, async ({ seed, bound, slowness, stuck }) => {
        const random = seeded(seed);
        // Every stream is echoed, but for those that are never read.
        const onStream = (stream: Stream) => {
          stream.accept();
          if (stream.serviceId === "echo") echo(stream);
        };
        const pair = sessionPair({
          bound,
          turns: () => random(slowness + 1),
          limits: { ...TINY_LIMITS, streams: 10, opens: 10 },
          onStream: { dialler: onStream, acceptor: onStream },
        });
        await untilTurn(() => pair.dialler.dialect !== undefined, "the dialler knows the dialect");
        await untilTurn(
          () => pair.acceptor.dialect !== undefined,
          "the acceptor knows the dialect",
        );
        const writers = stuck.map((role) =>
          pair[role].open("stuck", "v:1").write(CONTENT).then(() => "written", () => "ended")
        );
        for (const role of ["dialler", "acceptor"] as const) {
          const stream = pair[role].open("echo", "v:1");
          for (let round = 0; round < 10; round += 1) {
            await soon(roundTrip(stream, 1 + random(3000)), "the echo has come back");
          }
          stream.reset("closing", "the test is over");
        }
        pair.dialler.close();
        await Promise.all([pair.dialler.closed, pair.acceptor.closed]);
        deepStrictEqual(await Promise.all(writers), stuck.map(() => "ended"));
      }),
    ),
    { numRuns: 60 },
  );
});

async function echo(stream: ByteChannel): Promise<void> {
  try {
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      await stream.write(bytes);
    }
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
  }
}

async function roundTrip(stream: ByteChannel, length: number): Promise<void> {
  const writing = stream.write(CONTENT.slice(0, length));
  for (let count = 0; count < length;) {
    const bytes = await stream.read();
    deepStrictEqual(bytes, CONTENT.subarray(count, count + (bytes?.length ?? 0)));
    count += bytes?.length ?? length;
  }
  await writing;
}
