// Peers that misuse resumption, over links in memory: tokens that are stolen, replayed or shown with another certificate,
// numbers that lie, two links that claim one session, a former link that delivers late, and peers that acknowledge nothing.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { type CertificateId, Principal } from "../../src/model/principal.ts";
import { ClaimableSessions } from "../../src/mux/claimable_sessions.ts";
import type { Hello, Link } from "../../src/mux/link.ts";
import { answerTo, hello } from "../../src/mux/negotiation.ts";
import { formatClaim, readClaimAnswer } from "../../src/mux/resumption.ts";
import { Session } from "../../src/mux/session.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { encodeFrame } from "../../src/wire/open_data_codec.ts";
import { FakeTime } from "../support/fake_time.ts";
import { data, HostilePeer, open, pong } from "../support/hostile_peer.ts";
import { memoryLinks, turn } from "../support/memory_link.ts";
import { encodeMessages } from "../support/native_frames.ts";
import { certificateId } from "../support/principals.ts";
import { untilTurn } from "../support/session_pair.ts";
import { soon, whileTimeLasts } from "../support/soon.ts";

const GREETING = hello(DEFAULT_LIMITS, { resumes: true });
/** The instance that has opened the session, as it proves it, and another one. */
const OWN = new Uint8Array(32).fill(1);
const OTHER = new Uint8Array(32).fill(2);

/** How a dialler comes. */
interface Caller {
  claim?: { token: string; attempt: number; received: number } | string;
  offer?: Hello;
  /** Default: that of the instance that has opened the session. */
  proof?: Uint8Array | undefined;
  certificate?: CertificateId;
  host?: string;
}

/** A link as a hostile dialler has it. */
interface Opened {
  link: Link;
  /** What the acceptor has answered. */
  token: string;
  received: number | undefined;
}

/** An acceptor with one session, whose dialler is hostile. */
class Acceptor {
  readonly claimable: ClaimableSessions;
  readonly sessions: Session[] = [];
  readonly streams: Stream[] = [];

  readonly #wrap: (link: Link) => Link;

  constructor(claimable = new ClaimableSessions(), wrap = (link: Link) => link) {
    this.claimable = claimable;
    this.#wrap = wrap;
  }

  /** Opens a link to it, as its connector would take it. @throws what the acceptor refuses it with. */
  call(
    { claim, offer = GREETING, certificate, host = "192.0.2.1", ...caller }: Caller = {},
  ): Opened {
    const proof = "proof" in caller ? caller.proof : OWN;
    const resume = typeof claim === "object" ? formatClaim(claim) : claim;
    const said = { ...offer, ...(resume !== undefined && { resume }) };
    let answer = "";
    const links = memoryLinks({
      bound: 1000,
      offer: said,
      answer: (link) => {
        link.peer.address = `${host}:1`;
        link.peer.principal = new Principal({ host, proof, certificate });
        answer = this.claimable.answer(link, said);
        return { ...answerTo(said, GREETING), resume: answer };
      },
    });
    if (!this.claimable.take(links.acceptor)) this.#begin(links.acceptor);
    return { link: links.dialler, ...readClaimAnswer(answer) } as Opened;
  }

  get session(): Session {
    const [session] = this.sessions;
    if (session === undefined) throw new TypeError("nobody has called");
    return session;
  }

  #begin(link: Link): void {
    const tokens = this.claimable.tokensOf(link);
    const session: Session = Session.start(this.#wrap(link), {
      role: "acceptor",
      limits: DEFAULT_LIMITS,
      onControl: () => {},
      onStream: (stream) => this.streams.push(stream),
      connects: () => false,
      resumeMs: 60_000,
      ...(tokens && { tokens }),
      onSuspended: () => this.claimable.suspended(session),
      onResumed: () => this.claimable.resumed(session),
    });
    this.claimable.add(session, link);
    this.sessions.push(session);
  }

  /** Ends what is left. */
  async end(): Promise<void> {
    for (const session of this.sessions) {
      session.abort(new ConnectorError("unavailable", "the test is over"));
      await session.closed;
    }
  }
}

/** An acceptor over whose session a stream is open. One message was received over it, and a ping was sent. */
async function attacked(
  claimable?: ClaimableSessions,
): Promise<{ acceptor: Acceptor; first: Opened; peer: HostilePeer }> {
  const acceptor = new Acceptor(claimable);
  const first = acceptor.call();
  const peer = new HostilePeer(first.link, { mute: true });
  peer.send(open(1, "any"));
  await untilTurn(() => acceptor.streams.length === 1, "the stream is open");
  return { acceptor, first, peer };
}

