// What a connector that we dial can make us do by what it answers: change the status of a service, and log that.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import { ServiceStatus } from "../../proto/gen/connector.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import type { ReferenceSession } from "../support/reference_peer.ts";
import { freePort, reportOf, startConnector, type TestConnector, until } from "../support/world.ts";

/** A connector with a service exposed to an acceptor that answers by hand, and what it has logged. */
interface Exposed extends AsyncDisposable {
  ours: TestConnector;
  id: string;
  session: ReferenceSession;
  /** The statuses in the log. */
  statuses: unknown[];
}

async function exposeToHostile(): Promise<Exposed> {
  await using stack = new AsyncDisposableStack();
  const statuses: unknown[] = [];
  const write = (message: string, fields: Record<string, unknown>) => {
    if (message === "service status") statuses.push(fields.status);
  };
  const methods = { debug: write, info: write, warn: write, error: write };
  // Only what a connector calls.
  const logger = {
    ...methods,
    isEnabledFor: () => false,
    with: () => logger,
  } as unknown as Logger;
  const hostile = stack.use(await startReferenceAcceptor({ passive: true }));
  const ours = stack.use(await startConnector({ logger }));
  const id = await ours.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: hostile.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const session = await hostile.session();
  await session.receive("expose");
  const owned = stack.move();
  return { ours, id, session, statuses, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function answer({ session, id }: Exposed, status: ServiceStatus, message: string): void {
  session.send({ $case: "statusUpdate", value: { status, message, code: 7 } }, { service: id });
}

Deno.test("an acceptor that answers all the time changes a status now and then, and the last answer counts", async () => {
  await using exposed = await exposeToHostile();
  const { ours, id, statuses } = exposed;
  for (let count = 0; count < 500; count += 1) {
    answer(exposed, ServiceStatus.COMPLETE, "");
    answer(exposed, ServiceStatus.ERROR, `answer ${count}`);
  }
  await until(() => reportOf(ours, id)?.message === "answer 499", "the last answer counts");
  ok(statuses.length <= 15, `${statuses.length} changes`);
});

Deno.test("an answer that has not counted yet is forgotten with its service", async () => {
  await using exposed = await exposeToHostile();
  const { ours, id, session } = exposed;
  for (let count = 0; count < 20; count += 1) answer(exposed, ServiceStatus.ERROR, "no");
  answer(exposed, ServiceStatus.COMPLETE, "");
  await until(() => reportOf(ours, id)?.status === "error", "the first answers count");
  await ours.connector.destroy(id);
  await session.receive("destroy");
  deepStrictEqual(ours.connector.list(), []);
});

Deno.test("of an acceptor's text, so much is kept as people read", async () => {
  await using exposed = await exposeToHostile();
  const { ours, id } = exposed;
  answer(exposed, ServiceStatus.ERROR, "x".repeat(100_000));
  await until(() => reportOf(ours, id)?.status === "error", "it is told");
  strictEqual(reportOf(ours, id)?.message?.length, 1000);
  strictEqual(reportOf(ours, id)?.lastError?.message.length, 1000);
});
