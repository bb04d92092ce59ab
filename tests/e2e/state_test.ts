// What survives a connector: exposures that were acknowledged, whatever ends the process and whenever.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { Child } from "../support/child.ts";
import {
  exposeService,
  runCommand,
  spawnConnector,
  startCommand,
  untilComplete,
} from "../support/processes.ts";
import { echo, freePort, roundTrip, serveTcp, temporaryFolder, until } from "../support/world.ts";

Deno.test("services exposed over REST are there again after a restart, with their ids, and removed ones are not", async () => {
  await using folder = await temporaryFolder();
  const file = path.join(folder.path, "services.json");
  const args = [`--state-file=${file}`];
  await using server = serveTcp(echo);
  await using remote = await spawnConnector();
  await using first = await spawnConnector({ args });
  const to = remote.address;
  const kept = [
    await exposeService(first, { to, type: "local", destination: server.port, name: "one" }),
    await exposeService(first, { to, type: "remote", destination: server.port, name: "two" }),
  ];
  const removed = await exposeService(first, { to, type: "local", destination: server.port });
  strictEqual((await first.rest.request("DELETE", `/expose/${removed.id}`)).status, 200);
  // Removed at the other side is removed for good, too.
  const gone = await exposeService(first, { to, type: "local", destination: server.port });
  strictEqual((await remote.rest.request("DELETE", `/expose/${gone.id}`)).status, 200);
  await until(async () => (await first.rest.list()).length === 2, "two are left");
  await until(async () => !(await Deno.readTextFile(file)).includes(gone.id), "it is saved");
  deepStrictEqual(await first.stop("SIGTERM"), { code: 0, signal: null });

  await using again = await spawnConnector({ args });
  for (const { id, port } of kept) {
    await untilComplete(again, id);
    await roundTrip(port);
  }
  const ids = kept.map(({ id }) => id).sort();
  for (const { rest } of [again, remote]) {
    deepStrictEqual((await rest.list()).map(({ id }) => id).sort(), ids);
  }
});

Deno.test("a restored service whose port is taken is in error, and has it once it is free", async () => {
  await using folder = await temporaryFolder();
  const args = [`--state-file=${path.join(folder.path, "services.json")}`];
  await using server = serveTcp(echo);
  await using remote = await spawnConnector();
  await using first = await spawnConnector({ args });
  const { id, port } = await exposeService(first, {
    to: remote.address,
    type: "remote",
    destination: server.port,
  });
  await first.stop("SIGTERM");
  const squatter = Deno.listen({ port });
  await using again = await spawnConnector({ args });
  await until(async () => (await again.rest.statusOf(id)) === "ERROR", "it is in error");
  const [entry] = await again.rest.list();
  match(entry?.message ?? "", /the port is already in use/);
  ok(entry?.retry_at !== undefined || entry?.last_error !== undefined);
  squatter.close();
  await untilCompleteAgain(again, id);
  await roundTrip(port);
});

Deno.test("a restored service that may not be had any more says so, and stays in the file", async () => {
  await using folder = await temporaryFolder();
  const file = path.join(folder.path, "services.json");
  const args = [`--state-file=${file}`];
  await using remote = await spawnConnector();
  await using first = await spawnConnector({ args });
  const { id } = await exposeService(first, { to: remote.address, type: "local", destination: 1 });
  await first.stop("SIGTERM");
  await using again = await spawnConnector({ args: [...args, "--disable-local-expose"] });
  const [entry] = await again.rest.list();
  strictEqual(entry?.status, "ERROR");
  match(entry?.message ?? "", /--disable-local-expose/);
  strictEqual(entry?.retry_at, undefined);
  match(await Deno.readTextFile(file), new RegExp(id));
});

Deno.test("a state file that is not one ends the start with a sentence and code 1, and is left as it is", async () => {
  await using folder = await temporaryFolder();
  const file = path.join(folder.path, "services.json");
  await Deno.writeTextFile(file, "not ours");
  const { code, stderr } = await runCommand([
    ...["run", "--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"],
    `--state-file=${file}`,
  ]);
  strictEqual(code, 1);
  strictEqual(
    stderr,
    `error: Cannot use state file "${file}": it is not JSON\n` +
      "hint: It was left as it is: mend it, move it away, or name another file\n",
  );
  strictEqual(await Deno.readTextFile(file), "not ours");
});

/** How often a connector is killed. */
const KILLS = 100;

Deno.test(`an acknowledged exposure survives ${KILLS} kills at random moments, and so does a removal`, async () => {
  await using folder = await temporaryFolder();
  const file = path.join(folder.path, "services.json");
  const httpPort = freePort();
  const url = `http://127.0.0.1:${httpPort}`;
  const peer = `127.0.0.1:${freePort()}`;
  const exposed = new Set<string>();
  const removed = new Set<string>();
  for (let kill = 0; kill < KILLS; kill += 1) {
    await using connector = startCommand([
      ...["run", "--grpc-bind=127.0.0.1:0", `--http-bind=127.0.0.1:${httpPort}`],
      `--state-file=${file}`,
    ]);
    await connector.waitFor(/connector started/);
    const listed = new Set<string>(
      (await (await fetch(`${url}/list`)).json()).map(({ id }: { id: string }) => id),
    );
    deepStrictEqual([...exposed].filter((id) => !listed.has(id)), [], "nothing is lost");
    deepStrictEqual([...removed].filter((id) => listed.has(id)), [], "nothing comes back");
    await changeUntilKilled(connector, { url, peer, exposed, removed });
  }
  ok(exposed.size > KILLS / 2, `${exposed.size} services`);
  ok(removed.size > 0, `${removed.size} removed`);
});

/** Exposes and removes services, two at a time, until a kill at a random moment; notes what was acknowledged. */
async function changeUntilKilled(
  connector: Child,
  { url, peer, exposed, removed }: {
    url: string;
    peer: string;
    exposed: Set<string>;
    removed: Set<string>;
  },
): Promise<void> {
  let killed = false;
  const change = async () => {
    while (!killed) {
      const [oldest] = exposed;
      if (oldest !== undefined && exposed.size > 60) {
        // Neither here nor there until it is answered.
        exposed.delete(oldest);
        const response = await fetch(`${url}/expose/${oldest}`, { method: "DELETE" });
        await response.body?.cancel();
        strictEqual(response.status, 200);
        removed.add(oldest);
      }
      const response = await fetch(`${url}/expose`, {
        method: "POST",
        body: JSON.stringify({
          name: "web",
          source_port: 1 + Math.floor(Math.random() * 65_535),
          remote_connector_addr: peer,
          destination_addr: "127.0.0.1:1",
          type: "local",
        }),
      });
      const body = await response.text();
      // Two may choose one port.
      if (response.status === 200) exposed.add(body);
      else strictEqual(response.status, 409, body);
    }
  };
  const changes = [change(), change()];
  const timer = setTimeout(() => {
    killed = true;
    connector.kill("SIGKILL");
  }, Math.random() * 60);
  for (const result of await Promise.allSettled(changes)) {
    // What was under way when it was killed fails; an answer that was wrong is another matter.
    if (result.status === "fulfilled" || killed && result.reason instanceof TypeError) continue;
    throw result.reason;
  }
  clearTimeout(timer);
  await connector.exited;
}

/** Waits for a service that is in error first. */
async function untilCompleteAgain(
  connector: { rest: { statusOf(id: string): Promise<string | undefined> } },
  id: string,
): Promise<void> {
  await until(async () => await connector.rest.statusOf(id) === "COMPLETE", "it is complete");
}
