// The program with a policy file: what the user of a peer reads over REST, and SIGHUP.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { tempFolder } from "../support/mtls.ts";
import { exposeService, spawnConnector } from "../support/processes.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "../support/world.ts";

Deno.test({
  name:
    "a connector with a policy refuses what it does not allow with 403, and reads it again on SIGHUP",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    await using server = serveTcp(echo);
    const file = path.join(folder.path, "policy.yaml");
    const rule = "peer: { anonymous: true }";
    const port = freePort();
    await Deno.writeTextFile(
      file,
      `version: 1\nrules: [{ ${rule}, listen: { ports: [${port}], addresses: [127.0.0.1] } }]\n`,
    );
    await using remote = await spawnConnector({ args: [`--policy=${file}`] });
    await using local = await spawnConnector();
    const expose = (sourcePort: number) =>
      local.rest.request("POST", "/expose?wait=5", {
        body: {
          name: "web",
          source_port: sourcePort,
          remote_connector_addr: remote.address,
          destination_addr: `127.0.0.1:${server.port}`,
          type: "local",
        },
      });
    const refused = await expose(freePort());
    strictEqual(refused.status, 403, refused.body);
    match(refused.body, /the policy does not let anonymous listen on port \d+/);
    const { id } = await exposeService(local, {
      to: remote.address,
      type: "local",
      destination: server.port,
      sourcePort: port,
    });
    await roundTrip(port, { length: 1000 });

    await Deno.writeTextFile(file, "version: 1\nrules: []\n");
    remote.signal("SIGHUP");
    await until(async () => await local.rest.statusOf(id) === "ERROR", "it has ended");
    const [service] = await local.rest.list();
    match(service?.message ?? "", /the policy does not let anonymous listen/);
    deepStrictEqual(await remote.rest.list(), []);
    match(
      remote.logs(),
      /INFO {2}service no longer allowed peer=127\.0\.0\.1:\d+ principal=anonymous service=test .*reason="Cannot expose/,
    );
  },
});
