// The reason for a failed link names a silent proxy, not the peer.

import { strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { startConnectProxy } from "../support/connect_proxy.ts";
import { silentAddress } from "../support/silent_address.ts";
import { freePort, serveTcp, startConnector, until } from "../support/world.ts";

/** A client of grpc-js that is closed while it connects keeps a timer of 250 ms until it is over, in milliseconds. */
const GRPC_NEXT_ADDRESS_MS = 300;

for (
  const [what, options, wanted] of [
    ["takes a connection and says nothing", { answer: "" }, "did not answer in 4.5 s"],
    ["begins to answer", { answer: "HTTP/1.1 200 OK\r\nX: " }, "did not answer in 4.5 s"],
    [
      "leads to a peer that says nothing",
      {},
      "the peer did not answer (through the proxy",
    ],
  ] as const
) {
  Deno.test(`a proxy that ${what} is named`, async () => {
    await using silent = serveTcp(async (conn) => {
      await conn.readable.pipeTo(new WritableStream());
    });
    await using proxy = await startConnectProxy(options);
    await using local = await startConnector({
      environment: { http_proxy: proxy.url, no_proxy: "<-loopback>" },
    });
    await local.connector.expose({
      name: "test",
      sourcePort: freePort(),
      remoteConnectorAddr: `127.0.0.1:${silent.port}`,
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
    const message = () => local.connector.list()[0]?.message;
    await until(() => message() !== undefined, "there is a verdict on the link");
    strictEqual(
      message(),
      wanted.startsWith("the peer")
        ? `no link to the peer: ${wanted} ${proxy.url})`
        : `no link to the peer: the proxy ${proxy.url} ${wanted}`,
    );
    // The next try is under way.
    await until(() => proxy.asked.length >= 2, "it is tried again");
    await delay(GRPC_NEXT_ADDRESS_MS);
  });
}

// grpc-js keeps a socket that is connecting until the system gives it up.
Deno.test("a proxy that swallows packets is named", {
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  await using silent = await silentAddress();
  const url = `http://127.0.0.1:${silent.port}`;
  await using local = await startConnector({
    environment: { http_proxy: url, no_proxy: "<-loopback>" },
  });
  await local.connector.expose({
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: "192.0.2.1:9090",
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const report = () => local.connector.list()[0];
  await until(() => report()?.message !== undefined, "there is a verdict on the link");
  strictEqual(
    report()?.message,
    `no link to the peer: the proxy ${url}, which http_proxy names, cannot be reached: no answer in 4.5 s`,
  );
  // From then on its port is looked at first.
  await until(
    () => report()?.message?.endsWith("cannot be reached: no answer in 5 s") ?? false,
    "its port was looked at",
  );
});
