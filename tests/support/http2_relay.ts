// What a reverse proxy does to HTTP/2 on the way, without one: a relay between a dialler and an acceptor that passes frames on
// as they are, and puts its own among those for the dialler. What the dialler says to it alone, it keeps.

import { concat, FRAME, frame, PREFACE, uint32 } from "./http2_frames.ts";
import { connectionsOf, writeAll } from "./world.ts";

/** The highest number of a call: a GOAWAY with it lets all finish (RFC 9113 section 6.8). */
const ALL_CALLS = 2 ** 31 - 1;
/** The only call of a link. */
const CALL = 1;

/** What a GOAWAY says. */
export interface GoAwayOptions {
  /** The last call that is processed. Default: all. */
  last?: number;
  /** RFC 9113 section 7. Default: nothing is wrong. */
  code?: number;
  text?: string;
}

/** How a relay treats connections. */
export interface RelayOptions {
  /** Called for each once the acceptor's first headers have been passed on. */
  onAnswered?: (connection: RelayedConnection) => void;
  /** Called for each once the dialler's first headers have come, which are kept. */
  onCall?: (connection: RelayedConnection) => void;
  /** Whether the acceptor gets the GOAWAY of a dialler. Default: no, as behind a proxy. */
  passGoAway?: boolean;
}

/** One connection of a dialler. */
export class RelayedConnection {
  readonly #dialler: Deno.TcpConn;
  readonly #acceptor: Deno.TcpConn;
  /** Writes to the dialler, in order. */
  #writing: Promise<void> = Promise.resolve();
  /** Bytes of calls that have gone to the dialler. */
  bytes = 0;
  open = true;

  constructor(dialler: Deno.TcpConn, acceptor: Deno.TcpConn) {
    this.#dialler = dialler;
    this.#acceptor = acceptor;
  }

  /** Tells the dialler that no more calls are taken. */
  goAway({ last = ALL_CALLS, code = 0, text = "" }: GoAwayOptions = {}): void {
    const payload = concat(uint32(last), uint32(code), new TextEncoder().encode(text));
    this.#send(frame(FRAME.goAway, { payload }));
  }

  /** Ends the call without a status. */
  reset(code: number): void {
    this.#send(frame(FRAME.reset, { stream: CALL, payload: uint32(code) }));
  }

  /** Closes both connections. */
  cut(): void {
    if (!this.open) return;
    this.open = false;
    for (const conn of [this.#dialler, this.#acceptor]) {
      try {
        conn.close();
      } catch {
        // It was closed by its other end.
      }
    }
  }

  /** Passes frames on until either end closes. */
  async run({ onAnswered, onCall, passGoAway = false }: RelayOptions): Promise<void> {
    let called = false;
    let answered = false;
    await Promise.race([
      this.#pump(this.#dialler, {
        head: PREFACE.length,
        take: (bytes, type) => {
          if (type === FRAME.headers && !called) {
            called = true;
            onCall?.(this);
          }
          const kept = called && onCall || type === FRAME.goAway && !passGoAway;
          return kept ? Promise.resolve() : writeAll(this.#acceptor, bytes);
        },
      }),
      this.#pump(this.#acceptor, {
        head: 0,
        take: async (bytes, type) => {
          if (type === FRAME.data) this.bytes += bytes.length;
          await this.#send(bytes);
          if (type !== FRAME.headers || answered) return;
          answered = true;
          onAnswered?.(this);
        },
      }),
    ]);
    this.cut();
  }

  #send(bytes: Uint8Array): Promise<void> {
    // A connection that was closed meanwhile is noticed by whoever reads it.
    this.#writing = this.#writing.then(() => writeAll(this.#dialler, bytes)).catch(() => {});
    return this.#writing;
  }

  /** Reads whole frames; so many bytes stand before the first. */
  async #pump(
    from: Deno.TcpConn,
    { head, take }: { head: number; take: (bytes: Uint8Array, type: number) => Promise<void> },
  ): Promise<void> {
    let held = new Uint8Array();
    const chunk = new Uint8Array(64 * 1024);
    try {
      for (;;) {
        const count = await from.read(chunk);
        if (count === null) return;
        held = concat(held, chunk.subarray(0, count)) as Uint8Array<ArrayBuffer>;
        for (;;) {
          if (head > 0) {
            if (held.length < head) break;
            await take(held.slice(0, head), -1);
            held = held.slice(head);
            head = 0;
          }
          const [high = 0, middle = 0, low = 0, type = 0] = held;
          const end = 9 + (high << 16 | middle << 8 | low);
          if (held.length < 9 || held.length < end) break;
          await take(held.slice(0, end), type);
          held = held.slice(end);
        }
      }
    } catch {
      // Either end is gone.
    }
  }
}

/** A relay that listens. */
export interface Http2Relay extends AsyncDisposable {
  /** host:port. */
  address: string;
  /** Every connection so far over which a call was answered, the oldest first. */
  links: readonly RelayedConnection[];
  /** How many connections were made in all. Some are looks at the port. */
  readonly attempts: number;
  /** Refuses connections from now on, or takes them again. */
  refuse(refuses: boolean): void;
}

/** Relays to a port of this machine, or to the one that is asked for with each connection. */
export function relayHttp2(to: number | (() => number), options: RelayOptions = {}): Http2Relay {
  const links: RelayedConnection[] = [];
  const connections = new Set<RelayedConnection>();
  let attempts = 0;
  const running = new Set<Promise<void>>();
  let refuses = false;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const dialler of connectionsOf(listener)) {
      attempts += 1;
      if (refuses) {
        dialler.close();
        continue;
      }
      const port = typeof to === "number" ? to : to();
      const acceptor = await Deno.connect({ hostname: "127.0.0.1", port });
      const connection = new RelayedConnection(dialler, acceptor);
      connections.add(connection);
      const onAnswered = () => {
        links.push(connection);
        options.onAnswered?.(connection);
      };
      const run = connection.run({ ...options, onAnswered }).finally(() => {
        connections.delete(connection);
        running.delete(run);
      });
      running.add(run);
    }
  })();
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    links,
    get attempts() {
      return attempts;
    },
    refuse: (wanted) => void (refuses = wanted),
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const connection of connections) connection.cut();
      await Promise.all(running);
    },
  };
}
