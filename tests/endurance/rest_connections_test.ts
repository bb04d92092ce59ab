// Connections of the REST API that strangers hold open, or send too much over: how long each may last, and that the
// API answers whoever comes meanwhile.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { getLogger } from "@logtape/logtape";
import { serveHttp } from "../../src/api/serve_http.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { makePki, pemOf } from "../support/mtls.ts";
import { IDLE, reportNumber, request, startRest, statusOf } from "../support/rest_server.ts";
import { soon } from "../support/soon.ts";
import { readAll, until, writeAll } from "../support/world.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The text of a whole request after which the connection stays open. */
const KEPT = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** What clients send that have not sent a whole request. */
const UNFINISHED = {
  "nothing": "",
  "half a request line": "GET /li",
  "half of the headers": "GET /list HTTP/1.1\r\nHost: localhost\r\nA",
};

for (const [sent, text] of Object.entries(UNFINISHED)) {
  Deno.test(`a client that sends ${sent} is cut when its time is over`, async () => {
    await using server = await startRest({ bounds: { headersMs: 300 } });
    using conn = await server.connect();
    await writeAll(conn, encoder.encode(text));
    const answer = await soon(readAll(conn).catch(() => new Uint8Array()), "it is cut");
    strictEqual(answer.length, 0);
    ok(await server.answers());
  });
}

Deno.test("a second request has no more time than the first", async () => {
  await using server = await startRest({ bounds: { headersMs: 300 } });
  using conn = await server.connect();
  await writeAll(conn, encoder.encode(KEPT));
  ok(await conn.read(new Uint8Array(1000)));
  await writeAll(conn, encoder.encode("GET /list HTTP/1.1\r\nHost: lo"));
  await soon(readAll(conn).catch(() => undefined), "it is cut");
});

