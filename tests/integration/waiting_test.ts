// Visitors that wait for a link: who has left takes no place any more.

import { match, strictEqual } from "node:assert/strict";
import { connect } from "node:net";
import { CUT } from "../support/sockets.ts";
import { freePort, startConnector, until } from "../support/world.ts";

Deno.test("a visitor that was reset while it waited for a link is not kept", async () => {
  await using local = await startConnector();
  const port = freePort();
  await local.connector.expose({
    name: "test",
    sourcePort: port,
    remoteConnectorAddr: `127.0.0.1:${freePort()}`,
    destinationAddr: "127.0.0.1:1",
    type: "remote",
  });
  const open = () => local.connector.list()[0]?.connections.open;
  // Deno's sockets do not tell of a reset behind bytes that nobody reads.
  const lengths = CUT === "reset" ? [0, 1000] : [0];
  for (const length of lengths) {
    const visitor = connect({ host: "127.0.0.1", port });
    if (length > 0) visitor.write(new Uint8Array(length));
    await until(() => open() === 1, "it waits");
    visitor.resetAndDestroy();
    await until(() => open() === 0, "its place is free", { timeoutMs: 5000 });
  }
  strictEqual(local.connector.list()[0]?.connections.failed, lengths.length);
});

Deno.test("no more than 1,000 visitors of a service wait", async () => {
  await using local = await startConnector();
  const port = freePort();
  await local.connector.expose({
    name: "test",
    sourcePort: port,
    remoteConnectorAddr: `127.0.0.1:${freePort()}`,
    destinationAddr: "127.0.0.1:1",
    type: "remote",
  });
  using visitors = new DisposableStack();
  const counted = () => local.connector.list()[0]?.connections;
  for (let count = 0; count < 1001; count += 1) {
    const visitor = connect({ host: "127.0.0.1", port });
    visitor.on("error", () => {});
    visitors.defer(() => visitor.destroy());
  }
  await until(() => counted()?.total === 1001, "all have come");
  strictEqual(counted()?.open, 1000);
  match(counted()?.lastClose ?? "", /too many visitors wait/);
});
