// Looking up names: which look-ups are shared, wait or are given up, and that names that hang leave places to others.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { type Found, Names, names, type Resolve } from "../../src/names.ts";
import { FakeTime } from "../support/fake_time.ts";

/** How many names that were never looked up begin at once. */
const AT_ONCE = 12;
/** And one more, because no other has begun late before. */
const AT_FIRST = AT_ONCE + 1;
/** Longer than any name server may take, in milliseconds. */
const TOO_LONG_MS = 7001;

type Answer = string[] | string;

/** A system that answers when the test says so, or at once with what is in `answers`. */
class Resolver {
  /** Names in the order in which they were asked for. */
  readonly asked: string[] = [];
  readonly answers = new Map<string, Answer>();
  readonly names: Names;
  /** Names whose name server was asked whether it answers, each with what says so and whether that was given up. */
  readonly probes = new Map<string, { say: (answers: boolean) => void; signal: AbortSignal }>();
  readonly #pending: { name: string; found: Parameters<Resolve>[1] }[] = [];

  constructor({ threads = 32, probing = false } = {}) {
    this.names = new Names({
      threads,
      ...(probing && {
        probe: (name: string, signal: AbortSignal) =>
          new Promise((say) => this.probes.set(name, { say, signal })),
      }),
      resolve: (name, found) => {
        this.asked.push(name);
        const answer = this.answers.get(name);
        this.#pending.push({ name, found });
        if (answer !== undefined) queueMicrotask(() => this.answer(name, answer));
      },
    });
  }

  /** Names for which there is no answer yet. */
  get pending(): string[] {
    return this.#pending.map(({ name }) => name);
  }

