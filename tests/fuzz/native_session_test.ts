// Frames that are right for the most part, against a session whose streams are in use: it lives on or ends with the peer's breach as
// its reason, keeps to its limits, and lets go of everything. Never a defect of its own, never a stall.

import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { Frame } from "../../proto/gen/connector.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { ATTACKED_LIMITS } from "../support/breaches.ts";
import {
  data,
  finish,
  grant,
  HostilePeer,
  open,
  opened,
  ping,
  pong,
  reset,
} from "../support/hostile_peer.ts";
import { memoryLinks, seeded, turn } from "../support/memory_link.ts";
import { soon, whileTimeLasts } from "../support/soon.ts";

/** How long it runs, in milliseconds. */
const RUN_MS = 4000;

/** Few streams, so that frames meet. */
const id = fc.integer({ min: 1, max: 6 });

/** A frame that may well be wrong where it comes. */
const wildFrame: fc.Arbitrary<Frame> = fc.oneof(
  id.map((stream) => open(stream, "any")),
  id.map(opened),
  fc.tuple(id, fc.integer({ min: 1, max: 1025 })).map(([stream, length]) => data(stream, length)),
  id.map(finish),
  id.map(reset),
  fc.tuple(id, fc.integer({ min: 4000, max: 20_000 })).map(([a, b]) => grant(a, b)),
  fc.nat({ max: 9 }).map(ping),
  fc.nat({ max: 3 }).map(pong),
);

/** What a peer does next: mostly what it may, with one of the streams that it knows to be open. */
const action = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      kind: fc.constantFrom("open", "opened", "data", "data", "finish", "reset", "grant", "ping"),
      pick: fc.nat({ max: 1000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wild"), frame: wildFrame }) },
);

type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

/** Turns actions into frames, keeping to what a peer may do but for its credit. */
class PlausiblePeer {
  readonly #peer: HostilePeer;
  readonly #parity: number;
  #nextId: number;
  readonly #finished = new Set<number>();
  readonly #accepted = new Set<number>();
  readonly #granted = new Map<number, number>();

  constructor(peer: HostilePeer, parity: number) {
    this.#peer = peer;
    this.#parity = parity;
    this.#nextId = parity;
  }

  /** The frame of an action; undefined where it has no stream to act on. */
  frame(action: Action): Frame | undefined {
    if ("frame" in action) return action.frame;
    const { kind, pick } = action;
    if (kind === "ping") return ping(pick);
    if (kind === "open") return this.#open();
    const streams = kind === "opened" ? this.#toAccept() : this.#toSend();
    const stream = streams[pick % streams.length];
    if (stream === undefined) return undefined;
    switch (kind) {
      case "opened":
        this.#accepted.add(stream);
        return opened(stream);
      case "data":
        return data(stream, 1 + pick);
      case "grant": {
        const offset = (this.#granted.get(stream) ?? ATTACKED_LIMITS.window) + 1 + pick;
        this.#granted.set(stream, offset);
        return grant(stream, offset);
      }
      default:
        this.#finished.add(stream);
        return kind === "finish" ? finish(stream) : reset(stream);
    }
  }

  #open(): Frame | undefined {
    const live = this.#toSend().filter((stream) => stream % 2 === this.#parity % 2);
    if (live.length >= ATTACKED_LIMITS.opens) return undefined;
    const stream = this.#nextId;
    this.#nextId += 2;
    this.#accepted.add(stream);
    return open(stream, "any");
  }

  #toAccept(): number[] {
    return this.#peer.received("open").map(({ stream }) => stream).filter((stream) =>
      !this.#accepted.has(stream) && !this.#over(stream)
    );
  }

  #toSend(): number[] {
    return [...this.#accepted].filter((stream) => !this.#over(stream));
  }

  #over(stream: number): boolean {
    return this.#finished.has(stream) || this.#peer.received("reset", stream).length > 0;
  }
}

const scenario = fc.record({
  seed: fc.integer(),
  role: fc.constantFrom<SessionOptions["role"]>("dialler", "acceptor"),
  batches: fc.array(fc.array(action, { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 60,
    size: "max",
  }),
});

type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

/** Uses a stream in a random way until it has ended. */
async function use(stream: Stream, random: (limit: number) => number): Promise<void> {
  const pause = async () => {
    for (let left = random(4); left > 0; left -= 1) await turn();
  };
  const read = async () => {
    while (await stream.read() !== null) await pause();
  };
  const write = async () => {
    for (let left = random(5); left > 0; left -= 1) {
      await pause();
      await stream.write(new Uint8Array(1 + random(3000)));
    }
    if (random(2) === 0) await stream.finish();
    else stream.reset("closing", "enough");
  };
  await pause();
  const ends = await Promise.allSettled([read(), write()]);
  for (const end of ends) {
    if (end.status === "rejected" && !(end.reason instanceof ConnectorError)) throw end.reason;
  }
  stream.close();
}

async function run({ seed, role, batches }: Scenario): Promise<void> {
  const random = seeded(seed);
  const greeting = hello(ATTACKED_LIMITS);
  const links = memoryLinks({ offer: greeting, answer: greeting, turns: () => random(2) });
  const used: Promise<void>[] = [];
  const session = Session.start(links[role], {
    role,
    limits: ATTACKED_LIMITS,
    onControl: () => {},
    onStream: (stream) =>
      used.push(turn().then(() => stream.accept()).then(() => use(stream, random))),
    connects: () => false,
  });
  const peer = new HostilePeer(links[role === "dialler" ? "acceptor" : "dialler"]);
  const plausible = new PlausiblePeer(peer, role === "acceptor" ? 1 : 2);
  let over = false;
  session.closed.then(() => over = true);
  for (const batch of batches) {
    if (over) break;
    const frames = batch.map((each) => plausible.frame(each)).filter((each) => each !== undefined);
    if (frames.length > 0) peer.send(...frames);
    if (random(3) === 0 && session.dialect !== undefined) tryToOpen();
    for (let left = random(4); left > 0; left -= 1) await turn();
    ok(session.streamCount <= 2 * ATTACKED_LIMITS.streams, `${session.streamCount} streams`);
  }
  function tryToOpen(): void {
    try {
      used.push(use(session.open("any", "v:1"), random));
    } catch (error) {
      if (!(error instanceof ConnectorError)) throw error;
    }
  }
  session.close();
  const reason = await session.closed;
  if (reason !== undefined) {
    strictEqual(reason.code, "internal");
    // Whatever is thrown in a session ends it; what is not the peer's breach is a defect.
    for (let cause: unknown = reason; cause !== undefined; cause = causeOf(cause)) {
      if (!(cause instanceof ConnectorError)) throw cause;
    }
  }
  await Promise.all(used);
  strictEqual(session.streamCount, 0);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

Deno.test("fuzz: frames that are right for the most part", async () => {
  const property = (plan: Scenario) => soon(run(plan), "the session and its streams have ended");
  await fc.assert(fc.asyncProperty(scenario, whileTimeLasts(RUN_MS, property)), { numRuns: 3000 });
});
