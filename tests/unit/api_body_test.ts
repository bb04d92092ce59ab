// The bounds of request bodies: in size, time and memory, first with scripted streams, then over a socket.

import { HTTPException } from "hono/http-exception";
import assert from "node:assert/strict";
import fc from "fast-check";
import { createApp } from "../../src/api/app.ts";
import { serveHttp } from "../../src/api/serve_http.ts";
import { getLogger } from "@logtape/logtape";
import {
  BodyReader,
  type BodyReaderOptions,
  MAX_BODY_BYTES,
  MAX_DROPPED_BYTES,
} from "../../src/api/body.ts";

/** A request whose body the test writes, and whether the reader has given the body up. */
function scripted(headers: Record<string, string> = {}) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
    cancel: () => cancelled.resolve(),
  });
  assert.ok(controller);
  const request = new Request("http://localhost/expose", { method: "POST", body, headers });
  return { request, controller, cancelled: cancelled.promise };
}

function requestOf(chunks: Uint8Array[]): Request {
  const { request, controller } = scripted();
  for (const chunk of chunks) controller.enqueue(chunk);
  controller.close();
  return request;
}

async function refused(reading: Promise<Uint8Array>, status: number, message: RegExp) {
  await assert.rejects(reading, (error) => {
    assert.ok(error instanceof HTTPException);
    assert.equal(error.status, status);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("a body is read whole, however it is cut", async () => {
  const reader = new BodyReader();
  const chunk = fc.uint8Array({ maxLength: 10_000 }).map((bytes) => new Uint8Array(bytes));
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), async (chunks) => {
      const read = await reader.read(requestOf(chunks));
      assert.deepEqual(read, new Uint8Array(chunks.flatMap((each) => [...each])));
    }),
    { numRuns: 50 },
  );
});

Deno.test("a request without a body has an empty one", async () => {
  const request = new Request("http://localhost/expose", { method: "POST" });
  assert.equal((await new BodyReader().read(request)).length, 0);
});

Deno.test("the limit itself is read, and one byte more is 413", async () => {
  const reader = new BodyReader();
  const full = new Uint8Array(MAX_BODY_BYTES);
  assert.equal((await reader.read(requestOf([full]))).length, MAX_BODY_BYTES);
  await refused(reader.read(requestOf([full, new Uint8Array(1)])), 413, /at most 1048576 bytes/);
});

Deno.test("a body that never ends is given up at the limit", async () => {
  let sent = 0;
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      controller.enqueue(new Uint8Array(64 * 1024));
      sent += 64 * 1024;
    },
    cancel: () => cancelled.resolve(),
  });
  const request = new Request("http://localhost/expose", { method: "POST", body });
  await refused(new BodyReader().read(request), 413, /too large/);
  await cancelled.promise;
  const most = MAX_BODY_BYTES + MAX_DROPPED_BYTES + 3 * 64 * 1024;
  assert.ok(sent <= most, `${sent} bytes were taken`);
});

Deno.test("a declared length above the limit is 413 though nothing of it comes", async () => {
  const { request } = scripted({ "content-length": String(MAX_BODY_BYTES + 1) });
  await refused(new BodyReader().read(request), 413, /too large/);
});

Deno.test("a declared length is not trusted", async () => {
  const { request, controller } = scripted({ "content-length": "1" });
  controller.enqueue(new Uint8Array(MAX_BODY_BYTES + 1));
  const started = performance.now();
  await refused(new BodyReader().read(request), 413, /too large/);
  const took = performance.now() - started;
  assert.ok(took < 5000, `the rest is not waited for: ${took} ms`);
});

Deno.test("a body that stops is 408 and given up", async () => {
  const { request, controller, cancelled } = scripted();
  controller.enqueue(new Uint8Array(5));
  const reader = new BodyReader({ timeoutMs: 20 });
  await refused(reader.read(request), 408, /within 0.02 seconds/);
  await cancelled;
});

Deno.test("a body that is cut off is 400", async () => {
  const { request, controller } = scripted();
  const reading = new BodyReader().read(request);
  controller.error(new Error("connection reset"));
  await refused(reading, 400, /cut off/);
});

