// The HTTP/2 receive windows are in force, seen from the other end of a plain HTTP/2 connection. They hang
// on members that grpc-js keeps private: these tests fail when a new version moves them.

import { strictEqual } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, createServer, type Http2Session, type ServerHttp2Session } from "node:http2";
import { RECEIVE_WINDOW_BYTES } from "../../src/grpc/windows.ts";
import { freePort, settle, startConnector, until } from "../support/world.ts";

/** One gRPC message of 64 KiB, with its prefix. */
const MESSAGE = Buffer.alloc(5 + 64 * 1024);
MESSAGE.writeUInt32BE(64 * 1024, 1);
/** A ping, as diallers send it first. */
const PING = Buffer.from([0, 0, 0, 0, 2, 0x5a, 0]);

Deno.test("a call that nobody reads takes what the window allows, and no more", async () => {
  await using ours = await startConnector();
  // Links are dropped as they come: nobody reads.
  ours.connector.accept = () => {};
  const session = connect(`http://${ours.address}`);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "POST",
    ":path": "/shipyard.RemoteConnection/OpenStream",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  let taken = 0;
  let since = performance.now();
  const send = () => {
    // The next one follows only when HTTP/2 has taken this one.
    stream.write(MESSAGE, (error) => {
      if (error) return;
      taken += MESSAGE.length;
      since = performance.now();
      send();
    });
  };
  send();
  await until(() => performance.now() - since > 500, "no more is taken");
  const closed = once(session, "close");
  session.destroy();
  await closed;
  await settle();
  strictEqual(
    taken >= RECEIVE_WINDOW_BYTES - 2 * MESSAGE.length,
    true,
    `only ${taken} bytes taken`,
  );
  // grpc-js reads a few messages ahead.
  strictEqual(taken <= RECEIVE_WINDOW_BYTES + 32 * MESSAGE.length, true, `${taken} bytes taken`);
});

Deno.test("our server announces the window, for the connection once a link has sent a message", async () => {
  await using ours = await startConnector();
  const session = connect(`http://${ours.address}`);
  await once(session, "remoteSettings");
  strictEqual(isWide(session), false);
  const stream = session.request({
    ":method": "POST",
    ":path": "/shipyard.RemoteConnection/OpenStream",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  stream.write(PING);
  await until(() => isWide(session), "the window is wide");
  const closed = once(session, "close");
  session.destroy();
  await closed;
  await settle();
});

Deno.test("our client announces the window, for the call and for its connection", async () => {
  const server = createServer();
  const port = freePort();
  server.listen(port, "127.0.0.1");
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  {
    await using ours = await startConnector();
    await ours.connector.expose({
      name: "test",
      sourcePort: 1,
      remoteConnectorAddr: `127.0.0.1:${port}`,
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
    await until(() => sessions.some(isWide), "the window is wide");
  }
  for (const session of sessions) session.destroy();
  await new Promise((resolve) => server.close(resolve));
  await settle();
});

/** Whether the other end of a connection takes a whole window, from one call and from all together. */
function isWide({ remoteSettings, state }: Http2Session): boolean {
  return remoteSettings?.initialWindowSize === RECEIVE_WINDOW_BYTES &&
    (state.remoteWindowSize ?? 0) >= RECEIVE_WINDOW_BYTES - PING.length;
}