const named = (name: string) => certificateId({ name, key: "any" });

/** Goes on with a session over a link whose claim was granted. */
function goOn(link: Link): HostilePeer {
  const peer = new HostilePeer(link, { mute: true });
  peer.sendControl({ $case: "ping", value: {} });
  return peer;
}

const LOST = new ConnectorError("unavailable", "the path has broken");

Deno.test("a token goes on with its session, and is worth nothing with another instance or certificate", async () => {
  const { acceptor, first } = await attacked();
  first.link.abort(LOST);
  await untilTurn(() => acceptor.session.suspended !== undefined, "the loss is noticed");
  const claim = { token: first.token, attempt: 1, received: 0 };
  for (
    const thief of [
      { proof: OTHER },
      { certificate: named("thief") },
      { certificate: named("thief"), proof: OTHER },
    ]
  ) {
    const { received, link } = acceptor.call({ claim, ...thief });
    strictEqual(received, undefined, "it is a new session");
    link.abort(LOST);
  }
  ok(acceptor.session.suspended, "its own session waits on");
  // Its address does not matter.
  strictEqual(acceptor.call({ claim, host: "198.51.100.7" }).received, 1);
  strictEqual(acceptor.session.suspended, undefined);
  await acceptor.end();
});

Deno.test("what has begun with a certificate and a proof goes on with both alone", async () => {
  const acceptor = new Acceptor();
  const { token } = acceptor.call({ certificate: named("holder"), proof: OWN });
  await untilTurn(() => acceptor.session.resumable, "it has begun");
  const claim = { token, attempt: 1, received: 0 };
  const thieves: Caller[] = [
    { proof: OWN },
    { certificate: named("thief"), proof: OWN },
    { certificate: named("holder"), proof: OTHER },
    { certificate: named("holder"), proof: undefined },
  ];
  for (const thief of thieves) {
    strictEqual(acceptor.call({ claim, ...thief }).received, undefined, "it is a new session");
    strictEqual(acceptor.session.suspended, undefined, "its link lives");
  }
  const certificate = certificateId({ name: "holder", key: "renewed" });
  strictEqual(acceptor.call({ claim, certificate, proof: OWN }).received, 0);
  await acceptor.end();
});

Deno.test("a claim with other terms than the session's is none", async () => {
  const { acceptor, first } = await attacked();
  const claim = { token: first.token, attempt: 1, received: 0 };
  const other = hello({ ...DEFAULT_LIMITS, window: 1_000_000 }, { resumes: true });
  strictEqual(acceptor.call({ claim, offer: other }).received, undefined);
  strictEqual(acceptor.session.suspended, undefined, "its link lives");
  await acceptor.end();
});

Deno.test("a token is void once its successor was used or confirmed, and until then it is not", async () => {
  const { acceptor, first } = await attacked();
  // The answer to this one never arrives.
  const second = acceptor.call({ claim: { token: first.token, attempt: 1, received: 0 } });
  ok(second.received !== undefined);
  const third = acceptor.call({ claim: { token: first.token, attempt: 2, received: 0 } });
  ok(third.received !== undefined);
  strictEqual(
    acceptor.call({ claim: { token: second.token, attempt: 3, received: 0 } }).received,
    undefined,
    "the token of an answer that was overtaken",
  );
  // Whatever is heard over the new link confirms that its answer has arrived.
  const peer = goOn(third.link);
  peer.send(data(1, 10));
  await peer.receive("ping");
  const stolen = acceptor.call({ claim: { token: first.token, attempt: 9, received: 0 } });
  strictEqual(stolen.received, undefined);
  strictEqual(acceptor.session.suspended, undefined, "its link lives");
  // A claim with the new one confirms it as well.
  const fourth = acceptor.call({ claim: { token: third.token, attempt: 10, received: 0 } });
  strictEqual(fourth.received, 2);
  strictEqual(
    acceptor.call({ claim: { token: first.token, attempt: 11, received: 0 } }).received,
    undefined,
  );
  await acceptor.end();
});

