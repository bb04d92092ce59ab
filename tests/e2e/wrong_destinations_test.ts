// What both sides say about a wrong destination.

import { ok, strictEqual } from "node:assert/strict";
import { type ConnectorProcess, exposeService, spawnPair } from "../support/processes.ts";
import { turnsAway, until } from "../support/world.ts";

async function lastClose({ rest }: ConnectorProcess, id: string): Promise<string | undefined> {
  return (await rest.list()).find((each) => each.id === id)?.connections.last_close;
}

Deno.test("a destination that was mistaken is named on both sides, with the reason", async () => {
  await using pair = await spawnPair();
  const { local, remote } = pair;
  const own = "this connector listens there itself, and no tunnel leads to its own ports";
  for (const type of ["local", "remote"] as const) {
    const dialler = type === "local" ? local : remote;
    for (
      const [destination, reason] of [
        ["127.0.0.1:1", "connection refused"],
        ["[::1]:1", "connection refused"],
        ["no-such.invalid:80", 'no such name: "no-such.invalid"'],
        [`localhost:${dialler.httpPort}`, own],
        [`127.0.0.1:${dialler.grpcPort}`, own],
      ] as const
    ) {
      const { id, port } = await exposeService(local, { to: remote.address, type, destination });
      ok(await turnsAway(port));
      for (const side of [local, remote]) {
        await until(async () => await lastClose(side, id) !== undefined, "both sides have noticed");
        strictEqual(await lastClose(side, id), `Cannot connect to ${destination}: ${reason}`);
      }
    }
  }
});
