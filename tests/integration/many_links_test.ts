// Peers that make a connector hold on to links: their number has a bound, however the peers behave.

import { ok } from "node:assert/strict";
import { GoAwayCode } from "../../proto/gen/connector.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { memoryLinks } from "../support/memory_link.ts";
import { HostilePeer } from "../support/hostile_peer.ts";
import { freePort, startConnector, until } from "../support/world.ts";

const GREETING = hello(DEFAULT_LIMITS);

Deno.test("a peer that says of every link that it drains, and ends none, is left with a few", async () => {
  const peers: { hostile: HostilePeer; over: boolean }[] = [];
  await using local = await startConnector({
    dial() {
      const { dialler, acceptor } = memoryLinks({ offer: GREETING, answer: GREETING });
      const entry = { hostile: new HostilePeer(acceptor), over: false };
      peers.push(entry);
      acceptor.closed.then(() => entry.over = true);
      entry.hostile.send({
        stream: 0,
        body: { $case: "goAway", value: { code: GoAwayCode.DRAIN, reason: "" } },
      });
      return dialler;
    },
  });
  const expose = () =>
    local.connector.expose({
      name: "test",
      sourcePort: freePort(),
      remoteConnectorAddr: "127.0.0.1:9090",
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
  // Each new service leads to another try at once.
  for (let round = 0; round < 20; round += 1) {
    await expose();
    await until(() => peers.length > round, "there is another link");
    await until(
      () => /is shutting down/.test(local.connector.list()[0]?.message ?? ""),
      "it takes no more streams",
    );
  }
  const open = () => peers.filter(({ over }) => !over).length;
  await until(() => open() <= 8, "the oldest are ended");
  ok(open() > 0);
});
