// TCP connections and listeners as the tunnel uses them, over real sockets.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { createServer } from "node:net";
import { ConnectorError, type ErrorCode } from "../../src/errors.ts";
import { delay } from "../../src/delay.ts";
import type { Conn } from "../../src/tcp/conn.ts";
import { dialTcp } from "../../src/tcp/dial.ts";
import { Listener } from "../../src/tcp/listener.ts";
import { LOSS_CHECK_MS } from "../../src/tcp/loss_watch.ts";
import { splice } from "../../src/tcp/splice.ts";
import { soon } from "../support/soon.ts";
import {
  echo,
  freePort,
  randomBytes,
  readAll,
  serveTcp,
  until,
  writeAll,
} from "../support/world.ts";

const bytes = (from: string) => new TextEncoder().encode(from);
const LOOPBACK = "127.0.0.1";

function dial(
  port: number,
  { host = LOOPBACK, timeoutMs = 5000, signal = new AbortController().signal } = {},
): Promise<Conn> {
  return dialTcp({ host, port }, { timeoutMs, signal });
}

async function readToEnd(conn: Conn): Promise<Uint8Array> {
  const chunks: number[] = [];
  for (let next = await conn.read(); next !== null; next = await conn.read()) chunks.push(...next);
  return Uint8Array.from(chunks);
}

function isError(code: ErrorCode, message: string | RegExp): (error: unknown) => boolean {
  return (error) => {
    strictEqual(error instanceof ConnectorError && error.code, code);
    match(String(error), typeof message === "string" ? new RegExp(`: ${message}$`) : message);
    return true;
  };
}

Deno.test("a half-close of ours leaves the other direction open", async () => {
  const answer = randomBytes(100_000);
  let heard: Uint8Array | undefined;
  await using server = serveTcp(async (conn) => {
    heard = await readAll(conn);
    await writeAll(conn, answer);
  });
  const conn = await dial(server.port);
  strictEqual(conn.remote, `127.0.0.1:${server.port}`);
  await conn.write(bytes("question"));
  await conn.finish();
  deepStrictEqual(await readToEnd(conn), answer);
  deepStrictEqual(heard, bytes("question"));
  conn.close();
});

Deno.test("a half-close of theirs leaves our direction open", async () => {
  const { promise: heard, resolve } = Promise.withResolvers<Uint8Array>();
  await using server = serveTcp(async (conn) => {
    await conn.closeWrite();
    resolve(await readAll(conn));
  });
  const conn = await dial(server.port);
  strictEqual(await conn.read(), null);
  const sent = randomBytes(300_000);
  await conn.write(sent);
  await conn.finish();
  deepStrictEqual(await heard, sent);
  conn.close();
});

Deno.test("a refused dial says where to and why", async () => {
  const port = freePort();
  await rejects(
    dial(port),
    isError("unavailable", `Cannot connect to 127\\.0\\.0\\.1:${port}: connection refused`),
  );
});

Deno.test("an IPv6 address is named in brackets", async () => {
  await rejects(dial(1, { host: "::1" }), (error) => {
    match(String(error), /: Cannot connect to \[::1\]:1: /);
    return error instanceof ConnectorError;
  });
});

Deno.test("a dial that nobody answers ends in its time, or when its signal says so", async () => {
  await using silent = await silentAddress();
  const { host, port } = silent;
  const started = performance.now();
  await rejects(
    dial(port, { host, timeoutMs: 200 }),
    isError("deadline_exceeded", `Cannot connect to ${host}:${port}: no answer in 0\\.2 s`),
  );
  strictEqual(performance.now() - started < 3000, true);
  const controller = new AbortController();
  const dialling = dial(port, { host, signal: controller.signal });
  controller.abort();
  await rejects(dialling, isError("cancelled", `Cannot connect to ${host}:${port}: cancelled`));
  await rejects(
    dial(port, { host, signal: AbortSignal.abort() }),
    isError("cancelled", /cancelled$/),
  );
});