Deno.test("a client that sends its headers byte by byte has no more time than others", async () => {
  await using server = await startRest({ bounds: { headersMs: 300 } });
  using conn = await server.connect();
  const drip = (async () => {
    await writeAll(conn, encoder.encode("GET /list HTTP/1.1\r\nA: "));
    while (true) {
      await writeAll(conn, encoder.encode("x"));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })().catch(() => "ended");
  strictEqual(await soon(drip, "it is cut"), "ended");
});

Deno.test("a connection without a request is cut when it has been idle for long, and not before", async () => {
  await using server = await startRest({ bounds: { headersMs: 100, idleMs: 700 } });
  using conn = await server.connect();
  await writeAll(conn, encoder.encode(KEPT));
  const started = performance.now();
  await soon(readAll(conn).catch(() => undefined), "it is cut");
  ok(performance.now() - started >= 700);
});

Deno.test("a TLS handshake that does not come to an end is cut", async () => {
  const { root, leaf } = await makePki();
  await using server = await startRest({ tls: pemOf(root, leaf), bounds: { headersMs: 300 } });
  using silent = await server.connect();
  using half = await server.connect();
  await writeAll(half, new Uint8Array([22, 3, 1, 2, 0, 1, 0]));
  for (const conn of [silent, half]) {
    await soon(readAll(conn).catch(() => undefined), "it is cut");
  }
});

for (const [sent, text] of Object.entries(UNFINISHED)) {
  Deno.test(`however many clients send ${sent}, the next is answered`, async () => {
    let most = 0;
    const share = (wanted: number) => Math.min(wanted, 10);
    await using server = await startRest({ bounds: { share } });
    using clients = new DisposableStack();
    for (let count = 0; count < 30; count += 1) {
      const conn = clients.use(await server.connect());
      await writeAll(conn, encoder.encode(text)).catch(() => undefined);
      most += 1;
      if (count % 10 === 9) ok(await server.answers(), `after ${most}`);
    }
  });
}

Deno.test("however many bodies do not come, the next is answered", async () => {
  const share = (wanted: number) => Math.min(wanted, 10);
  await using server = await startRest({ bounds: { share } });
  using clients = new DisposableStack();
  for (let count = 0; count < 30; count += 1) {
    const conn = clients.use(await server.connect());
    const head = "POST /expose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    await writeAll(conn, encoder.encode(head)).catch(() => undefined);
  }
  ok(await server.answers());
});

for (
  const [sent, text, rest] of [
    ["nothing", "", "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    [
      "its headers",
      "POST /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
      "{}",
    ],
  ] as const
) {
  Deno.test(`idle connections make room before one that has just sent ${sent}`, async () => {
    const share = (wanted: number) => Math.min(wanted, 10);
    await using server = await startRest({ bounds: { share } });
    using clients = new DisposableStack();
    // Each from an address of its own, so that none has more than its share.
    for (let count = 0; count < 10; count += 1) {
      const conn = clients.use(await connectFrom(`127.9.0.${count + 1}`, server.port));
      conn.write(KEPT);
      await soon(once(conn, "data"), "it is answered");
    }
    const honest = clients.use(await connectFrom("127.8.0.1", server.port));
    let answer = "";
    honest.on("data", (chunk) => answer += chunk);
    honest.write(text);
    for (let count = 0; count < 5; count += 1) {
      clients.use(await connectFrom(`127.7.0.${count + 1}`, server.port));
    }
    // The last of them has been taken when this is answered.
    ok(await server.answers());
    honest.write(rest);
    await soon(once(honest, "close"), "it ends");
    match(answer, /^HTTP\/1\.1 (200|405) /);
  });
}

Deno.test("the one that has been there longest makes room, and one that is being answered does not", async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<string>();
  const share = (wanted: number) => Math.min(wanted, 8);
  await using server = await startRest({
    control: { ...IDLE, expose: () => released },
    bounds: { share },
  });
  const body = JSON.stringify({
    name: "web",
    source_port: 80,
    remote_connector_addr: "a:1",
    destination_addr: "b:2",
    type: "local",
  });
  const waiting = server.send(request("POST /expose", `Content-Length: ${body.length}`) + body);
  using clients = new DisposableStack();
  const halves: Deno.TcpConn[] = [];
  for (let count = 0; count < 4; count += 1) {
    const conn = clients.use(await server.connect());
    await writeAll(conn, encoder.encode("GET"));
    halves.push(conn);
    ok(await server.answers());
  }
  const [oldest, ...newer] = halves;
  if (oldest === undefined) throw new TypeError("there are four");
  await soon(readAll(oldest).catch(() => undefined), "the oldest is cut");
  const rest = " /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  for (const conn of newer.slice(1)) {
    await writeAll(conn, encoder.encode(rest));
    match(decoder.decode(await readAll(conn)), /\r\n\r\nOK$/);
  }
  release("the id");
  match(await waiting, /\r\n\r\nthe id$/);
});

Deno.test("a client that does not receive its answer is cut when its time is over, or when there are too many", async () => {
  const list = Array.from({ length: 10_000 }, (_, index) => reportNumber(index));
  const control = { ...IDLE, list: () => list };
  for (const bounds of [{ answerMs: 300 }, { maxUnsentBytes: 10_000_000 }]) {
    await using server = await startRest({ control, bounds });
    using deaf = await server.connect();
    await writeAll(deaf, encoder.encode(request("GET /list")));
    using second = await server.connect();
    await writeAll(second, encoder.encode(request("GET /list")));
    using third = await server.connect();
    await writeAll(third, encoder.encode(request("GET /list")));
    // What it was sent before is there to be read, and no more.
    await until(async () => await server.answers(), "others are answered");
    ok(await third.read(new Uint8Array(1)), "the last is answered");
    await new Promise((resolve) => setTimeout(resolve, "answerMs" in bounds ? 1500 : 0));
    const received = await soon(readAll(deaf).catch(() => new Uint8Array()), "it is cut");
    ok(received.length < 5_000_000, `${received.length}`);
  }
});

Deno.test("requests that are sent ahead are answered in their order, and a flood of them is cut", async () => {
  await using server = await startRest();
  const paths = ["/health", "/list", "/nothing", "/ready"];
  const ahead = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join("");
  const answers = await server.send(ahead + request("GET /health"));
  deepStrictEqual(answers.match(/HTTP\/1\.1 \d+/g)?.map((line) => Number(line.slice(-3))), [
    ...[200, 200, 404, 200, 200],
  ]);
  strictEqual(await server.send(KEPT.repeat(1000)).catch(() => ""), "");
  ok(await server.answers());
});