  /** Answers with addresses, or fails with a code of the system. */
  answer(name: string, answer: Answer, errno?: number): void {
    const at = this.#pending.findIndex((each) => each.name === name);
    const [pending] = this.#pending.splice(at, 1);
    if (at < 0 || !pending) throw new Error(`Nobody has asked for ${name}`);
    if (typeof answer === "string") {
      const error = Object.assign(new Error(`getaddrinfo ${answer}`), { code: answer, errno });
      return pending.found(error, []);
    }
    pending.found(
      null,
      answer.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  }

  /** Asks, and notes what is told: addresses joined by blanks, or the reason. */
  ask(
    name: string,
    options: { fresh?: boolean; asker?: string } = {},
  ): { told: string[]; leave: () => void } {
    const told: string[] = [];
    const found: Found = (answer) =>
      void told.push(answer instanceof ConnectorError ? answer.message : answer.join(" "));
    return { told, leave: this.names.find(name, found, options) };
  }

  /** Asks for many names that hang, `prefix0.test` and so on. */
  hang(count: number, { prefix = "hangs", asker }: { prefix?: string; asker?: string } = {}) {
    return Array.from(
      { length: count },
      (_, at) => this.ask(`${prefix}${at}.test`, asker === undefined ? {} : { asker }),
    );
  }
}

const silent = (name: string, seconds = 7) =>
  `the name server did not answer for "${name}" in ${seconds} s`;
/** Moves the clock until a condition holds, for as long as a name may wait for its place. */
async function until(time: FakeTime, condition: () => boolean): Promise<void> {
  for (let ms = 0; ms < 2500 && !condition(); ms += 50) await time.advance(50);
}

const TOO_MANY = "too many names are being looked up";

Deno.test("names: whoever waits for one name shares one look-up, however it is written", async () => {
  using _time = new FakeTime();
  const system = new Resolver();
  const asked = ["db.test", "DB.test", "db.test"].map((name) => system.ask(name));
  deepStrictEqual(system.asked, ["db.test"]);
  system.answer("db.test", ["10.0.0.1"]);
  deepStrictEqual(asked.map(({ told }) => told), [["10.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]]);
  // With the dot at its end it is another name: no search domain is tried.
  system.ask("db.test.");
  deepStrictEqual(system.asked, ["db.test", "db.test."]);
  await Promise.resolve();
});

Deno.test("names: an answer is kept for a second, a failure too", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  system.answers.set("db.test", ["10.0.0.1"]).set("none.test", "ENOTFOUND");
  for (let visitor = 0; visitor < 1000; visitor += 1) {
    system.ask("db.test");
    system.ask("none.test");
    await time.advance(1);
  }
  deepStrictEqual(system.asked, ["db.test", "none.test"]);
  await time.advance(10);
  system.answers.set("db.test", ["10.0.0.2"]);
  const { told } = system.ask("db.test");
  await time.advance(0);
  deepStrictEqual(told, ["10.0.0.2"]);
});

Deno.test("names: whoever wants a fresh answer gets one, and a look-up under way is fresh", () => {
  using _time = new FakeTime();
  const system = new Resolver();
  system.ask("peer.test");
  system.answer("peer.test", ["10.0.0.1"]);
  const [one, two] = [1, 2].map(() => system.ask("peer.test", { fresh: true }));
  deepStrictEqual(system.asked, ["peer.test", "peer.test"]);
  system.answer("peer.test", ["10.0.0.2"]);
  deepStrictEqual([one?.told, two?.told], [["10.0.0.2"], ["10.0.0.2"]]);
  deepStrictEqual(system.ask("peer.test").told, ["10.0.0.2"], "what is kept is the newest");
});

Deno.test("names: families take turns, as the system sorted them, and no more than 16 are used", () => {
  using _time = new FakeTime();
  const system = new Resolver();
  const { told } = system.ask("both.test");
  system.answer("both.test", ["::2", "::3", "::4", "10.0.0.1"]);
  deepStrictEqual(told, ["::2 10.0.0.1 ::3 ::4"]);
  const many = Array.from({ length: 500 }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
  const { told: used } = system.ask("many.test");
  system.answer("many.test", many);
  deepStrictEqual(used, [many.slice(0, 16).join(" ")]);
});

for (
  const [host, addresses] of [
    ["localhost", "::1 127.0.0.1"],
    ["LocalHost.", "::1 127.0.0.1"],
    ["a.b.localhost", "::1 127.0.0.1"],
    ["::FFFF:10.0.0.1", "::ffff:a00:1"],
    ["fe80::1%eth0", "fe80::1%eth0"],
  ] as const
) {
  Deno.test(`names: nobody is asked for ${host}, though every place is taken`, () => {
    using _time = new FakeTime();
    const system = new Resolver();
    system.hang(100);
    deepStrictEqual(system.ask(host).told, [addresses]);
    ok(!system.asked.includes(host.toLowerCase()));
  });
}

for (const host of ["localhost.test", "notlocalhost", "web-localhost"]) {
  Deno.test(`names: ${host} is a name like any other`, () => {
    using _time = new FakeTime();
    const system = new Resolver();
    system.ask(host);
    deepStrictEqual(system.asked, [host]);
  });
}

for (
  const [kind, answer, errno, reason] of [
    ["that does not exist", "ENOTFOUND", -3008, 'no such name: "db.test"'],
    ["without an address", "ENOTFOUND", -3007, '"db.test" has no address'],
    ["with an empty answer", [], undefined, '"db.test" has no address'],
    [
      "whose name server fails",
      "EAI_AGAIN",
      -3001,
      'the name server could not answer for "db.test"',
    ],
    [
      "for which no socket is left",
      "EMFILE",
      -24,
      'the name "db.test" could not be looked up: no file descriptor is left',
    ],
  ] as const
) {
  Deno.test(`names: the reason for a name ${kind} says so`, () => {
    using _time = new FakeTime();
    const system = new Resolver();
    const { told } = system.ask("db.test");
    system.answer("db.test", typeof answer === "string" ? answer : [...answer], errno);
    deepStrictEqual(told, [reason]);
  });
}

Deno.test("names: what the system refuses by throwing is a reason as well", () => {
  using _time = new FakeTime();
  const names = new Names({
    resolve: () => {
      throw new Deno.errors.NotCapable("net");
    },
  });
  const told: string[] = [];
  names.find("db.test", (answer) => told.push(String(answer)));
  match(told.join(), /"db\.test" could not be looked up: permission denied$/);
  strictEqual(names.load.running, 0);
});

Deno.test("names: a look-up has a deadline; nobody waits behind one that is over, nor begins a second", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const first = system.ask("db.test");
  await time.advance(6000);
  const second = system.ask("db.test");
  await time.advance(999);
  deepStrictEqual([first.told, second.told], [[], []]);
  await time.advance(2);
  deepStrictEqual([first.told, second.told], [[silent("db.test")], [silent("db.test")]]);
  await time.advance(2000);
  deepStrictEqual(system.ask("db.test", { fresh: true }).told, [silent("db.test", 9)]);
  deepStrictEqual(system.names.load, { running: 1, queued: 0 }, "its place is taken");
  strictEqual(time.timerCount, 0);
  system.answer("db.test", "EAI_AGAIN");
  deepStrictEqual(system.names.load, { running: 0, queued: 0 });
  deepStrictEqual(system.ask("db.test").told, [silent("db.test", 9)]);
  deepStrictEqual(system.asked, ["db.test"]);
});

Deno.test("names: a name server that answers after 6 s is waited for", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const { told } = system.ask("slow.test");
  await time.advance(6000);
  system.answer("slow.test", ["10.0.0.1"]);
  deepStrictEqual(told, ["10.0.0.1"]);
});

Deno.test("names: an answer that comes too late serves whoever tries again", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const { told } = system.ask("slower.test");
  await time.advance(20_000);
  deepStrictEqual(told, [silent("slower.test")]);
  system.answer("slower.test", ["10.0.0.1"]);
  // A link is tried again after 10 s at most.
  await time.advance(10_000);
  deepStrictEqual(system.ask("slower.test", { fresh: true }).told, ["10.0.0.1"]);
});

Deno.test("names: one that waits for a place leaves it at once when nobody waits any more", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const asked = system.hang(100);
  deepStrictEqual(system.names.load, { running: AT_FIRST, queued: 100 - AT_FIRST });
  for (const { leave } of asked) {
    leave();
    leave();
  }
  deepStrictEqual(system.names.load, { running: AT_FIRST, queued: 0 });
  strictEqual(time.timerCount, 0);
  // Whoever comes back waits for what is under way.
  const { told } = system.ask("hangs0.test");
  strictEqual(system.asked.length, AT_FIRST);
  await time.advance(TOO_LONG_MS);
  deepStrictEqual(told, [silent("hangs0.test")]);
  ok(asked.every(({ told }) => told.length === 0), "nobody who has left is told anything");
});

