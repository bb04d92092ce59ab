// Which proxy variables of the environment the real program, with its permissions, obeys.

import { doesNotMatch, match, strictEqual } from "node:assert/strict";
import { startConnectProxy } from "../support/connect_proxy.ts";
import { type ConnectorProcess, runCommand, spawnConnector } from "../support/processes.ts";
import { freePort, until } from "../support/world.ts";

/** Exposes something at a peer, and resolves with why there is no link to it. */
async function reasonFor({ rest }: ConnectorProcess, to: string): Promise<string> {
  const body = {
    name: to,
    source_port: freePort(),
    remote_connector_addr: to,
    destination_addr: "localhost:1",
    type: "local",
  };
  const { status, body: id } = await rest.request("POST", "/expose", { body });
  strictEqual(status, 200, id);
  const message = async () => (await rest.list()).find((each) => each.id === id)?.message;
  await until(async () => await message() !== undefined, "there is a verdict on the link");
  return (await message() ?? "").replace(/^no link to the peer: /, "");
}

Deno.test("the last of the variables counts as the first does, loopback is excepted, and nobody sees the password", async () => {
  await using proxy = await startConnectProxy({ answer: "HTTP/1.1 403 Forbidden\r\n\r\n" });
  const denied = new RegExp(`^the proxy ${proxy.url} answered 403 Forbidden: `);
  await using connector = await spawnConnector({
    args: ["--log-level=debug"],
    env: {
      HTTP_PROXY: proxy.url.replace("//", "//me:s3cret@"),
      NO_PROXY: "excepted.invalid",
    },
  });
  match(await reasonFor(connector, "peer.invalid:9090"), denied);
  match(await reasonFor(connector, "192.0.2.1:9090"), denied);
  strictEqual(await reasonFor(connector, "127.0.0.1:1"), "connection refused");
  strictEqual(await reasonFor(connector, "localhost:1"), "connection refused");
  strictEqual(
    await reasonFor(connector, "a.excepted.invalid:9090"),
    'no such name: "a.excepted.invalid"',
  );
  match(connector.logs(), /answered 403 Forbidden/);
  doesNotMatch(connector.logs() + JSON.stringify(await connector.rest.list()), /s3cret|czNjcmV0/);
});

Deno.test("a proxy without an address, and one of another kind, are named where they count", async () => {
  for (
    const [env, reason] of [
      [
        { https_proxy: "http://me:s3cret@proxy.invalid:3128" },
        /^the proxy http:\/\/proxy\.invalid:3128, which https_proxy names, cannot be reached: no such name: "proxy\.invalid"$/,
      ],
      [
        { GRPC_PROXY: "socks5://me:s3cret@127.0.0.1:1080" },
        /^the proxy that GRPC_PROXY names, "socks5:\/\/127\.0\.0\.1:1080", cannot be used: want /,
      ],
    ] as const
  ) {
    await using connector = await spawnConnector({ env });
    match(await reasonFor(connector, "peer.invalid:9090"), reason);
    strictEqual(await reasonFor(connector, "127.0.0.1:1"), "connection refused");
    doesNotMatch(connector.logs(), /s3cret/);
  }
});

Deno.test("connector health asks loopback, not a proxy", async () => {
  await using connector = await spawnConnector();
  const dead = "http://127.0.0.1:1";
  const { code, stdout, stderr } = await runCommand(["health", `--url=${connector.rest.url}`], {
    env: { http_proxy: dead, HTTP_PROXY: dead, https_proxy: dead, ALL_PROXY: dead },
  });
  strictEqual(`${code} ${stdout}${stderr}`, "0 healthy\n");
});