Deno.test("of two links that claim one session the later attempt has it, whichever arrives last", async () => {
  for (const attempts of [[1, 2], [2, 1]] as const) {
    const { acceptor, first } = await attacked();
    const calls = attempts.map((attempt) => ({
      attempt,
      ...acceptor.call({ claim: { token: first.token, attempt, received: 0 } }),
    }));
    for (const { attempt, received, link } of calls) {
      if (attempt === 2) {
        strictEqual(received, 1);
        const peer = goOn(link);
        await peer.receive("ping");
        peer.send(data(1, 5));
        deepStrictEqual((await acceptor.streams[0]?.read())?.length, 5);
      } else if (received !== undefined) {
        // It was there first, and its link has ended.
        ok(await soon(link.closed, "the former link has ended"));
      }
    }
    await acceptor.end();
  }
});

for (const [what, received] of [["more than was sent", 1000], ["less than before", 0]] as const) {
  Deno.test(`a dialler that has received ${what} is refused, and its session ends`, async () => {
    const { acceptor, first, peer } = await attacked();
    await peer.receive("ping");
    acceptor.streams[0]?.accept();
    await peer.receive("opened");
    first.link.abort(LOST);
    await untilTurn(() => acceptor.session.suspended !== undefined, "the loss is noticed");
    const again = acceptor.call({ claim: { token: first.token, attempt: 1, received: 2 } });
    const next = goOn(again.link);
    await next.receive("ping");
    const claim = { token: again.token, attempt: 2, received };
    throws(() => acceptor.call({ claim }), { code: "invalid_argument", message: /has received/ });
    const end = await soon(acceptor.session.closed, "the session has ended");
    match(end?.message ?? "", /has received \d+ messages: want a number from 2 to \d/);
    // Nothing of it can be claimed any more.
    strictEqual(acceptor.call({ claim: { ...claim, received: 2 } }).received, undefined);
    await acceptor.end();
  });
}

Deno.test("a dialler that has received what waits for a link still is refused, and its session ends", async () => {
  const { acceptor, first, peer } = await attacked();
  await peer.receive("ping");
  first.link.abort(LOST);
  const { session } = acceptor;
  await untilTurn(() => session.suspended !== undefined, "the loss is noticed");
  session.send({ kind: "status", serviceId: "any", status: "complete", message: "" });
  const claim = { token: first.token, attempt: 1, received: 2 };
  throws(() => acceptor.call({ claim }), { code: "invalid_argument", message: /from 0 to 1$/ });
  ok(await soon(session.closed, "the session has ended"));
  await acceptor.end();
});

Deno.test("a claim that cannot be read is refused, and its session goes on", async () => {
  const { acceptor, first } = await attacked();
  const { token } = first;
  for (
    const claim of [
      "",
      token,
      `token=${token}`,
      `token=${token},attempt=1`,
      `token=${token},received=0,attempt=1`,
      `token=${token},attempt=1,received=-1`,
      `token=${token},attempt=01,received=0`,
      `token=${token},attempt=1,received=1e3`,
      `token=${token},attempt=1,received=9999999999999999`,
      `token=${token}x,attempt=1,received=0`,
      `token=${token},attempt=1,received=0,more=1`,
      "x".repeat(10_000),
    ]
  ) {
    throws(() => acceptor.call({ claim }), (error) => {
      ok(error instanceof ConnectorError);
      strictEqual(error.code, "invalid_argument");
      // It may be somebody's.
      ok(!error.message.includes(token));
      return true;
    });
  }
  strictEqual(acceptor.session.suspended, undefined);
  strictEqual(
    acceptor.call({ claim: { token, attempt: 1, received: 0 } }).received,
    1,
    "the session can be claimed as before",
  );
  await acceptor.end();
});

Deno.test("a dialler that goes on without a ping, however large what it sends is, ends the session", async () => {
  const { acceptor, first } = await attacked();
  const again = acceptor.call({ claim: { token: first.token, attempt: 1, received: 0 } });
  new HostilePeer(again.link, { mute: true }).send(data(1, 60_000));
  match((await soon(acceptor.session.closed, "it has ended"))?.message ?? "", /begun with a ping/);
  await acceptor.end();
});

