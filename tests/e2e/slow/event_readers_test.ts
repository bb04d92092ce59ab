// A reader of the dashboard's events that takes nothing costs the others nothing.

import { ok, strictEqual } from "node:assert/strict";
import { readEvents, serveDashboard } from "../../support/live_events.ts";
import { reportNumber, request, statusOf } from "../../support/rest_server.ts";
import { startConnector, until } from "../../support/world.ts";

Deno.test("a reader that takes nothing is cut off, and others are told what happens meanwhile", async () => {
  await using near = await startConnector();
  // More than the system takes for a client that does not read.
  const services = Array.from({ length: 8000 }, (_, number) => ({
    ...reportNumber(number + 1),
    message: "x".repeat(1000),
  }));
  await using served = await serveDashboard(near, { services, answerMs: 3000, max: 2 });
  using _slow = await readEvents(served.rest);
  using quick = await readEvents(served.rest);
  strictEqual((await quick.next("snapshot"))?.services.length, 8000);
  const [first] = services;
  ok(first);
  services[0] = { ...first, status: "error", message: "changed" };
  let changed: unknown;
  while (changed === undefined) {
    changed = (await quick.next("change"))?.services?.find(({ message }) => message === "changed");
  }
  await until(async () => {
    const answer = await served.rest.send(request("HEAD /events"));
    return statusOf(answer) === 200;
  }, "there is room for another");
});
