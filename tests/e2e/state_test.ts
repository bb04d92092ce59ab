// What survives a connector: exposures that were acknowledged, whatever ends the process and whenever.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { exposeService, runCommand, spawnConnector, untilComplete } from "../support/processes.ts";
import { tempFolder } from "../support/mtls.ts";
import { echo, roundTrip, serveTcp, until } from "../support/world.ts";

Deno.test("services exposed over REST are there again after a restart, with their ids, and removed ones are not", async () => {
  await using folder = await tempFolder();
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
  await using folder = await tempFolder();
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
  // Nothing is asked of the peer meanwhile, but it is there.
  await until(() => /link opened/.test(again.logs()), "the link is open");
  squatter.close();
  await untilCompleteAgain(again, id);
  await roundTrip(port);
});

Deno.test("a restored service that may not be had any more says so, and stays in the file", async () => {
  await using folder = await tempFolder();
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
  await using folder = await tempFolder();
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
      "hint: The file is unchanged: repair it, move it away, or name another file\n",
  );
  strictEqual(await Deno.readTextFile(file), "not ours");
});

/** Waits for a service that is in error first. */
async function untilCompleteAgain(
  connector: { rest: { statusOf(id: string): Promise<string | undefined> } },
  id: string,
): Promise<void> {
  await until(async () => await connector.rest.statusOf(id) === "COMPLETE", "it is complete");
}