/** A link that still delivers something when it was given up. */
function lateLink(link: Link, late: Uint8Array): Link {
  let aborted = false;
  return {
    peer: link.peer,
    hello: link.hello,
    closed: link.closed,
    get arrivals() {
      return link.arrivals;
    },
    send: (message) => link.send(message),
    writable: () => link.writable(),
    async receive() {
      const message = await link.receive();
      if (message !== null || !aborted) return message;
      aborted = false;
      return late;
    },
    close: () => link.close(),
    abort(reason) {
      aborted = true;
      link.abort(reason);
    },
  };
}

Deno.test("what a former link delivers late is not received a second time", async () => {
  const late = encodeMessages([data(1, 7)]);
  const acceptor = new Acceptor(new ClaimableSessions(), (link) => lateLink(link, late));
  const first = acceptor.call();
  const peer = new HostilePeer(first.link, { mute: true });
  peer.send(open(1, "any"));
  await untilTurn(() => acceptor.streams.length === 1, "the stream is open");
  const again = acceptor.call({ claim: { token: first.token, attempt: 1, received: 0 } });
  strictEqual(again.received, 1);
  const next = goOn(again.link);
  await next.receive("ping");
  next.send(data(1, 3));
  deepStrictEqual((await acceptor.streams[0]?.read())?.length, 3);
  await acceptor.end();
});

Deno.test("a peer that acknowledges nothing holds up its own data alone, and little is kept", async () => {
  const acceptor = new Acceptor();
  const mute = acceptor.call();
  const peer = new HostilePeer(mute.link, { mute: true });
  peer.send(open(1, "any"));
  await untilTurn(() => acceptor.streams.length === 1, "the stream is open");
  const [stream] = acceptor.streams;
  stream?.accept();
  let written = 0;
  const writing = (async () => {
    for (;;) {
      await stream?.write(new Uint8Array(1024));
      written += 1024;
    }
  })().catch(() => {});
  for (let left = 200; left > 0; left -= 1) await turn();
  const before = written;
  for (let left = 200; left > 0; left -= 1) await turn();
  strictEqual(written, before, "it is held back");
  ok(acceptor.session.retainedBytes < 128 * 1024, `${acceptor.session.retainedBytes} bytes`);
  // Another session of the same connector is not.
  const other = new HostilePeer(acceptor.call({ proof: OTHER }).link);
  other.send(open(1, "any"));
  await untilTurn(() => acceptor.streams.length === 2, "the other stream is open");
  acceptor.streams[1]?.accept();
  for (let sent = 0; sent < 60; sent += 1) await acceptor.streams[1]?.write(new Uint8Array(1024));
  await acceptor.end();
  await writing;
});

Deno.test("a peer that reads everything and acknowledges no control is given up before it fills the memory", async () => {
  const acceptor = new Acceptor();
  const peer = new HostilePeer(acceptor.call().link, { mute: true });
  await peer.receive("ping");
  const { session } = acceptor;
  const message = "x".repeat(1_000_000);
  let sent = 0;
  for (; sent < 100 && !session.leaving; sent += 1) {
    session.send({ kind: "status", serviceId: "any", status: "error", message });
    await turn();
  }
  ok(sent > 45 && sent < 60, `${sent} MB`);
  match((await session.closed)?.message ?? "", /does not acknowledge what it is sent/);
  await acceptor.end();
});

for (const role of ["acceptor", "dialler"] as const) {
  for (
    const [what, offer] of [
      ["does not negotiate", undefined],
      ["has not agreed to resumption", hello(DEFAULT_LIMITS)],
    ] as const
  ) {
    Deno.test(`nothing is kept for a peer that ${what} (as ${role})`, async () => {
      const links = memoryLinks({ bound: 1000, offer, answer: offer });
      const session = Session.start(links[role], {
        role,
        limits: DEFAULT_LIMITS,
        onControl: () => {},
        onStream: () => {},
        connects: () => false,
        resumeMs: 60_000,
      });
      const peer = new HostilePeer(role === "dialler" ? links.acceptor : links.dialler);
      peer.sendControl({ $case: "ping", value: {} });
      await untilTurn(() => session.dialect !== undefined, "it is known what the peer speaks");
      for (let sent = 0; sent < 100; sent += 1) {
        session.send({ kind: "status", serviceId: "any", status: "complete", message: "" });
        await turn();
      }
      strictEqual(session.retainedBytes, 0);
      strictEqual(session.resumable, false);
      session.abort(LOST);
      await session.closed;
    });
  }
}

