// What is kept of what was sent: in order, until it was acknowledged, and counted.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { Retained } from "../../src/mux/retained.ts";

function message(index: number): Uint8Array {
  return new Uint8Array(index % 7 + 1).fill(index);
}

Deno.test("messages are kept until they were acknowledged, whatever the order of events", () => {
  fc.assert(fc.property(
    fc.array(
      fc.oneof(
        fc.record({ push: fc.integer({ min: 1, max: 200 }) }),
        fc.record({ acknowledge: fc.nat({ max: 100 }) }),
      ),
      { maxLength: 60 },
    ),
    (events) => {
      const retained = new Retained();
      let [sent, acknowledged] = [0, 0];
      for (const event of events) {
        if ("push" in event) {
          for (let left = event.push; left > 0; left -= 1) retained.push(message(sent++));
        } else {
          acknowledged += Math.min(sent - acknowledged, event.acknowledge);
          retained.acknowledge(acknowledged);
        }
        strictEqual(retained.sent, sent);
        strictEqual(retained.acknowledged, acknowledged);
        let bytes = 0;
        for (let count = acknowledged; count < sent; count += 1) {
          deepStrictEqual(retained.after(count), message(count));
          bytes += message(count).length + 128;
        }
        strictEqual(retained.bytes, bytes);
      }
    },
  ));
});

Deno.test("what was not sent, or was acknowledged before, cannot be acknowledged", () => {
  const retained = new Retained();
  for (let index = 0; index < 5; index += 1) retained.push(message(index));
  retained.acknowledge(3);
  for (const count of [2, 6, -1, 3.5, NaN, Infinity, 2 ** 60]) {
    throws(() => retained.acknowledge(count), {
      code: "invalid_argument",
      message: `The peer says that it has received ${count} messages: want a number from 3 to 5`,
    });
  }
  deepStrictEqual([retained.acknowledged, retained.sent], [3, 5]);
  throws(() => retained.after(2), TypeError);
  throws(() => retained.after(5), TypeError);
});
