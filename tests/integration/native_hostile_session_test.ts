// One session against a peer that breaks the protocol, over a link in memory: the session ends at once, says why,
// and keeps nothing.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { GoAwayCode } from "../../proto/gen/connector.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { SILENCE_MS } from "../../src/mux/native/liveness.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import type { Hello } from "../../src/mux/link.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { type Attack, ATTACKED_LIMITS, BREACHES } from "../support/breaches.ts";
import { FakeTime } from "../support/fake_time.ts";
import {
  data,
  finish,
  goodByeAfterBreach,
  grant,
  type HostileOptions,
  HostilePeer,
  open,
  opened,
  ping,
  reset,
} from "../support/hostile_peer.ts";
import { memoryLinks, turn } from "../support/memory_link.ts";
import { untilTurn } from "../support/session_pair.ts";
import { soon } from "../support/soon.ts";

type Role = SessionOptions["role"];

/** The longest that a breach may take to end a session, in milliseconds: far below the grace for a peer that stays. */
const AT_ONCE_MS = 900;

interface AttackOptions extends HostileOptions {
  /** What the peer says of itself. */
  greeting?: Hello;
  /** The peer does not end a link that the session has ended. */
  lingering?: boolean;
  /** Messages that the link holds. */
  bound?: number;
}

/** A session in a role, and a hostile peer in the other. */
function attack(
  role: Role,
  { greeting = hello(ATTACKED_LIMITS), lingering = false, bound = 1000, ...options }:
    AttackOptions = {},
): Attack & { session: Session; streams: Stream[] } {
  const links = memoryLinks({ offer: greeting, answer: greeting, bound, lingering });
  const streams: Stream[] = [];
  const session = Session.start(links[role], {
    role,
    limits: ATTACKED_LIMITS,
    onControl: () => {},
    onStream(stream) {
      streams.push(stream);
      // In a later turn, as a dial would be.
      turn().then(() => stream.accept());
    },
    connects: () => false,
  });
  const peer = new HostilePeer(links[role === "dialler" ? "acceptor" : "dialler"], options);
  const [own, others] = role === "acceptor" ? [1, 2] : [2, 1];
  return {
    session,
    streams,
    peer,
    service: "any",
    own: (n) => own + 2 * n,
    others: (n) => others + 2 * n,
    async beVisited() {
      await untilTurn(() => session.dialect === "native", "the dialect is known");
      streams.push(session.open("any", "127.0.0.1:1"));
      return (await peer.receive("open")).stream;
    },
  };
}

async function endOf(session: Session): Promise<ConnectorError> {
  const reason = await soon(session.closed, "the session has ended");
  ok(reason instanceof ConnectorError, "the session ends with a reason");
  strictEqual(session.streamCount, 0);
  return reason;
}

