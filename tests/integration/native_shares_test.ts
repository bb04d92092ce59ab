// What one service of a link can take from the others: streams, and opens that nobody answers. Two sessions in memory.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS, type SessionLimits } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { FakeTime } from "../support/fake_time.ts";
import { HostilePeer, open } from "../support/hostile_peer.ts";
import { memoryLinks, turn } from "../support/memory_link.ts";
import { sessionPair, untilTurn } from "../support/session_pair.ts";

/** An ingress, and what has arrived at the egress: only services called "good" are answered. */
async function world(limits: Partial<SessionLimits> = {}) {
  const arrived: Stream[] = [];
  const { dialler, acceptor } = sessionPair({
    limits,
    onStream: {
      dialler: () => {},
      acceptor(stream) {
        arrived.push(stream);
        if (stream.serviceId === "good") stream.accept();
      },
    },
  });
  await untilTurn(() => dialler.dialect === "native", "they have negotiated");
  let count = 0;
  const visit = (service: string, times = 1) =>
    Array.from({ length: times }, () => dialler.open(service, `192.0.2.1:${count++}`));
  return {
    dialler,
    visit,
    arrivedOf: (service: string) => arrived.filter(({ serviceId }) => serviceId === service),
    async [Symbol.asyncDispose]() {
      dialler.close();
      await Promise.all([dialler.closed, acceptor.closed]);
    },
  };
}

/** Why a stream was lost, once it was. */
function lossOf(stream: Stream | undefined): { reason: string } {
  const loss = { reason: "" };
  stream?.onLost((reason) => loss.reason = reason);
  return loss;
}

for (const dead of [1, 5, 30]) {
  Deno.test(`visitors of ${dead} services that nobody answers keep none of another service waiting`, async () => {
    await using all = await world();
    for (let index = 0; index < dead; index += 1) {
      all.visit(`dead ${index}`, Math.ceil(2500 / dead));
    }
    all.visit("good", 3);
    await untilTurn(() => all.arrivedOf("good").length === 3, "the good ones have arrived");
    ok(all.arrivedOf("dead 0").length > 50);
  });
}

Deno.test("a burst at a service that answers arrives whole", async () => {
  await using all = await world();
  all.visit("good", 2500);
  await untilTurn(() => all.arrivedOf("good").length === 2500, "all have arrived");
});

Deno.test("a visitor that is reset frees its place at both ends, and the next one has it", async () => {
  await using all = await world();
  const crowd = all.visit("dead", 2500);
  await turn();
  const { length } = all.arrivedOf("dead");
  ok(length < 500, `${length}`);
  const loss = lossOf(all.arrivedOf("dead")[0]);
  crowd[0]?.reset("connection_reset", "it has left");
  await untilTurn(() => all.arrivedOf("dead").length === length + 1, "the next one has arrived");
  strictEqual(loss.reason, "it has left");
  for (const stream of crowd) stream.reset("connection_reset", "it has left");
  await untilTurn(() => all.dialler.streamCount === 0, "nothing is left");
  all.visit("dead");
  await untilTurn(
    () => all.arrivedOf("dead").at(-1)?.visitor === "192.0.2.1:2500",
    "a new visitor does not wait",
  );
});

Deno.test("a visitor that has waited for ten seconds is turned away, and told why", async () => {
  using time = new FakeTime();
  const all = await world();
  const crowd = all.visit("dead", 1000);
  const [dialled, waiting] = [lossOf(crowd[0]), lossOf(crowd.at(-1))];
  await time.advance(9000);
  strictEqual(waiting.reason, "");
  await time.advance(2000);
  strictEqual(waiting.reason, "too many visitors wait for the destination of this service");
  // How long a destination may take is the egress's to say.
  strictEqual(dialled.reason, "");
  await ended(all, time);
});

Deno.test("visitors that have finished give way to others of their service, and only to them", async () => {
  using time = new FakeTime();
  const all = await world();
  const finished = all.visit("dead", 100);
  const alone = lossOf(finished[0]);
  for (const stream of finished) stream.finish();
  await time.advance(5000);
  strictEqual(alone.reason, "");
  all.visit("dead", 400);
  await time.advance(3000);
  match(alone.reason, /other visitors wait/);
  // As many as were wanted.
  const left = all.dialler.streamCount;
  ok(left > 400 && left < 500, `${left}`);
  await ended(all, time);
});

