// The baseline: one hop of a plain TCP relay with `Deno.Conn`, as a program of its own. Two of them
// in a row have as many processes and sockets as two connectors, and do nothing but copy.
//
//   deno run --allow-net bench/relay.ts TARGET_PORT
//
// It prints the port that it listens on. Both ends are on 127.0.0.1.

/** One read, in bytes; a buffer for each direction of each visitor. */
const BUFFER_BYTES = 64 * 1024;

if (import.meta.main) {
  const target = Number(Deno.args[0]);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(`listening on ${listener.addr.port}`);
  for await (const visitor of listener) void relay(visitor, target);
}

/** Copies both ways between a visitor and a new connection to the target, until both have ended. */
async function relay(visitor: Deno.TcpConn, target: number): Promise<void> {
  let upstream: Deno.TcpConn | undefined;
  try {
    upstream = await Deno.connect({ hostname: "127.0.0.1", port: target });
    visitor.setNoDelay(true);
    upstream.setNoDelay(true);
    await Promise.all([copy(visitor, upstream), copy(upstream, visitor)]);
  } catch (error) {
    // It ends this visitor only; the load generator counts it.
    console.error(`a visitor failed: ${error}`);
  } finally {
    visitor.close();
    upstream?.close();
  }
}

async function copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (;;) {
    const length = await from.read(buffer);
    if (length === null) break;
    for (let written = 0; written < length;) {
      written += await to.write(buffer.subarray(written, length));
    }
  }
  await to.closeWrite();
}
