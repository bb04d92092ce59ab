// Strangers flood the gRPC port with all kinds of HTTP/2 frames, over one connection after the other. Another peer's visitors
// are served meanwhile, each within a second, and the connector is no larger afterwards than a burst makes it.

import { ok } from "node:assert/strict";
import { exposeService, spawnConnector } from "../support/processes.ts";
import {
  beginCall,
  concat,
  END_STREAM,
  FIRST_MESSAGE,
  FRAME,
  frame,
  hpackBomb,
  LIST_SERVICES,
  messageFrame,
  OPEN_STREAM,
  RawClient,
  residentMib,
  setting,
  uint32,
} from "../support/http2_frames.ts";
import { soon } from "../support/soon.ts";
import { echo, serveTcp, writeAll } from "../support/world.ts";

/** How long each flood lasts, in milliseconds. */
const FLOOD_MS = 3_000;
/** What an echo may take, in milliseconds: the machine that tests has other things to do. */
const MOST_ECHO_MS = 1_000;
/** What all floods together may leave behind, in MiB: the runtime collects late. */
const MOST_MIB = 300;

const call = (path: string, stream: number) =>
  concat(
    beginCall(stream, path),
    messageFrame(stream, new Uint8Array(), { flags: END_STREAM }),
  );
const many = (count: number, make: (index: number) => Uint8Array) =>
  concat(...Array.from({ length: count }, (_, index) => make(index)));

/** What is sent again and again; `round` counts from 0. */
const FLOODS: Record<string, (round: number) => Uint8Array> = {
  pings: () => many(100, () => frame(FRAME.ping, { payload: new Uint8Array(8) })),
  settings: () => many(100, () => frame(FRAME.settings, { payload: setting(4, 65_535) })),
  "window updates": () => many(200, () => frame(FRAME.windowUpdate, { payload: uint32(1) })),
  priorities: () =>
    many(200, () => frame(FRAME.priority, { stream: 1, payload: new Uint8Array(5) })),
  "empty data": (round) =>
    round === 0 ? beginCall(1, OPEN_STREAM) : many(200, () => frame(FRAME.data, { stream: 1 })),
  "calls that are dropped": (round) =>
    many(25, (index) => {
      const stream = 50 * round + 2 * index + 1;
      const reset = frame(FRAME.reset, { stream, payload: uint32(8) });
      return concat(beginCall(stream, OPEN_STREAM), reset);
    }),
  "control calls": (round) => many(8, (index) => call(LIST_SERVICES, 16 * round + 2 * index + 1)),
  "calls of no method": (round) => many(8, (index) => call("/none", 16 * round + 2 * index + 1)),
  "headers without an end": (round) =>
    round === 0
      ? frame(FRAME.headers, { stream: 1 })
      : frame(FRAME.continuation, { stream: 1, payload: new Uint8Array(16_000) }),
  "headers that unpack": (round) => hpackBomb(2 * round + 1, { first: round === 0 }),
  "bodies without an end": (round) =>
    round % 20 === 0 ? beginCall(round / 10 + 1, LIST_SERVICES) : frame(FRAME.data, {
      stream: 2 * Math.floor(round / 20) + 1,
      payload: concat(Uint8Array.of(0, ...uint32(4_000_000)), new Uint8Array(3_000)),
    }),
  "unknown frames": () => many(4, () => frame(0x77, { payload: new Uint8Array(16_000) })),
  links: () => concat(beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE)),
};

for (const [name, flood] of Object.entries(FLOODS)) {
  Deno.test({
    name: `a flood of ${name} does not keep another peer's visitors waiting`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      await using server = serveTcp(echo);
      await using victim = await spawnConnector();
      await using peer = await spawnConnector();
      const { port } = await exposeService(peer, {
        to: victim.address,
        type: "local",
        destination: server.port,
      });
      using visitor = await Deno.connect({ port });
      const before = await residentMib(victim.pid);

      let worstMs = 0;
      let over = false;
      const visiting = (async () => {
        while (!over) {
          const sentAt = performance.now();
          await writeAll(visitor, new Uint8Array(1));
          await soon(visitor.read(new Uint8Array(1)), "the echo has come");
          worstMs = Math.max(worstMs, performance.now() - sentAt);
        }
      })();
      const end = performance.now() + FLOOD_MS;
      while (performance.now() < end) {
        // Whoever is cut comes again.
        using client = await RawClient.connect(victim.grpcPort);
        for (let round = 0; client.open && performance.now() < end; round += 1) {
          if (!await client.send(flood(round))) break;
        }
      }
      over = true;
      await visiting;

      const grown = await residentMib(victim.pid) - before;
      console.log(`${name}: worst echo ${worstMs.toFixed()} ms, ${grown.toFixed()} MiB`);
      ok(worstMs < MOST_ECHO_MS, `an echo took ${worstMs.toFixed()} ms`);
      ok(grown < MOST_MIB, `it has grown by ${grown.toFixed()} MiB`);
    },
  });
}
