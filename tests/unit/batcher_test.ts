// The sending side of a native session: what leaves in which message, and what waits.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { Batcher } from "../../src/mux/native/batcher.ts";
import type { Link } from "../../src/mux/link.ts";
import { Outbox } from "../../src/mux/outbox.ts";
import { newShare } from "../../src/mux/native/turn_queue.ts";
import { decodeBatch } from "../../src/wire/native_codec.ts";
import { type DataFrame, MAX_BATCH_BYTES, type NativeFrame } from "../../src/wire/native_frame.ts";
import { FakeTime } from "../support/fake_time.ts";
import { memoryLinks, seeded, turn } from "../support/memory_link.ts";

const ALWAYS = () => true;

/** A batcher over a link that takes one message at a time. */
function overLink(bound = 1000, { hearsClock = true } = {}): {
  batcher: Batcher;
  outbox: Outbox;
  acceptor: Link;
  overflows: ConnectorError[];
} {
  const { dialler, acceptor } = memoryLinks({ bound });
  const overflows: ConnectorError[] = [];
  const onOverflow = (error: ConnectorError) => overflows.push(error);
  const outbox = new Outbox(dialler, onOverflow);
  const batcher = new Batcher(outbox, { onOverflow, hearsClock });
  senders.set(acceptor, batcher);
  return { batcher, outbox, acceptor, overflows };
}

/** Who has sent what arrives at a link: its pings are answered, as a peer does. */
const senders = new WeakMap<Link, Batcher>();

/** The frames of the next message that are not marks of the batcher's own. */
async function nextBatch(link: Link): Promise<NativeFrame[]> {
  const message = await link.receive();
  return message === null ? [] : framesOf(message, link);
}

function framesOf(message: Uint8Array, link: Link): NativeFrame[] {
  const frames: NativeFrame[] = [];
  decodeBatch(message, (frame) => {
    if (frame.kind === "ping") senders.get(link)?.pong(frame.nonce);
    else frames.push(frame);
  });
  return frames;
}

/** What a frame is, in short. */
function names(frames: NativeFrame[]): string[] {
  return frames.map((frame) => "stream" in frame ? `${frame.kind} ${frame.stream}` : frame.kind);
}

function data(stream: number, length = 10): DataFrame {
  return { kind: "data", stream, bytes: new Uint8Array(length) };
}

/** Sends data; resolves when its turn is over. */
function send(
  batcher: Batcher,
  frame: DataFrame,
  { wanted = ALWAYS, share = newShare() } = {},
): Promise<void> {
  return new Promise((done) => batcher.sendData(frame, { wanted, done, share }));
}

/** Sends without waiting, and notes when it is done. */
function queue(batcher: Batcher, frame: DataFrame, wanted = ALWAYS): { done: boolean } {
  const state = { done: false };
  send(batcher, frame, { wanted }).then(() => state.done = true);
  return state;
}

Deno.test("frames of one turn leave in one message, control before data", async () => {
  const { batcher, acceptor } = overLink();
  queue(batcher, data(1));
  batcher.send({ kind: "grant", stream: 3, offset: 5 });
  queue(batcher, data(2));
  batcher.send({ kind: "pong", nonce: 1 });
  deepStrictEqual(names(await nextBatch(acceptor)), ["grant 3", "pong", "data 1", "data 2"]);
});

Deno.test("nothing waits for a timer: a single byte leaves in the turn in which it was queued", async () => {
  const { batcher, acceptor } = overLink();
  let arrived = false;
  nextBatch(acceptor).then(() => arrived = true);
  queue(batcher, data(1, 1));
  await turn();
  strictEqual(arrived, true);
});

Deno.test("data is done when its message has been made, and its buffer may be reused", async () => {
  const { batcher, acceptor } = overLink();
  const bytes = new Uint8Array([1, 2, 3]);
  await send(batcher, { kind: "data", stream: 1, bytes });
  bytes.fill(9);
  deepStrictEqual(await nextBatch(acceptor), [
    { kind: "data", stream: 1, bytes: new Uint8Array([1, 2, 3]) },
  ]);
});

Deno.test("streams take turns: who has waited longest goes first", async () => {
  const { batcher, acceptor } = overLink();
  const order: string[] = [];
  const stream = async (id: number, frames: number) => {
    for (let count = 0; count < frames; count += 1) {
      await send(batcher, data(id, 64 * 1024));
    }
  };
  const sending = Promise.all([stream(1, 6), stream(3, 3), stream(5, 3)]);
  while (order.length < 12) order.push(...names(await nextBatch(acceptor)));
  await sending;
  const first = order.slice(0, 9);
  for (const name of ["data 1", "data 3", "data 5"]) {
    strictEqual(first.filter((each) => each === name).length, 3, order.join(", "));
  }
});