for (const role of ["acceptor", "dialler"] as const) {
  for (const { name, act, mentions } of BREACHES) {
    Deno.test(`${role}: ${name}`, async () => {
      const attacked = attack(role);
      const { session, peer, streams } = attacked;
      await act(attacked);
      const started = performance.now();
      const reason = await endOf(session);
      ok(performance.now() - started < AT_ONCE_MS, "the session ends at once");
      strictEqual(reason.code, "internal");
      match(reason.message, mentions);
      match(await goodByeAfterBreach(peer), mentions);
      for (const stream of streams) await ended(stream);
    });
  }

  Deno.test(`${role}: the peer floods it with pings and reads nothing`, async () => {
    const { session, peer } = attack(role, { deaf: true, bound: 4 });
    const flood = Array.from({ length: 20_000 }, () => ping(2 ** 31));
    let over = false;
    session.closed.then(() => over = true);
    for (let sent = 0; !over && sent < 2000; sent += 1) {
      peer.send(...flood);
      await turn();
    }
    const reason = await endOf(session);
    strictEqual(reason.code, "resource_exhausted");
    match(reason.message, /does not read/);
  });

  Deno.test(`${role}: the peer answers nothing`, async () => {
    using time = new FakeTime();
    const { session, peer } = attack(role, { mute: true });
    await turn();
    await time.advance(SILENCE_MS - 1);
    strictEqual(peer.received("goAway").length, 0);
    await time.advance(1);
    const reason = await session.closed;
    strictEqual(reason?.code, "deadline_exceeded");
    match(reason.message, /no longer answers/);
    match(await peer.goodBye.then((goodBye) => goodBye?.reason ?? ""), /no longer answers/);
    strictEqual(time.timerCount, 0);
  });

  Deno.test(`${role}: a peer that answers no ping is alive as long as anything comes from it`, async () => {
    using time = new FakeTime();
    const { session, peer } = attack(role, { mute: true });
    await turn();
    for (let waited = 0; waited < 60_000; waited += 12_000) {
      await time.advance(12_000);
      if (waited % 24_000 === 0) peer.send(ping(7));
      else peer.sendControl({ $case: "ping", value: {} });
      await turn();
    }
    strictEqual(peer.received("goAway").length, 0);
    await time.advance(SILENCE_MS + 1000);
    strictEqual((await session.closed)?.code, "deadline_exceeded");
  });

  Deno.test(`${role}: a peer that stays after the go-away is cut off`, async () => {
    using time = new FakeTime();
    const { session, peer } = attack(role, { deaf: true, lingering: true });
    await turn();
    peer.sendRaw(new Uint8Array([0xff]));
    await time.advance(999);
    let over = false;
    session.closed.then(() => over = true);
    await turn();
    strictEqual(over, false);
    await time.advance(1);
    strictEqual((await session.closed)?.code, "internal");
    strictEqual(time.timerCount, 0);
  });

  Deno.test(`${role}: frames that have crossed the end of a stream are no breach`, async () => {
    const attacked = attack(role);
    const { session, peer, own, service } = attacked;
    peer.send(open(own(0), service));
    await peer.receive("opened", { stream: own(0) });
    peer.send(reset(own(0)));
    await peer.receive("reset", { stream: own(0) });
    peer.send(reset(own(0)), grant(own(0), 1_000_000), grant(own(0), 1), reset(own(0)));
    // What was sent before is ordered before the answer to this.
    peer.send(ping(77));
    await peer.receive("pong");
    session.close();
    strictEqual(await soon(session.closed, "the session has ended"), undefined);
  });

  Deno.test(`${role}: after its reset it drops what still arrives, within the window`, async () => {
    const { session, peer, own, service, streams } = attack(role);
    peer.send(open(own(0), service));
    await peer.receive("opened", { stream: own(0) });
    streams[0]?.reset("closing", "enough");
    await peer.receive("reset", { stream: own(0) });
    strictEqual(session.streamCount, 1);
    peer.send(data(own(0), 1024), grant(own(0), 1_000_000), finish(own(0)), ping(77));
    await peer.receive("pong");
    strictEqual(session.streamCount, 0);
    session.close();
    strictEqual(await soon(session.closed, "the session has ended"), undefined);
  });

  Deno.test(`${role}: a peer that resets before it has opened is answered once`, async () => {
    const { session, peer, beVisited, streams } = attack(role);
    const stream = await beVisited();
    peer.send(reset(stream));
    await peer.receive("reset", { stream });
    await ended(streams[0]);
    peer.send(ping(77));
    await peer.receive("pong");
    strictEqual(peer.received("reset").length, 1);
    strictEqual(session.streamCount, 0);
    session.close();
    strictEqual(await soon(session.closed, "the session has ended"), undefined);
  });

  Deno.test(`${role}: no more opens are sent than the peer answers, the rest follows in order`, async () => {
    const { session, peer, beVisited, others } = attack(role);
    await beVisited();
    const more = [
      session.open("two", "v:2"),
      session.open("three", "v:3"),
      session.open("four", "v:4"),
    ];
    peer.send(ping(77));
    await peer.receive("pong");
    strictEqual(peer.received("open").length, ATTACKED_LIMITS.opens);
    // One that is given up before it was opened is never heard of.
    const finishing = more[1]?.finish();
    more[1]?.reset("closing", "gone");
    await finishing;
    peer.send(opened(others(0)));
    await peer.receive("open", { count: 3 });
    const services = peer.received("open").map(({ body }) =>
      body?.$case === "open" ? body.value.serviceId : ""
    );
    deepStrictEqual(services, ["any", "two", "four"]);
    strictEqual(peer.received("finish").length, 0);
    session.close();
    strictEqual(await soon(session.closed, "the session has ended"), undefined);
  });

  Deno.test(`${role}: a peer that ends the session after a breach of ours is believed`, async () => {
    const { session, peer } = attack(role);
    const value = { code: GoAwayCode.BREACH, reason: "you did it" };
    peer.send({ stream: 0, body: { $case: "goAway", value } });
    const reason = await endOf(session);
    match(reason.message, /you did it/);
  });

  Deno.test(`${role}: any number of go-aways costs one timer`, async () => {
    using time = new FakeTime();
    const { peer, session } = attack(role, { deaf: true, lingering: true });
    await turn();
    const before = time.timerCount;
    const value = { code: GoAwayCode.SHUTDOWN, reason: "" };
    peer.send(...Array.from({ length: 500 }, () => {
      return { stream: 0, body: { $case: "goAway" as const, value } };
    }));
    await turn();
    ok(time.timerCount <= before + 1, `${time.timerCount - before} timers`);
    await time.advance(5000);
    await session.closed;
    strictEqual(time.timerCount, 0);
  });
}

