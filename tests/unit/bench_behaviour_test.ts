// bench/behaviour.ts: what it reports of no tunnel at all, of one that passes everything on, and of one that turns
// resets into ends; and that a silent path is silent.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import net from "node:net";
import { type Ends, tryBehaviour, tryBreak, trySilence } from "../../bench/behaviour.ts";
import { SilentRelay } from "../../bench/silent_relay.ts";
import { freePort } from "../support/world.ts";

async function behaviour(ends: Ends) {
  const { stuckReader, ...others } = await tryBehaviour(ends, { stuckMs: 200 });
  match(stuckReader, /^[\d.]+ ms, at most \d+ ms$/);
  return others;
}

const AS_IF_DIRECT = {
  serverFirst: "hello",
  halfClose: "100000 bytes",
  resetByService: "ECONNRESET",
  resetByVisitor: "ECONNRESET",
};

Deno.test("what a plain TCP connection does is reported, also by way of a relay", async () => {
  const service = freePort();
  deepStrictEqual(
    await behaviour({ service, visit: { host: "127.0.0.1", port: service } }),
    AS_IF_DIRECT,
  );
  await using relay = new SilentRelay({ host: "127.0.0.1", port: service });
  const port = await relay.listen(0);
  deepStrictEqual(await behaviour({ service, visit: { host: "127.0.0.1", port } }), AS_IF_DIRECT);
});

Deno.test("a tunnel that passes no reset and no half-close on is found out", async () => {
  const service = freePort();
  const server = net.createServer((from) => {
    const to = net.connect({ host: "127.0.0.1", port: service });
    for (const [a, b] of [[from, to], [to, from]] as const) {
      a.on("data", (chunk) => b.write(chunk)).on("error", () => {});
      a.on("close", () => b.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  const { promise, resolve } = Promise.withResolvers<void>();
  server.on("listening", resolve);
  await promise;
  const address = server.address();
  const port = typeof address === "object" ? address?.port ?? 0 : 0;
  try {
    const found = await behaviour({ service, visit: { host: "127.0.0.1", port } });
    strictEqual(found.serverFirst, "hello");
    strictEqual(found.halfClose, "no answer");
    strictEqual(found.resetByService, "end");
    strictEqual(found.resetByVisitor, "end");
  } finally {
    const closed = Promise.withResolvers<void>();
    server.close(() => closed.resolve());
    await closed.promise;
  }
});

Deno.test("what a broken path ends is found out, and a path that does not end it", async () => {
  const service = freePort();
  await using relay = new SilentRelay({ host: "127.0.0.1", port: service });
  const port = await relay.listen(0);
  const times = { relay, brokenMs: 50, mendedMs: 5000 };
  const through = { service, visit: { host: "127.0.0.1", port } };
  match(await tryBreak(through, times), /^(end|closed|ECONNRESET) after 0\.\d s$/);
  const beside = { service, visit: { host: "127.0.0.1", port: service } };
  match(await tryBreak(beside, times), /^goes on after 0\.\d s$/);
});

Deno.test("through a silent path nothing ends, and everything passes again afterwards", async () => {
  const service = freePort();
  await using relay = new SilentRelay({ host: "127.0.0.1", port: service });
  const port = await relay.listen(0);
  const ends = { service, visit: { host: "127.0.0.1", port } };
  const { visitor, service: ofService, backAgain } = await trySilence(ends, {
    relay,
    silenceMs: 300,
  });
  deepStrictEqual([visitor, ofService], ["nothing", "nothing"]);
  match(backAgain, /^\d\.\d s$/);
});
