// An end that a connection reads while a write of its own is under way, in orders that real sockets meet by chance only:
// the handle here is a double with the runtime's calls.

import { rejects, strictEqual } from "node:assert/strict";
import process from "node:process";
import { HandleConn } from "../../src/net/handles/conn.ts";
import { EOF, type Request, type TcpHandle } from "../../src/net/handles/handle.ts";

const BROKEN_PIPE = -32;
const NOT_CONNECTED = -107;

/** A connection whose writes are under way until the test says otherwise. */
function connection({ knowsPeer }: { knowsPeer: boolean }): {
  conn: HandleConn;
  writes: Request[];
  readEnd: () => void;
} {
  const { binding } = process as unknown as { binding: (module: string) => unknown };
  const { streamBaseState, kLastWriteWasAsync } = binding("stream_wrap") as {
    streamBaseState: Int32Array;
    kLastWriteWasAsync: number;
  };
  const writes: Request[] = [];
  const handle = {
    useUserBuffer() {},
    readStart: () => 0,
    readStop: () => 0,
    setNoDelay: () => 0,
    setKeepAlive: () => 0,
    getpeername: () => knowsPeer ? 0 : NOT_CONNECTED,
    writeBuffer(request: Request) {
      writes.push(request);
      streamBaseState[kLastWriteWasAsync] = 1;
      return 0;
    },
    reset: () => 0,
    close() {},
  } as unknown as TcpHandle;
  const conn = HandleConn.over(handle, "peer:1");
  return { conn, writes, readEnd: () => handle.onread.call(handle, undefined, EOF) };
}

Deno.test("a reset that a write under way has met is no orderly end for the read", async () => {
  const { conn, writes, readEnd } = connection({ knowsPeer: false });
  const writing = rejects(conn.write(new Uint8Array(1)), /closed by peer/);
  const reading = rejects(conn.read(), /closed by peer/);
  readEnd();
  writes[0]?.oncomplete(BROKEN_PIPE);
  await Promise.all([writing, reading]);
  conn.close();
});

Deno.test("an end is one when the write under way succeeds after all", async () => {
  const { conn, writes, readEnd } = connection({ knowsPeer: false });
  const writing = conn.write(new Uint8Array(1));
  const reading = conn.read();
  readEnd();
  writes[0]?.oncomplete(0);
  await writing;
  strictEqual(await reading, null);
  conn.close();
});

Deno.test("a half-close is passed on while a write waits for a slow reader", async () => {
  const { conn, readEnd } = connection({ knowsPeer: true });
  const writing = rejects(conn.write(new Uint8Array(1)), /was closed/);
  const reading = conn.read();
  readEnd();
  strictEqual(await reading, null);
  conn.close();
  await writing;
});
