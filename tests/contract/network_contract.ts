// What TCP connections and listeners keep, whichever sockets they are made of, as tests that run over each kind. Where
// one kind cannot do what the other does, the difference is stated here, by `network.canReset`.

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { createServer } from "node:net";
import { TAKEN } from "../../src/byte_channel.ts";
import { ConnectorError, type ErrorCode } from "../../src/model/errors.ts";
import { delay } from "../../src/delay.ts";
import type { Conn } from "../../src/net/conn.ts";
import type { Network } from "../../src/net/network.ts";
import { SWEEP_MS } from "../../src/net/sweep.ts";
import { splice } from "../../src/net/splice.ts";
import { silentAddress } from "../support/silent_address.ts";
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
const TIMEOUT_MS = 5000;

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

/** Registers the tests for one kind of sockets. */
export function networkContract(network: Network): void {
  const test = (name: string, run: () => void | Promise<void>) =>
    Deno.test(`${network.kind}: ${name}`, run);
  const dial = (port: number, host = LOOPBACK) => network.dial({ host, port }, TIMEOUT_MS).conn;

  test("a half-close of ours leaves the other direction open", async () => {
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

  test("a half-close of theirs leaves our direction open", async () => {
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

  test("a refused dial says where to and why", async () => {
    const port = freePort();
    await rejects(
      dial(port),
      isError("unavailable", `Cannot connect to 127\\.0\\.0\\.1:${port}: connection refused`),
    );
  });

  test("an IPv6 address is named in brackets", async () => {
    await rejects(dial(1, "::1"), (error) => {
      match(String(error), /: Cannot connect to \[::1\]:1: /);
      return error instanceof ConnectorError;
    });
  });

  test("a dial that nobody answers ends in its time, or when it is given up", async () => {
    await using silent = await silentAddress();
    const { host, port } = silent;
    const started = performance.now();
    await rejects(
      network.dial(silent, 200).conn,
      isError("deadline_exceeded", `Cannot connect to ${host}:${port}: no answer in 0\\.2 s`),
    );
    strictEqual(performance.now() - started < 3000, true);
    const dialling = network.dial(silent, TIMEOUT_MS);
    const failed = rejects(
      dialling.conn,
      isError("cancelled", `Cannot connect to ${host}:${port}: cancelled`),
    );
    dialling.abort();
    await failed;
    strictEqual(dialling.aborted, true);
  });

  test("a reset by the other side is an error of the read, not an end", async () => {
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
    test(`a reset is told though nobody reads: after ${what}`, async () => {
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
      if (length > 1000 && !network.canReset) {
        // Deno's sockets tell of it to who reads, and not before.
        strictEqual(await Promise.race([lost.promise, delay(3 * SWEEP_MS)]), undefined);
        await rejects(readToEnd(conn), isError("unavailable", /reset by peer/));
      }
      match(await soon(lost.promise, "it is told"), /reset by peer$/);
      // Nothing that came before is lost for having been told.
      if (length < 1000 || !network.canReset) {
        await rejects(conn.read(), isError("unavailable", /reset by peer/));
      } else ok(await conn.read() !== null, "what was read ahead is there");
      conn.close();
      strictEqual(told, 1);
      await new Promise((resolve) => server.close(resolve));
    });
  }

  test("a reset that a write meets first is one for the read, too, behind what had come", async () => {
    const reset = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write("before");
      reset.promise.then(() => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP address");
    const conn = await dial(address.port);
    // Nobody reads, so that the connection is held back.
    await delay(50);
    reset.resolve();
    await delay(50);
    await rejects(conn.write(bytes("x")), isError("unavailable", /: Cannot write to .*connection/));
    strictEqual(new TextDecoder().decode(await conn.read() ?? undefined), "before");
    await rejects(conn.read(), isError("unavailable", /connection/));
    conn.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test("a connection that both sides have finished is closed, whether its owner has done so or not", async () => {
    const { promise: heard, resolve } = Promise.withResolvers<Uint8Array>();
    await using server = serveTcp(async (conn) => {
      await conn.closeWrite();
      resolve(await readAll(conn));
    });
    const conn = await dial(server.port);
    strictEqual(await conn.read(), null);
    await conn.write(bytes("the last words"));
    await conn.finish();
    deepStrictEqual(await heard, bytes("the last words"));
    await rejects(conn.write(bytes("x")), isError("unavailable", /the connection was closed$/));
    strictEqual(await conn.read(), null);
    conn.close();
  });

  test("an orderly end is no loss, however long what came before is not read", async () => {
    await using server = serveTcp((conn) => writeAll(conn, randomBytes(1_000_000)));
    const conn = await dial(server.port);
    let lost = false;
    conn.onLost(() => lost = true);
    await conn.read();
    // Closed both ways, as far as the system is concerned, with much that was not read.
    await conn.finish();
    await delay(3 * SWEEP_MS);
    strictEqual(lost, false);
    let count = 0;
    for (let next = await conn.read(); next !== null; next = await conn.read()) {
      count += next.length;
    }
    ok(count > 900_000, `${count} bytes have come`);
    conn.close();
  });

  test("close ends a read that waits, and may be repeated", async () => {
    await using server = serveTcp(echo);
    const conn = await dial(server.port);
    const reading = conn.read();
    conn.close();
    await rejects(reading, (error) => error instanceof ConnectorError);
    conn.close();
    conn.reset("closing", "again");
  });

  test("a finish after a reset has nothing to wait for", async () => {
    await using server = serveTcp(echo);
    const conn = await dial(server.port);
    conn.reset("closing", "the other side failed");
    await conn.finish();
  });

  test(`a reset of ours arrives as ${network.canReset ? "one" : "an end"}`, async () => {
    const { promise: heard, resolve } = Promise.withResolvers<unknown>();
    await using server = serveTcp(async (conn) => {
      await conn.read(new Uint8Array(1));
      await conn.read(new Uint8Array(1)).then(resolve, resolve);
    });
    const conn = await dial(server.port);
    await conn.write(bytes("x"));
    conn.reset("closing", "a test");
    if (network.canReset) ok(await heard instanceof Deno.errors.ConnectionReset);
    else strictEqual(await heard, null);
  });

  test("a write that waits ends with a reset", async () => {
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

  test(`a close while a write waits ${network.canReset ? "is a reset, and no" : "is an"} orderly end of a part`, async () => {
    using listener = Deno.listen({ hostname: LOOPBACK, port: 0 });
    const conn = await dial(listener.addr.port);
    using peer = await listener.accept();
    const writing = rejects(conn.write(randomBytes(20_000_000)), /the connection was closed$/);
    await delay(30);
    conn.close();
    await writing;
    if (network.canReset) await rejects(readAll(peer), Deno.errors.ConnectionReset);
    else ok((await readAll(peer)).length < 20_000_000);
  });

  test("writes wait once the system takes no more, and what they write arrives in order", async () => {
    const { promise: goOn, resolve } = Promise.withResolvers<void>();
    const { promise: heard, resolve: hear } = Promise.withResolvers<Uint8Array>();
    await using server = serveTcp(async (conn) => {
      await goOn;
      hear(await readAll(conn));
    });
    const conn = await dial(server.port);
    const chunk = randomBytes(8 * 1024);
    let sent = 0;
    let taken = TAKEN;
    for (let waits = false; !waits && sent < 10_000;) {
      taken = conn.write(chunk);
      sent += 1;
      waits = taken !== TAKEN &&
        !await Promise.race([taken.then(() => true), delay(200).then(() => false)]);
    }
    ok(sent > 1 && sent < 10_000, `${sent} chunks`);
    resolve();
    await soon(taken, "the rest is taken");
    await conn.write(bytes("the end"));
    await conn.finish();
    const all = await soon(heard, "all is read");
    strictEqual(all.length, sent * chunk.length + 7);
    for (let at = 0; at < sent; at += 1) {
      deepStrictEqual(all.subarray(at * chunk.length, (at + 1) * chunk.length), chunk);
    }
    strictEqual(await conn.read(), null);
    conn.close();
  });

  // Only Linux tells which timer a socket waits for.
  if (Deno.build.os === "linux") {
    test("the system watches over a connection that is still there at the first look", async () => {
      const { promise: over, resolve } = Promise.withResolvers<void>();
      await using server = serveTcp(() => over);
      const conn = await dial(server.port);
      const port = `:${server.port.toString(16).toUpperCase().padStart(4, "0")} `;
      const watched = async () =>
        (await Deno.readTextFile("/proc/net/tcp")).split("\n").some((line) =>
          // The remote end is the server, the connection is established, and the timer is keepalive's.
          line.slice(20, 34).includes(port) && / 01 \S+ 02:/.test(line)
        );
      try {
        // With 20,000 connections on the machine the system takes 10 s to list them.
        await until(watched, "keepalive is on", { timeoutMs: 60_000 });
      } finally {
        conn.close();
        resolve();
      }
    });
  }

  test("the read buffer grows for bulk and shrinks for small reads", async () => {
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
    ok((sizes[0] ?? Infinity) <= 8192, "small ones share a buffer of 8 KiB");
    conn.close();
  });

  test("a listener takes visitors of both families", async () => {
    const listener = network.listen(0, async (conn) => {
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
    test(`a port that is busy on ${hostname} is an error that names it`, () => {
      using busy = Deno.listen({ hostname, port: 0 });
      const { port } = busy.addr;
      throws(
        () => network.listen(port, (conn) => conn.close()),
        isError("already_exists", `Cannot listen on port ${port}: the port is already in use`),
      );
    });
  }

  test("a closed listener frees its port and leaves its connections alone", async () => {
    const accepted: Conn[] = [];
    const listener = network.listen(0, (conn) => accepted.push(conn));
    using visitor = await Deno.connect({ port: listener.port });
    await until(() => accepted.length === 1, "the visitor is accepted");
    listener.close();
    listener.close();
    network.listen(listener.port, (conn) => conn.close()).close();
    const [conn] = accepted;
    if (conn === undefined) throw new TypeError("it was accepted");
    await conn.write(bytes("still here"));
    await conn.finish();
    deepStrictEqual(await readAll(visitor), bytes("still here"));
    conn.close();
  });

  test("a splice of two connections keeps a half-close each way, with much after it", async () => {
    const accepted: Conn[] = [];
    const left = network.listen(0, (conn) => accepted.push(conn));
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
}