/** An address that answers no dial: on Linux a listener whose queue is full, elsewhere one without a route. */
async function silentAddress(): Promise<{ host: string; port: number } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const release = () => stack.disposeAsync();
  if (Deno.build.os !== "linux") {
    return { host: "10.255.255.1", port: 9, [Symbol.asyncDispose]: release };
  }
  const listener = stack.use(Deno.listen({ hostname: LOOPBACK, port: 0 }));
  const { port } = listener.addr;
  for (;;) {
    try {
      stack.use(
        await Deno.connect({ hostname: LOOPBACK, port, signal: AbortSignal.timeout(1000) }),
      );
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return { host: LOOPBACK, port, [Symbol.asyncDispose]: release };
    }
  }
}

Deno.test("a reset by the other side is an error of the read, not an end", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("a TCP address");
  const conn = await dial(address.port);
  await conn.write(bytes("now"));
  await rejects(
    conn.read(),
    isError(
      "unavailable",
      `The connection to 127\\.0\\.0\\.1:${address.port} failed: connection reset by peer`,
    ),
  );
  await rejects(
    (async () => {
      for (;;) await conn.write(randomBytes(10_000));
    })(),
    isError("unavailable", `Cannot write to 127\\.0\\.0\\.1:${address.port}: .*connection.*`),
  );
  conn.close();
  await new Promise((resolve) => server.close(resolve));
});

