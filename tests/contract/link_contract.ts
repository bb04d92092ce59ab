// What every kind of link keeps, as tests that run over each of them.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Hello, Link } from "../../src/mux/link.ts";
import type { LinkPair } from "../support/memory_link.ts";
import { soon } from "../support/soon.ts";
import { randomBytes } from "../support/world.ts";

/** How a pair is opened, and disposed of. */
export type OpenLinks = (
  hellos: { offer: Hello; answer: Hello },
) => Promise<LinkPair & AsyncDisposable>;

const HELLOS = {
  offer: { version: "1", limits: "streams=1,opens=1,frame=1024,window=1024" },
  answer: { version: "1", limits: "streams=2,opens=1,frame=1024,window=1024" },
};
const REASON = new ConnectorError("resource_exhausted", "enough of this");
/** Messages of 64 KiB that a link may take before it says no for good: far above what any holds. */
const MANY = 2000;
/** How long a link may still take what it holds, in milliseconds: it is full when it was so for as long. */
const SETTLE_MS = 150;
const SETTLE_STEPS = 10;

/** Sends, holding back when told to. */
async function sendAll(link: Link, messages: readonly Uint8Array[]): Promise<void> {
  for (const message of messages) if (!link.send(message)) await link.writable();
}

async function receiveAll(link: Link): Promise<Uint8Array[]> {
  const messages: Uint8Array[] = [];
  for (let next = await link.receive(); next !== null; next = await link.receive()) {
    messages.push(new Uint8Array(next));
  }
  return messages;
}

/** Lets time pass, in steps: after a single long one on a busy machine, nothing need have been read meanwhile. */
async function settled(): Promise<void> {
  for (let step = 0; step < SETTLE_STEPS; step += 1) await delay(SETTLE_MS / SETTLE_STEPS);
}

/** Sends until the link stays full with nobody reading. Returns how many messages it took. */
async function fill(link: Link): Promise<number> {
  const message = randomBytes(64 * 1024);
  for (let count = 1; count < MANY; count += 1) {
    if (link.send(message)) continue;
    // A burst may only wait for the path: full is what stays full.
    const room = link.writable().then(() => true);
    if (!await Promise.race([room, settled().then(() => false)])) return count;
  }
  return MANY;
}

/** Both ways round: whatever holds for one end holds for the other. */
const ENDS = [
  { from: "dialler", to: "acceptor" },
  { from: "acceptor", to: "dialler" },
] as const;

