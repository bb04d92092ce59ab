// Which streams carry on what was dialled here: the chain of a loop is counted and named, chance and what has ended are not.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { MAX_PASSAGES, type Passage, Passages } from "../../src/tunnel/passages.ts";
import { FakeTime } from "../support/fake_time.ts";

const A = { service: "a", sourcePort: 1000, destinationPort: 2000 };
const B = { service: "b", sourcePort: 2000, destinationPort: 1000 };

/** A loop through services in turn, each dialled from a port of its own, up to so many streams. */
function loop(passages: Passages, { services, length }: { services: typeof A[]; length: number }) {
  const chain: Passage[] = [];
  let visitor = "192.0.2.1:5";
  for (let at = 0; at < length; at += 1) {
    const service = services[at % services.length];
    if (service === undefined) throw new TypeError("there are services");
    const passage = passages.enter({ ...service, visitor });
    visitor = `127.0.0.1:${40_000 + at}`;
    const local = visitor;
    passage.connected(() => local);
    chain.push(passage);
  }
  return chain;
}

for (
  const { name, services } of [
    { name: "one service that leads to itself", services: [{ ...A, destinationPort: 1000 }] },
    { name: "two services that lead into each other", services: [A, B] },
    {
      name: "three services in a ring",
      services: [A, { ...B, destinationPort: 3000 }, {
        service: "c",
        sourcePort: 3000,
        destinationPort: 1000,
      }],
    },
  ]
) {
  Deno.test(`${name}: the bound is reached soon, and the services are known`, () => {
    const passages = new Passages();
    const chain = loop(passages, { services, length: MAX_PASSAGES + 2 * services.length });
    const last = chain.at(-1)?.services ?? [];
    strictEqual(last.length > MAX_PASSAGES, true);
    deepStrictEqual(
      [...new Set(last)].toSorted(),
      services.map(({ service }) => service).toSorted(),
    );
  });
}

Deno.test("a stream may be here before the end of its dial is known", () => {
  const passages = new Passages();
  const [first] = loop(passages, { services: [A], length: 1 });
  const b = passages.enter({ ...B, visitor: "127.0.0.1:40001" });
  const a = passages.enter({ ...A, visitor: "127.0.0.1:40002" });
  b.connected(() => "127.0.0.1:40002");
  deepStrictEqual(a.services, ["b", "a"]);
  deepStrictEqual(first?.services, ["a"]);
});

Deno.test("an address is no proof where another port was dialled, or where it was carried on already", () => {
  const passages = new Passages();
  const other = { service: "other", sourcePort: 1500, destinationPort: 1000 };
  passages.enter({ ...B, visitor: "192.0.2.1:5" });
  const a = passages.enter({ ...A, visitor: "192.0.2.1:6" });
  a.connected(() => "127.0.0.1:40000");
  deepStrictEqual(passages.enter({ ...other, visitor: "127.0.0.1:40000" }).services, ["other"]);
  deepStrictEqual(passages.enter({ ...B, visitor: "127.0.0.1:40000" }).services, ["a", "b"]);
  deepStrictEqual(passages.enter({ ...B, visitor: "127.0.0.1:40000" }).services, ["b"]);
});

Deno.test("an address is no proof long after it was dialled from", async () => {
  using time = new FakeTime();
  const passages = new Passages();
  passages.enter({ ...B, visitor: "192.0.2.1:5" });
  passages.enter({ ...A, visitor: "192.0.2.1:6" }).connected(() => "127.0.0.1:40000");
  await time.advance(20_000);
  deepStrictEqual(passages.enter({ ...B, visitor: "127.0.0.1:40000" }).services, ["b"]);
});

Deno.test("a dialect that tells no visitor, and services that lead nowhere back, cost nothing", () => {
  const passages = new Passages();
  const fail = () => {
    throw new Error("the system was asked");
  };
  passages.enter({ ...B, visitor: "" }).connected(fail);
  passages.enter({ ...A, visitor: "" }).connected(fail);
  passages.enter({ ...A, destinationPort: 5432, visitor: "192.0.2.1:5" }).connected(fail);
});

Deno.test("what has ended is forgotten, and nothing is left of it", () => {
  const passages = new Passages();
  const chain = loop(passages, { services: [A, B], length: 6 });
  for (const passage of chain.toReversed()) {
    passage.end();
    passage.end();
  }
  const again = loop(passages, { services: [A], length: 1 });
  deepStrictEqual(again[0]?.services, ["a"]);
  // No service is known any more whose port it was: the system is not asked.
  again[0]?.end();
  passages.enter({ ...B, visitor: "127.0.0.1:40000" }).connected(() => {
    throw new Error("the system was asked");
  });
});
