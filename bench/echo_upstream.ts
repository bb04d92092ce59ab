// The upstream of the idle-visitors and stuck-reader benches, a program of its own: one port echoes,
// the other accepts and never reads.
//
//   deno run --allow-net bench/echo_upstream.ts
//
// It prints both ports.

/** One read, in bytes: the visitors send a few at a time, and there are thousands of them. */
const READ_BYTES = 64;

if (import.meta.main) {
  const echoing = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stuck = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(`echo ${echoing.addr.port} stuck ${stuck.addr.port}`);
  await Promise.all([acceptEchoing(echoing), acceptStuck(stuck)]);
}

async function acceptEchoing(listener: Deno.Listener): Promise<void> {
  for await (const client of listener) void echo(client);
}

async function acceptStuck(listener: Deno.Listener): Promise<void> {
  // Kept, so that no collected socket is closed: they stay open until this program ends.
  const held: Deno.Conn[] = [];
  for await (const client of listener) held.push(client);
}

async function echo(client: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  try {
    for (;;) {
      const length = await client.read(buffer);
      if (length === null) break;
      for (let written = 0; written < length;) {
        written += await client.write(buffer.subarray(written, length));
      }
    }
  } catch (error) {
    // It ends this one only; whoever is at the other end notices.
    console.error(`a client failed: ${error}`);
  } finally {
    client.close();
  }
}
