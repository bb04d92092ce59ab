// The sending half of a link that is full, with the data of the reference dialect.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import type { ConnectorError } from "../../src/model/errors.ts";
import type { Link } from "../../src/mux/link.ts";
import { Outbox } from "../../src/mux/outbox.ts";
import { DataTurns } from "../../src/mux/reference/data_turns.ts";

/** A link that takes one message, and then is full until told otherwise. */
function fullLink(): { link: Link; sent: Uint8Array[]; drain: () => void } {
  const sent: Uint8Array[] = [];
  let { promise, resolve } = Promise.withResolvers<void>();
  const link: Link = {
    peer: { address: "test" },
    hello: Promise.resolve(undefined),
    arrivals: 0,
    closed: new Promise(() => {}),
    send(message) {
      sent.push(message);
      return false;
    },
    writable: () => promise,
    receive: () => Promise.resolve(null),
    close() {},
    abort() {},
  };
  const drain = () => {
    resolve();
    ({ promise, resolve } = Promise.withResolvers<void>());
  };
  return { link, sent, drain };
}

Deno.test("while the link is full, control waits and then goes before data", async () => {
  const { link, sent, drain } = fullLink();
  const outbox = new Outbox(link, () => {});
  const turns = new DataTurns(outbox);
  await turns.send(() => new Uint8Array([1]));
  const unwanted = turns.send(() => undefined);
  const data = turns.send(() => new Uint8Array([2]));
  outbox.sendControl(new Uint8Array([3]));
  outbox.sendControl(new Uint8Array([4]));
  strictEqual(sent.length, 1);
  for (let turn = 0; turn < 3; turn += 1) {
    drain();
    await Promise.resolve();
    await Promise.resolve();
  }
  await Promise.all([data, unwanted]);
  deepStrictEqual(sent.map(([first]) => first), [1, 3, 4, 2]);
});

Deno.test("a peer that reads nothing is given up once too much control waits for it", async () => {
  const { link, sent } = fullLink();
  const errors: ConnectorError[] = [];
  const outbox = new Outbox(link, (error) => {
    errors.push(error);
    outbox.abort();
  });
  const turns = new DataTurns(outbox);
  for (let count = 0; count < 20_000; count += 1) outbox.sendControl(new Uint8Array(1000));
  strictEqual(sent.length, 1);
  strictEqual(errors.length, 1);
  match(errors[0]?.message ?? "", /does not read/);
  // Whoever wants a turn is let go.
  await turns.send(() => new Uint8Array(1));
});

Deno.test("the end lets everybody go who waits for a turn, and nothing is sent after it", async () => {
  const { link, sent, drain } = fullLink();
  const outbox = new Outbox(link, () => {});
  const turns = new DataTurns(outbox);
  await turns.send(() => new Uint8Array([1]));
  const waiting = turns.send(() => new Uint8Array([2]));
  outbox.sendControl(new Uint8Array([3]));
  outbox.abort();
  await waiting;
  outbox.send(new Uint8Array([4]));
  drain();
  await Promise.resolve();
  await Promise.resolve();
  deepStrictEqual(sent.map(([first]) => first), [1]);
});