Deno.test("a peer that answers a ping that was not sent again yet ends its session, and nothing else", async () => {
  const { acceptor, first, peer } = await attacked();
  const { session } = acceptor;
  // More than a link takes that is not read.
  const statuses = 1500;
  for (let sent = 0; sent < statuses; sent += 1) {
    session.send({ kind: "status", serviceId: "any", status: "complete", message: "" });
  }
  acceptor.streams[0]?.accept();
  await acceptor.streams[0]?.write(new Uint8Array(10_000));
  await untilTurn(() => peer.control.length >= statuses, "all has arrived");
  await peer.receive("data");
  const nonces = peer.received("ping").map(({ body }) =>
    body?.$case === "ping" ? body.value.nonce : -1
  );
  ok(nonces.length >= 2, `${nonces.length} pings`);
  const again = acceptor.call({ claim: { token: first.token, attempt: 1, received: 0 } });
  const next = new HostilePeer(again.link, { deaf: true });
  next.sendControl({ $case: "ping", value: {} });
  await untilTurn(() => session.suspended === undefined, "it goes on");
  next.send(...nonces.map(pong));
  const end = await soon(session.closed, "it has ended");
  match(end?.message ?? "", /answered a ping that was not sent again/);
  again.link.abort(LOST);
  await acceptor.end();
});

Deno.test("visitors whose turn has not come wait ten seconds of those in which there is a link", async () => {
  using time = new FakeTime();
  const { acceptor, first } = await attacked();
  const { session } = acceptor;
  const crowd = Array.from(
    { length: 1000 },
    (_, index) => session.open("dead", `192.0.2.9:${index}`),
  );
  let reason = "";
  crowd.at(-1)?.onLost((why) => reason = why);
  await time.advance(9000);
  first.link.abort(LOST);
  await untilTurn(() => session.suspended !== undefined, "the loss is noticed");
  await time.advance(30_000);
  goOn(acceptor.call({ claim: { token: first.token, attempt: 1, received: 0 } }).link);
  await time.advance(9000);
  strictEqual(reason, "");
  await time.advance(2000);
  strictEqual(reason, "too many visitors wait for the destination of this service");
  await acceptor.end();
});

Deno.test("a session that goes on measures its path anew", async () => {
  const acceptor = new Acceptor();
  const first = acceptor.call();
  const peer = new HostilePeer(first.link);
  const { session } = acceptor;
  await untilTurn(() => session.roundTripMs !== undefined, "it is measured");
  first.link.abort(LOST);
  await untilTurn(() => session.suspended !== undefined, "the loss is noticed");
  const received = peer.received("ping").length;
  goOn(acceptor.call({ claim: { token: first.token, attempt: 1, received } }).link);
  strictEqual(session.suspended, undefined);
  strictEqual(session.roundTripMs, undefined);
  await acceptor.end();
});

Deno.test("what waits for diallers is bounded: the one that has waited longest ends, of the peer with most", async () => {
  const acceptor = new Acceptor(new ClaimableSessions({ sessions: 3 }));
  const call = (host: string) => acceptor.call({ host });
  const calls = ["192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.2"].map(call);
  await untilTurn(() => acceptor.sessions.every((each) => each.resumable), "all have begun");
  for (const { link } of calls) {
    link.abort(LOST);
    for (let left = 10; left > 0; left -= 1) await turn();
  }
  const waiting = acceptor.sessions.map((session) => session.suspended !== undefined);
  strictEqual(acceptor.claimable.waiting, 3);
  const ended = acceptor.sessions.filter((session) => session.suspended === undefined);
  for (const session of ended) {
    match((await session.closed)?.message ?? "", /too many other connections wait for theirs/);
  }
  // The first of all has waited longest, and is the only one of its peer.
  deepStrictEqual(waiting, [true, false, false, true, true]);
  await acceptor.end();
});

Deno.test("a session that is claimed again and again without end ends", async () => {
  const { acceptor, first } = await attacked(new ClaimableSessions({ claims: 3 }));
  let { token } = first;
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const answer = acceptor.call({ claim: { token, attempt, received: 0 } });
    strictEqual(answer.received, 1, "it goes on");
    token = answer.token;
  }
  const { received } = acceptor.call({ claim: { token, attempt: 4, received: 0 } });
  strictEqual(received, undefined, "it is a new one");
  strictEqual(acceptor.sessions.length, 2);
  match((await acceptor.session.closed)?.message ?? "", /asked for too often/);
  strictEqual(acceptor.sessions[1]?.suspended, undefined);
  await acceptor.end();
});

