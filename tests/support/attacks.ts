// What strangers and hostile peers do to a connector, each as a function that goes on until its time is over and counts what
// the connector let it do. attacker.ts runs them in a process of their own; tests/endurance/attack_test.ts measures.

import { gzipSync } from "node:zlib";
import { OpenData, ServiceStatus, ServiceType } from "../../proto/gen/connector.ts";
import type { TlsPem } from "../../src/grpc/credentials.ts";
import {
  beginCall,
  concat,
  END_HEADERS,
  END_STREAM,
  FIRST_MESSAGE,
  FRAME,
  frame,
  hpackBomb,
  LIST_SERVICES,
  messageFrame,
  OPEN_STREAM,
  PREFACE,
  RawClient,
  setting,
  uint32,
} from "./http2_frames.ts";

/** What is attacked. */
export interface Target {
  grpcPort: number;
  httpPort: number;
  /** The path of the API's Unix socket. */
  socket: string;
  /** A certificate of the root, if both ports speak TLS. */
  tls?: TlsPem;
}

/** What an attacker got. */
export interface Haul {
  /** Connections that it opened. */
  opened: number;
  /** Of those, how many the connector cut. */
  cut: number;
  /** How long the ones that were cut had lasted, in milliseconds. */
  cutAfterMs: { first: number; last: number } | undefined;
  /** Requests, calls or frames that were sent whole. */
  sent: number;
  /** Answers, by status. */
  answers: Record<string, number>;
}

/** An attack that goes on for about so many milliseconds. */
export interface Attack {
  over: readonly ("plaintext" | "TLS")[];
  forMs: number;
  run: (target: Target, tally: Tally) => Promise<void>;
}

/** A flood needs seconds to show what it costs; whoever is slow needs longer than every deadline of 10 s. */
const FLOOD_MS = 2_000;
export const SLOW_MS = 13_000;
/** Between two bytes of whoever sends them one by one, in milliseconds. */
const DRIP_MS = 250;
/** How many connections are being opened at once. */
const AT_ONCE = 50;
/** How long a guesser waits for the answer to a token, in milliseconds: that to a right one comes at once. */
const IMPATIENCE_MS = 20;
const TOKENS = 10_000;
/** How long it has at most to guess them. */
const GUESS_MS = 20_000;
/** Where services of an attacker listen. */
const FIRST_PORT = 20_000;

const encode = (text: string) => new TextEncoder().encode(text);
const both = ["plaintext", "TLS"] as const;

/** Counts for one attack. */
export class Tally {
  #endsAt: number;
  readonly #lifetimes: number[] = [];
  #opened = 0;
  sent = 0;
  readonly #answers = new Map<string, number>();

  constructor(forMs: number) {
    this.#endsAt = performance.now() + forMs;
  }

  get isOver(): boolean {
    return performance.now() >= this.#endsAt;
  }

  get leftMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  /** There is nothing more to be done. */
  end(): void {
    this.#endsAt = 0;
  }

  /** A connection is open. Call what is returned when the connector has cut it. */
  opened(): () => void {
    this.#opened += 1;
    const openedAt = performance.now();
    return () => void this.#lifetimes.push(performance.now() - openedAt);
  }

  answered(status: string): void {
    this.#answers.set(status, (this.#answers.get(status) ?? 0) + 1);
  }

