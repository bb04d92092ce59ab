// The stream of events: who gets what, in which order, and what a subscriber that is slow, stuck or broken can do to others.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import {
  type EventKind,
  type EventOf,
  EventStream,
  type LinkEvent,
} from "../../src/model/events.ts";

/** An event that can be told from others. */
function link(reason: string): LinkEvent {
  const peer = { address: "192.0.2.1:30001" };
  return { kind: "link", change: "down", direction: "inbound", peer, reason };
}

/** What an event is in these tests. */
function nameOf(event: EventOf<EventKind>): string {
  if (event.kind === "lost") return `lost ${event.count}`;
  return event.kind === "link" && event.change === "down" ? event.reason : event.kind;
}

function newStream(): { events: EventStream; failures: string[] } {
  const failures: string[] = [];
  const events = new EventStream((name, reason) => void failures.push(`${name}: ${reason}`));
  return { events, failures };
}

/** Lets everything that waits for a turn of the event loop happen. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setTimeout(resolve));
}

Deno.test("a subscriber gets the kinds that it has asked for, in order, after whoever published has gone on", async () => {
  const { events } = newStream();
  const got: string[] = [];
  using _links = events.subscribe("links", { kinds: ["link"], capacity: 10 }, (event) => {
    got.push(nameOf(event));
  });
  using _refusals = events.subscribe("refusals", { kinds: ["refusal"], capacity: 10 }, (event) => {
    got.push(nameOf(event));
  });
  for (const name of ["one", "two", "three"]) events.publish(link(name));
  got.push("published");
  await turns();
  deepStrictEqual(got, ["published", "one", "two", "three"]);
});

Deno.test("whether anybody wants a kind of event is known before it is made", () => {
  const { events } = newStream();
  strictEqual(events.wants("connection"), false);
  const options = { kinds: ["connection", "link"] as const, capacity: 1 };
  const one = events.subscribe("one", options, () => {});
  const two = events.subscribe("two", options, () => {});
  strictEqual(events.wants("connection"), true);
  strictEqual(events.wants("service"), false);
  one[Symbol.dispose]();
  strictEqual(events.wants("connection"), true);
  two[Symbol.dispose]();
  strictEqual(events.wants("connection"), false);
});

Deno.test("a subscriber that is full loses what is new until it has taken all that waits, and is told how many", async () => {
  const { events } = newStream();
  const got: string[] = [];
  using _slow = events.subscribe("slow", { kinds: ["link"], capacity: 3 }, (event) => {
    got.push(nameOf(event));
  });
  for (let n = 0; n < 10; n += 1) events.publish(link(`${n}`));
  await turns();
  deepStrictEqual(got, ["0", "1", "2", "lost 7"]);
  events.publish(link("after"));
  await turns();
  deepStrictEqual(got.at(-1), "after");
});

Deno.test("one that takes its time gets one event at a time, and the gap where it was", async () => {
  const { events } = newStream();
  const got: string[] = [];
  let settle = () => {};
  using _slow = events.subscribe("slow", { kinds: ["link"], capacity: 2 }, (event) => {
    got.push(nameOf(event));
    return new Promise<void>((resolve) => settle = resolve);
  });
  for (let n = 0; n < 2; n += 1) events.publish(link(`${n}`));
  await turns();
  for (let n = 2; n < 5; n += 1) events.publish(link(`${n}`));
  deepStrictEqual(got, ["0"]);
  settle();
  await turns();
  // There is room for one, and it would stand before what was lost.
  events.publish(link("5"));
  for (let turn = 0; turn < 6; turn += 1) {
    settle();
    await turns();
  }
  deepStrictEqual(got, ["0", "1", "2", "lost 3"]);
});

Deno.test("a subscriber that never takes anything holds up nobody, and keeps no more than its capacity", async () => {
  const { events, failures } = newStream();
  using _stuck = events.subscribe("stuck", { kinds: ["link"], capacity: 5 }, () => {
    return new Promise<void>(() => {});
  });
  const got: string[] = [];
  using _other = events.subscribe("other", { kinds: ["link"], capacity: 10_000 }, (event) => {
    got.push(nameOf(event));
  });
  for (let n = 0; n < 10_000; n += 1) events.publish(link(`${n}`));
  while (got.length < 10_000) await turns();
  strictEqual(got.at(-1), "9999");
  deepStrictEqual(failures, []);
});

Deno.test("a subscriber that throws or rejects is reported once, harms nobody, and gets what follows", async () => {
  const { events, failures } = newStream();
  const got: string[] = [];
  using _throws = events.subscribe("throws", { kinds: ["link"], capacity: 10 }, (event) => {
    got.push(`throws ${nameOf(event)}`);
    throw new Error("broken");
  });
  using _rejects = events.subscribe("rejects", { kinds: ["link"], capacity: 10 }, () => {
    return Promise.reject(new Error("broken as well"));
  });
  using _sound = events.subscribe("sound", { kinds: ["link"], capacity: 10 }, (event) => {
    got.push(`sound ${nameOf(event)}`);
  });
  events.publish(link("one"));
  events.publish(link("two"));
  await turns();
  deepStrictEqual(got.sort(), ["sound one", "sound two", "throws one", "throws two"]);
  deepStrictEqual(failures.sort(), ["rejects: broken as well", "throws: broken"]);
});

Deno.test("a flood leaves the event loop its turns: a subscriber has 100 events of each", async () => {
  const { events } = newStream();
  let count = 0;
  using _one = events.subscribe("one", { kinds: ["link"], capacity: 1000 }, () => void count++);
  for (let n = 0; n < 1000; n += 1) events.publish(link("again"));
  await Promise.resolve();
  strictEqual(count, 100);
  while (count < 1000) await turns();
});

Deno.test("what waits when a subscription ends is delivered, and nothing after that", async () => {
  const { events } = newStream();
  const got: string[] = [];
  const one = events.subscribe("one", { kinds: ["link"], capacity: 1000 }, (event) => {
    got.push(nameOf(event));
  });
  for (let n = 0; n < 300; n += 1) events.publish(link(`${n}`));
  await Promise.resolve();
  one[Symbol.dispose]();
  strictEqual(got.length, 300);
  events.publish(link("late"));
  await turns();
  one[Symbol.dispose]();
  strictEqual(got.at(-1), "299");
});

Deno.test("one that ends its subscription while it is given an event gets what waits then", async () => {
  const { events } = newStream();
  const got: string[] = [];
  const one = events.subscribe("one", { kinds: ["link"], capacity: 10 }, (event) => {
    got.push(nameOf(event));
    if (got.length === 1) one[Symbol.dispose]();
  });
  for (const name of ["one", "two"]) events.publish(link(name));
  await turns();
  events.publish(link("three"));
  await turns();
  deepStrictEqual(got, ["one", "two"]);
});