Deno.test("names: nobody waits long for a place", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const asked = system.hang(100);
  await time.advance(2501);
  const refused = asked.filter(({ told }) => told.length > 0);
  // One had its turn after a pause.
  strictEqual(refused.length, 100 - AT_FIRST - 1);
  for (const { told } of refused) deepStrictEqual(told, [TOO_MANY]);
  deepStrictEqual(system.names.load, { running: AT_FIRST + 1, queued: 0 });
});

Deno.test("names: beyond a thousand names that wait, the oldest of whoever has most gives way", () => {
  using _time = new FakeTime();
  const system = new Resolver();
  const early = system.ask("early.test", { asker: "other" });
  system.answer("early.test", "ENOTFOUND");
  const crowd = system.hang(AT_FIRST + 999, { asker: "crowd" });
  const mine = system.ask("mine.test", { asker: "me" });
  const late = system.hang(500, { prefix: "late", asker: "crowd" });
  strictEqual(system.names.load.queued, 1000);
  deepStrictEqual(mine.told, []);
  const refused = crowd.filter(({ told }) => told[0] === TOO_MANY);
  strictEqual(refused.length, 500);
  strictEqual(crowd.at(AT_FIRST)?.told[0], TOO_MANY, "the oldest that waited");
  ok(late.every(({ told }) => told.length === 0));
  strictEqual(early.told.length, 1);
  for (const { leave } of [...crowd, ...late, mine]) leave();
});

Deno.test("names: a hundred that hang leave places: another one is found within two seconds", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  system.hang(100);
  // As a name server that is silent, and visitors who come again and again, for a minute and more.
  for (let second = 0; second < 80; second += 1) {
    const name = `good${second}.test`;
    system.answers.set(name, ["10.0.0.1"]);
    const good = system.ask(name);
    await time.advance(2001);
    deepStrictEqual(good.told, ["10.0.0.1"], `after ${second * 2} s`);
    system.hang(100);
    ok(system.names.load.running <= 20, `${system.names.load.running} under way`);
    // The system gives up after 10 s.
    if (second % 5 === 4) { for (const each of system.pending) system.answer(each, "EAI_AGAIN"); }
  }
});

Deno.test("names: a hundred that were found before and hang now leave places as well", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const all = Array.from({ length: 100 }, (_, at) => `known${at}.test`);
  for (const name of [...all, "good.test"]) {
    system.ask(name);
    system.answer(name, ["10.0.0.1"]);
  }
  await time.advance(1001);
  for (const name of all) system.ask(name);
  system.answers.set("good.test", ["10.0.0.1"]);
  const { told } = system.ask("good.test");
  await time.advance(2001);
  deepStrictEqual(told, ["10.0.0.1"]);
  ok(system.names.load.running < 24, "the last places are not taken at once");
});