  haul(): Haul {
    const lifetimes = this.#lifetimes;
    return {
      opened: this.#opened,
      cut: lifetimes.length,
      cutAfterMs: lifetimes.length === 0 ? undefined : {
        first: lifetimes.reduce((least, each) => Math.min(least, each), Infinity),
        last: lifetimes.reduce((most, each) => Math.max(most, each), 0),
      },
      sent: this.sent,
      answers: Object.fromEntries(this.#answers),
    };
  }
}

/** Sends something again and again over HTTP/2; `round` counts from 0. Whoever is cut comes again. */
function flood(make: (round: number) => Uint8Array): Attack["run"] {
  return async ({ grpcPort, tls }, tally) => {
    while (!tally.isOver) {
      using client = await RawClient.connect(grpcPort, { tls }).catch(() => undefined);
      if (client === undefined) continue;
      const cut = tally.opened();
      for (let round = 0; client.open && !tally.isOver; round += 1) {
        if (!await client.send(make(round))) break;
        tally.sent += 1;
        client.frames.length = 0;
      }
      if (!tally.isOver) cut();
    }
  };
}

/** Opens so many connections, does something with each, and looks when each is cut. */
function hold(
  count: number,
  connect: (target: Target) => Promise<Deno.Conn>,
  feed: (conn: Deno.Conn, tally: Tally, index: number) => Promise<void>,
): Attack["run"] {
  return async (target, tally) => {
    const held: Deno.Conn[] = [];
    const watched: Promise<void>[] = [];
    const open = async (index: number) => {
      const conn = await connect(target);
      held.push(conn);
      const cut = tally.opened();
      const feeding = feed(conn, tally, index).catch(() => {});
      watched.push(
        untilCut(conn).then(() => {
          if (!tally.isOver) cut();
          return feeding;
        }),
      );
    };
    for (let index = 0; index < count && !tally.isOver; index += AT_ONCE) {
      await Promise.allSettled(Array.from({ length: AT_ONCE }, (_, each) => open(index + each)));
    }
    await pause(tally.leftMs);
    for (const conn of held) close(conn);
    await Promise.all(watched);
  };
}

/** Does something over one connection after the other, so many times at once. */
function again(
  workers: number,
  connect: (target: Target) => Promise<Deno.Conn>,
  act: (conn: Deno.Conn, tally: Tally) => Promise<void>,
): Attack["run"] {
  return async (target, tally) => {
    const work = async () => {
      while (!tally.isOver) {
        const conn = await connect(target).catch(() => undefined);
        if (conn === undefined) continue;
        const cut = tally.opened();
        await act(conn, tally).catch(cut);
        close(conn);
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
  };
}

const toGrpc = ({ grpcPort }: Target) => Deno.connect({ hostname: "127.0.0.1", port: grpcPort });
const toHttpTcp = ({ httpPort }: Target) => Deno.connect({ hostname: "127.0.0.1", port: httpPort });
const toSocket = ({ socket }: Target) => Deno.connect({ transport: "unix", path: socket });
const toHttp = (target: Target): Promise<Deno.Conn> =>
  target.tls === undefined ? toHttpTcp(target) : Deno.connectTls({
    hostname: "localhost",
    port: target.httpPort,
    caCerts: [target.tls.root],
  });
/** TLS, with a certificate, before the first byte of HTTP/2. */
const toHttp2 = ({ grpcPort, tls }: Target): Promise<Deno.Conn> =>
  tls === undefined ? Deno.connect({ hostname: "127.0.0.1", port: grpcPort }) : Deno.connectTls({
    hostname: "localhost",
    port: grpcPort,
    caCerts: [tls.root],
    cert: tls.certificate,
    key: tls.key,
    alpnProtocols: ["h2"],
  });

/** Nothing, half a hello, or a whole one with nothing after it, in turn. */
async function halfHandshake(conn: Deno.Conn, _tally: Tally, index: number): Promise<void> {
  const whole = await clientHello();
  const parts = [whole.subarray(0, 0), whole.subarray(0, whole.length / 2), whole];
  await writeAll(conn, parts[index % parts.length] ?? whole);
}

let recorded: Promise<Uint8Array> | undefined;

/** What a client says first: recorded once, from the runtime's own. */
function clientHello(): Promise<Uint8Array> {
  return recorded ??= (async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const connecting = Deno.connectTls({ hostname: "localhost", port, alpnProtocols: ["h2"] })
      .then((conn) => conn.close(), () => {});
    using conn = await listener.accept();
    const buffer = new Uint8Array(4096);
    const count = await conn.read(buffer) ?? 0;
    conn.close();
    await connecting;
    return buffer.subarray(0, count);
  })();
}

/** Sends bytes one by one, slowly, the last one never. */
function drip(make: () => Uint8Array | Promise<Uint8Array>) {
  return async (conn: Deno.Conn, tally: Tally) => {
    const bytes = await make();
    for (let at = 0; at < bytes.length - 1 && !tally.isOver; at += 1) {
      await writeAll(conn, bytes.subarray(at, at + 1));
      tally.sent += 1;
      await pause(DRIP_MS);
    }
  };
}

/** Sends a request and counts its answer. */
function ask(text: string) {
  const bytes = encode(text);
  return async (conn: Deno.Conn, tally: Tally) => {
    await writeAll(conn, bytes);
    tally.sent += 1;
    tally.answered(await statusOf(conn));
  };
}

/** Tries one token after the other, and does not wait for the answers. */
function guess(connect: (target: Target) => Promise<Deno.Conn>): Attack["run"] {
  return again(100, connect, async (conn, tally) => {
    if (tally.sent >= TOKENS) return tally.end();
    tally.sent += 1;
    await writeAll(conn, encode(requestWith(`Bearer guess-${tally.sent}`)));
    const late = pause(IMPATIENCE_MS).then(() => "not waited for");
    const answer = statusOf(conn).catch(() => "cut");
    tally.answered(await Promise.race([answer, late]));
    close(conn);
    await answer;
  });
}

function requestWith(authorization: string): string {
  return `GET /list HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\n\r\n`;
}

/** Tries tokens over gRPC, as many calls at once as there may be. */
const guessCalls: Attack["run"] = async (target, tally) => {
  const work = async () => {
    while (!tally.isOver) {
      using client = await RawClient.connect(target.grpcPort, { tls: target.tls })
        .catch(() => undefined);
      if (client === undefined) continue;
      const cut = tally.opened();
      for (let stream = 1; client.open && !tally.isOver; stream += 2) {
        const token = `Bearer guess-${tally.sent}`;
        if (!await client.send(call(LIST_SERVICES, stream, ["authorization", token]))) break;
        tally.sent += 1;
        if (tally.sent >= TOKENS) tally.end();
        // As many as there may be at once; then it waits for answers.
        if (stream % 60 === 1) await pause(IMPATIENCE_MS);
        client.frames.length = 0;
      }
      if (!tally.isOver) cut();
    }
  };
  await Promise.all(Array.from({ length: 100 }, work));
};

/** Opens a link and then sends messages of the tunnel as fast as they are taken. */
function asPeer(make: (round: number) => Uint8Array): Attack["run"] {
  return flood((round) =>
    round === 0
      ? concat(
        // It takes whatever it is told.
        frame(FRAME.windowUpdate, { payload: uint32(2 ** 30) }),
        frame(FRAME.settings, { payload: setting(4, 2 ** 30) }),
        beginCall(1, OPEN_STREAM),
        messageFrame(1, FIRST_MESSAGE),
      )
      : make(round)
  );
}

/** Exposes services, and removes each again. */
function exposeAndDestroy(round: number): Uint8Array {
  return many(20, (index) => {
    const id = `00000000-0000-4000-8000-${String(round * 20 + index).padStart(12, "0")}`;
    const service = {
      id,
      name: "churn",
      remoteConnectorAddr: "127.0.0.1:1",
      destinationAddr: "127.0.0.1:1",
      sourcePort: FIRST_PORT + index,
      // Where no other test listens.
      sourceAddr: "127.66.0.1",
      type: ServiceType.LOCAL,
      status: ServiceStatus.PENDING,
    };
    return concat(
      tunnelMessage({ $case: "expose", value: { service } }, id),
      tunnelMessage({ $case: "destroy", value: { id } }, id),
    );
  });
}

function tunnelMessage(message: OpenData["message"], serviceId: string): Uint8Array {
  return messageFrame(1, OpenData.encode({ serviceId, connectionId: "", message }).finish());
}

function call(path: string, stream: number, ...more: [string, string][]): Uint8Array {
  return concat(
    beginCall(stream, path, ...more),
    messageFrame(stream, new Uint8Array(), { flags: END_STREAM }),
  );
}

const many = (count: number, make: (index: number) => Uint8Array) =>
  concat(...Array.from({ length: count }, (_, index) => make(index)));
/** DATA of one byte each. */
const DRIBBLE = many(5_000, () => frame(FRAME.data, { stream: 1, payload: new Uint8Array(1) }));
const bomb = gzipSync(new Uint8Array(4_000_000));
const floodOf = (make: (round: number) => Uint8Array, over: Attack["over"] = both): Attack => ({
  over,
  forMs: FLOOD_MS,
  run: flood(make),
});
const slow = (over: Attack["over"], run: Attack["run"]): Attack => ({ over, forMs: SLOW_MS, run });
const patient = (over: Attack["over"], run: Attack["run"]): Attack => ({
  over,
  forMs: GUESS_MS,
  run,
});
const quick = (over: Attack["over"], run: Attack["run"]): Attack => ({
  over,
  forMs: FLOOD_MS,
  run,
});

/** All of them, by name. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  "nothing": quick(both, (_target, tally) => pause(tally.leftMs)),

  // Before anybody is known.
  "1,000 half-open TLS handshakes": slow(["TLS"], hold(1000, toGrpc, halfHandshake)),
  "1,000 half-open TLS handshakes, REST": slow(["TLS"], hold(1000, toHttpTcp, halfHandshake)),
  "TLS handshakes byte by byte": slow(["TLS"], hold(300, toGrpc, drip(clientHello))),
  "TLS handshakes without a certificate": quick(
    ["TLS"],
    again(16, ({ grpcPort, tls }) =>
      Deno.connectTls({
        hostname: "localhost",
        port: grpcPort,
        caCerts: tls ? [tls.root] : [],
        alpnProtocols: ["h2"],
      }), async (conn, tally) => {
      tally.sent += 1;
      await untilCut(conn);
      throw new Error("it is cut");
    }),
  ),
  "connections that never speak": quick(
    ["plaintext"],
    hold(3000, toGrpc, () => Promise.resolve()),
  ),
  "connections that come and go": quick(both, again(50, toGrpc, () => Promise.resolve())),

  // HTTP/2, of whoever gets so far: anybody over plaintext, a peer with a certificate over TLS.
  "HTTP/2 preface byte by byte": slow(["plaintext"], hold(300, toHttp2, drip(() => PREFACE))),
  "HTTP/2 headers without an end": slow(
    ["plaintext"],
    hold(300, toHttp2, async (conn, tally) => {
      await writeAll(conn, concat(PREFACE, frame(FRAME.settings)));
      await writeAll(conn, frame(FRAME.headers, { stream: 1 }));
      await drip(() => frame(FRAME.continuation, { stream: 1, payload: new Uint8Array(4000) }))(
        conn,
        tally,
      );
    }),
  ),
  "HTTP/2 rapid reset": floodOf((round) =>
    many(25, (index) => {
      const stream = 50 * round + 2 * index + 1;
      const reset = frame(FRAME.reset, { stream, payload: uint32(8) });
      return concat(beginCall(stream, OPEN_STREAM), reset);
    })
  ),
  "HTTP/2 CONTINUATION": floodOf((round) =>
    round === 0
      ? frame(FRAME.headers, { stream: 1 })
      : frame(FRAME.continuation, { stream: 1, payload: new Uint8Array(16_000) })
  ),
  "HTTP/2 empty CONTINUATION": floodOf((round) =>
    round === 0
      ? frame(FRAME.headers, { stream: 1 })
      : many(100, () => frame(FRAME.continuation, { stream: 1 }))
  ),
  "HTTP/2 SETTINGS": floodOf(() =>
    many(100, () => frame(FRAME.settings, { payload: setting(4, 65_535) }))
  ),
  "HTTP/2 PING": floodOf(() => many(100, () => frame(FRAME.ping, { payload: new Uint8Array(8) }))),
  "calls with 10,000 header bytes": floodOf((round) =>
    many(4, (index) => call(LIST_SERVICES, 8 * round + 2 * index + 1, ["x", "y".repeat(10_000)]))
  ),
  "calls with 10,000 header fields": floodOf((round) => {
    const fields = many(10_000, () => Uint8Array.of(0, 1, 120, 0));
    return concat(
      frame(FRAME.headers, { stream: 2 * round + 1, payload: fields.subarray(0, 16_000) }),
      frame(FRAME.continuation, {
        stream: 2 * round + 1,
        flags: END_HEADERS,
        payload: fields.subarray(16_000, 32_000),
      }),
    );
  }),
  "HPACK bombs": floodOf((round) => hpackBomb(2 * round + 1, { first: round === 0 })),
  "gzip bombs in calls": floodOf((round) =>
    concat(
      beginCall(2 * round + 1, LIST_SERVICES, ["grpc-encoding", "gzip"]),
      messageFrame(2 * round + 1, bomb, { compressed: true, flags: END_STREAM }),
    )
  ),
  "gzip bombs that are not declared": floodOf((round) =>
    concat(
      beginCall(2 * round + 1, OPEN_STREAM),
      messageFrame(2 * round + 1, bomb, { compressed: true }),
    )
  ),
  "requests of 4 GiB": floodOf((round) =>
    round % 20 === 0 ? beginCall(round / 10 + 1, LIST_SERVICES) : frame(FRAME.data, {
      stream: 2 * Math.floor(round / 20) + 1,
      payload: concat(Uint8Array.of(0, ...uint32(2 ** 32 - 1)), new Uint8Array(3_000)),
    })
  ),
  "10,000 tokens guessed over gRPC": patient(both, guessCalls),

  // Over a link, as a peer.
  "messages of 4 GiB over a link": quick(
    both,
    asPeer(() =>
      frame(FRAME.data, {
        stream: 1,
        payload: concat(Uint8Array.of(0, ...uint32(2 ** 32 - 1)), new Uint8Array(16_000)),
      })
    ),
  ),
  "messages of 4 MB over a link": quick(
    both,
    asPeer((round) => {
      // One message after the other, in frames of 16 KB.
      const part = new Uint8Array(16_000);
      if (round % 250 === 1) part.set(Uint8Array.of(0, ...uint32(4_000_000 - 5)));
      return frame(FRAME.data, { stream: 1, payload: part });
    }),
  ),
  "messages byte by byte over a link": quick(
    both,
    asPeer((round) =>
      round === 1
        ? frame(FRAME.data, { stream: 1, payload: Uint8Array.of(0, ...uint32(4_000_000)) })
        : DRIBBLE
    ),
  ),
  "pings byte by byte over a link": quick(
    both,
    asPeer((round) => round === 1 ? many(3000, () => messageFrame(1, FIRST_MESSAGE)) : DRIBBLE),
  ),
  "gzip bombs over a link": quick(
    both,
    asPeer(() => messageFrame(1, bomb, { compressed: true })),
  ),
  "exposed and removed over a link": quick(both, asPeer(exposeAndDestroy)),
  "damaged messages over a link": quick(
    both,
    asPeer(() => messageFrame(1, new Uint8Array(100).fill(0xff))),
  ),

  // The REST API.
  "REST headers byte by byte": slow(
    both,
    hold(300, toHttp, drip(() => encode(requestWith("x".repeat(1000))))),
  ),
  "REST bodies byte by byte": slow(
    ["plaintext"],
    hold(300, toHttp, async (conn, tally) => {
      await writeAll(
        conn,
        encode("POST /expose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"),
      );
      await drip(() => new Uint8Array(1000).fill(32))(conn, tally);
    }),
  ),
  "REST headers of 10,000 bytes": quick(
    both,
    again(
      32,
      toHttp,
      ask(`GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(10_000)}\r\n\r\n`),
    ),
  ),
  "REST tokens of 15,000 bytes": quick(
    ["plaintext"],
    again(100, toHttp, ask(requestWith(`Bearer ${"a".repeat(15_000)}`))),
  ),
  "10,000 tokens guessed, REST": patient(both, guess(toHttp)),
  "tokens guessed patiently, REST": quick(both, again(100, toHttp, ask(requestWith("Bearer no")))),

  // Its Unix socket.
  "1,000 connections that never speak, socket": slow(
    ["plaintext"],
    hold(1000, toSocket, () => Promise.resolve()),
  ),
  "10,000 tokens guessed, socket": patient(["plaintext"], guess(toSocket)),
};

/** Resolves once the other end, or we, have closed or reset a connection. */
async function untilCut(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  while (await conn.read(buffer).catch(() => null) !== null);
}

/** The status of the first answer. @throws when there is none. */
async function statusOf(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(4096);
  const count = await conn.read(buffer);
  if (count === null) throw new Error("it was cut");
  return new TextDecoder().decode(buffer.subarray(0, count)).slice(9, 12);
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Closes, if that has not been done. */
function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It has closed by itself.
  }
}
