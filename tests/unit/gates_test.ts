// Who is let in at the gRPC port: connections that are only pretended, so that they may come from anywhere.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Http2Server } from "node:http2";
import { Gates, type GatesOptions } from "../../src/grpc/gates.ts";

/** As many of a socket's members as gates use. */
class Pretended extends EventEmitter {
  destroyed = false;
  readonly remoteAddress: string;
  readonly remotePort: number;

  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

/** Gates that let so many connections in, in all. */
class Doors implements Disposable {
  readonly refused: { address: string; reason: string }[] = [];
  readonly #server = new EventEmitter();
  readonly #gates: Gates;
  readonly #entered = new Set<Pretended>();
  #port = 1000;

  constructor(most: number, options: Partial<GatesOptions> = {}) {
    this.#gates = new Gates({
      allows: (count) => count <= most,
      onRefused: (address, { reason }) => this.refused.push({ address, reason }),
      ...options,
    });
    this.#server.on("connection", (socket: Pretended) => this.#entered.add(socket));
    // Nothing but its events is used before there is a session.
    this.#gates.guard(this.#server as unknown as Http2Server);
  }

  /** Who has been let in and is still there. */
  get inside(): number {
    return [...this.#entered].filter(({ destroyed }) => !destroyed).length;
  }

  /** Comes from an address. Returns the connection, if it was let in. */
  come(host: string): Pretended | undefined {
    const socket = new Pretended(host, this.#port++);
    this.#server.emit("connection", socket);
    return this.#entered.has(socket) ? socket : undefined;
  }

  /** Comes, and sends the first message of a link. */
  enter(host: string): boolean {
    const socket = this.come(host);
    if (socket === undefined) return false;
    const shown = host.includes(":") ? `[${host}]` : host;
    this.#gates.prove(`${shown}:${socket.remotePort}`);
    return true;
  }

  /** How many links one address gets. */
  fill(host: string): number {
    let count = 0;
    while (this.enter(host)) count += 1;
    return count;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#entered) socket.destroy();
    this.#gates.close();
  }
}

Deno.test("one address gets half of the places, and then another gets in", () => {
  using doors = new Doors(100);
  strictEqual(doors.fill("192.0.2.1"), 50);
  deepStrictEqual(doors.refused.map(({ reason }) => reason), [
    "its address has 50 connections already",
  ]);
  strictEqual(doors.enter("192.0.2.2"), true);
});

Deno.test("addresses of one IPv6 network are one address", () => {
  using doors = new Doors(100);
  let count = 0;
  while (doors.enter(`2001:db8::${count.toString(16)}`)) count += 1;
  strictEqual(count, 50);
  strictEqual(doors.enter("2001:db8:0:1::1"), true);
});

Deno.test("the last places are for addresses that have none", () => {
  using doors = new Doors(100);
  doors.fill("192.0.2.1");
  doors.fill("192.0.2.2");
  strictEqual(doors.inside, 87);
  for (let host = 3; host < 16; host += 1) strictEqual(doors.enter(`192.0.2.${host}`), true);
  strictEqual(doors.enter("192.0.2.99"), false);
  match(doors.refused.at(-1)?.reason ?? "", /^there are 100 connections of peers already$/);
});

Deno.test("where there is no place for anybody, it is said why", () => {
  using doors = new Doors(0);
  strictEqual(doors.enter("192.0.2.1"), false);
  deepStrictEqual(doors.refused.map(({ reason }) => reason), [
    "too few files may be open to let any peer in: raise ulimit -n",
  ]);
});

Deno.test("loopback gets all places but the last: a proxy may stand before us", () => {
  using doors = new Doors(100);
  strictEqual(doors.fill("127.0.0.1"), 87);
  strictEqual(doors.enter("::1"), true);
  strictEqual(doors.enter("192.0.2.1"), true);
});

Deno.test("an address has few connections that are no link", () => {
  using doors = new Doors(160);
  let count = 0;
  while (doors.come("192.0.2.1")) count += 1;
  strictEqual(count, 20);
  strictEqual(doors.enter("192.0.2.2"), true);
  match(doors.refused[0]?.reason ?? "", /^its address has 20 connections already that are no link/);
});

Deno.test("connections that are no link make room for newer ones once they have had their time", () => {
  using doors = new Doors(160, { newGraceMs: 0 });
  const first = doors.come("192.0.2.1");
  for (let count = 0; count < 1000; count += 1) doors.come("192.0.2.1");
  strictEqual(doors.inside, 20);
  strictEqual(first?.destroyed, true);
  strictEqual(doors.enter("192.0.2.1"), true);
  match(doors.refused[0]?.reason ?? "", /^newer connections need its place$/);
});

Deno.test("a link makes room for nobody", () => {
  using doors = new Doors(160, { newGraceMs: 0 });
  strictEqual(doors.enter("192.0.2.1"), true);
  for (let count = 0; count < 100; count += 1) doors.come("192.0.2.1");
  strictEqual(doors.inside, 21);
});

Deno.test("many addresses with few connections each leave room for one that has none", () => {
  using doors = new Doors(160);
  for (let host = 0; host < 100; host += 1) {
    for (let count = 0; count < 5; count += 1) doors.come(`198.51.100.${host}`);
  }
  strictEqual(doors.enter("192.0.2.1"), true);
});

Deno.test("many addresses with one connection each have no more new ones than a quarter", () => {
  using doors = new Doors(160);
  for (let host = 0; host < 200; host += 1) doors.come(`198.51.100.${host}`);
  strictEqual(doors.inside, 40);
  strictEqual(doors.enter("192.0.2.1"), true);
  strictEqual(doors.enter("192.0.2.1"), true);
});

Deno.test("in a crowd of new ones chance decides, whether the crowd is quick or slow", () => {
  using doors = new Doors(1600);
  const crowd = (from: number, count: number) => {
    for (let each = from; each < from + count; each += 1) {
      doors.come(`10.0.${each >> 8}.${each & 255}`);
    }
  };
  crowd(0, 1000);
  const honest = Array.from({ length: 100 }, (_, host) => doors.come(`192.0.2.${host}`));
  const staying = () => honest.filter((each) => each !== undefined && !each.destroyed).length;
  // As many as a quarter of the new places came after them: two thirds of them are left.
  crowd(1000, 100);
  ok(staying() > 40, `${staying()} are left`);
  // As many as there are new places: a quarter is left, where none would be if the oldest had to go.
  crowd(1100, 400);
  ok(staying() > 5, `${staying()} are left`);
  strictEqual(doors.inside, 400);
});

Deno.test("a new connection that has had its time goes before any other", () => {
  using doors = new Doors(160, { newGraceMs: 0 });
  const old = Array.from({ length: 40 }, (_, host) => doors.come(`198.51.100.${host}`));
  for (let host = 0; host < 40; host += 1) {
    const honest = doors.come(`192.0.2.${host}`);
    strictEqual(honest?.destroyed, false);
    strictEqual(old[host]?.destroyed, true);
  }
});

Deno.test("when all places are taken, new ones make room, links do not", () => {
  using doors = new Doors(100);
  for (let host = 0; host < 25; host += 1) doors.come(`198.51.100.${host}`);
  let links = 0;
  while (links < 200 && doors.enter(`192.0.2.${links}`)) links += 1;
  strictEqual(links, 100);
  strictEqual(doors.inside, 100);
});

Deno.test("new connections of others keep no address from what it may have", () => {
  using doors = new Doors(100);
  for (let host = 0; host < 25; host += 1) doors.come(`198.51.100.${host}`);
  strictEqual(doors.fill("192.0.2.1"), 50);
  strictEqual(doors.fill("192.0.2.2"), 37);
  strictEqual(doors.enter("192.0.2.3"), true);
});

Deno.test("an address that has its part costs no other a place", () => {
  using doors = new Doors(160);
  strictEqual(doors.fill("192.0.2.1"), 80);
  for (let host = 0; host < 40; host += 1) doors.come(`198.51.100.${host}`);
  for (let count = 0; count < 100; count += 1) doors.come("192.0.2.1");
  strictEqual(doors.inside, 120);
});

Deno.test("whoever leaves makes room", () => {
  using doors = new Doors(16);
  strictEqual(doors.fill("192.0.2.1"), 8);
  using again = new Doors(16);
  for (let count = 0; count < 100; count += 1) again.come("192.0.2.1")?.destroy();
  strictEqual(again.fill("192.0.2.1"), 8);
});

Deno.test("with few descriptors there are a few places for peers all the same", () => {
  using doors = new Doors(15);
  strictEqual(doors.fill("127.0.0.1"), 13);
  strictEqual(doors.enter("192.0.2.1"), true);
});
