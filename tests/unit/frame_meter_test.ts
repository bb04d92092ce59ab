// What a peer may bring in frames that carry no data.

import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { FrameMeter } from "../../src/grpc/frame_meter.ts";
import {
  beginCall,
  callHeaders,
  concat,
  END_HEADERS,
  FRAME,
  frame,
  hpackBomb,
  messageFrame,
  OPEN_STREAM,
  PADDED,
  PREFACE,
  PRIORITY,
  uint32,
} from "../support/http2_frames.ts";

const BOUNDS = { bytes: 16 * 1024, fields: 128 };

function meter(): FrameMeter {
  return new FrameMeter(BOUNDS, { client: false, now: 0 });
}

/** How many are taken at once. */
function taken(one: Uint8Array): number {
  const counted = meter();
  const ten = concat(...Array<Uint8Array>(10).fill(one));
  let count = 0;
  while (count < 1_000_000 && counted.received(ten, 0) === undefined) count += 10;
  return count;
}

for (
  const [what, one] of [
    ["pings", frame(FRAME.ping, { payload: new Uint8Array(8) })],
    ["settings", frame(FRAME.settings)],
    ["window updates", frame(FRAME.windowUpdate, { payload: uint32(1) })],
    ["priorities", frame(FRAME.priority, { stream: 1, payload: new Uint8Array(5) })],
    ["resets", frame(FRAME.reset, { stream: 1, payload: uint32(8) })],
    ["empty data", frame(FRAME.data, { stream: 1 })],
    ["calls", beginCall(1, OPEN_STREAM)],
    ["continuations", frame(FRAME.continuation, { stream: 1 })],
    ["frames of no known type", frame(0x77)],
  ] as const
) {
  Deno.test(`a flood of ${what} is too much, a start of a connection is not`, () => {
    const count = taken(one);
    ok(count >= 5_000 && count <= 10_000, `${count} were taken`);
  });
}

Deno.test("large frames without data are too much sooner", () => {
  ok(taken(frame(0x77, { payload: new Uint8Array(16_000) })) <= 400);
  ok(taken(frame(FRAME.settings, { payload: new Uint8Array(12_000) })) <= 500);
});

Deno.test("data costs nothing", () => {
  strictEqual(taken(messageFrame(1, new Uint8Array(1))), 1_000_000);
});

Deno.test("a peer that sends steadily what it may is never cut", () => {
  const counted = meter();
  const ping = frame(FRAME.ping, { payload: new Uint8Array(8) });
  for (let now = 0; now < 60_000; now += 1) strictEqual(counted.received(ping, now), undefined);
});

Deno.test("a peer may answer what it gets: an update and a ping for each write", () => {
  const counted = meter();
  const answer = concat(
    frame(FRAME.windowUpdate, { payload: uint32(100) }),
    frame(FRAME.windowUpdate, { stream: 1, payload: uint32(100) }),
    frame(FRAME.ping, { payload: new Uint8Array(8) }),
  );
  for (let count = 0; count < 100_000; count += 1) {
    counted.sent(100);
    strictEqual(counted.received(answer, 0), undefined);
  }
});

Deno.test("headers that unpack to too much are refused as they arrive", () => {
  const counted = meter();
  strictEqual(counted.received(hpackBomb(1, { first: true }), 0), "its headers are too large");
  strictEqual(counted.received(new Uint8Array(), 0), "its headers are too large");
  const whole = concat(
    callHeaders(OPEN_STREAM),
    ...Array<Uint8Array>(200).fill(Uint8Array.of(0x83)),
  );
  strictEqual(
    meter().received(frame(FRAME.headers, { flags: END_HEADERS, payload: whole }), 0),
    "its headers are too large",
  );
});

Deno.test("headers are reckoned across continuations, and not across calls", () => {
  const half = callHeaders(OPEN_STREAM, ["x", "v".repeat(9000)]);
  const counted = meter();
  for (let stream = 1; stream < 20; stream += 2) {
    const headers = frame(FRAME.headers, { flags: END_HEADERS, stream, payload: half });
    strictEqual(counted.received(headers, 0), undefined);
  }
  strictEqual(counted.received(frame(FRAME.headers, { stream: 99, payload: half }), 0), undefined);
  const more = frame(FRAME.continuation, { stream: 99, payload: half });
  strictEqual(counted.received(more, 0), "its headers are too large");
});

Deno.test("padding and priority are no headers", () => {
  const block = callHeaders(OPEN_STREAM);
  const payload = concat(
    Uint8Array.of(200),
    new Uint8Array(5),
    block,
    new Uint8Array(200).fill(0xbe),
  );
  const counted = meter();
  const flags = END_HEADERS | PADDED | PRIORITY;
  for (let stream = 1; stream < 9; stream += 2) {
    strictEqual(counted.received(frame(FRAME.headers, { flags, stream, payload }), 0), undefined);
  }
  const ping = frame(FRAME.ping, { payload: new Uint8Array(8) });
  strictEqual(counted.received(ping, 0), undefined);
});

Deno.test("a client's preface is no frame, and it does not matter how bytes are cut", () => {
  const bytes = concat(
    PREFACE,
    frame(FRAME.settings),
    beginCall(1, OPEN_STREAM),
    messageFrame(1, new Uint8Array(500)),
    frame(FRAME.ping, { payload: new Uint8Array(8) }),
  );
  const tail = hpackBomb(3, { first: true });
  fc.assert(fc.property(fc.integer({ min: 1, max: 700 }), (size) => {
    const counted = new FrameMeter(BOUNDS, { client: true, now: 0 });
    for (let at = 0; at < bytes.length; at += size) {
      strictEqual(counted.received(bytes.subarray(at, at + size), 0), undefined);
    }
    strictEqual(counted.received(tail, 0), "its headers are too large");
  }));
});
