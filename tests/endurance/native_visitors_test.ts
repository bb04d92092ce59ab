// Many visitors, stuck ones, and ones whose destination takes its time: they cost the others nothing, and leave
// nothing behind.

import { ok, strictEqual } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { soon } from "../support/soon.ts";
import { network } from "../support/sockets.ts";
import { nameOf, PATH_KINDS, startPath, visit } from "../support/tunnel_path.ts";
import { echo, randomBytes, serveTcp, sha256, until, writeAll } from "../support/world.ts";

/** What is pushed at a reader that is stuck. */
const PUSHED_BYTES = 64 * 1024 * 1024;
/** The worst echo of another visitor meanwhile, in milliseconds, and the median one. */
const WORST_ECHO_MS = 20;
const MEDIAN_ECHO_MS = 2;
/** Echoes that are measured. */
const ECHOES = 300;
/** A busy machine disturbs single runs: so many may be disturbed before it counts. */
const RUNS = 8;
/** Visitors that say nothing. */
const IDLE_VISITORS = 300;

/** A loopback that does not answer for so long, in milliseconds, does not answer. */
const FULL_AFTER_MS = 300;
/** Only Linux leaves those unanswered for whom there is no room; others refuse them, which is no long dial. */
const onLinux = { ignore: Deno.build.os !== "linux" };

/** Echoes one byte again and again; the times in milliseconds, in order of size. */
async function echoTimes(conn: Deno.TcpConn): Promise<number[]> {
  const byte = new Uint8Array(1);
  const times: number[] = [];
  for (let count = 0; count < ECHOES; count += 1) {
    const started = performance.now();
    await conn.write(byte);
    ok(await conn.read(byte) === 1, "the echo has come back");
    times.push(performance.now() - started);
  }
  return times.toSorted((a, b) => a - b);
}

for (const kind of PATH_KINDS) {
  const name = nameOf(kind);

  for (const stuck of ["upstream", "visitor"] as const) {
    Deno.test(`${name}: a stuck ${stuck} with 64 MiB pushed at it costs another visitor nothing`, async () => {
      const bytes = randomBytes(PUSHED_BYTES);
      const pushed = { done: false };
      const release = Promise.withResolvers<void>();
      const arrived = Promise.withResolvers<string>();
      const push = async (conn: Deno.TcpConn) => {
        await writeAll(conn, bytes);
        await conn.closeWrite();
        pushed.done = true;
      };
      const stick = async (conn: Deno.TcpConn) => {
        await release.promise;
        arrived.resolve(await hashOf(conn));
      };
      // The first connection is the one that is stuck.
      let first = true;
      await using server = serveTcp(async (conn) => {
        if (!first) return await echo(conn);
        first = false;
        await (stuck === "upstream" ? stick(conn) : push(conn));
      });
      await using path = await startPath(kind, { destination: server.port });
      using victim = await Deno.connect({ port: path.port });
      await until(() => !first, "the first visitor is connected through");
      const other = stuck === "upstream" ? push(victim) : stick(victim);
      using visitor = await Deno.connect({ port: path.port });
      // When the test fails first, this is cut off.
      other.catch(() => {});
      const runs: string[] = [];
      let good = false;
      while (!good && runs.length < RUNS) {
        const times = await soon(echoTimes(visitor), "the echoes have come back");
        const [median = Infinity, worst = Infinity] = [times[ECHOES / 2], times.at(-1)];
        good = median < MEDIAN_ECHO_MS && worst < WORST_ECHO_MS;
        runs.push(`median ${median.toFixed(2)} ms, worst ${worst.toFixed(1)} ms`);
      }
      strictEqual(pushed.done, false, "the sender of the stuck one is held back");
      ok(good, runs.join("; "));
      // Nothing of it is lost for having waited.
      release.resolve();
      const hash = await soon(arrived.promise, "all bytes have come", { timeoutMs: 30_000 });
      strictEqual(hash, await sha256(bytes));
      await other;
    });
  }

  Deno.test(`${name}: ${IDLE_VISITORS} visitors that say nothing leave nothing behind`, async () => {
    let open = 0;
    await using server = serveTcp(async (conn) => {
      open += 1;
      await echo(conn).finally(() => open -= 1);
    });
    await using path = await startPath(kind, { destination: server.port });
    const before = await descriptors();
    for (const how of ["closed", "reset"] as const) {
      const visitors = await Promise.all(
        Array.from({ length: IDLE_VISITORS }, () => visit(path.port)),
      );
      await until(() => open === IDLE_VISITORS, "all are connected through");
      for (const visitor of visitors) {
        if (how === "reset") visitor.reset();
        await visitor[Symbol.asyncDispose]();
      }
      await until(() => open === 0, `the upstream knows that all have ${how}`);
      await until(
        async () => await descriptors() <= before,
        `no descriptor is left of the visitors that were ${how}`,
      );
    }
  });
}