Deno.test("names: those that hung the last time get a third of the places", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const hanging = Array.from({ length: 20 }, (_, at) => `hangs${at}.test`);
  for (const name of hanging) {
    system.ask(name);
    await time.advance(5000);
    system.answer(name, "EAI_AGAIN");
  }
  for (const name of hanging) system.ask(name, { fresh: true });
  deepStrictEqual(system.names.load, { running: 8, queued: 12 });
  await time.advance(0);
  const fresh = ["a.test", "b.test", "c.test"].map((name) => system.ask(name));
  for (const name of ["c.test", "b.test", "a.test"]) system.answer(name, ["10.0.0.1"]);
  ok(fresh.every(({ told }) => told.length === 1));
  // What is known of a name says more than that it has no place.
  await time.advance(2501);
  const { told } = system.ask("hangs19.test", { fresh: true });
  await time.advance(2501);
  deepStrictEqual(told, [silent("hangs19.test", 5)]);
});

Deno.test("names: whoever has none under way has the next turn before whoever has many", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  system.hang(100, { asker: "hostile" });
  const mine = system.ask("mine.test", { asker: "me" });
  await time.advance(1000);
  // The newest would be one of these.
  system.hang(100, { prefix: "newer", asker: "hostile" });
  await time.advance(1001);
  ok(system.asked.includes("mine.test"));
  system.answer("mine.test", ["10.0.0.1"]);
  deepStrictEqual(mine.told, ["10.0.0.1"]);
});

Deno.test("names: one that waits and whose name server answers is found before those that hang", async () => {
  using time = new FakeTime();
  const system = new Resolver({ probing: true });
  system.hang(50);
  const good = system.ask("good.test");
  system.hang(50, { prefix: "newer" });
  ok(!system.probes.has("hangs0.test"), "it has its place");
  // Of those before it, nobody hears anything.
  await until(time, () => system.probes.has("good.test"));
  ok(!system.asked.includes("good.test"));
  system.probes.get("good.test")?.say(true);
  system.probes.get("newer0.test")?.say(false);
  await time.advance(1);
  ok(system.asked.includes("good.test"));
  ok(!system.asked.includes("newer0.test"));
  system.answer("good.test", ["10.0.0.1"]);
  deepStrictEqual(good.told, ["10.0.0.1"]);
});

Deno.test("names: one that hung and whose name server answers again waits no longer", async () => {
  using time = new FakeTime();
  const system = new Resolver({ probing: true });
  for (let at = 0; at < 20; at += 1) {
    system.ask(`hangs${at}.test`);
    await time.advance(5000);
    system.answer(`hangs${at}.test`, "EAI_AGAIN");
  }
  for (let at = 0; at < 20; at += 1) system.ask(`hangs${at}.test`, { fresh: true });
  deepStrictEqual(system.names.load, { running: 8, queued: 12 });
  const [name = "", probe] = [...system.probes].at(-1) ?? [];
  const { told } = system.ask(name);
  probe?.say(true);
  await time.advance(0);
  system.answer(name, ["10.0.0.1"]);
  deepStrictEqual(told, ["10.0.0.1"]);
});

Deno.test("names: name servers are asked for few at once, the newest first, and for nobody who has left", async () => {
  using time = new FakeTime();
  const system = new Resolver({ probing: true });
  const asked = system.hang(200);
  const open = () => [...system.probes].filter(([, { signal }]) => !signal.aborted);
  strictEqual(open().length, 16);
  await time.advance(250);
  strictEqual(open().length, 16);
  strictEqual(open()[0]?.[0], "hangs199.test");
  for (const { leave } of asked) leave();
  strictEqual(open().length, 0);
  strictEqual(time.timerCount, 0);
  // What is said then changes nothing.
  for (const { say } of system.probes.values()) say(true);
  await time.advance(1);
  strictEqual(system.names.load.running, AT_FIRST);
});

Deno.test("names: whoever asks for many new ones has not all turns to find out who answers", async () => {
  using time = new FakeTime();
  const system = new Resolver({ probing: true });
  const flood = async (turns: number) => {
    for (let turn = 0; turn < turns; turn += 1) {
      system.hang(20, { prefix: `at${performance.now()}-`, asker: "hostile" });
      await time.advance(250);
      system.probes.get("mine.test")?.say(true);
    }
  };
  // Until no place is left that comes free after a pause.
  await flood(64);
  const mine = system.ask("mine.test", { asker: "me" });
  await flood(8);
  system.answer("mine.test", ["10.0.0.1"]);
  deepStrictEqual(mine.told, ["10.0.0.1"]);
});