Deno.test("a batch is never larger than may be sent, whatever was queued", async () => {
  const random = seeded(7);
  for (let round = 0; round < 30; round += 1) {
    const { batcher, acceptor } = overLink();
    const count = 1 + random(60);
    for (let index = 0; index < count; index += 1) {
      const lengths = [1, 1024, 30_000, 64 * 1024, 128 * 1024];
      const length = lengths[random(lengths.length)] ?? 1;
      if (random(3) > 0) queue(batcher, data(2 ** 31 - 1, length));
      else batcher.send({ kind: "reset", stream: 1, code: "limit", reason: "x".repeat(256) });
    }
    for (let received = 0; received < count;) {
      const message = await acceptor.receive();
      ok(message !== null && message.length <= MAX_BATCH_BYTES, `${message?.length} bytes`);
      received += framesOf(message, acceptor).length;
    }
  }
});

Deno.test("a batch that was nearly full takes the largest frame all the same", async () => {
  const { batcher, acceptor } = overLink();
  // Each adds ten bytes: together one less than 128 KiB.
  for (const length of [65_536, 65_515]) queue(batcher, data(1, length));
  queue(batcher, data(2 ** 31 - 1, 128 * 1024));
  for (let received = 0; received < 3;) received += (await nextBatch(acceptor)).length;
});

Deno.test("while the link is full data waits, and control goes ahead of it afterwards", async () => {
  const { batcher, acceptor } = overLink(1);
  await send(batcher, data(1));
  const waiting = queue(batcher, data(3));
  batcher.send({ kind: "pong", nonce: 7 });
  await turn();
  strictEqual(waiting.done, false);
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 1"]);
  deepStrictEqual(names(await nextBatch(acceptor)), ["pong", "data 3"]);
  strictEqual(waiting.done, true);
});

Deno.test("data that is not wanted any more when its turn comes is done and not sent", async () => {
  const { batcher, acceptor } = overLink(1);
  await send(batcher, data(1));
  let wanted = true;
  const dropped = queue(batcher, data(3), () => wanted);
  queue(batcher, data(5));
  wanted = false;
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 1"]);
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 5"]);
  strictEqual(dropped.done, true);
});

Deno.test("a peer that does not read its answers is reported once they are too many, once", async () => {
  const { batcher, overflows } = overLink(1);
  await send(batcher, data(1));
  const waiting = queue(batcher, data(3));
  let sent = 0;
  for (; overflows.length === 0 && sent < 1_000_000; sent += 1) {
    batcher.send({ kind: "pong", nonce: 2 ** 31 });
  }
  // Eight bytes each: two tags, a length, and five of the number.
  ok(sent * 8 > 1024 * 1024 && sent * 8 < 1024 * 1024 + 100, `${sent} pongs`);
  for (let more = 0; more < 1000; more += 1) batcher.send({ kind: "pong", nonce: 1 });
  await turn();
  deepStrictEqual(overflows.map(({ code }) => code), ["resource_exhausted"]);
  strictEqual(waiting.done, true);
});

Deno.test("answers that are read are forgotten: any number may be sent over time", async () => {
  const { batcher, acceptor, overflows } = overLink(1);
  // Together 1.6 MB.
  for (let round = 0; round < 20; round += 1) {
    const reason = "x".repeat(200);
    for (let count = 0; count < 400; count += 1) {
      batcher.send({ kind: "reset", stream: 1, code: "closing", reason });
    }
    for (let received = 0; received < 400;) received += (await nextBatch(acceptor)).length;
  }
  deepStrictEqual(overflows, []);
});

Deno.test("the end lets everybody go who waits, and nothing is sent after it", async () => {
  const { batcher, acceptor } = overLink(1);
  await send(batcher, data(1));
  const waiting = [queue(batcher, data(3)), queue(batcher, data(5))];
  batcher.send({ kind: "pong", nonce: 1 });
  batcher.abort();
  await send(batcher, data(7));
  batcher.send({ kind: "pong", nonce: 2 });
  deepStrictEqual(waiting, [{ done: true }, { done: true }]);
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 1"]);
  let more = false;
  acceptor.receive().then(() => more = true);
  for (let count = 0; count < 5; count += 1) await turn();
  strictEqual(more, false);
});

