// Each direction ends on its own, either side first, with any number of bytes after it in the other direction.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { soon } from "../support/soon.ts";
import { nameOf, PATH_KINDS, serveWatched, startPath, visit } from "../support/tunnel_path.ts";
import { randomBytes, readAll, serveTcp, sha256, until, writeAll } from "../support/world.ts";

/** More than any window and any socket's buffer together. */
const MANY_BYTES = 24 * 1024 * 1024;

for (const kind of PATH_KINDS) {
  const name = nameOf(kind);

  Deno.test(`${name}: the visitor finishes first, and all bytes after that still come back`, async () => {
    const answer = randomBytes(MANY_BYTES);
    const requests: string[] = [];
    await using server = serveTcp(async (conn) => {
      requests.push(new TextDecoder().decode(await readAll(conn)));
      await writeAll(conn, answer);
    });
    await using path = await startPath(kind, { destination: server.port });
    using conn = await Deno.connect({ port: path.port });
    await writeAll(conn, new TextEncoder().encode("everything, please"));
    await conn.closeWrite();
    const received = await soon(readAll(conn), "the answer has ended", { timeoutMs: 30_000 });
    strictEqual(received.length, answer.length);
    strictEqual(await sha256(new Uint8Array(received)), await sha256(answer));
    deepStrictEqual(requests, ["everything, please"]);
  });

  Deno.test(`${name}: the server finishes first, and all bytes after that still go out`, async () => {
    const sent = randomBytes(MANY_BYTES);
    const received = Promise.withResolvers<Uint8Array>();
    await using server = serveTcp(async (conn) => {
      await writeAll(conn, new TextEncoder().encode("over to you"));
      await conn.closeWrite();
      received.resolve(await readAll(conn));
    });
    await using path = await startPath(kind, { destination: server.port });
    using conn = await Deno.connect({ port: path.port });
    strictEqual(new TextDecoder().decode(await readAll(conn)), "over to you");
    await writeAll(conn, sent);
    await conn.closeWrite();
    const bytes = await soon(received.promise, "the upload has ended", { timeoutMs: 30_000 });
    strictEqual(bytes.length, sent.length);
    strictEqual(await sha256(new Uint8Array(bytes)), await sha256(sent));
  });

  Deno.test(`${name}: both finish at once, without a byte and with many`, async () => {
    for (const length of [0, 1, 3_000_000]) {
      const up = randomBytes(length);
      const down = randomBytes(length);
      const received = Promise.withResolvers<Uint8Array>();
      const exchange = async (conn: Deno.TcpConn, bytes: Uint8Array) => {
        const write = async () => {
          await writeAll(conn, bytes);
          await conn.closeWrite();
        };
        return (await Promise.all([readAll(conn), write()]))[0];
      };
      await using server = serveTcp(async (conn) => received.resolve(await exchange(conn, down)));
      await using path = await startPath(kind, { destination: server.port });
      using conn = await Deno.connect({ port: path.port });
      deepStrictEqual(await soon(exchange(conn, up), "the answer has ended"), down);
      deepStrictEqual(await soon(received.promise, "the request has ended"), up);
    }
  });

  Deno.test(`${name}: bytes and the end that come before the destination is connected are delivered`, async () => {
    const sent = randomBytes(200_000);
    const received: Uint8Array[] = [];
    await using server = serveTcp(async (conn) => {
      received.push(await readAll(conn));
    });
    await using path = await startPath(kind, { destination: server.port });
    for (let count = 1; count <= 5; count += 1) {
      using conn = await Deno.connect({ port: path.port });
      await writeAll(conn, sent);
      await conn.closeWrite();
      deepStrictEqual(await soon(readAll(conn), "the server has ended"), new Uint8Array(0));
      await until(() => received.length === count, "the bytes have come");
      deepStrictEqual(received.at(-1), sent);
    }
  });

  Deno.test(`${name}: half-open without a byte for too long is reset, at both ends`, async () => {
    await using server = await serveWatched();
    await using path = await startPath(kind, { destination: server.port, halfOpenMs: 500 });
    await using visitor = await visit(path.port);
    await using upstream = await server.accept();
    const started = performance.now();
    visitor.finish();
    strictEqual(await soon(upstream.ended, "the upstream reads the end"), "in order");
    strictEqual(await soon(visitor.ended, "the visitor is reset"), "reset");
    ok(performance.now() - started >= 495, "not before its time");
    // The upstream has read its end already: what it is told now is that the connection is closed.
    await until(async () => {
      await upstream.write(new Uint8Array(1)).catch(() => {});
      return upstream.socket.destroyed;
    }, "the upstream is reset");
  });

  Deno.test(`${name}: half-open with bytes moving now and then lives on`, async () => {
    await using server = await serveWatched();
    await using path = await startPath(kind, { destination: server.port, halfOpenMs: 1000 });
    await using visitor = await visit(path.port);
    await using upstream = await server.accept();
    visitor.finish();
    strictEqual(await soon(upstream.ended, "the upstream reads the end"), "in order");
    // Together well beyond the limit, each time well within it.
    for (let count = 1; count <= 12; count += 1) {
      await delay(125);
      await upstream.write(new Uint8Array(1));
      await visitor.received(count);
    }
    upstream.finish();
    strictEqual(await soon(visitor.ended, "the visitor reads the end"), "in order");
  });

  Deno.test(`${name}: open both ways without a byte is never timed out`, async () => {
    await using server = await serveWatched();
    await using path = await startPath(kind, { destination: server.port, halfOpenMs: 50 });
    await using visitor = await visit(path.port);
    await using upstream = await server.accept();
    await delay(400);
    await visitor.write(new Uint8Array(5));
    await upstream.received(5);
    await upstream.write(new Uint8Array(7));
    await visitor.received(7);
  });
}