Deno.test("of the peer's opens those give way that wait longest, of services that have too many", async () => {
  using time = new FakeTime();
  const greeting = hello(DEFAULT_LIMITS);
  const links = memoryLinks({ offer: greeting, answer: greeting });
  const taken: Stream[] = [];
  const session = Session.start(links.acceptor, {
    role: "acceptor",
    limits: DEFAULT_LIMITS,
    onControl: () => {},
    onStream: (stream) => taken.push(stream),
    connects: () => false,
  });
  await time.advance(1);
  // It divides nothing between its services, as connectors of version 0.1.0.
  const peer = new HostilePeer(links.dialler);
  const opens = Array.from(
    { length: 1000 },
    (_, at) => open(2 * at + 1, at < 900 ? "dead" : "few"),
  );
  peer.send(...opens);
  await time.advance(500);
  strictEqual(peer.received("reset").length, 0);
  await time.advance(1000);
  const resets = peer.received("reset");
  ok(resets.length > 400, `${resets.length}`);
  deepStrictEqual(resets[0]?.stream, 1);
  ok(resets.every(({ stream }) => stream < 1800), "only those of the dead one");
  const [{ body } = { body: undefined }] = resets;
  match(body?.$case === "reset" ? body.value.reason : "", /other visitors wait/);
  // Nobody waits any more: the rest may take its time.
  const { length } = resets;
  await time.advance(3000);
  strictEqual(peer.received("reset").length, length);
  session.abort(new ConnectorError("cancelled", "the test is over"));
  await time.advance(2000);
});

Deno.test("one service at its maximum leaves streams of the link for others", async () => {
  await using all = await world({ streams: 1000, opens: 1000 });
  const refused = () => all.visit("good", 1000);
  throws(refused, /takes 1000 streams, and this service has used its share/);
  const { streamCount } = all.dialler;
  ok(streamCount > 700 && streamCount < 800, `${streamCount}`);
  for (let index = 0; index < 10; index += 1) {
    all.visit(`other ${index}`, index < 5 ? 16 : 1);
  }
});

Deno.test("a peer that gives one service more streams than its part is told, and keeps its link", async () => {
  const greeting = hello({ ...DEFAULT_LIMITS, streams: 100 });
  const links = memoryLinks({ offer: greeting, answer: greeting });
  let taken = 0;
  const session = Session.start(links.acceptor, {
    role: "acceptor",
    limits: { ...DEFAULT_LIMITS, streams: 100 },
    onControl: () => {},
    onStream(stream) {
      taken += 1;
      stream.accept();
    },
    connects: () => false,
  });
  const peer = new HostilePeer(links.dialler);
  for (let count = 0; count < 90; count += 1) peer.send(open(2 * count + 1, "big"));
  peer.send(open(181, "small"));
  await peer.receive("opened", { stream: 181 });
  const { body } = await peer.receive("reset");
  match(body?.$case === "reset" ? body.value.reason : "", /its share of the streams/);
  ok(taken > 70 && taken < 91, `${taken}`);
  session.abort(new ConnectorError("cancelled", "the test is over"));
  await session.closed;
});

Deno.test("reference dialect: one service at its maximum leaves streams of the link for others", async () => {
  const links = memoryLinks({});
  const session = Session.start(links.dialler, {
    role: "dialler",
    limits: DEFAULT_LIMITS,
    onControl: () => {},
    onStream: () => {},
    connects: () => false,
  });
  await untilTurn(() => session.dialect === "reference", "it has begun");
  let count = 0;
  throws(() => {
    for (; count < 16_000; count += 1) session.open("big", "192.0.2.1:1");
  }, /carries 16000 streams, and this service has used its share/);
  ok(count > 10_000, `${count}`);
  session.open("small", "192.0.2.1:1");
  session.abort(new ConnectorError("cancelled", "the test is over"));
  links.acceptor.close();
  await session.closed;
});

/** Ends a world whose time is a test's. */
async function ended(all: AsyncDisposable, time: FakeTime): Promise<void> {
  const over = all[Symbol.asyncDispose]();
  await time.advance(2000);
  await over;
}