Deno.test("what is flushed leaves at once", async () => {
  const { batcher, acceptor } = overLink();
  batcher.send({ kind: "goAway", code: "breach", reason: "x" });
  batcher.flush();
  batcher.abort();
  deepStrictEqual(names(await nextBatch(acceptor)), ["goAway"]);
});

Deno.test("a hundred thousand streams that wait cost no more each than a few", async () => {
  const { batcher, acceptor } = overLink(1);
  await send(batcher, data(1));
  const started = performance.now();
  for (let count = 0; count < 100_000; count += 1) queue(batcher, data(3, 1));
  for (let received = 0; received < 100_000;) received += (await nextBatch(acceptor)).length;
  // A queue that shifts an array would take minutes.
  ok(performance.now() - started < 10_000);
});

Deno.test("a small piece of data is taken at once, in order with control, ahead of what waits for its turn", async () => {
  const { batcher, acceptor } = overLink();
  queue(batcher, data(1));
  batcher.send({ kind: "opened", stream: 2 });
  const small = data(2, 3);
  strictEqual(batcher.sendSmallData(small, newShare()), true);
  small.bytes.fill(9);
  batcher.send({ kind: "finish", stream: 2 });
  const frames = await nextBatch(acceptor);
  deepStrictEqual(names(frames), ["opened 2", "data 2", "finish 2", "data 1"]);
  deepStrictEqual(frames[1], data(2, 3));
});

Deno.test("data is not taken at once that is large, or when a batch has much already", async () => {
  const { batcher, acceptor } = overLink();
  strictEqual(batcher.sendSmallData(data(1, 2049), newShare()), false);
  let taken = 0;
  while (batcher.sendSmallData(data(1, 2048), newShare()) && taken < 100) taken += 1;
  ok(taken > 5 && taken < 20, `${taken} pieces of 2 KiB`);
  // Control still goes in, behind it and ahead of other data.
  queue(batcher, data(2));
  batcher.send({ kind: "finish", stream: 1 });
  const frames = [...await nextBatch(acceptor), ...await nextBatch(acceptor)];
  strictEqual(frames.length, taken + 2);
  deepStrictEqual(names(frames.slice(taken)), ["finish 1", "data 2"]);
  strictEqual(batcher.sendSmallData(data(1), newShare()), true);
  await nextBatch(acceptor);
});

Deno.test("no data is taken at once while the link is full, or once it has ended", async () => {
  const { batcher, outbox, acceptor } = overLink(1);
  await send(batcher, data(1));
  strictEqual(outbox.full, true);
  strictEqual(batcher.sendSmallData(data(2), newShare()), false);
  batcher.send({ kind: "pong", nonce: 1 });
  await nextBatch(acceptor);
  deepStrictEqual(names(await nextBatch(acceptor)), ["pong"]);
  batcher.abort();
  strictEqual(batcher.sendSmallData(data(2), newShare()), false);
});

/** Sends bulk of one stream until some of it waits. Returns the state of what waits. */
async function fill(batcher: Batcher, share = newShare()): Promise<{ done: boolean }> {
  for (let count = 0; count < 1000; count += 1) {
    const state = { done: false };
    send(batcher, data(1, 1024), { share }).then(() => state.done = true);
    await turn();
    if (!state.done) return state;
  }
  throw new Error("nothing ever waits");
}

Deno.test("data waits while so much is under way that it would wait in the path, until a ping is answered", async () => {
  const { batcher, acceptor } = overLink();
  const waiting = await fill(batcher);
  batcher.send({ kind: "finish", stream: 3 });
  await turn();
  strictEqual(waiting.done, false);
  // Control is not held back: it is among what has arrived by now.
  const kinds: string[] = [];
  while (!kinds.includes("finish")) kinds.push(...(await nextBatch(acceptor)).map((f) => f.kind));
  await turn();
  strictEqual(waiting.done, true);
});

Deno.test("little of another stream leaves even then, and more of it does not", async () => {
  const { batcher } = overLink();
  await fill(batcher);
  strictEqual(batcher.sendSmallData(data(3, 100), newShare()), true);
  let taken = 0;
  for (const share = newShare(); taken < 1000; taken += 1) {
    if (!batcher.sendSmallData(data(5, 1000), share)) break;
  }
  ok(taken <= 4, `${taken} KB`);
});

Deno.test("those that are not wanted any more do not wait for a peer that answers nothing", async () => {
  const { batcher } = overLink();
  await fill(batcher);
  let wanted = true;
  const dropped = Array.from({ length: 100 }, (_, id) => queue(batcher, data(id), () => wanted));
  wanted = false;
  for (const _ of dropped) batcher.unwanted();
  await turn();
  ok(dropped.filter(({ done }) => done).length >= 50);
});

