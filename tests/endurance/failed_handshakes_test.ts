// What is left of TLS handshakes that fail: nothing, once the time for a handshake is over.

import { ok } from "node:assert/strict";
import tls from "node:tls";
import { makePki, pemOf, startServer } from "../support/mtls.ts";
import { until } from "../support/world.ts";

/** So many, without a certificate. */
const HANDSHAKES = 1500;
/** What may be left of each, in bytes: the runtime's TLS socket is 7 KB of the heap alone. */
const LEFT_BYTES = 1000;

/** Bytes of the heap that are in use, after a full collection. */
function heapUsed(): number {
  const { gc } = globalThis as { gc?: () => void };
  ok(gc, "V8 was started with --expose-gc");
  gc();
  return Deno.memoryUsage().heapUsed;
}

Deno.test(`${HANDSHAKES} handshakes that failed are forgotten`, async () => {
  const { root, leaf } = await makePki();
  await using server = await startServer(pemOf(root, leaf));
  const fail = async () => {
    const socket = tls.connect({
      port: server.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: root.certificate,
      ALPNProtocols: ["h2"],
    });
    socket.on("error", () => {}).resume();
    await new Promise((resolve) => socket.once("close", resolve));
  };
  for (let count = 0; count < 20; count++) await fail();
  const before = heapUsed();
  for (let count = 0; count < HANDSHAKES; count += 10) {
    await Promise.all(Array.from({ length: 10 }, fail));
  }
  server.refused.length = 0;
  await until(
    () => heapUsed() - before < HANDSHAKES * LEFT_BYTES,
    "nothing of them is left",
    { timeoutMs: 20_000 },
  );
});
