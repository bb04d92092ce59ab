// What is left in memory of the pieces of an answer that goes on for an hour: nothing, once they are sent.

import { getLogger } from "@logtape/logtape";
import { ok } from "node:assert/strict";
import { serveHttp } from "../../src/api/serve_http.ts";
import { StreamedResponse } from "../../src/api/streamed_response.ts";

/** Pieces before the first look, and between the two. One reader of `GET /events` may get 20,000. */
const WARM_UP = 10_000;
const PIECES = 40_000;
/** What may be left of each, in bytes: less than a promise and what waits for it. */
const LEFT_BYTES = 50;

function heapUsed(): number {
  const { gc } = globalThis as { gc?: () => void };
  ok(gc, "V8 was started with --expose-gc");
  gc();
  return Deno.memoryUsage().heapUsed;
}

Deno.test(`${PIECES} pieces that were sent to one reader are forgotten`, async () => {
  const piece = new TextEncoder().encode("event: sample\ndata: {}\n\n");
  let before = 0;
  let after = 0;
  async function* pieces() {
    for (let sent = 0; sent < WARM_UP + PIECES; sent += 1) {
      if (sent === WARM_UP) before = heapUsed();
      yield await Promise.resolve(piece);
    }
    after = heapUsed();
  }
  using server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch: () => Promise.resolve(new StreamedResponse(pieces, {})),
    tls: undefined,
    logger: getLogger(["connector", "test"]),
  });
  const { body } = await fetch(`http://127.0.0.1:${server.address?.port}/`);
  ok(body);
  let bytes = 0;
  for await (const received of body) bytes += received.length;
  ok(bytes === (WARM_UP + PIECES) * piece.length);
  const left = (after - before) / PIECES;
  console.log(`${left.toFixed(1)} bytes of each piece are left`);
  ok(left < LEFT_BYTES, `${left} bytes of each piece are left`);
});
