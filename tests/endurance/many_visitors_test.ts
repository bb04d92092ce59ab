// Ten thousand visitors at once through one link: each gets its own bytes back, and nothing of them is left.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Child } from "../support/child.ts";
import { exposeService, ROOT, spawnPair } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { until, writeAll } from "../support/world.ts";

/** What one service may have by default. */
const VISITORS = 10_000;
/** Visitors on their way at once while they come. */
const COMING_AT_ONCE = 100;
/** This only guards against hanging: a small machine that is busy takes its time. */
const PATIENCE = { timeoutMs: 60_000 };

/** Other systems have not as many ports to connect from. */
const onLinux = { ignore: Deno.build.os !== "linux" };

Deno.test(
  "10,000 visitors are open at once, each echoes correctly, and the next one is turned away",
  onLinux,
  async () => {
    await using upstream = new Child(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-net", "bench/echo_upstream.ts"],
      cwd: ROOT,
    });
    const [, destination] = await upstream.waitFor(/echo (\d+) stuck/);
    await using pair = await spawnPair();
    const { id, port } = await exposeService(pair.local, {
      to: pair.remote.address,
      type: "local",
      destination: Number(destination),
    });
    const connections = async (side: "local" | "remote") => {
      const { body } = await pair[side].rest.request("GET", "/list");
      const service = JSON.parse(body).find((each: { id: string }) => each.id === id);
      return service.connections;
    };

    await using visitors = new AsyncDisposableStack();
    const conns: Deno.TcpConn[] = [];
    await inTurns(async (index) => {
      const conn = await Deno.connect({ port });
      visitors.defer(() => conn.close());
      conns[index] = conn;
      await echoes(conn, `visitor ${index}`);
    });
    strictEqual(conns.length, VISITORS);
    // All of them are open, and stay so: each is spoken to again after the last has come.
    for (const side of ["local", "remote"] as const) {
      const { open, failed } = await connections(side);
      deepStrictEqual({ side, open, failed }, { side, open: VISITORS, failed: 0 });
    }
    await inTurns(async (index) => {
      const conn = conns[index];
      ok(conn, `visitor ${index} has come`);
      await echoes(conn, `again ${index}`);
    });

    const oneMore = async () => {
      using conn = await Deno.connect({ port });
      await conn.read(new Uint8Array(1));
      return "served";
    };
    // The reset may come as early as the answer to the connection.
    const told = await soon(oneMore().catch((error) => error.name), "one more is told", PATIENCE);
    strictEqual(told, "ConnectionReset");

    await visitors.disposeAsync();
    for (const side of ["local", "remote"] as const) {
      await until(async () => (await connections(side)).open === 0, "nothing is left", PATIENCE);
    }
  },
);

/** Does something for every visitor, for some at once. */
async function inTurns(run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: COMING_AT_ONCE }, async () => {
    for (let index = next++; index < VISITORS; index = next++) await run(index);
  }));
}

/** Sends a text and wants it back, and nothing else. */
async function echoes(conn: Deno.TcpConn, text: string): Promise<void> {
  const sent = new TextEncoder().encode(text);
  await writeAll(conn, sent);
  const received = new Uint8Array(100);
  let length = 0;
  while (length < sent.length) {
    const reading = conn.read(received.subarray(length));
    length += await soon(reading, `${text} has come back`, PATIENCE) ?? Infinity;
  }
  strictEqual(new TextDecoder().decode(received.subarray(0, length)), text);
}
