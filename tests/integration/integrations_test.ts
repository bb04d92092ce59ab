// The seam between a connector and a scheduler, with an integration that a test moves by hand: what is said of services is
// in both lists, no visitor waits for it, and a connector that closes lets it hand over first.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Host, Integration } from "../../src/integrations/integration.ts";
import type { Registration } from "../../src/model/service.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import {
  echo,
  exposeThrough,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  until,
} from "../support/world.ts";

/** One that does what the test says. */
class HandMoved implements Integration {
  host: Host | undefined;
  disposed = false;
  handOver?: (signal: AbortSignal) => Promise<void>;

  start(host: Host): void {
    this.host = host;
  }

  say(id: string, state: Registration["state"], message?: string): void {
    this.host?.register(id, {
      scheduler: "test",
      name: "n/web",
      state,
      ...(message !== undefined && { message }),
      ...(state === "refused" && { code: "already_exists" as const }),
    });
  }

  // deno-lint-ignore require-await -- the interface wants a promise
  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
  }
}

Deno.test("what the scheduler refuses is in error at both ends, carries visitors, and may become well", async () => {
  await using server = serveTcp(echo);
  const integration = new HandMoved();
  await using remote = await startConnector({ integration });
  await using local = await startConnector();
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  deepStrictEqual(
    integration.host?.list().map((
      { listening, takenUpAt },
    ) => [listening, takenUpAt !== undefined]),
    [[true, true]],
  );
  const events: string[] = [];
  using _subscription = integration.host?.events.subscribe(
    "test",
    { kinds: ["service"], capacity: 10 },
    (event) => {
      if (event.kind === "service") events.push(event.change);
    },
  ) ?? { [Symbol.dispose]() {} };

  integration.say(id, "refused", "the name is taken");
  strictEqual(reportOf(remote, id)?.status, "error");
  strictEqual(reportOf(remote, id)?.message, "the name is taken");
  await until(() => reportOf(local, id)?.status === "error", "the peer knows");
  strictEqual(reportOf(local, id)?.message, "the name is taken");
  await roundTrip(port);
  // The peer asks again by itself, and is told the same.
  await until(() => reportOf(local, id)?.retryAt !== undefined, "the peer tries again");

  integration.say(id, "registered");
  strictEqual(reportOf(remote, id)?.status, "complete");
  await until(() => reportOf(local, id)?.status === "complete", "the peer knows");
  integration.say(id, "pending", "the scheduler is away");
  deepStrictEqual(
    [reportOf(remote, id)?.status, reportOf(remote, id)?.message],
    ["complete", "the scheduler is away"],
  );
  strictEqual(reportOf(local, id)?.status, "complete");
  await until(() => events.includes("status"), "the events tell");
});

Deno.test("a peer that comes back over another link is told what the scheduler says", async () => {
  await using server = serveTcp(echo);
  const integration = new HandMoved();
  await using remote = await startConnector({ integration });
  await using relay = new FaultRelay(remote.server.address.port);
  // Its session ends with its link, and it asks for its service again.
  await using local = await startConnector({ resumeMs: 0 });
  const { id } = await exposeThrough({
    local,
    remote: { ...remote, address: `127.0.0.1:${relay.port}` },
  }, {
    type: "local",
    destination: server.port,
  });
  const takenUpAt = () => reportOf(remote, id)?.takenUpAt?.getTime() ?? 0;
  const first = takenUpAt();
  integration.say(id, "refused", "the name is taken");
  await until(() => reportOf(local, id)?.status === "error", "the peer knows");
  await until(() => reportOf(local, id)?.retryAt === undefined, "the peer asks again");
  strictEqual(takenUpAt(), first, "over the same link it is the same");
  relay.cut();
  await until(() => reportOf(remote, id)?.status === "error" && takenUpAt() > first, "it is back");
  await until(() => reportOf(local, id)?.message === "the name is taken", "the peer knows");
});

Deno.test("before a connector drains, services may be handed over; ports are open meanwhile", async () => {
  await using server = serveTcp(echo);
  const integration = new HandMoved();
  const asked = Promise.withResolvers<void>();
  const handedOver = Promise.withResolvers<void>();
  integration.handOver = async () => {
    asked.resolve();
    await handedOver.promise;
  };
  await using remote = await startConnector({ integration, graceMs: 0 });
  await using local = await startConnector();
  const { port } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  const closed = remote.running.close({ drainMs: 5000 });
  await asked.promise;
  await roundTrip(port);
  strictEqual(integration.disposed, false);
  handedOver.resolve();
  await closed;
  strictEqual(await refuses(port), true);
  ok(integration.disposed);
});

Deno.test("an integration that never hands over holds up no end that is hastened", async () => {
  const integration = new HandMoved();
  let waits = false;
  integration.handOver = (signal) => {
    waits = true;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  };
  await using remote = await startConnector({ integration });
  const closed = remote.running.close({ drainMs: 60_000 });
  await until(() => waits, "it is asked to hand over");
  await remote.running.abort();
  await closed;
  ok(integration.disposed);
});