/** Registers the tests for one kind of link. */
export function linkContract(kind: string, open: OpenLinks): void {
  Deno.test(`${kind}: each side knows what the other said, before its first message`, async () => {
    await using pair = await open(HELLOS);
    const { dialler, acceptor } = pair;
    for (const { from, to } of ENDS) pair[from].send(new TextEncoder().encode(to));
    const order: string[] = [];
    const seen = (link: Link) =>
      Promise.all([
        link.hello.then((hello) => order.push(`hello ${hello?.limits.split(",")[0]}`)),
        link.receive().then((message) => order.push(`message ${message?.length}`)),
      ]);
    await soon(seen(acceptor), "the acceptor has both");
    await soon(seen(dialler), "the dialler has both");
    deepStrictEqual(order, ["hello streams=1", "message 8", "hello streams=2", "message 7"]);
  });

  for (const { from, to } of ENDS) {
    Deno.test(`${kind}: ${from} to ${to}: it is told that something has arrived`, async () => {
      await using pair = await open(HELLOS);
      const before = pair[to].arrivals;
      pair[from].send(new Uint8Array(10));
      await soon(pair[to].receive(), "the message has arrived");
      ok(pair[to].arrivals > before);
    });

    Deno.test(`${kind}: ${from} to ${to}: messages arrive whole and in order`, async () => {
      await using pair = await open(HELLOS);
      const lengths = [1, 0, 3, 70_000, 2, 300_000, 1, 16_384, 65_536];
      const sent = Array.from(
        { length: 40 },
        (_, index) => randomBytes(lengths[index % lengths.length] ?? 0),
      );
      const [received] = await soon(
        Promise.all([
          receiveAll(pair[to]),
          sendAll(pair[from], sent).then(() => pair[from].close()),
        ]),
        "all have arrived",
      );
      deepStrictEqual(received.map((each) => each.length), sent.map((each) => each.length));
      deepStrictEqual(received, sent);
    });

    Deno.test(`${kind}: ${from} to ${to}: who does not read holds the other back`, async () => {
      await using pair = await open(HELLOS);
      const count = await fill(pair[from]);
      const [one, two] = [pair[from].writable(), pair[from].writable()];
      const reading = receiveSome(pair[to], count);
      await soon(Promise.all([one, two, reading]), "all who wait for room are woken");
      ok(count < MANY, `the link took ${count} messages of 64 KiB that nobody read`);
    });

    Deno.test(`${kind}: ${from} to ${to}: what comes in makes no room for what goes out`, async () => {
      await using pair = await open(HELLOS);
      await fill(pair[from]);
      let room = false;
      pair[from].writable().then(() => room = true);
      for (let count = 0; count < 5; count += 1) {
        pair[to].send(randomBytes(100));
        await soon(pair[from].receive(), "a message has come in");
      }
      await settled();
      strictEqual(room, false);
    });

    Deno.test(`${kind}: ${from}.close() delivers what was sent, then the end`, async () => {
      await using pair = await open(HELLOS);
      const sent = Array.from({ length: 5 }, () => randomBytes(1000));
      for (const message of sent) pair[from].send(message);
      pair[from].close();
      deepStrictEqual(await soon(receiveAll(pair[to]), "all have arrived"), sent);
      strictEqual(await soon(pair[to].receive(), "the end is read again"), null);
      strictEqual(await soon(pair[from].receive(), "the end is read at the other side"), null);
      const ends = await soon(Promise.all([pair[from].closed, pair[to].closed]), "both have ended");
      deepStrictEqual(ends, [undefined, undefined]);
    });

    Deno.test(`${kind}: ${from}: what is sent after close() is dropped and harms nothing`, async () => {
      await using pair = await open(HELLOS);
      const sent = [randomBytes(10), randomBytes(20)];
      for (const message of sent) pair[from].send(message);
      pair[from].close();
      pair[from].send(randomBytes(30));
      pair[from].close();
      deepStrictEqual(await soon(receiveAll(pair[to]), "all have arrived"), sent);
      strictEqual(await soon(pair[to].closed, "it has ended"), undefined);
      strictEqual(await soon(pair[from].closed, "it has ended at the other side"), undefined);
    });

    Deno.test(`${kind}: ${from}.abort() ends both sides, ours with the reason`, async () => {
      await using pair = await open(HELLOS);
      pair[from].send(randomBytes(10));
      await soon(pair[to].receive(), "the link is up");
      const waiting = pair[to].receive();
      pair[from].abort(REASON);
      strictEqual(await soon(pair[from].closed, "our side has ended"), REASON);
      const end = await soon(pair[to].closed, "the other side has ended");
      ok(end instanceof ConnectorError, "the other side knows that it was no orderly end");
      strictEqual(await soon(waiting, "the waiting reader is woken"), null);
      strictEqual(await soon(pair[from].receive(), "our side reads the end"), null);
    });

    Deno.test(`${kind}: ${from}: an aborted link wakes who waits for room, and drops what is sent`, async () => {
      await using pair = await open(HELLOS);
      await fill(pair[from]);
      const waiting = [pair[from].writable(), pair[from].writable()];
      pair[from].abort(REASON);
      await soon(Promise.all(waiting), "the writers are woken");
      pair[from].send(new Uint8Array(10));
      await soon(pair[from].writable(), "an ended link keeps nobody waiting");
      // Who does not read may learn of it only once it does.
      await soon(receiveAll(pair[to]), "the other side reads the end");
      ok(await soon(pair[to].closed, "the other side has ended") instanceof ConnectorError);
    });

    Deno.test(`${kind}: ${from}: closed resolves once, and ending again changes nothing`, async () => {
      await using pair = await open(HELLOS);
      pair[from].send(randomBytes(10));
      await soon(pair[to].receive(), "the link is up");
      pair[from].abort(REASON);
      pair[from].abort(new ConnectorError("internal", "too late"));
      pair[from].close();
      strictEqual(await soon(pair[from].closed, "it has ended"), REASON);
      await soon(pair[to].closed, "the other side has ended");
      pair[from].abort(new ConnectorError("internal", "far too late"));
      strictEqual(await pair[from].closed, REASON);
    });
  }

  Deno.test(`${kind}: both sides may close at once`, async () => {
    await using pair = await open(HELLOS);
    for (const { from, to } of ENDS) {
      pair[from].send(new Uint8Array(3));
      await soon(pair[to].receive(), "the link is up");
    }
    for (const { from } of ENDS) pair[from].close();
    for (const { from } of ENDS) {
      strictEqual(await soon(pair[from].receive(), "the end is read"), null);
      strictEqual(await soon(pair[from].closed, "it has ended"), undefined);
    }
  });
}

async function receiveSome(link: Link, count: number): Promise<void> {
  for (let received = 0; received < count; received += 1) await link.receive();
}