Deno.test("pings are answered in their order, and an answer to none is a breach", () => {
  const { batcher } = overLink();
  throws(() => batcher.pong(1), { code: "internal", message: /ping that was not sent/ });
});

Deno.test("a peer that answers a ping now and then, and many never, is reported", async () => {
  const { batcher, acceptor, overflows } = overLink();
  const nonces: number[] = [];
  let rounds = 0;
  for (; rounds < 400 && overflows.length === 0; rounds += 1) {
    batcher.ping();
    if (overflows.length > 0) break;
    const message = await acceptor.receive();
    decodeBatch(message ?? new Uint8Array(), (frame) => {
      if (frame.kind === "ping") nonces.push(frame.nonce);
    });
    const answered = rounds % 4 === 0 ? nonces.shift() : undefined;
    if (answered !== undefined) batcher.pong(answered);
  }
  ok(rounds > 200, `after ${rounds}`);
  match(overflows[0]?.message ?? "", /pings unanswered/);
});

Deno.test("the numbers of a peer's pings are its clock only if that was agreed on", () => {
  for (const hearsClock of [false, true]) {
    using time = new FakeTime();
    const { batcher } = overLink(1000, { hearsClock });
    // Counted, as by an older peer: for a clock, the second has waited in a queue for 299 ms.
    batcher.answerPing(1);
    time.jump(300);
    batcher.answerPing(2);
    const before = batcher.roundTrip;
    batcher.ping();
    time.jump(42);
    batcher.pong(300);
    strictEqual(batcher.roundTrip, hearsClock ? before : 42);
  }
});

Deno.test("the last frame leaves even when the link is full, and nothing after it", async () => {
  const { batcher, outbox, acceptor } = overLink(1);
  await send(batcher, data(1));
  const waiting = queue(batcher, data(3));
  batcher.send({ kind: "finish", stream: 1 });
  batcher.sendLast({ kind: "goAway", code: "breach", reason: "x" });
  outbox.abort();
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 1"]);
  deepStrictEqual(names(await nextBatch(acceptor)), ["goAway"]);
  strictEqual(waiting.done, true);
});

Deno.test("control that is a message of its own goes ahead of a batch that waits", async () => {
  const { batcher, outbox, acceptor } = overLink(1);
  await send(batcher, data(1));
  queue(batcher, data(3));
  outbox.sendControl(new Uint8Array([7]));
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 1"]);
  deepStrictEqual(await acceptor.receive(), new Uint8Array([7]));
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 3"]);
});

Deno.test("a batch waits while control has filled the link", async () => {
  const { batcher, outbox, acceptor } = overLink(1);
  outbox.send(new Uint8Array([7]));
  const waiting = queue(batcher, data(3));
  await turn();
  strictEqual(waiting.done, false);
  await acceptor.receive();
  deepStrictEqual(names(await nextBatch(acceptor)), ["data 3"]);
});

Deno.test("the answer to a ping acknowledges the messages that were sent before it, and no more", async () => {
  const { dialler, acceptor } = memoryLinks({ bound: 1000 });
  const onOverflow = (error: ConnectorError) => {
    throw error;
  };
  const acknowledged: number[] = [];
  const kept = { sent: 0, acknowledge: (count: number) => acknowledged.push(count) };
  const send = dialler.send.bind(dialler);
  dialler.send = (message) => {
    kept.sent += 1;
    return send(message);
  };
  const outbox = new Outbox(dialler, onOverflow);
  const batcher = new Batcher(outbox, { onOverflow, hearsClock: false, kept });
  const nonces: number[] = [];
  const receive = async () => {
    const message = await acceptor.receive();
    if (message === null) return;
    decodeBatch(message, (frame) => {
      if (frame.kind === "ping") nonces.push(frame.nonce);
    });
  };
  for (let index = 1; index <= 3; index += 1) {
    batcher.send({ kind: "finish", stream: index });
    batcher.flush();
    await receive();
  }
  batcher.ping();
  batcher.flush();
  await receive();
  batcher.send({ kind: "finish", stream: 4 });
  batcher.ping();
  batcher.flush();
  await receive();
  strictEqual(nonces.length, 2);
  for (const nonce of nonces) batcher.pong(nonce);
  deepStrictEqual([kept.sent, acknowledged], [5, [3, 4]]);
});