Deno.test(
  "a destination that never answers is given up after the time limit, with the reason",
  onLinux,
  async () => {
    await using deaf = await fillBacklog();
    const started = performance.now();
    const dialling = network.dial({ host: "127.0.0.1", port: deaf.port }, 200).conn;
    const error = await soon(dialling.then(() => null, (reason) => reason), "it is given up");
    ok(error instanceof ConnectorError);
    strictEqual(error.code, "deadline_exceeded");
    ok(error.message.includes(`127.0.0.1:${deaf.port}: no answer in 0.2 s`), error.message);
    ok(performance.now() - started >= 195);
  },
);

Deno.test("a visitor's bytes wait for a destination that takes its time", onLinux, async () => {
  await using deaf = await fillBacklog();
  await using path = await startPath({ type: "local", security: "plaintext" }, {
    destination: deaf.port,
  });
  await using visitor = await visit(path.port);
  const sent = randomBytes(1_000_000);
  const writing = visitor.write(sent);
  visitor.finish();
  // Now there is room, and the system's next try gets through.
  const conn = await deaf.relent();
  ok(conn !== null, "the destination is connected");
  strictEqual(await soon(hashOf(conn), "all bytes have come"), await sha256(sent));
  await writing;
});

Deno.test(
  "a visitor that leaves while its destination is dialled leaves nothing behind",
  onLinux,
  async () => {
    await using deaf = await fillBacklog();
    await using path = await startPath({ type: "remote", security: "plaintext" }, {
      destination: deaf.port,
    });
    {
      await using visitor = await visit(path.port);
      await visitor.write(new Uint8Array(10));
      visitor.reset();
    }
    const conn = await deaf.relent();
    // It is closed as soon as it is there, or was before it could be accepted: its visitor has gone.
    const reading = conn?.read(new Uint8Array(100)).catch(() => null) ?? Promise.resolve(null);
    const end = await soon(reading, "the connection has ended");
    ok(end === null || end <= 10);
  },
);

async function hashOf(conn: Deno.TcpConn): Promise<string> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(256 * 1024);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    chunks.push(buffer.slice(0, count));
  }
  return await sha256(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()));
}

Deno.test("dials for visitors that have left are given up at once", onLinux, async () => {
  await using deaf = await fillBacklog();
  const kind = { type: "local", security: "plaintext" } as const;
  await using path = await startPath(kind, { destination: deaf.port });
  const before = await descriptors();
  const visitors = await Promise.all(Array.from({ length: 50 }, () => visit(path.port)));
  // Both ends of each visitor, and the dial for it.
  await until(async () => await descriptors() >= before + 150, "the destination is dialled");
  for (const visitor of visitors) {
    visitor.reset();
    await visitor[Symbol.asyncDispose]();
  }
  // Half the time after which a dial ends by itself.
  await until(async () => await descriptors() <= before, "nothing is left", { timeoutMs: 5000 });
});

/** A listener whose system answers nobody any more, because too many wait to be accepted. */
interface DeafListener extends AsyncDisposable {
  port: number;
  /** Accepts until somebody gets through who did not help to fill it; null when that has gone again already. */
  relent: () => Promise<Deno.TcpConn | null>;
}

async function fillBacklog(): Promise<DeafListener> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const fillers: Deno.TcpConn[] = [];
  const accepted: Deno.TcpConn[] = [];
  for (;;) {
    try {
      fillers.push(await Deno.connect({ port, signal: AbortSignal.timeout(FULL_AFTER_MS) }));
    } catch {
      break;
    }
  }
  const ports = new Set(fillers.map((conn) => conn.localAddr.port));
  return {
    port,
    async relent() {
      for (;;) {
        const conn = await soon(listener.accept().catch(nullIfGone), "somebody gets through");
        if (conn === null) return null;
        accepted.push(conn);
        if (!ports.has(conn.remoteAddr.port)) return conn;
      }
    },
    [Symbol.asyncDispose]() {
      for (const conn of [...fillers, ...accepted]) conn.close();
      listener.close();
      return Promise.resolve();
    },
  };
}

/** A connection that was reset before it is accepted has no address any more. */
function nullIfGone(error: unknown): null {
  if (error instanceof Deno.errors.NotConnected) return null;
  throw error;
}

/** How many file descriptors this process has; a constant where the system does not tell. */
async function descriptors(): Promise<number> {
  if (Deno.build.os !== "linux") return 0;
  let count = 0;
  for await (const _ of Deno.readDir("/proc/self/fd")) count += 1;
  return count;
}