Deno.test("what waits for a process that was started anew ends, and nothing else", async () => {
  const acceptor = new Acceptor();
  const call = (letter: string, caller: Caller = {}) =>
    acceptor.call({ claim: `run=${letter.repeat(22)}`, ...caller });
  const former = call("A");
  const beside = call("A");
  const other = call("A", { proof: OTHER });
  await untilTurn(() => acceptor.sessions.every((each) => each.resumable), "all have begun");
  for (const { link } of [former, other]) link.abort(LOST);
  await untilTurn(() => acceptor.claimable.waiting === 2, "the losses are noticed");
  call("A");
  strictEqual(acceptor.claimable.waiting, 2, "the same process may come back for it");
  call("B", { proof: OTHER, certificate: named("other") });
  strictEqual(acceptor.claimable.waiting, 2, "another peer's");
  call("B");
  strictEqual(acceptor.claimable.waiting, 1);
  match((await acceptor.sessions[0]?.closed)?.message ?? "", /has begun anew/);
  // Its link was not lost yet when the new process came.
  beside.link.abort(LOST);
  match((await acceptor.sessions[1]?.closed)?.message ?? "", /has begun anew/);
  strictEqual(acceptor.sessions[2]?.suspended !== undefined, true);
  await acceptor.end();
});

Deno.test("what is kept for diallers is bounded in bytes", async () => {
  const acceptor = new Acceptor(new ClaimableSessions({ bytes: 2_500_000 }));
  const calls = [0, 1, 2].map((host) => acceptor.call({ host: `192.0.2.${host}` }));
  await untilTurn(() => acceptor.sessions.every((each) => each.resumable), "all have begun");
  for (const session of acceptor.sessions) {
    session.send({
      kind: "status",
      serviceId: "any",
      status: "error",
      message: "x".repeat(1_000_000),
    });
  }
  for (const { link } of calls) {
    link.abort(LOST);
    for (let left = 10; left > 0; left -= 1) await turn();
  }
  deepStrictEqual(
    acceptor.sessions.map((session) => session.suspended !== undefined),
    [false, true, true],
  );
  await acceptor.end();
});

Deno.test("a peer whose few sessions are large drives out none of a peer that has many small ones", async () => {
  const acceptor = new Acceptor(new ClaimableSessions({ bytes: 1_500_000 }));
  const large = acceptor.call({ host: "192.0.2.1" });
  const small = ["192.0.2.2", "192.0.2.2", "192.0.2.2"].map((host) => acceptor.call({ host }));
  await untilTurn(() => acceptor.sessions.every((each) => each.resumable), "all have begun");
  acceptor.sessions.forEach((session, index) =>
    session.send({
      kind: "status",
      serviceId: "any",
      status: "error",
      message: "x".repeat(index === 0 ? 1_000_000 : 200_000),
    })
  );
  for (const { link } of [...small, large]) {
    link.abort(LOST);
    for (let left = 10; left > 0; left -= 1) await turn();
  }
  deepStrictEqual(
    acceptor.sessions.map((session) => session.suspended !== undefined),
    [false, true, true, true],
  );
  await acceptor.end();
});

Deno.test("a session that ends because it is claimed is not granted", async () => {
  const acceptor = new Acceptor();
  const run = (letter: string) => `run=${letter.repeat(22)}`;
  const first = acceptor.call({ claim: run("A") });
  await untilTurn(() => acceptor.session.resumable, "it has begun");
  // Its link lives, so it waits for nobody yet.
  acceptor.call({ claim: run("B") });
  const { received } = acceptor.call({
    claim: { token: first.token, attempt: 1, received: 0 },
  });
  match((await acceptor.session.closed)?.message ?? "", /has begun anew/);
  strictEqual(received, undefined, "it is a new session");
  strictEqual(acceptor.sessions.length, 3);
  await acceptor.end();
});

/** What a hostile dialler may do next, with numbers to choose by. */
const move = fc.record({
  what: fc.constantFrom(
    "call",
    "introduce",
    "claim",
    "claim",
    "claim",
    "go on",
    "lose",
    "pong",
    "open",
    "data",
    "garbage",
    "leave",
    "status",
    "write",
    "turn",
  ),
  which: fc.nat(7),
  attempt: fc.nat(12),
  received: fc.nat(6),
});

