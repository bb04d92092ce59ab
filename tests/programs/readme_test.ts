// README.md's walk-through, word for word: its curl commands, run by a shell against two connectors. Only the
// ports are others, since the README's may be taken.

import { match, ok, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { ROOT, spawnPair, untilComplete } from "../support/processes.ts";
import { freePort } from "../support/world.ts";

Deno.test("the curl commands of README.md do what it says", async () => {
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("the service\n"),
  );
  await using pair = await spawnPair();
  const ports = new Map([
    [9091, pair.local.httpPort],
    [9190, pair.remote.grpcPort],
    [8080, service.addr.port],
    [12000, freePort()],
    [13000, freePort()],
  ]);
  const run = async (command: string) => {
    const { code, stdout, stderr } = await runProgram("sh", { args: ["-c", command] });
    strictEqual(code, 0, `${command}: ${stderr}`);
    return stdout;
  };

  const commands = (await readCommands()).map((command) =>
    command.replaceAll(/\b(9091|9190|8080|12000|13000)\b/g, (port) => `${ports.get(Number(port))}`)
  );
  const [exposeLocal, visitLocal, exposeRemote, visitRemote, list, remove, ...more] = commands;
  ok(exposeLocal && visitLocal && exposeRemote && visitRemote && list && remove);
  strictEqual(more.length, 0);

  for (const [expose, visit] of [[exposeLocal, visitLocal], [exposeRemote, visitRemote]] as const) {
    const id = await run(expose);
    match(id, /^[0-9a-f-]{36}$/);
    await untilComplete(pair.local, id);
    strictEqual(await run(visit), "the service\n");
  }
  const services: { id: string; type: string; status: string }[] = JSON.parse(await run(list));
  strictEqual(
    services.map(({ type, status }) => `${type} ${status}`).join(),
    "LOCAL COMPLETE,REMOTE COMPLETE",
  );
  for (const { id } of services) strictEqual(await run(remove.replace("<id>", id)), "");
  strictEqual(await run(list), "[]");
});

/** The curl commands of the README, in order. */
async function readCommands(): Promise<string[]> {
  const readme = await Deno.readTextFile(`${ROOT}/README.md`);
  return [...readme.matchAll(/^```sh\n(curl [\s\S]*?)\n```$/gm)].map((found) => found[1] ?? "");
}
