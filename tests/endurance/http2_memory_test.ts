// What strangers can make a connector hold, measured in its process: by headers that unpack, by data that they do not read,
// and by an acceptor that it dials.

import { ok, strictEqual } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { type ConnectorProcess, spawnConnector } from "../support/processes.ts";
import {
  ACK,
  beginCall,
  concat,
  END_HEADERS,
  field,
  FIRST_MESSAGE,
  FRAME,
  frame,
  hpackBomb,
  messageFrame,
  OPEN_STREAM,
  RawClient,
  residentMib,
  setting,
  uint32,
} from "../support/http2_frames.ts";
import { freePort, until } from "../support/world.ts";

/** What an attack may add, in MiB: the runtime itself takes some for a burst of connections. */
const MOST_MIB = 60;
/** /proc is there. */
const linux = { ignore: Deno.build.os !== "linux" };
/** As wide as windows can be, for a call and for its connection. */
const WIDE = concat(
  frame(FRAME.settings, { payload: setting(4, 2 ** 31 - 1) }),
  frame(FRAME.windowUpdate, { payload: uint32(2 ** 31 - 1 - 65_535) }),
);

/** Runs an attack and holds what the connector has taken for it against the bound. */
async function costsLittle(
  connector: ConnectorProcess,
  attack: () => Promise<void>,
): Promise<void> {
  const before = await residentMib(connector.pid);
  await attack();
  const grown = await residentMib(connector.pid) - before;
  ok(grown < MOST_MIB, `it took ${grown.toFixed()} MiB`);
  await until(
    async () => (await connector.rest.request("GET", "/health")).status === 200,
    "it is healthy",
  );
}

for (const acks of [true, false]) {
  Deno.test(
    `headers that unpack to 50 MB each are not kept, of a client that ${
      acks ? "confirms" : "does not confirm"
    } the settings`,
    linux,
    async () => {
      await using connector = await spawnConnector();
      await costsLittle(connector, async () => {
        for (let count = 0; count < 5; count += 1) {
          using client = await RawClient.connect(connector.grpcPort, { acks });
          for (let stream = 1; client.open && stream < 1000; stream += 2) {
            await client.send(hpackBomb(stream, { first: stream === 1 }));
          }
        }
      });
    },
  );
}

Deno.test(
  "a peer with wide windows that reads nothing holds back what visitors send",
  linux,
  async () => {
    await using connector = await spawnConnector();
    const port = freePort();
    using peer = await RawClient.connect(connector.grpcPort, { deaf: true });
    await peer.send(WIDE, beginCall(1, OPEN_STREAM), messageFrame(1, FIRST_MESSAGE));
    await peer.send(messageFrame(1, exposeMessage(port)));
    await until(
      () => Deno.connect({ port }).then((conn) => (conn.close(), true), () => false),
      "the service listens",
    );
    await costsLittle(connector, async () => {
      using visitor = await Deno.connect({ port });
      const chunk = new Uint8Array(256 * 1024);
      let taken = 0;
      let since = performance.now();
      const sending = (async () => {
        while (taken < 512 * 1024 * 1024) {
          taken += await visitor.write(chunk);
          since = performance.now();
        }
      })().catch(() => {});
      await until(() => performance.now() - since > 1_000, "no more is taken", {
        timeoutMs: 30_000,
      });
      ok(taken < 100 * 1024 * 1024, `${taken} bytes were taken`);
      visitor.close();
      await sending;
    });
  },
);

for (const kind of ["headers", "messages", "pings", "settings"] as const) {
  Deno.test(`an acceptor that answers with a flood of ${kind} is left`, linux, async () => {
    using acceptor = new RawAcceptor(kind);
    await using connector = await spawnConnector();
    await costsLittle(connector, async () => {
      // It never becomes complete: nobody waits for that.
      const { status } = await connector.rest.request("POST", "/expose", {
        body: {
          name: "test",
          source_port: 1,
          remote_connector_addr: `127.0.0.1:${acceptor.port}`,
          destination_addr: "127.0.0.1:1",
          type: "local",
        },
      });
      strictEqual(status, 200);
      await until(() => acceptor.left >= 3, "it was dialled, and left, three times", {
        timeoutMs: 30_000,
      });
    });
  });
}

/** What a peer of the reference dialect says to expose a service here: field numbers are those of proto/. */
function exposeMessage(port: number): Uint8Array {
  const text = (number: number, value: string) =>
    Uint8Array.of(number << 3 | 2, value.length, ...new TextEncoder().encode(value));
  const nested = (number: number, value: Uint8Array) =>
    concat(Uint8Array.of(number << 3 | 2, value.length), value);
  const service = concat(
    text(1, "id"),
    text(2, "name"),
    text(3, "x:1"),
    text(4, "127.0.0.1:1"),
    Uint8Array.of(5 << 3, port & 0x7f | 0x80, port >> 7 & 0x7f | 0x80, port >> 14),
  );
  return concat(text(1, "id"), nested(4, nested(1, service)));
}

/** An acceptor that answers whoever dials it with a flood, until it is left. */
class RawAcceptor implements Disposable {
  /** How often it was left. */
  left = 0;
  readonly #listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  readonly #conns = new Set<Deno.TcpConn>();

  constructor(kind: "headers" | "messages" | "pings" | "settings") {
    this.#accept(kind);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(kind: "headers" | "messages" | "pings" | "settings"): Promise<void> {
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      this.#serve(conn, kind).catch(() => {}).then(() => {
        this.left += 1;
        this.#conns.delete(conn);
        try {
          conn.close();
        } catch {
          // It is closed already.
        }
      });
    }
  }

  async #serve(conn: Deno.TcpConn, kind: string): Promise<void> {
    const send = async (bytes: Uint8Array) => {
      while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
    };
    const chunk = new Uint8Array(64 * 1024);
    await conn.read(chunk);
    await send(concat(frame(FRAME.settings), frame(FRAME.settings, { flags: ACK })));
    // The call begins once the settings have been read.
    await conn.read(chunk);
    const reading = (async () => {
      while (await conn.read(chunk) !== null);
      throw new Error("it has left");
    })();
    await Promise.race([reading, this.#flood(send, kind)]);
  }

  async #flood(send: (bytes: Uint8Array) => Promise<void>, kind: string): Promise<void> {
    const answer = (...more: Uint8Array[]) =>
      frame(FRAME.headers, {
        flags: END_HEADERS,
        stream: 1,
        payload: concat(
          field(":status", "200"),
          field("content-type", "application/grpc"),
          ...more,
        ),
      });
    const bomb = gzipSync(new Uint8Array(3_000_000));
    if (kind === "messages") await send(answer(field("grpc-encoding", "gzip")));
    for (let count = 0; count < 100_000; count += 1) {
      switch (kind) {
        case "headers":
          await send(hpackBomb(1, { path: "", first: count === 0 }));
          break;
        case "messages":
          await send(messageFrame(1, bomb, { compressed: true }));
          break;
        case "pings":
          await send(frame(FRAME.ping, { payload: new Uint8Array(8) }));
          break;
        default:
          await send(frame(FRAME.settings, { payload: setting(4, 65_535) }));
      }
    }
    throw new Error("it has stayed");
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const conn of this.#conns) {
      try {
        conn.close();
      } catch {
        // It is closed already.
      }
    }
  }
}
