// Links that peers open: how many of one peer are held, which give way, and which are ended because they are of no use.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Principal } from "../../src/model/principal.ts";
import { type InboundLink, InboundLinks } from "../../src/tunnel/inbound_links.ts";
import { FakeTime } from "../support/fake_time.ts";
import { certificateId } from "../support/principals.ts";

class TestLink implements InboundLink {
  idle = true;
  askedAt: number | undefined;
  reason: string | undefined;
  readonly #ended = Promise.withResolvers<void>();

  abort(reason: Error): void {
    this.reason = reason.message;
    this.#ended.resolve();
  }

  ended(): Promise<void> {
    return this.#ended.promise;
  }
}

/** Opens a link from an address; undefined when it is refused. */
function open(links: InboundLinks, address: string, { used = false } = {}): TestLink | undefined {
  const place = links.admit({ address });
  if (place === undefined) return undefined;
  const link = new TestLink();
  if (used) Object.assign(link, { idle: false, askedAt: performance.now() });
  links.hold(link, place);
  return link;
}

/** Opens links from an address until one is refused. */
function openAll(links: InboundLinks, host: string, options?: { used?: boolean }): TestLink[] {
  const opened: TestLink[] = [];
  for (let port = 1; port <= 1001; port += 1) {
    const link = open(links, `${host}:${port}`, options);
    if (link === undefined) break;
    opened.push(link);
  }
  return opened;
}

function endAll(links: (TestLink | undefined)[]): void {
  for (const link of links) link?.abort(new Error("over"));
}

Deno.test("one address has a quarter of all links, and twenty leave one for the next", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const opened: TestLink[] = [];
  for (let host = 1; host <= 20; host += 1) {
    const its = openAll(links, `192.0.2.${host}`, { used: true });
    if (host === 1) strictEqual(its.length, 250);
    opened.push(...its);
  }
  const last = open(links, "198.51.100.1:1", { used: true });
  ok(last);
  endAll([...opened, last]);
  await time.advance(0);
  strictEqual(time.timerCount, 0);
});

Deno.test("peers of this machine may be all there are, and still leave some for others", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const opened = openAll(links, "127.0.0.1", { used: true });
  strictEqual(opened.length, 900);
  const other = open(links, "192.0.2.1:1", { used: true });
  ok(other);
  endAll([...opened, other]);
  await time.advance(0);
});

Deno.test("with certificates a peer is counted by its own, wherever it comes from", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const opened: TestLink[] = [];
  for (let host = 1; host <= 251; host += 1) {
    const address = `192.0.2.${host % 200}`;
    const principal = new Principal({
      host: address,
      certificate: certificateId({ name: "one", key: "1" }),
    });
    const place = links.admit({ address: `${address}:1`, principal });
    if (place === undefined) break;
    const link = Object.assign(new TestLink(), { idle: false });
    links.hold(link, place);
    opened.push(link);
  }
  strictEqual(opened.length, 250);
  endAll(opened);
  await time.advance(0);
});

Deno.test("of a peer that has too many, its oldest idle link gives way, and none that is in use", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const used = open(links, "192.0.2.1:1", { used: true });
  const idle = openAll(links, "192.0.2.1");
  strictEqual(open(links, "192.0.2.1:2"), undefined);
  await time.advance(2000);
  ok(open(links, "192.0.2.1:3"));
  strictEqual(used?.reason, undefined);
  match(idle[0]?.reason ?? "", /nothing is exposed over the link, and others need its place/);
  strictEqual(idle.filter(({ reason }) => reason !== undefined).length, 1);
  endAll([used, ...idle]);
});

Deno.test("when there is no room at all, an idle link of the peer that has most gives way", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const hosts = Array.from({ length: 60 }, (_, host) => openAll(links, `192.0.2.${host}`));
  strictEqual(hosts.flat().length, 1000);
  strictEqual(open(links, "198.51.100.1:1"), undefined);
  await time.advance(2000);
  ok(open(links, "198.51.100.1:1"));
  ok(hosts[0]?.some(({ reason }) => reason !== undefined));
  endAll(hosts.flat());
});

Deno.test("a link over which nothing is ever exposed is ended after half a minute, any other is not", async () => {
  using time = new FakeTime();
  const links = new InboundLinks();
  const silent = open(links, "192.0.2.1:1");
  const used = open(links, "192.0.2.1:2", { used: true });
  const refused = open(links, "192.0.2.1:3");
  if (refused) refused.askedAt = 0;
  await time.advance(29_000);
  deepStrictEqual([silent?.reason, used?.reason, refused?.reason], [
    undefined,
    undefined,
    undefined,
  ]);
  await time.advance(6_000);
  strictEqual(silent?.reason, "nothing is exposed over the link");
  deepStrictEqual([used?.reason, refused?.reason], [undefined, undefined]);
  // Nothing was exposed any more.
  if (used) used.idle = true;
  await time.advance(600_000);
  deepStrictEqual([used?.reason, refused?.reason], [silent?.reason, silent?.reason]);
  strictEqual(time.timerCount, 0);
});