Deno.test("whatever hostile diallers do, what waits is counted right, is bounded, and another's session goes on", async () => {
  let granted = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(move, { minLength: 20, maxLength: 60 }),
      whileTimeLasts(400, async (moves) => {
        const acceptor = new Acceptor(new ClaimableSessions({ sessions: 3, claims: 4 }));
        const good = acceptor.call({ proof: OTHER, host: "192.0.2.99" });
        const goodPeer = new HostilePeer(good.link);
        goodPeer.send(open(1, "any"));
        await untilTurn(() => acceptor.streams.length === 1, "the good stream is open");
        const [goodStream] = acceptor.streams;
        goodStream?.accept();
        const calls: Opened[] = [];
        const peers: HostilePeer[] = [];
        const call = (caller: Caller) => {
          try {
            const answered = acceptor.call(caller);
            if (answered.received !== undefined) granted += 1;
            calls.push(answered);
            peers.push(new HostilePeer(answered.link, { mute: true }));
          } catch (error) {
            ok(error instanceof ConnectorError && error.code === "invalid_argument", String(error));
          }
        };
        call({});
        for (const { what, which, attempt, received } of moves) {
          const peer = peers[which % peers.length];
          const token = calls[which % calls.length]?.token ?? "";
          const session = acceptor.sessions[which % acceptor.sessions.length];
          const isGood = session === acceptor.session;
          if (what === "call") call({ host: `192.0.2.${which}` });
          if (what === "introduce") call({ claim: `run=${"AB"[which % 2]?.repeat(22)}` });
          if (what === "claim") call({ claim: { token, attempt, received } });
          if (what === "go on") peer?.sendControl({ $case: "ping", value: {} });
          if (what === "lose") peer?.link.abort(LOST);
          if (what === "pong") peer?.send(pong(performance.now() >>> 0));
          if (what === "open") peer?.send(open(attempt, "any"));
          if (what === "data") peer?.send(data(attempt, 1 + received));
          if (what === "garbage") peer?.sendRaw(new Uint8Array(received).fill(attempt));
          if (what === "leave" && !isGood) session?.drain({ returns: true });
          if (what === "status" && !isGood) {
            session?.send({ kind: "status", serviceId: "any", status: "complete", message: "" });
          }
          if (what === "write") {
            acceptor.streams[which % acceptor.streams.length]?.write(new Uint8Array(100))
              .catch(() => {});
          }
          if (what === "turn") { for (let left = which; left > 0; left -= 1) await turn(); }
          await turn();
          const waiting = acceptor.sessions.filter((each) => each.suspended !== undefined).length;
          strictEqual(acceptor.claimable.waiting, waiting);
          ok(waiting <= 3);
        }
        const before = goodPeer.received("data").length;
        await goodStream?.write(new Uint8Array(50));
        await untilTurn(() => goodPeer.received("data").length > before, "the good peer hears");
        await acceptor.end();
        strictEqual(acceptor.claimable.waiting, 0);
      }),
    ),
    { numRuns: 150 },
  );
  ok(granted > 0, "claims were granted");
});

/** A dialler's session, whose acceptor is hostile and answers each link as the test says. */
async function dial(): Promise<{
  session: Session;
  claim: () => string;
  /** Opens the next link. */
  next: (resume: string | undefined, options?: { certificate?: CertificateId }) => Link;
}> {
  const token = "A".repeat(43);
  const links = memoryLinks({
    offer: GREETING,
    answer: { ...GREETING, resume: `token=${token}` },
  });
  links.dialler.peer.principal = new Principal({ host: "acceptor" });
  const session = Session.start(links.dialler, {
    role: "dialler",
    limits: DEFAULT_LIMITS,
    onControl: () => {},
    onStream: () => {},
    connects: () => false,
    resumeMs: 60_000,
  });
  await untilTurn(() => session.resumable, "it has begun");
  links.acceptor.abort(LOST);
  await untilTurn(() => session.suspended !== undefined, "the loss is noticed");
  return {
    session,
    claim: () => session.claim(),
    next(resume, { certificate } = {}) {
      const { dialler } = memoryLinks({
        offer: GREETING,
        answer: { ...GREETING, ...(resume !== undefined && { resume }) },
      });
      dialler.peer.principal = new Principal({ host: "acceptor", certificate });
      return dialler;
    },
  };
}