Deno.test("acceptor: a peer that has sent more control than is taken, and has gone, is gone at once", async () => {
  const { session, peer } = attack("acceptor", { bound: 20_000 });
  await untilTurn(() => session.dialect === "native", "the dialect is known");
  // At their rate they would take half a minute.
  const value = { id: crypto.randomUUID() };
  for (let count = 0; count < 8000; count += 1) peer.sendControl({ $case: "destroy", value });
  peer.link.close();
  await soon(session.closed, "the session has ended");
});

for (const kind of ["destroy", "status"] as const) {
  Deno.test(`acceptor: the peer asks for what is answered with ${kind}, and reads nothing`, async () => {
    const { session } = attack("acceptor", { deaf: true, bound: 4 });
    await untilTurn(() => session.dialect === "native", "the dialect is known");
    const answer = { serviceId: crypto.randomUUID(), status: "complete", message: "" } as const;
    for (let count = 0; count < 100_000; count += 1) session.send({ kind, ...answer });
    const reason = await endOf(session);
    strictEqual(reason.code, "resource_exhausted");
    match(reason.message, /does not read/);
  });
}

Deno.test("an offer that is none ends the acceptor's session with its reason, and tells the dialler", async () => {
  for (
    const greeting of [
      { version: "zero", limits: hello(ATTACKED_LIMITS).limits },
      { version: "0", limits: hello(ATTACKED_LIMITS).limits },
      { version: "1", limits: "" },
      { version: "1", limits: "streams=10,opens=5,frame=1,window=4096" },
      { version: "1", limits: hello(ATTACKED_LIMITS).limits.replace("streams", "steams") },
    ]
  ) {
    const { session, peer } = attack("acceptor", { greeting });
    const reason = await endOf(session);
    strictEqual(reason.code, "invalid_argument");
    match(reason.message, /"zero"|"0"|"streams"|"frame"/);
    ok(await soon(peer.link.closed, "the link has ended") instanceof ConnectorError);
  }
});

Deno.test("an answer that was not offered ends the dialler's session with its reason", async () => {
  const { limits } = hello(ATTACKED_LIMITS);
  for (
    const [greeting, code] of [
      [{ version: "2", limits }, "failed_precondition"],
      [{ version: "", limits }, "failed_precondition"],
      [{ version: "1", limits: "window=1" }, "invalid_argument"],
    ] as const
  ) {
    const { session } = attack("dialler", { greeting });
    strictEqual((await endOf(session)).code, code);
  }
});

Deno.test("a batch to a session that negotiated nothing is ignored", async () => {
  const links = memoryLinks();
  const session = Session.start(links.acceptor, {
    role: "acceptor",
    limits: ATTACKED_LIMITS,
    onControl: () => {},
    onStream: (stream) => stream.reset("no_service", "there is none"),
    connects: () => false,
  });
  const peer = new HostilePeer(links.dialler);
  peer.send(open(1, "any"), data(1, 10), ping(1), finish(1));
  peer.sendControl({ $case: "data", value: { id: 0, data: new Uint8Array(1) } }, {
    service: "any",
    conn: "c",
  });
  // The answer to the message of its own dialect is all that comes.
  await untilTurn(() => peer.control.length > 0, "the reference's data is answered");
  strictEqual(session.dialect, "reference");
  deepStrictEqual(peer.frames, []);
  session.close();
  strictEqual(await soon(session.closed, "the session has ended"), undefined);
});

/** A stream whose session has ended, or that was reset, tells its reader. */
async function ended(stream: Stream | undefined): Promise<void> {
  ok(stream !== undefined, "the stream was opened");
  const drain = async () => {
    while (await stream.read() !== null);
  };
  const end = await soon(drain().then(() => null, (error) => error), "the reader is told");
  ok(end === null || end instanceof ConnectorError);
}
