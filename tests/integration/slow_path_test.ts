// A path that is slow and has a deep buffer: visitors that exchange little do not wait behind those that move much.

import { deepStrictEqual, ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { BulkVisitors, serveBulk } from "../support/bulk.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { soon } from "../support/soon.ts";
import { exposeThrough, startConnector } from "../support/world.ts";

/** 512 kbit/s: ten first windows of a stream would take ten seconds. */
const BYTES_PER_SECOND = 64 * 1024;
/** What an echo may take on a busy machine; it has 0.4 s of a queue before it. */
const PATIENCE_MS = 4000;

for (const bulk of [{ downloads: 10 }, { uploads: 10 }]) {
  Deno.test(`an echo does not wait behind ${Object.entries(bulk).flat().reverse().join(" ")} over a slow path`, async () => {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(serveBulk());
    const local = stack.use(await startConnector());
    const remote = stack.use(await startConnector());
    const relay = stack.use(new FaultRelay(remote.server.address.port));
    const { port } = await exposeThrough(
      { local, remote: { ...remote, address: relay.address } },
      { type: "local", destination: server.port },
    );
    const visitors = stack.use(new BulkVisitors());
    relay.bytesPerSecond = BYTES_PER_SECOND;
    await visitors.start(port, bulk);
    await delay(500);
    const echoes = visitors.echoTimes(port, 1);
    const [took = NaN] = await soon(echoes, "the echo is back", { timeoutMs: PATIENCE_MS });
    ok(took < PATIENCE_MS, `${took} ms`);
    deepStrictEqual(visitors.cuts, []);
    // What is in the path's buffer need not be waited for.
    relay.bytesPerSecond = Infinity;
  });
}
