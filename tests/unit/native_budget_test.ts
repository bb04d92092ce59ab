// What happens when readers are so slow that more waits for them than a link may hold.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Stream } from "../../src/mux/stream.ts";
import { sessionPair } from "../support/session_pair.ts";
import { until } from "../support/world.ts";

const WINDOW = 1024;
const BUDGET = 5 * WINDOW;

Deno.test("when too much waits, the stream that holds most is reset, and the link lives", async () => {
  const taken: Stream[] = [];
  const pair = sessionPair({
    limits: { window: WINDOW, maxWindow: WINDOW, budget: BUDGET },
    onStream: {
      dialler: () => {},
      acceptor(stream) {
        stream.accept();
        taken.push(stream);
      },
    },
  });
  await until(() => pair.dialler.dialect !== undefined, "the dialect is known");
  const streams = [1000, 900, 800, 700, 600, 500].map((length, index) => {
    const stream = pair.dialler.open("service", `visitor ${index}`);
    return { stream, written: stream.write(new Uint8Array(length).fill(index)) };
  });
  await Promise.all(streams.map(({ written }) => written));
  await until(() => taken.length === streams.length, "all are open");
  const firstReset = await streams[0]?.stream.read().catch((error) => error);
  ok(firstReset instanceof Error && /slow readers/.test(firstReset.message), String(firstReset));
  for (const [index, length] of [900, 800, 700, 600, 500].entries()) {
    const bytes = await taken[index + 1]?.read();
    deepStrictEqual(bytes, new Uint8Array(length).fill(index + 1));
  }
  const later = pair.dialler.open("service", "later");
  await later.write(new Uint8Array(500));
  await until(() => taken.length === streams.length + 1, "one more is open");
  strictEqual((await taken.at(-1)?.read())?.length, 500);
  pair.dialler.close();
  strictEqual(await pair.acceptor.closed, undefined);
  await pair.dialler.closed;
});

Deno.test("bytes of streams that have ended count until they are read", async () => {
  const taken: Stream[] = [];
  const pair = sessionPair({
    limits: { window: WINDOW, maxWindow: WINDOW, budget: BUDGET },
    onStream: {
      dialler: () => {},
      acceptor(stream) {
        stream.accept();
        taken.push(stream);
      },
    },
  });
  await until(() => pair.dialler.dialect !== undefined, "the dialect is known");
  for (let index = 0; index < 6; index += 1) {
    const stream = pair.dialler.open("service", "visitor");
    await stream.write(new Uint8Array(1000));
    await stream.finish();
    await until(() => taken.length === index + 1, "it is open");
    await taken[index]?.finish();
  }
  const ends = await Promise.all(
    taken.map((stream) => stream.read().then((bytes) => bytes?.length, () => "reset")),
  );
  deepStrictEqual(ends.filter((end) => end === "reset").length, 2);
  deepStrictEqual(ends.filter((end) => end === 1000).length, 4);
  pair.dialler.close();
  await Promise.all([pair.dialler.closed, pair.acceptor.closed]);
});
