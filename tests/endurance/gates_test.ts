// Connections at the gRPC port that are no links, and calls that are never whole: they are ended, and others are served.

import { match, ok, strictEqual } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { hello } from "../../src/mux/negotiation.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { type LinkListener, listenForLinks, type ListenOptions } from "../support/grpc_links.ts";
import {
  beginCall,
  concat,
  END_STREAM,
  FIRST_MESSAGE,
  FRAME,
  frame,
  LIST_SERVICES,
  messageFrame,
  OPEN_STREAM,
  RawClient,
  uint32,
} from "../support/http2_frames.ts";
import { soon } from "../support/soon.ts";
import { until } from "../support/world.ts";

/** Soon for a test, late enough for a busy machine to open a connection. */
const QUICK: NonNullable<ListenOptions["gates"]> = { idleMs: 1_500, requestMs: 500 };

interface Listening extends AsyncDisposable {
  listener: LinkListener;
  refused: string[];
}

async function listen(gates = QUICK): Promise<Listening> {
  const refused: string[] = [];
  const listener = await listenForLinks({
    answer: hello(DEFAULT_LIMITS),
    gates,
    onRefused: (_, { reason }) => refused.push(reason),
  });
  return { listener, refused, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

/** Frames of a kind that came to a client, of one call. */
function came(client: RawClient, type: number, stream: number) {
  return client.frames.filter((each) => each.type === type && each.stream === stream);
}

Deno.test("a connection without a call is told to leave, and its end is no fault", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  await soon(client.ended, "the connection has ended");
  const [goAway] = client.frames.filter(({ type }) => type === FRAME.goAway);
  ok(goAway);
  strictEqual(new DataView(goAway.payload.buffer).getUint32(4), 0);
  strictEqual(world.refused.length, 0);
});

Deno.test("a client of control calls may wait between them, and then is told to leave", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  const call = (stream: number) =>
    client.send(
      beginCall(stream, LIST_SERVICES),
      messageFrame(stream, new Uint8Array(), { flags: END_STREAM }),
    );
  const answered = (stream: number) =>
    until(
      () => came(client, FRAME.headers, stream).some(({ flags }) => flags & END_STREAM),
      `call ${stream} is answered`,
    );
  await call(1);
  await answered(1);
  const since = performance.now();
  await until(() => performance.now() - since > 900, "it has waited longer than for a first call");
  await call(3);
  await answered(3);
  await soon(client.ended, "the connection has ended");
});

Deno.test("a link over which something has come stays, however silent it is then", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE));
  const link = await world.listener.next();
  let ended = false;
  link.closed.then(() => ended = true);
  const since = performance.now();
  await until(() => performance.now() - since > 3_000, "every deadline has passed");
  ok(client.open);
  ok(!ended);
});

Deno.test("a link over which nothing comes is ended with a reason, then its connection", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, OPEN_STREAM));
  const link = await world.listener.next();
  const reason = await soon(link.closed, "the link has ended");
  strictEqual(reason?.code, "deadline_exceeded");
  match(reason?.message ?? "", /sent nothing for 0\.5 s/);
  await soon(client.ended, "the connection has ended");
});

Deno.test("the first message of a link that never is whole is not waited for", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  const head = Uint8Array.of(0, ...uint32(60_000));
  await client.send(
    beginCall(1, OPEN_STREAM),
    frame(FRAME.data, { stream: 1, payload: concat(head, new Uint8Array(10_000)) }),
  );
  const link = await world.listener.next();
  strictEqual((await soon(link.closed, "the link has ended"))?.code, "deadline_exceeded");
});

Deno.test("a control call that is never whole is ended", async () => {
  await using world = await listen();
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, LIST_SERVICES), beginCall(3, "/nothing/Here"));
  await until(
    () => [1, 3].every((stream) => came(client, FRAME.reset, stream).length > 0),
    "both calls are reset",
  );
  match(world.refused[0] ?? "", /did not send the request of a control call in time/);
});