Deno.test("bodies share a bound, and what they held is free again when they end", async () => {
  const reader = new BodyReader({ maxHeldBytes: 100 });
  const hold = async () => {
    const body = scripted();
    const reading = reader.read(body.request);
    body.controller.enqueue(new Uint8Array(60));
    // The chunk is taken within a few turns; the next request sees it counted.
    await new Promise((resolve) => setTimeout(resolve));
    return { ...body, reading };
  };
  for (const end of ["close", "error"] as const) {
    const first = await hold();
    await refused(reader.read(requestOf([new Uint8Array(60)])), 429, /try again later/);
    if (end === "close") {
      first.controller.close();
      assert.equal((await first.reading).length, 60);
    } else {
      first.controller.error(new Error("reset"));
      await refused(first.reading, 400, /cut off/);
    }
    assert.equal((await reader.read(requestOf([new Uint8Array(100)]))).length, 100);
  }
});

/** The API on a free port, and what is exposed through it. */
async function serve(bodies?: BodyReaderOptions) {
  const names: string[] = [];
  const app = createApp({
    control: {
      expose: ({ name }) => {
        names.push(name);
        return Promise.resolve(crypto.randomUUID());
      },
      destroy: () => Promise.resolve(),
      get: () => {
        throw new TypeError("not asked for");
      },
      list: () => [],
    },
    ...(bodies !== undefined && { bodies }),
  });
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch: app.fetch,
    tls: undefined,
    logger: getLogger(["test"]),
  });
  return {
    names,
    async connect() {
      return await Deno.connect({ hostname: "127.0.0.1", port: server.address?.port ?? 0 });
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

async function send(conn: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
}

/** What arrives until `end` is in it or the server closes. */
async function receive(conn: Deno.Conn, end: string): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.includes(end)) {
    const count = await conn.read(buffer);
    if (count === null) break;
    text += decoder.decode(buffer.subarray(0, count));
  }
  return text;
}

const HEAD = "POST /expose HTTP/1.1\r\nHost: localhost\r\n";

Deno.test("over a socket: a chunked body of one byte a chunk is read", async () => {
  await using server = await serve();
  using conn = await server.connect();
  const json = '{"name":"web","source_port":80,"remote_connector_addr":"a:1",' +
    '"destination_addr":"b:2","type":"local"}';
  const chunks = [...json].map((byte) => `1\r\n${byte}\r\n`).join("");
  await send(
    conn,
    `${HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunks}0\r\n\r\n`,
  );
  assert.match(await receive(conn, "\0"), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n[0-9a-f-]{36}$/);
  assert.deepEqual(server.names, ["web"]);
});

Deno.test("over a socket: a declared length above the limit is 413 at once", async () => {
  await using server = await serve();
  using conn = await server.connect();
  await send(conn, `${HEAD}Content-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n{`);
  assert.match(await receive(conn, "bytes\n"), /^HTTP\/1\.1 413 /);
});

Deno.test("over a socket: a chunked body above the limit is 413", async () => {
  await using server = await serve();
  using conn = await server.connect();
  await send(conn, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
  const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
  for (let sent = 0; sent <= MAX_BODY_BYTES; sent += 0x10000) await send(conn, chunk);
  assert.match(await receive(conn, "bytes\n"), /^HTTP\/1\.1 413 /);
});

Deno.test("over a socket: a body that stops is 408, and one that is cut off harms nothing", async () => {
  await using server = await serve({ timeoutMs: 50 });
  using slow = await server.connect();
  await send(slow, `${HEAD}Content-Length: 100\r\n\r\n{`);
  {
    using cut = await server.connect();
    await send(cut, `${HEAD}Content-Length: 100\r\n\r\n{`);
  }
  assert.match(await receive(slow, "seconds\n"), /^HTTP\/1\.1 408 /);
  using next = await server.connect();
  await send(next, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  assert.match(await receive(next, "\r\n\r\nOK"), /\r\n\r\nOK$/);
});
