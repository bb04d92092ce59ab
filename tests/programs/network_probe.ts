// Starts a connector on the address that its first argument stands for, with a service on the port that is the second, and
// prints as JSON in which families it was reached. Run by networks.ts in a namespace of its own.

import type { Reached } from "./networks.ts";
import { spawnConnector } from "../support/processes.ts";
import { freePort } from "../support/world.ts";

const FAMILIES = { IPv4: "127.0.0.1", IPv6: "::1" };

const [bind = "", source = ""] = Deno.args;
await using connector = await spawnConnector({ grpcBind: `${bind}:0`, httpBind: `${bind}:0` });
const port = source === "" ? freePort() : Number(source);
const { status, body } = await connector.rest.request("POST", "/expose", {
  body: {
    name: "probed",
    type: "remote",
    source_port: port,
    // Nobody is there.
    remote_connector_addr: "127.0.0.1:1",
    destination_addr: "127.0.0.1:1",
  },
});
const reached: Reached = {
  grpc: await familiesOf(connector.grpcPort),
  rest: await familiesOf(connector.httpPort),
  service: status === 200 ? await familiesOf(port) : [`${status} ${body}`],
  // That its API is open to the network is so.
  complaints: connector.logs().split("\n").filter((line) =>
    /\b(WARN|ERROR)\b/.test(line) && !/anybody who can reach the REST API/.test(line)
  ),
};
console.log(JSON.stringify(reached));

async function familiesOf(port: number): Promise<string[]> {
  const found: string[] = [];
  for (const [family, hostname] of Object.entries(FAMILIES)) {
    try {
      (await Deno.connect({ hostname, port })).close();
      found.push(family);
    } catch {
      // It is not reached by this one.
    }
  }
  return found;
}