for (
  const [what, length] of [["a few bytes", 10], ["more than is read ahead", 1_000_000]] as const
) {
  Deno.test(`a reset is told though nobody reads: after ${what}`, async () => {
    const reset = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(randomBytes(length));
      reset.promise.then(() => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP address");
    const conn = await dial(address.port);
    const lost = Promise.withResolvers<string>();
    let told = 0;
    conn.onLost((reason) => {
      told += 1;
      lost.resolve(reason);
    });
    ok(await conn.read() !== null, "the first bytes have come");
    reset.resolve();
    match(await soon(lost.promise, "it is told"), /reset by peer$/);
    // Nothing that came before is lost for having been told.
    if (length < 1000) await rejects(conn.read(), isError("unavailable", /reset by peer/));
    else ok(await conn.read() !== null, "what was read ahead is there");
    conn.close();
    strictEqual(told, 1);
    await new Promise((resolve) => server.close(resolve));
  });
}

Deno.test("an orderly end is no loss, however long what came before is not read", async () => {
  await using server = serveTcp((conn) => writeAll(conn, randomBytes(1_000_000)));
  const conn = await dial(server.port);
  let lost = false;
  conn.onLost(() => lost = true);
  await conn.read();
  // Closed both ways, as far as the system is concerned, with much that was not read.
  await conn.finish();
  await delay(3 * LOSS_CHECK_MS);
  strictEqual(lost, false);
  let count = 0;
  for (let next = await conn.read(); next !== null; next = await conn.read()) count += next.length;
  ok(count > 900_000, `${count} bytes have come`);
  conn.close();
});

Deno.test("close ends a read that waits, and may be repeated", async () => {
  await using server = serveTcp(echo);
  const conn = await dial(server.port);
  const reading = conn.read();
  conn.close();
  await rejects(reading, (error) => error instanceof ConnectorError);
  conn.close();
  conn.reset("closing", "again");
});

Deno.test("a finish after a reset has nothing to wait for", async () => {
  await using server = serveTcp(echo);
  const conn = await dial(server.port);
  conn.reset("closing", "the other side failed");
  await conn.finish();
});

Deno.test("a reset of ours arrives as one", async () => {
  const { promise: heard, resolve } = Promise.withResolvers<unknown>();
  await using server = serveTcp(async (conn) => {
    await conn.read(new Uint8Array(1));
    await conn.read(new Uint8Array(1)).then(resolve, resolve);
  });
  const conn = await dial(server.port);
  await conn.write(bytes("x"));
  conn.reset("closing", "a test");
  strictEqual(await heard instanceof Deno.errors.ConnectionReset, true);
});

Deno.test("a write that waits ends with a reset", async () => {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  await using server = serveTcp(() => over);
  const conn = await dial(server.port);
  const writing = conn.write(randomBytes(30_000_000));
  const finishing = conn.finish();
  conn.reset("closing", "a test");
  const closed = `Cannot write to 127\\.0\\.0\\.1:${server.port}: the connection was closed`;
  await rejects(writing, isError("unavailable", closed));
  await rejects(finishing, isError("unavailable", closed));
  await rejects(conn.write(bytes("x")), isError("unavailable", closed));
  resolve();
});

Deno.test("the read buffer grows for bulk and shrinks for small reads", async () => {
  await using server = serveTcp(echo);
  const conn = await dial(server.port);
  const sizes: number[] = [];
  const readUntil = async (wanted: number) => {
    for (let got = 0; got < wanted;) {
      const next = await conn.read();
      if (next === null) throw new TypeError("the echo does not end");
      got += next.length;
      sizes.push(next.buffer.byteLength);
    }
  };
  await conn.write(bytes("x"));
  await readUntil(1);
  await Promise.all([conn.write(randomBytes(2_000_000)), readUntil(2_000_000)]);
  strictEqual(Math.max(...sizes), 65_472);
  for (let count = 0; count < 100; count += 1) {
    await conn.write(bytes("x"));
    await readUntil(1);
  }
  strictEqual(sizes.at(-1), sizes[0]);
  strictEqual((sizes[0] ?? Infinity) <= 4096, true);
  conn.close();
});

Deno.test("a listener takes visitors of both families", async () => {
  const listener = await Listener.listen(0, async (conn) => {
    await conn.write(bytes("hello"));
    await conn.finish();
    conn.close();
  });
  for (const hostname of ["127.0.0.1", "::1"]) {
    using visitor = await Deno.connect({ hostname, port: listener.port });
    deepStrictEqual(await readAll(visitor), bytes("hello"), hostname);
  }
  listener.close();
});

for (const hostname of ["0.0.0.0", "127.0.0.1", "::"]) {
  Deno.test(`a port that is busy on ${hostname} is an error that names it`, async () => {
    using busy = Deno.listen({ hostname, port: 0 });
    const { port } = busy.addr;
    await rejects(
      Listener.listen(port, (conn) => conn.close()),
      isError("already_exists", `Cannot listen on port ${port}: the port is already in use`),
    );
  });
}

Deno.test("a closed listener frees its port and leaves its connections alone", async () => {
  const accepted: Conn[] = [];
  const listener = await Listener.listen(0, (conn) => accepted.push(conn));
  using visitor = await Deno.connect({ port: listener.port });
  await until(() => accepted.length === 1, "the visitor is accepted");
  listener.close();
  listener.close();
  await until(
    () =>
      Listener.listen(listener.port, (conn) => conn.close()).then((again) => {
        again.close();
        return true;
      }, () => false),
    "the port is free",
  );
  const [conn] = accepted;
  if (conn === undefined) throw new TypeError("it was accepted");
  await conn.write(bytes("still here"));
  await conn.finish();
  deepStrictEqual(await readAll(visitor), bytes("still here"));
  conn.close();
});

Deno.test("a splice of two connections keeps a half-close each way, with much after it", async () => {
  const accepted: Conn[] = [];
  const left = await Listener.listen(0, (conn) => accepted.push(conn));
  using right = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const first of ["visitor", "destination"] as const) {
    using visitor = await Deno.connect({ port: left.port });
    await until(() => accepted.length === 1, "the visitor is accepted");
    const dialled = await dial(right.addr.port);
    using destination = await right.accept();
    const done = splice(accepted.pop() ?? dialled, dialled, { halfOpenMs: 600_000 });
    const ends = first === "visitor" ? [visitor, destination] : [destination, visitor];
    const [one, other] = ends;
    if (one === undefined || other === undefined) throw new TypeError("there are two ends");
    const question = randomBytes(300_000);
    const answer = randomBytes(700_000);
    const [heard] = await Promise.all([
      readAll(other),
      writeAll(one, question).then(() => one.closeWrite()),
    ]);
    deepStrictEqual(heard, question);
    const [answered] = await Promise.all([
      readAll(one),
      writeAll(other, answer).then(() => other.closeWrite()),
    ]);
    deepStrictEqual(answered, answer);
    const sizes = { up: question.length, down: answer.length, reason: "" };
    const swapped = { up: answer.length, down: question.length, reason: "" };
    deepStrictEqual(await done, first === "visitor" ? sizes : swapped);
  }
  left.close();
});
