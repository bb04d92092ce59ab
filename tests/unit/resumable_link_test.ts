// One link after another under a session: in which order messages leave, who waits meanwhile, and what is read of a link that
// has ended.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Link, LinkEnd } from "../../src/mux/link.ts";
import { ResumableLink } from "../../src/mux/resumable_link.ts";
import { memoryLinks, turn } from "../support/memory_link.ts";
import { soon } from "../support/soon.ts";

const LOST = new ConnectorError("unavailable", "the path has broken");
const OPENING = new Uint8Array([0x5a, 0]);

/** A link that is full after so many messages, until it is drained. As a gRPC call it says only once that it is. */
class FullLink implements Link {
  readonly peer = { address: "peer" };
  readonly hello = Promise.resolve(undefined);
  readonly arrivals = 0;
  readonly sent: number[] = [];
  #takes: number;
  #drained = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<LinkEnd>();

  constructor(takes: number) {
    this.#takes = takes;
  }

  get closed(): Promise<LinkEnd> {
    return this.#closed.promise;
  }

  drain(takes: number): void {
    this.#takes = this.sent.length + takes;
    this.#drained.resolve();
    this.#drained = Promise.withResolvers();
  }

  send([first = -1]: Uint8Array): boolean {
    this.sent.push(first);
    return this.sent.length < this.#takes;
  }

  writable(): Promise<void> {
    return this.#drained.promise;
  }

  async receive(): Promise<null> {
    await this.closed;
    return null;
  }

  close(): void {
    this.#closed.resolve(undefined);
  }

  abort(reason: ConnectorError): void {
    this.#closed.resolve(reason);
  }
}

/** What carries a session over a link, and what it has told. */
function carry(link: Link): { carried: ResumableLink; told: string[] } {
  const told: string[] = [];
  const carried = ResumableLink.over(link, { keeps: true });
  carried.resumeWithin({
    timeoutMs: 60_000,
    onSuspended: (reason) => told.push(`suspended: ${reason}`),
    onResumed: () => told.push("resumed"),
    onNotResumed: () => told.push("not resumed"),
    onHeard: () => {},
    onBreach: ({ message }) => told.push(`breach: ${message}`),
  });
  return { carried, told };
}

function message(number: number): Uint8Array {
  return new Uint8Array([number]);
}

Deno.test("what was lost is sent again first, as fast as the link takes it, and whoever writes waits", async () => {
  const { carried, told } = carry(new FullLink(100));
  for (const number of [1, 2, 3, 4]) carried.send(message(number));
  ok(carried.interrupt("lost"));
  strictEqual(carried.send(message(5)), false);
  const next = new FullLink(2);
  carried.resume(next, 1, { message: OPENING, by: "peer" });
  let waited = false;
  const writable = carried.writable().then(() => waited = true);
  strictEqual(carried.send(message(6)), false);
  for (let left = 5; left > 0; left -= 1) await turn();
  deepStrictEqual([next.sent, waited], [[2, 3], false]);
  next.drain(100);
  await soon(writable, "it takes more");
  deepStrictEqual(next.sent, [2, 3, 4, 5, 6]);
  // It is not full, and will not say so again.
  await soon(carried.writable(), "it takes more still");
  strictEqual(carried.send(message(7)), true);
  deepStrictEqual(told, ["suspended: lost", "resumed"]);
  carried.abort(LOST);
  strictEqual(await carried.closed, LOST);
});

Deno.test("a further loss begins where the peer says, whatever was sent again meanwhile", async () => {
  const { carried } = carry(new FullLink(100));
  for (const number of [1, 2, 3, 4]) carried.send(message(number));
  for (const [received, wanted] of [[1, [2, 3]], [2, [3, 4]], [2, [3, 4]]] as const) {
    carried.interrupt("lost");
    const next = new FullLink(2);
    carried.resume(next, received, { message: OPENING, by: "peer" });
    deepStrictEqual(next.sent, wanted);
  }
  carried.interrupt("lost");
  for (const received of [1, 5]) {
    throws(
      () => carried.resume(new FullLink(2), received, { message: OPENING, by: "peer" }),
      { code: "invalid_argument", message: /want a number from 2 to 4/ },
    );
  }
  carried.abort(LOST);
  await carried.closed;
});

Deno.test("what has arrived when the link ends is read before it counts as lost", async () => {
  const { dialler, acceptor } = memoryLinks();
  const { carried, told } = carry(dialler);
  acceptor.send(message(1));
  acceptor.abort(LOST);
  for (let left = 5; left > 0; left -= 1) await turn();
  strictEqual(carried.suspended, undefined);
  deepStrictEqual(await carried.receive(), message(1));
  const next = carried.receive();
  await turn();
  match(carried.suspended ?? "", /the path has broken/);
  strictEqual(carried.received, 1);
  // Its peer had said in that message that it goes.
  carried.settle();
  strictEqual(await next, null);
  match((await carried.closed)?.message ?? "", /the path has broken/);
  strictEqual(told.at(-1), "not resumed");
});
