// Tests over loopback, at every start and in a few milliseconds, whether a kind of sockets does
// what the program needs. The runtime does not promise how its handles behave (handles/handle.ts);
// a newer runtime must not leave a connector that accepts nobody.

import { reasonOf } from "../model/errors.ts";
import type { Conn } from "./conn.ts";
import type { Network } from "./network.ts";

/**
 * The longest that it may take, in milliseconds. It takes less than ten; but on a machine that is starting everything at once, a
 * turn of the event loop can take a thousand times as long as usual.
 */
const TIMEOUT_MS = 3000;
const LOOPBACK = "127.0.0.1";

/** What did not work, and why, in words; undefined when everything did. Never rejects. */
export async function selfTest(
  network: Network,
  { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<string | undefined> {
  using test = new SelfTest(network, timeoutMs);
  const { promise: late, resolve: end } = Promise.withResolvers<string>();
  const timer = setTimeout(() => end(`nothing in ${timeoutMs / 1000} s`), timeoutMs);
  try {
    const reason = await Promise.race([test.run().then(() => undefined, reasonOf), late]);
    return reason === undefined ? undefined : `${test.step}: ${reason}`;
  } finally {
    clearTimeout(timer);
  }
}

/** One run, and what it has opened. */
class SelfTest implements Disposable {
  /** What is being tried. */
  step = "listen";
  readonly #network: Network;
  readonly #timeoutMs: number;
  readonly #opened = new DisposableStack();

  constructor(network: Network, timeoutMs: number) {
    this.#network = network;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws what kept `step` from working. */
  async run(): Promise<void> {
    const accepted = Promise.withResolvers<Conn>();
    const { port } = this.#opened.use(
      this.#network.listen(
        0,
        (conn) => accepted.resolve(this.#own(conn)),
        { hosts: [LOOPBACK] },
      ),
    );
    this.step = "connect";
    const dial = this.#opened.use(
      this.#network.dial({ host: LOOPBACK, port }, this.#timeoutMs),
    );
    const client = this.#own(await dial.conn);
    this.step = "accept";
    const server = await accepted.promise;
    this.step = "write and read";
    await client.write(Uint8Array.of(1));
    await expectByte(server, 1);
    this.step = "half-close";
    await client.finish();
    await expectEnd(server);
    await server.write(Uint8Array.of(2));
    await expectByte(client, 2);
    if (!this.#network.canReset) return;
    this.step = "reset";
    const reading = client.read().then(() => false, () => true);
    server.reset("closing", "a test");
    if (!await reading) throw new Error("it arrived as an end");
  }

  [Symbol.dispose](): void {
    this.#opened.dispose();
  }

  #own(conn: Conn): Conn {
    if (this.#opened.disposed) conn.close();
    else this.#opened.defer(() => conn.close());
    return conn;
  }
}

async function expectByte(conn: Conn, wanted: number): Promise<void> {
  const bytes = await conn.read();
  if (bytes?.length === 1 && bytes[0] === wanted) return;
  throw new Error(bytes === null ? "it ended" : "what arrived is not what was sent");
}

async function expectEnd(conn: Conn): Promise<void> {
  if (await conn.read() !== null) throw new Error("what arrived was never sent");
}