Deno.test("what follows a whole request and is none takes no answer away from it", async () => {
  await using server = await startRest();
  const answer = await server.send(`${KEPT}{"this": "was not declared"}`);
  match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nOK$/);
});

for (const secure of [false, true]) {
  Deno.test(`a body without end takes no memory, and its connection ends${secure ? ", over TLS" : ""}`, async () => {
    const { root, leaf } = await makePki();
    await using server = await startRest(secure ? { tls: pemOf(root, leaf) } : {});
    const conn: Deno.Conn = secure
      ? await Deno.connectTls({
        hostname: "localhost",
        port: server.port,
        caCerts: [root.certificate],
      })
      : await server.connect();
    using _ended = { [Symbol.dispose]: () => conn.close() };
    const before = Deno.memoryUsage().rss;
    const send = async (bytes: Uint8Array) => {
      for (let start = 0; start < bytes.length;) start += await conn.write(bytes.subarray(start));
    };
    const head = "POST /expose HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    await send(encoder.encode(head));
    const chunk = encoder.encode(`10000\r\n${" ".repeat(0x10000)}\r\n`);
    let sent = 0;
    const flood = (async () => {
      for (; sent < 1_000_000_000; sent += chunk.length) await send(chunk);
    })().catch(() => undefined);
    await soon(flood, "it is cut", { timeoutMs: 20_000 });
    ok(sent < 100_000_000, `${sent} bytes were taken`);
    ok(Deno.memoryUsage().rss - before < 150_000_000);
  });
}

Deno.test("a body in chunks of one byte keeps nobody waiting", async () => {
  await using server = await startRest();
  // From another thread: this one must be free to notice how long it was kept.
  const script = `
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: ${server.port} });
    const send = async (text) => {
      const bytes = new TextEncoder().encode(text);
      for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
    };
    await send("POST /expose HTTP/1.1\\r\\nHost: localhost\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n");
    try {
      for (let count = 0; count < 100; count += 1) await send("1\\r\\n \\r\\n".repeat(10_000));
    } catch { /* it was cut */ }
    conn.close();
    postMessage("sent");
  `;
  const worker = new Worker(`data:application/javascript,${encodeURIComponent(script)}`, {
    type: "module",
  });
  const sent = new Promise((resolve) => worker.onmessage = resolve);
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  await soon(sent, "it has sent", { timeoutMs: 30_000 });
  clearInterval(timer);
  worker.terminate();
  ok(longest < 150, `${Math.round(longest)} ms`);
});

Deno.test("a connection serves one request after the other", async () => {
  await using server = await startRest();
  using conn = await server.connect();
  const buffer = new Uint8Array(1000);
  for (let count = 0; count < 3; count += 1) {
    await writeAll(conn, encoder.encode(KEPT));
    const length = await soon(conn.read(buffer), "it is answered");
    match(decoder.decode(buffer.subarray(0, length ?? 0)), /keep-alive[^]*OK$/);
  }
});

Deno.test("a client that has said all it wants to say gets its answer", async () => {
  await using server = await startRest();
  using conn = await server.connect();
  await writeAll(conn, encoder.encode(KEPT));
  await conn.closeWrite();
  match(decoder.decode(await readAll(conn)), /OK$/);
});

Deno.test("an address that is taken is an error in a sentence", async () => {
  await using server = await startRest();
  const again = serveHttp({ bind: { host: "127.0.0.1", port: server.port } }, {
    fetch: () => Promise.resolve(new Response()),
    tls: undefined,
    logger: getLogger(["test"]),
  });
  const error = await again.then(() => undefined, (error: unknown) => error);
  ok(error instanceof ConnectorError);
  strictEqual(
    error.message,
    `Cannot serve the REST API on 127.0.0.1:${server.port}: the port is already in use`,
  );
  strictEqual(statusOf(await server.send(request("GET /health"))), 200);
});

/** Connects from one of this machine's own addresses, all of 127.0.0.0/8 on Linux. */
async function connectFrom(localAddress: string, port: number): Promise<Socket & Disposable> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => undefined);
  await soon(once(socket, "connect"), "it connects");
  return Object.assign(socket, { [Symbol.dispose]: () => void socket.destroy() });
}
