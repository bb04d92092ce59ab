// Which stream is next: bulk streams take turns, small ones go ahead of bulk, and none starves.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { newShare, TurnQueue } from "../../src/mux/native/turn_queue.ts";

/** A stream that always wants to send pieces of one size. */
class Sender {
  readonly share = newShare();
  readonly bytes: number;
  sent = 0;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  ask(queue: TurnQueue<Sender>): void {
    queue.push(this, { share: this.share, bytes: this.bytes });
  }
}

/** So many turns; who has had one asks for the next. */
function turns(queue: TurnQueue<Sender>, count: number): void {
  for (let turn = 0; turn < count; turn += 1) {
    const sender = queue.shift();
    if (sender === undefined) return;
    sender.sent += sender.bytes;
    sender.ask(queue);
  }
}

Deno.test("those who have as much to send take turns", () => {
  const queue = new TurnQueue<Sender>();
  const senders = Array.from({ length: 10 }, () => new Sender(8192));
  for (const sender of senders) sender.ask(queue);
  turns(queue, 1000);
  const sent = senders.map((sender) => sender.sent);
  ok(Math.max(...sent) - Math.min(...sent) <= 8192, sent.join(", "));
});

Deno.test("a short exchange waits for none of the bulk beside it, time after time", () => {
  const queue = new TurnQueue<Sender>();
  const bulk = Array.from({ length: 10 }, () => new Sender(2048));
  for (const sender of bulk) sender.ask(queue);
  turns(queue, 50);
  const small = new Sender(100);
  for (let exchange = 0; exchange < 100; exchange += 1) {
    small.ask(queue);
    strictEqual(queue.nextIsFirst, true);
    strictEqual(queue.shift(), small);
    turns(queue, 5);
  }
});

Deno.test("bulk in small pieces gets no more than bulk in large ones", () => {
  const queue = new TurnQueue<Sender>();
  const pieces = new Sender(200);
  const whole = new Sender(4000);
  for (const sender of [pieces, whole]) sender.ask(queue);
  turns(queue, 20_000);
  ok(pieces.sent < 1.2 * whole.sent, `${pieces.sent} and ${whole.sent} bytes`);
});

Deno.test("ever new streams with little do not shut out one that has much", () => {
  const queue = new TurnQueue<Sender>();
  const bulk = new Sender(2048);
  bulk.ask(queue);
  let served = 0;
  for (let count = 0; count < 1000; count += 1) {
    new Sender(100).ask(queue);
    new Sender(100).ask(queue);
    const next = queue.shift();
    if (next !== bulk) continue;
    served += 1;
    bulk.ask(queue);
  }
  ok(served >= 50, `${served} turns of 1000`);
});

Deno.test("what need not wait is charged, until the stream has had its little", () => {
  const queue = new TurnQueue<Sender>();
  const share = newShare();
  let free = 0;
  while (queue.charge(share, 100) && free < 1000) free += 1;
  ok(free > 20 && free < 60, `${free} pieces of 100 bytes`);
});

Deno.test("what need not wait goes ahead of those who do, but not for ever", () => {
  const queue = new TurnQueue<Sender>();
  const bulk = new Sender(2048);
  bulk.ask(queue);
  turns(queue, 50);
  let charged = 0;
  while (charged < 1000 && queue.charge(newShare(), 100)) charged += 1;
  ok(charged > 10 && charged < 100, `${charged} in a row`);
  turns(queue, 1);
  ok(queue.charge(newShare(), 100), "those who wait have had their turn");
});

Deno.test("sweeping lets go of whom it is told, and keeps the order", () => {
  const queue = new TurnQueue<number>();
  for (let value = 0; value < 100; value += 1) {
    queue.push(value, { share: newShare(), bytes: 64 * 1024 });
  }
  queue.shift();
  queue.sweep((value) => value % 10 === 0);
  strictEqual(queue.length, 9);
  const left: (number | undefined)[] = [];
  while (queue.length > 0) left.push(queue.shift());
  deepStrictEqual(left, [10, 20, 30, 40, 50, 60, 70, 80, 90]);
});

Deno.test("everything comes out once, whatever sizes go in", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 9 }), fc.integer({ min: 1, max: 70_000 }), fc.boolean())),
      (steps) => {
        const queue = new TurnQueue<number>();
        const shares = Array.from({ length: 10 }, newShare);
        const out: number[] = [];
        for (const [index, [stream, bytes, takes]] of steps.entries()) {
          queue.push(index, { share: shares[stream] ?? newShare(), bytes });
          if (takes) out.push(queue.shift() ?? -1);
        }
        while (queue.length > 0) out.push(queue.shift() ?? -1);
        strictEqual(queue.shift(), undefined);
        deepStrictEqual(out.toSorted((a, b) => a - b), steps.map((_, index) => index));
      },
    ),
  );
});