Deno.test("a session that waits for a link ends at once when its side shuts down or closes it", async () => {
  for (
    const end of [
      (session: Session) => session.drain({ returns: true }),
      (session: Session) => session.close(),
    ]
  ) {
    const { acceptor, first } = await attacked();
    first.link.abort(LOST);
    await untilTurn(() => acceptor.session.suspended !== undefined, "the loss is noticed");
    const { session: dialling } = await dial();
    for (const session of [acceptor.session, dialling]) {
      end(session);
      match((await soon(session.closed, "it has ended"))?.message ?? "", /the path has broken/);
    }
    const claim = { token: first.token, attempt: 1, received: 0 };
    strictEqual(acceptor.call({ claim }).received, undefined, "it is a new session");
    await acceptor.end();
  }
});

const NEXT = "B".repeat(43);
const TOKEN = "C".repeat(43);

for (
  const [what, resume, certificate, reason] of [
    [
      "has received more than was sent",
      `token=${NEXT},received=1000`,
      undefined,
      /has received 1000/,
    ],
    ["answers what cannot be read", `token=${NEXT},received=x`, undefined, /cannot be read/],
    ["answers no token", "received=1", undefined, /cannot be read/],
    [
      "has another name",
      `token=${NEXT},received=1`,
      named("other"),
      /other terms or names/,
    ],
  ] as const
) {
  Deno.test(`an acceptor that ${what} ends the session`, async () => {
    const { session, claim, next } = await dial();
    claim();
    const link = next(resume, certificate && { certificate });
    strictEqual(await session.resumeOver(link), "failed");
    match((await session.closed)?.message ?? "", reason);
    ok(await link.closed, "the link has ended, too");
  });
}

Deno.test("an acceptor that has received less than before ends the session", async () => {
  const { session, claim, next } = await dial();
  claim();
  const link = next(`token=${NEXT},received=1`);
  strictEqual(await session.resumeOver(link), "resumed");
  link.abort(LOST);
  await untilTurn(() => session.suspended !== undefined, "the loss is noticed");
  match(claim(), /^token=B{43},attempt=2/);
  strictEqual(await session.resumeOver(next(`token=${TOKEN},received=0`)), "failed");
  match((await session.closed)?.message ?? "", /has received 0 messages: want a number from 1 to/);
});

Deno.test("an acceptor that is revoked while it answers is not gone on with", async () => {
  const { session, claim, next } = await dial();
  claim();
  const link = Object.assign(next(`token=${NEXT},received=1`), {
    revoked: () => "its certificate is revoked",
  });
  strictEqual(await session.resumeOver(link), "failed");
  match((await session.closed)?.message ?? "", /its certificate is revoked/);
  ok(await link.closed, "the link has ended, too");
});

Deno.test("an acceptor that knows the session no more, or nothing of resumption, is taken at its word", async () => {
  const { session, claim, next } = await dial();
  match(claim(), /^token=A{43},attempt=1,received=0$/);
  for (const resume of [`token=${NEXT}`, undefined]) {
    const link = next(resume);
    strictEqual(await session.resumeOver(link), "unknown");
    ok(session.suspended, "what becomes of it is up to its owner");
    link.abort(LOST);
  }
  match(claim(), /^token=A{43},attempt=2,received=0$/);
  const link = next(`token=${NEXT},received=1`);
  const sent: Uint8Array[] = [];
  const { send } = link;
  link.send = (message) => {
    sent.push(message);
    return send.call(link, message);
  };
  strictEqual(await session.resumeOver(link), "resumed");
  await turn();
  // What was kept may be larger than an acceptor takes of a stranger.
  deepStrictEqual(sent[0], encodeFrame({ kind: "ping" }));
  ok(sent.length > 1);
  session.abort(LOST);
  await session.closed;
});

Deno.test("an acceptor that goes on with a new session breaks the protocol", async () => {
  const { dialler } = memoryLinks({
    offer: GREETING,
    answer: { ...GREETING, resume: `token=${NEXT},received=5` },
  });
  const session = Session.start(dialler, {
    role: "dialler",
    limits: DEFAULT_LIMITS,
    onControl: () => {},
    onStream: () => {},
    connects: () => false,
    resumeMs: 60_000,
  });
  match((await soon(session.closed, "it has ended"))?.message ?? "", /a session that is none/);
});
