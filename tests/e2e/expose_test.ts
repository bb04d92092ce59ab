// The two scenarios of the acceptance feature: two connectors as processes, one REST call, and HTTP 200 through
// the tunnel.

import { match, strictEqual } from "node:assert/strict";
import { spawnPair, untilComplete } from "../support/processes.ts";
import { freePort } from "../support/world.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

Deno.test("Expose Local Service to Remote Server", async () => {
  await using service = serveHttp("hello from the local side");
  await using pair = await spawnPair();
  const port = freePort();
  const { status, body: id } = await pair.local.rest.request("POST", "/expose", {
    body: {
      name: "web",
      source_port: port,
      remote_connector_addr: pair.remote.address,
      destination_addr: `127.0.0.1:${service.addr.port}`,
      type: "local",
    },
  });
  strictEqual(status, 200);
  match(id, UUID);
  await untilComplete(pair.local, id);
  await untilComplete(pair.remote, id);

  const answer = await fetch(`http://127.0.0.1:${port}/`);
  strictEqual(answer.status, 200);
  strictEqual(await answer.text(), "hello from the local side");
});

Deno.test("Expose Remote Service to Localhost", async () => {
  await using service = serveHttp("hello from the remote side");
  await using pair = await spawnPair();
  const port = freePort();
  const { status, body: id } = await pair.local.rest.request("POST", "/expose", {
    body: {
      name: "web",
      source_port: port,
      remote_connector_addr: pair.remote.address,
      destination_addr: `127.0.0.1:${service.addr.port}`,
      type: "remote",
    },
  });
  strictEqual(status, 200);
  match(id, UUID);
  await untilComplete(pair.local, id);
  await untilComplete(pair.remote, id);

  const answer = await fetch(`http://127.0.0.1:${port}/`);
  strictEqual(answer.status, 200);
  strictEqual(await answer.text(), "hello from the remote side");

  const removed = await pair.local.rest.request("DELETE", `/expose/${id}`);
  strictEqual(removed.status, 200);
  strictEqual(removed.body, "");
  strictEqual((await pair.local.rest.list()).length, 0);
});

function serveHttp(text: string): Deno.HttpServer<Deno.NetAddr> {
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  return Deno.serve(options, () => new Response(text));
}
