// WebSockets through the tunnel: an HTTP upgrade, then messages both ways for as long as either side wants.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { exposeService, spawnPair } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { randomBytes } from "../support/world.ts";

/** One message that is larger than windows and buffers at the start of a connection. */
const BIG_BYTES = 5_000_000;

Deno.test("a WebSocket carries text and bytes both ways, and the code that it is closed with", async () => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, echo);
  await using pair = await spawnPair();
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeService(pair.local, {
      to: pair.remote.address,
      type,
      destination: server.addr.port,
    });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    socket.binaryType = "arraybuffer";
    const received: unknown[] = [];
    let wake = () => {};
    socket.onmessage = ({ data }) => {
      received.push(data);
      wake();
    };
    const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
    const messages = async (count: number) => {
      while (received.length < count) await new Promise<void>((resolve) => wake = resolve);
    };
    // The server speaks first.
    await soon(messages(1), "the server has greeted");
    deepStrictEqual(received.slice(), ["hello at /chat"]);

    const big = randomBytes(BIG_BYTES);
    const texts = Array.from({ length: 200 }, (_, index) => `message ${index}`);
    for (const text of texts) socket.send(text);
    socket.send(big);
    await soon(messages(1 + texts.length + 1), "everything was echoed");
    deepStrictEqual(received.slice(1, -1), texts);
    const last = received.at(-1);
    if (!(last instanceof ArrayBuffer)) throw new TypeError("bytes come back as bytes");
    deepStrictEqual(new Uint8Array(last), big);

    socket.send("bye");
    const { code, reason, wasClean } = await soon(closed, "the server has closed");
    deepStrictEqual({ code, reason, wasClean }, { code: 4001, reason: "bye", wasClean: true });
    strictEqual(received.length, 1 + texts.length + 1);
  }
});

/** Greets, sends everything back, and closes with a code of its own on "bye". */
function echo(request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(`hello at ${new URL(request.url).pathname}`);
  socket.onmessage = ({ data }) => {
    if (data === "bye") socket.close(4001, "bye");
    else socket.send(data);
  };
  return response;
}
