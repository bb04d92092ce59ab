// Links over paths that are slow, fail for a while, or become slow, with bulk that fills them for long: bytes keep
// arriving, so no link is given up, and visitors that exchange little are still served.

import { deepStrictEqual, ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { BulkVisitors, serveBulk } from "../support/bulk.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { type ConnectorProcess, exposeService, spawnPair } from "../support/processes.ts";
import { quantile } from "../support/quantile.ts";
import { soon } from "../support/soon.ts";

/** 256 kbit/s in bytes a second. */
const SLOW = 32_000;
/** What an echo may take mostly beside bulk over such a path, in milliseconds: a busy machine doubles what it takes. */
const SOON_MS = 2_000;

/** Two connectors with a path between, a service, and its visitors. */
interface SlowPath extends AsyncDisposable {
  local: ConnectorProcess;
  remote: ConnectorProcess;
  relay: FaultRelay;
  visitors: BulkVisitors;
  port: number;
}

async function startSlowPath(): Promise<SlowPath> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveBulk());
  const { local, remote } = stack.use(await spawnPair());
  const relay = stack.use(new FaultRelay(remote.grpcPort));
  const { port } = await exposeService(local, {
    to: relay.address,
    type: "local",
    destination: server.port,
    name: "bulk",
  });
  const visitors = stack.use(new BulkVisitors());
  const kept = stack.move();
  return { local, remote, relay, visitors, port, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** One link was opened, and it lives. */
function unharmed({ local, visitors }: SlowPath): void {
  deepStrictEqual(visitors.cuts, []);
  ok(!/no link to the peer/.test(local.logs()), local.logs());
}

Deno.test("ten downloads over 256 kbit/s for 45 s: none is cut, and an echo beside them takes a moment", async () => {
  await using path = await startSlowPath();
  const { relay, visitors, port } = path;
  relay.bytesPerSecond = SLOW;
  relay.delayMs = 50;
  await visitors.start(port, { downloads: 10 });
  const ends = performance.now() + 45_000;
  const times: number[] = [];
  while (performance.now() < ends) {
    await delay(3_000);
    const downloaded = visitors.downloaded;
    times.push(...await soon(visitors.echoTimes(port, 2), "the echoes are back"));
    ok(visitors.downloaded > downloaded, "bytes arrive all the time");
  }
  unharmed(path);
  ok(quantile(times, 0.5) < SOON_MS, times.join(", "));
});

Deno.test("downloads and uploads at once over 256 kbit/s for 30 s: none is cut, both go on", async () => {
  await using path = await startSlowPath();
  const { relay, visitors, port } = path;
  relay.bytesPerSecond = SLOW;
  relay.delayMs = 50;
  await visitors.start(port, { downloads: 5, uploads: 5 });
  await delay(30_000);
  unharmed(path);
  await soon(visitors.echoTimes(port, 1), "the echo is back");
  ok(visitors.downloaded > 5 * SLOW, `${visitors.downloaded} bytes`);
});

Deno.test("a path that falls from 100 Mbit/s to 256 kbit/s in the middle of a download: it is not cut", async () => {
  await using path = await startSlowPath();
  const { relay, visitors, port } = path;
  relay.bytesPerSecond = 12_500_000;
  relay.delayMs = 20;
  await visitors.start(port, { downloads: 4 });
  await delay(4_000);
  relay.bytesPerSecond = SLOW;
  await delay(30_000);
  unharmed(path);
});

Deno.test("a path that falls to 40 kbit/s: a message of 120 KB takes 24 s, and its peer is not silent meanwhile", async () => {
  await using path = await startSlowPath();
  const { relay, visitors, port } = path;
  relay.bytesPerSecond = 12_500_000;
  relay.delayMs = 20;
  await visitors.start(port, { downloads: 4, uploads: 4 });
  await delay(4_000);
  relay.bytesPerSecond = 5_000;
  await delay(40_000);
  unharmed(path);
});

Deno.test("a long path that pauses for 11 s now and then: nothing is cut", async () => {
  await using path = await startSlowPath();
  const { relay, visitors, port } = path;
  relay.bytesPerSecond = 250_000;
  relay.delayMs = 300;
  await visitors.start(port, { downloads: 3, uploads: 1 });
  for (let pause = 0; pause < 2; pause += 1) {
    await delay(4_000);
    relay.swallow();
    await delay(11_000);
    relay.deliver();
  }
  await delay(2_000);
  unharmed(path);
  await soon(visitors.echoTimes(port, 1), "the echo is back");
});

for (const stopped of ["local", "remote"] as const) {
  Deno.test(`a connector (${stopped}) that is stopped for 11 s reads what has arrived before it judges`, async () => {
    await using path = await startSlowPath();
    const { relay, visitors, port } = path;
    relay.bytesPerSecond = 250_000;
    await visitors.start(port, { downloads: 2 });
    await delay(2_000);
    path[stopped].signal("SIGSTOP");
    await delay(11_000);
    path[stopped].signal("SIGCONT");
    await delay(5_000);
    unharmed(path);
    await soon(visitors.echoTimes(port, 1), "the echo is back");
  });
}