Deno.test("the request of a control call has a bound, whatever its length is said to be", async () => {
  await using world = await listen({});
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, LIST_SERVICES));
  const part = frame(FRAME.data, { stream: 1, payload: new Uint8Array(16_000) });
  await client.send(
    frame(FRAME.data, { stream: 1, payload: Uint8Array.of(0, ...uint32(4_000_000)) }),
  );
  for (let sent = 0; sent < 9; sent += 1) {
    await client.send(part);
    await until(
      () =>
        sent < 3 || client.frames.some(({ type }) => type === FRAME.windowUpdate) ||
        came(client, FRAME.reset, 1).length > 0,
      "there is room for more",
    );
  }
  await until(() => came(client, FRAME.reset, 1).length > 0, "the call is reset");
  match(world.refused[0] ?? "", /the request of a control call is larger than 131072 bytes/);
});

for (const path of [OPEN_STREAM, LIST_SERVICES]) {
  Deno.test(`messages that are compressed are refused: ${path}`, async () => {
    await using world = await listen({});
    using client = await RawClient.connect(world.listener.port);
    await client.send(
      beginCall(1, path, ["grpc-encoding", "gzip"]),
      messageFrame(1, gzipSync(new Uint8Array(3_000_000)), { compressed: true }),
    );
    await until(
      () => came(client, FRAME.headers, 1).some(({ flags }) => flags & END_STREAM),
      "the call is answered",
    );
    strictEqual(world.listener.links.length, 0);
  });
}

Deno.test("a connection has four links, and as many tries before the first message", async () => {
  await using world = await listen({});
  using client = await RawClient.connect(world.listener.port);
  for (let stream = 1; stream < 200; stream += 2) {
    await client.send(
      beginCall(stream, OPEN_STREAM),
      frame(FRAME.reset, { stream, payload: uint32(8) }),
    );
  }
  // Its answer comes after all of them were looked at.
  await client.send(
    beginCall(201, LIST_SERVICES),
    messageFrame(201, new Uint8Array(), { flags: END_STREAM }),
  );
  await until(
    () => came(client, FRAME.headers, 201).some(({ flags }) => flags & END_STREAM),
    "the control call is answered",
  );
  ok(world.listener.links.length <= 4, `${world.listener.links.length} links`);
});

Deno.test("an address that makes thousands of control calls at once is cut off, and the server goes on", async () => {
  await using world = await listen({});
  const clients = await Promise.all(
    Array.from({ length: 40 }, () => RawClient.connect(world.listener.port)),
  );
  using _clients = { [Symbol.dispose]: () => clients.forEach((each) => each[Symbol.dispose]()) };
  const call = (stream: number) =>
    concat(
      beginCall(stream, LIST_SERVICES),
      messageFrame(stream, new Uint8Array(), { flags: END_STREAM }),
    );
  const calls = concat(...Array.from({ length: 32 }, (_, index) => call(2 * index + 1)));
  await Promise.all(clients.map((each) => each.send(calls)));
  await until(() => clients.some(({ open }) => !open), "some are cut");
  match(world.refused.join("\n"), /its address makes too many control calls/);
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE));
  ok(await world.listener.next());
});

Deno.test("a message that comes byte by byte ends its link", async () => {
  await using world = await listen({});
  using client = await RawClient.connect(world.listener.port);
  await client.send(beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE));
  const link = await world.listener.next();
  await link.receive();
  await client.send(
    frame(FRAME.data, { stream: 1, payload: Uint8Array.of(0, ...uint32(1_000_000)) }),
  );
  const byte = frame(FRAME.data, { stream: 1, payload: new Uint8Array(1) });
  await client.send(...Array.from({ length: 20_000 }, () => byte));
  const reason = await soon(link.closed, "the link has ended");
  match(reason?.message ?? "", /a message in more than 16384 pieces/);
});

Deno.test("a new connection has HTTP/2's own window, a link has a wide one", async () => {
  await using world = await listen({});
  using client = await RawClient.connect(world.listener.port);
  await until(() => client.frames.length >= 2, "the server has spoken");
  strictEqual(came(client, FRAME.windowUpdate, 0).length, 0);
  await client.send(beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE));
  await until(() => came(client, FRAME.windowUpdate, 0).length > 0, "the window has grown");
});
