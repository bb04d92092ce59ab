// The two relays that the bench stands on: a baseline that lost bytes, or a delay that was none,
// would make every ratio wrong. Each runs as the program that it is.

import assert from "node:assert/strict";

import { ProcessGroup } from "../../bench/processes.ts";
import { startProgram } from "../../bench/upstreams.ts";

/** More than the relays' buffers and the sockets' together. */
const UPLOAD_BYTES = 24 * 1024 * 1024;
const DELAY_MS = 40;

for (
  const [name, program] of [
    ["relay", ["relay.ts"]],
    ["relay with a delay", ["delay_relay.ts", "5"]],
  ] as const
) {
  Deno.test(`${name}: every byte arrives, and the answer follows the half-close`, async () => {
    await using processes = new ProcessGroup();
    using upstream = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const [file, ...rest] = program;
    const port = await startProgram(processes, file, String(upstream.addr.port), ...rest);

    const sent = new Uint8Array(UPLOAD_BYTES);
    for (let index = 0; index < sent.length; index += 4096) sent[index] = index / 4096 % 256;
    const wanted = await digest(sent);
    const answering = answerWithDigest(upstream);
    using visitor = await Deno.connect({ hostname: "127.0.0.1", port });
    await writeAll(visitor, sent);
    await visitor.closeWrite();
    const answer = await readToEnd(visitor);
    await answering;

    assert.deepEqual(answer, wanted);
  });
}

Deno.test("relay with a delay: no byte is early in either direction", async () => {
  await using processes = new ProcessGroup();
  using upstream = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const target = String(upstream.addr.port);
  const port = await startProgram(processes, "delay_relay.ts", target, String(DELAY_MS));
  using visitor = await Deno.connect({ hostname: "127.0.0.1", port });
  using accepted = await upstream.accept();

  for (const [from, to] of [[visitor, accepted], [accepted, visitor]] as const) {
    const before = performance.now();
    await from.write(Uint8Array.of(7));
    const buffer = new Uint8Array(1);
    await to.read(buffer);
    const took = performance.now() - before;
    assert.deepEqual([...buffer], [7]);
    // Timers may fire a millisecond early.
    assert.ok(took >= DELAY_MS - 1, `it took ${took} ms`);
  }
});

Deno.test("relay with a rate: no byte is early in either direction", async () => {
  await using processes = new ProcessGroup();
  using upstream = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const target = String(upstream.addr.port);
  const port = await startProgram(processes, "delay_relay.ts", target, "1", "800");
  using visitor = await Deno.connect({ hostname: "127.0.0.1", port });
  using accepted = await upstream.accept();

  for (const [from, to] of [[visitor, accepted], [accepted, visitor]] as const) {
    const before = performance.now();
    await writeAll(from, new Uint8Array(20_000));
    for (let length = 0; length < 20_000;) {
      length += await to.read(new Uint8Array(20_000)) ?? 20_000;
    }
    const took = performance.now() - before;
    // 100 bytes a millisecond.
    assert.ok(took >= 198, `it took ${took} ms`);
  }
});

Deno.test("a process group ends its processes when it is disposed", async () => {
  const processes = new ProcessGroup();
  const port = await startProgram(processes, "relay.ts", "9");
  await processes[Symbol.asyncDispose]();
  await assert.rejects(
    Deno.connect({ hostname: "127.0.0.1", port }),
    Deno.errors.ConnectionRefused,
  );
  await assert.rejects(processes.start(["true"]), /the bench is ending/);
});

Deno.test("a server that ends unasked is noted, one that was told to is not", async () => {
  await using processes = new ProcessGroup();
  const told = await processes.start([Deno.execPath(), "eval", "setInterval(() => {}, 1000)"]);
  await told[Symbol.asyncDispose]();
  const unasked = await processes.start([
    ...[Deno.execPath(), "eval"],
    "console.log('ready'); console.error('oh no'); Deno.exit(4)",
  ], { ready: /^ready$/ });
  await unasked.exited;
  assert.equal(processes.casualties.length, 1);
  assert.match(processes.casualties[0] ?? "", /ended with code 4: (ready\n)?oh no/);
});

Deno.test("a program that fails is reported with its code and its last words", async () => {
  await using processes = new ProcessGroup();
  await assert.rejects(
    processes.run([Deno.execPath(), "eval", "console.error('no luck'); Deno.exit(3)"], {
      timeoutMs: 20_000,
    }),
    /ended with code 3: no luck/,
  );
});

Deno.test("a server that ends before it is ready is reported with its last words", async () => {
  await using processes = new ProcessGroup();
  await assert.rejects(
    processes.start([Deno.execPath(), "eval", "console.error('port taken'); Deno.exit(1)"], {
      ready: /^listening/,
    }),
    /ended with code 1 before it was ready: port taken/,
  );
});

Deno.test("a program that does not end in time is killed", async () => {
  await using processes = new ProcessGroup();
  await assert.rejects(
    processes.run([Deno.execPath(), "eval", "setInterval(() => {}, 1000)"], { timeoutMs: 200 }),
    /ended with SIGKILL/,
  );
});

async function answerWithDigest(listener: Deno.Listener): Promise<void> {
  using conn = await listener.accept();
  await writeAll(conn, await digest(await readToEnd(conn)));
  await conn.closeWrite();
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await conn.write(bytes.subarray(written));
  }
}

async function readToEnd(conn: Deno.Conn): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const length = await conn.read(buffer);
    if (length === null) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(buffer.slice(0, length));
  }
}