Deno.test("names: whose name server answers, and then does not, has not all places", async () => {
  using time = new FakeTime();
  const system = new Resolver({ probing: true });
  system.hang(100, { asker: "hostile" });
  for (let ms = 0; ms < 9000; ms += 200) {
    for (const { say } of system.probes.values()) say(true);
    await time.advance(200);
    system.hang(4, { prefix: `at${ms}-`, asker: "hostile" });
  }
  strictEqual(system.names.load.running, 18);
  const mine = system.ask("mine.test", { asker: "me" });
  await time.advance(1);
  system.probes.get("mine.test")?.say(true);
  await time.advance(2001);
  system.answer("mine.test", ["10.0.0.1"]);
  deepStrictEqual(mine.told, ["10.0.0.1"]);
});

Deno.test("names: nobody's name is lost because somebody with many had asked for it before", () => {
  using _time = new FakeTime();
  const system = new Resolver();
  system.hang(AT_FIRST, { asker: "hostile" });
  const theirs = system.ask("shared.test", { asker: "hostile" });
  const mine = system.ask("shared.test", { asker: "me" });
  const crowd = system.hang(1000, { prefix: "newer", asker: "hostile" });
  deepStrictEqual([mine.told, theirs.told], [[], []]);
  strictEqual(crowd[0]?.told[0], TOO_MANY);
  for (const { leave } of [mine, theirs, ...crowd]) leave();
});

for (const threads of [1, 4, 8, 64]) {
  Deno.test(`names: of ${threads} threads a quarter is left, as far as there are more than one`, async () => {
    using time = new FakeTime();
    const system = new Resolver({ threads });
    const all = Array.from({ length: 100 }, (_, at) => `known${at}.test`);
    for (const name of all) {
      system.ask(name);
      system.answer(name, ["10.0.0.1"]);
    }
    for (let second = 0; second < 60; second += 1) {
      for (const name of all) system.ask(name, { fresh: true });
      await time.advance(1000);
    }
    strictEqual(system.names.load.running, Math.max(1, threads * 3 / 4));
  });
}

Deno.test("names: what is remembered has a bound", async () => {
  using time = new FakeTime();
  const system = new Resolver();
  const before = 5000;
  for (let at = 0; at < before; at += 1) {
    system.ask(`n${at}.test`);
    system.answer(`n${at}.test`, ["10.0.0.1"]);
  }
  system.ask("n4999.test");
  strictEqual(system.asked.length, before, "the newest are kept");
  system.ask("n0.test");
  strictEqual(system.asked.length, before + 1, "the oldest is forgotten");
  system.answer("n0.test", ["10.0.0.1"]);
  await time.advance(0);
});

Deno.test("names: as a promise, with a signal that gives up", async () => {
  const system = new Resolver();
  const giveUp = new AbortController();
  const waiting = rejects(
    system.names.addressesOf("db.test", { signal: giveUp.signal }),
    /^ConnectorError: cancelled$/,
  );
  giveUp.abort();
  await waiting;
  const aborted = system.names.addressesOf("other.test", { signal: AbortSignal.abort() });
  await rejects(aborted, /cancelled/);
  deepStrictEqual(system.asked, ["db.test"]);
  system.answer("db.test", ["10.0.0.1"]);
  deepStrictEqual(await system.names.addressesOf("db.test"), ["10.0.0.1"]);
  const missing = system.names.addressesOf("none.test");
  system.answer("none.test", "ENOTFOUND");
  await rejects(missing, /no such name: "none\.test"/);
});

Deno.test("names: a signal that outlives many answers keeps nothing of them", async () => {
  const system = new Resolver();
  system.answers.set("db.test", ["10.0.0.1"]);
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  // What an EventTarget has cannot be seen from outside.
  Object.assign(signal, {
    addEventListener: (_type: string, listener: unknown) => listeners.add(listener),
    removeEventListener: (_type: string, listener: unknown) => listeners.delete(listener),
  });
  for (const host of ["127.0.0.1", "localhost", "db.test", "db.test"]) {
    await system.names.addressesOf(host, { signal });
    strictEqual(listeners.size, 0, host);
  }
});

Deno.test("names: what is no name for the system does not exist", async () => {
  const name = `${"x".repeat(64)}.invalid`;
  await rejects(names.addressesOf(name), new RegExp(`no such name: "${name}"$`));
  deepStrictEqual(names.load, { running: 0, queued: 0 });
});
