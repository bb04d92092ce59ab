// The list of services that is kept: written when it changes, as it is then, one save at a time, whatever the number of
// events; and what somebody who waits for it is told.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import { ConnectorError } from "../../src/model/errors.ts";
import { EventStream, type ServiceEvent } from "../../src/model/events.ts";
import type { Service } from "../../src/model/service.ts";
import { Keeper } from "../../src/tunnel/keeper.ts";
import { settle, until } from "../support/world.ts";

function service(name: string): Service {
  return {
    id: name,
    name,
    sourcePort: 1,
    remoteConnectorAddr: "192.0.2.1:30001",
    destinationAddr: "127.0.0.1:1",
    type: "local",
  };
}

/** A keeper, a list that changes, and a disk whose writes end when they are told to. */
class World implements Disposable {
  readonly events = new EventStream((name, reason) => {
    throw new Error(`${name}: ${reason}`);
  });
  services: Service[] = [];
  /** What was written, and what is being written last. */
  readonly written: string[] = [];
  /** Ends the write that is under way. */
  endWrite: (error?: unknown) => void = () => {};
  readonly logged: string[] = [];
  readonly keeper: Keeper;

  constructor({ slow = false }: { slow?: boolean } = {}) {
    // Of a logger, a keeper uses this only.
    const write = (message: string) => this.logged.push(message);
    const logger = { error: write, warn: write } as unknown as Logger;
    this.keeper = new Keeper(this.events, {
      services: () => [...this.services],
      save: (services) => {
        this.written.push(services.map(({ name }) => name).join());
        if (!slow) return Promise.resolve();
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        this.endWrite = (error) => error === undefined ? resolve() : reject(error);
        return promise;
      },
      logger,
    });
  }

  /** Something has happened to a service, which is in the list already, or no longer. */
  publish(
    name: string,
    change: "exposed" | "removed" | "restored" | "complete",
    origin: "own" | "peer" = "own",
  ): void {
    const peer = { address: "192.0.2.1:30001" };
    const about = {
      kind: "service",
      origin,
      service: service(name),
      side: "egress",
      peer,
    } as const;
    const event: ServiceEvent = change === "removed"
      ? { ...about, change, by: "user" }
      : change === "complete"
      ? { ...about, change: "status", status: "complete", message: undefined, since: new Date() }
      : { ...about, change: "exposed", restored: change === "restored", rule: "no policy" };
    this.events.publish(event);
  }

  [Symbol.dispose](): void {
    this.keeper[Symbol.dispose]();
  }
}

const FULL = new ConnectorError("internal", "no space left");

Deno.test("keeper: what is exposed and removed is written, once for all that changes in a turn", async () => {
  using world = new World();
  for (let n = 0; n < 20_000; n += 1) {
    if (n < 3) world.services.push(service(`${n}`));
    world.publish(`${n}`, "exposed");
  }
  await until(() => world.written.length > 0, "it is written");
  strictEqual(world.written[0], "0,1,2");
  world.services.pop();
  world.publish("2", "removed");
  await until(() => world.written.at(-1) === "0,1", "it is written");
});

Deno.test("keeper: what changes nothing that is kept is not written", async () => {
  using world = new World();
  world.publish("restored", "restored");
  world.publish("complete", "complete");
  world.publish("theirs", "exposed", "peer");
  world.publish("theirs", "removed", "peer");
  await settle();
  deepStrictEqual(world.written, []);
});

Deno.test("keeper: who waits for a change shares the write that its event has asked for", async () => {
  using world = new World();
  world.services.push(service("one"));
  world.publish("one", "exposed");
  await world.keeper.settled();
  await settle();
  deepStrictEqual(world.written, ["one"]);
});

Deno.test("keeper: what changes while a list is written is in the next one, and only one is written at a time", async () => {
  using world = new World({ slow: true });
  const first = world.keeper.settled();
  await settle();
  for (const name of ["one", "two"]) {
    world.services.push(service(name));
    world.publish(name, "exposed");
  }
  const second = world.keeper.settled();
  let settled = false;
  second.then(() => settled = true);
  await settle();
  deepStrictEqual(world.written, [""]);
  world.endWrite();
  await first;
  await until(() => world.written.length === 2, "the next is written");
  deepStrictEqual([world.written, settled], [["", "one,two"], false]);
  world.endWrite();
  await second;
});

Deno.test("keeper: who waits is told of a failure, nobody else hears of it, and the next write has it all", async () => {
  using world = new World({ slow: true });
  const failed = rejects(world.keeper.settled(), /no space left/);
  await settle();
  world.services.push(service("one"));
  const next = world.keeper.settled();
  world.endWrite(FULL);
  await failed;
  await until(() => world.written.length === 2, "the next is written");
  world.endWrite();
  await next;
  deepStrictEqual([world.written, world.logged], [["", "one"], []]);
});

Deno.test("keeper: a failure for which nobody waits is logged", async () => {
  using world = new World({ slow: true });
  world.publish("one", "removed");
  await until(() => world.written.length === 1, "it is written");
  world.endWrite(FULL);
  await until(() => world.logged.length === 1, "it is logged");
  deepStrictEqual(world.logged, ["services not saved"]);
});

Deno.test("keeper: of failures without end some are logged, and how many more there were", async () => {
  const world = new World({ slow: true });
  for (let count = 1; count <= 30; count += 1) {
    world.publish("one", "removed");
    await until(() => world.written.length === count, "it is written");
    world.endWrite(FULL);
    await settle();
  }
  world[Symbol.dispose]();
  deepStrictEqual(world.logged.at(-1), "lines left out");
  ok(world.logged.length < 20, `${world.logged.length} lines`);
});

Deno.test("keeper: once it is disposed no event is written, and what is asked for is", async () => {
  using world = new World();
  world.keeper[Symbol.dispose]();
  world.publish("one", "removed");
  await settle();
  deepStrictEqual(world.written, []);
  await world.keeper.settled();
  deepStrictEqual(world.written, [""]);
});
