// Which streams continue a connection that was dialled here: loops are counted and named; coincidences and ended
// connections are not.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import {
  MAX_PASSAGES,
  type Passage,
  type PassageOptions,
  Passages,
} from "../../src/tunnel/passages.ts";
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
    const passage = enter(passages, { ...service, visitor });
    visitor = `127.0.0.1:${40_000 + at}`;
    passage.dialled({ local: visitor, passages: 1 });
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
    const last = chain.at(-1);
    strictEqual((last?.count ?? 0) > MAX_PASSAGES, true);
    deepStrictEqual(
      [...new Set(last?.services)].toSorted(),
      services.map(({ service }) => service).toSorted(),
    );
  });
}

Deno.test("a stream may be here before the end of its dial is known", () => {
  const passages = new Passages();
  const [first] = loop(passages, { services: [A], length: 1 });
  const b = enter(passages, { ...B, visitor: "127.0.0.1:40001" });
  const a = enter(passages, { ...A, visitor: "127.0.0.1:40002" });
  b.dialled({ local: "127.0.0.1:40002", passages: 1 });
  deepStrictEqual(a.services, ["b", "a"]);
  deepStrictEqual(first?.services, ["a"]);
});

Deno.test("an address is no proof where another port was dialled, or where it was carried on already", () => {
  const passages = new Passages();
  const other = { service: "other", sourcePort: 1500, destinationPort: 1000 };
  enter(passages, { ...B, visitor: "192.0.2.1:5" });
  const a = enter(passages, { ...A, visitor: "192.0.2.1:6" });
  a.dialled({ local: "127.0.0.1:40000", passages: 1 });
  deepStrictEqual(enter(passages, { ...other, visitor: "127.0.0.1:40000" }).services, ["other"]);
  deepStrictEqual(enter(passages, { ...B, visitor: "127.0.0.1:40000" }).services, ["a", "b"]);
  deepStrictEqual(enter(passages, { ...B, visitor: "127.0.0.1:40000" }).services, ["b"]);
});

Deno.test("an address is no proof long after it was dialled from", async () => {
  using time = new FakeTime();
  const passages = new Passages();
  enter(passages, { ...B, visitor: "192.0.2.1:5" });
  enter(passages, { ...A, visitor: "192.0.2.1:6" }).dialled({
    local: "127.0.0.1:40000",
    passages: 1,
  });
  await time.advance(20_000);
  deepStrictEqual(enter(passages, { ...B, visitor: "127.0.0.1:40000" }).services, ["b"]);
});

Deno.test("a dialect that tells no visitor, and services that lead nowhere back, cost nothing", () => {
  const passages = new Passages();
  strictEqual(enter(passages, { ...B, visitor: "" }).watched, false);
  strictEqual(enter(passages, { ...A, visitor: "" }).watched, false);
  const elsewhere = { ...A, destinationPort: 5432, visitor: "192.0.2.1:5" };
  strictEqual(enter(passages, elsewhere).watched, false);
  strictEqual(passages.enterIngress(elsewhere), undefined);
});

Deno.test("what has ended is forgotten, and nothing is left of it", () => {
  const passages = new Passages();
  const chain = loop(passages, { services: [A, B], length: 6 });
  for (const passage of chain.toReversed()) {
    passage[Symbol.dispose]();
    passage[Symbol.dispose]();
  }
  const [again] = loop(passages, { services: [A], length: 1 });
  deepStrictEqual(again?.services, ["a"]);
  // No service is known any more whose port it was.
  again?.[Symbol.dispose]();
  strictEqual(enter(passages, { ...B, visitor: "127.0.0.1:40000" }).watched, false);
});

Deno.test("three connectors, each of which dials one service of a ring: they count together", () => {
  const all = Array.from({ length: 3 }, () => new Passages());
  const ports = [1000, 2000, 3000];
  let visitor = "192.0.2.1:5";
  let count = 0;
  for (let at = 0; count <= MAX_PASSAGES; at += 1) {
    // What the second one dials is listened for by the third, and so on.
    const [here, there] = [all[(3 - at % 3) % 3], all[(4 - at % 3) % 3]];
    const options = {
      service: `${at % 3}`,
      sourcePort: ports[at % 3] ?? 0,
      destinationPort: ports[(at + 1) % 3] ?? 0,
      visitor,
    };
    const ingress = here?.enterIngress(options);
    const egress = there?.enterEgress(options, { passages: ingress?.count ?? 0 });
    if (egress === undefined || at > 30) throw new Error(`${count} after ${at}`);
    count = egress.count;
    visitor = `127.0.0.1:${40_000 + at}`;
    const how = { local: visitor, passages: count };
    egress.dialled(how);
    if (ingress) ingress.dialled(how);
  }
});

Deno.test("what a peer tells counts, and nothing is lost of what is known here", () => {
  const passages = new Passages();
  const options = { ...A, visitor: "192.0.2.1:5" };
  strictEqual(passages.enterEgress(options, { passages: 7 }).count, 7);
  const former = passages.enterEgress({ ...B, visitor: "192.0.2.1:6" }, { passages: 9 });
  former.dialled({ local: "127.0.0.1:40000", passages: 9 });
  const next = passages.enterEgress({ ...A, visitor: "127.0.0.1:40000" }, { passages: 1 });
  strictEqual(next.count, 10);
  next.dialled({ local: "127.0.0.1:40001", passages: 2 });
  strictEqual(next.count, 10);
});

Deno.test("however many a peer tells of, it is one more than the bound", () => {
  const most = 2 ** 32 - 1;
  const passages = new Passages();
  strictEqual(
    passages.enterEgress({ ...A, visitor: "192.0.2.1:5" }, { passages: most }).count,
    MAX_PASSAGES + 1,
  );
  const b = enter(passages, { ...B, visitor: "192.0.2.1:6" });
  const ingress = passages.enterIngress({ ...A, visitor: "192.0.2.1:7" });
  for (const [passage, port] of [[b, 40_000], [ingress, 40_001]] as const) {
    passage?.dialled({ local: `127.0.0.1:${port}`, passages: most });
    strictEqual(passage?.count, MAX_PASSAGES + 1);
  }
  const next = passages.enterIngress({ ...B, visitor: "127.0.0.1:40001" });
  deepStrictEqual(next?.services, ["a", "b"]);
  strictEqual(next?.count, MAX_PASSAGES + 1);
});

/** A stream for an egress whose peer asks nothing. */
function enter(passages: Passages, options: PassageOptions): Passage {
  return passages.enterEgress(options, { passages: 0 });
}
