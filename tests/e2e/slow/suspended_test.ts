// A connector that is stopped and goes on, as by Ctrl-Z and `fg`, a debugger, or a frozen container: for a moment nobody
// notices; and once its peer has given the link up, what was open goes on over another one.

import { ok, strictEqual } from "node:assert/strict";
import { delay } from "../../../src/delay.ts";
import { exposeBoth, spawnPair, untilComplete } from "../../support/processes.ts";
import { soon } from "../../support/soon.ts";
import { echo, roundTrip, serveTcp, until, writeAll } from "../../support/world.ts";

for (const stopMs of [3000, 20_000]) {
  for (const stopped of ["local", "remote"] as const) {
    Deno.test({
      name: `the ${stopped} connector is stopped for ${
        stopMs / 1000
      } s: connections go on and services are there`,
      ignore: Deno.build.os !== "linux",
      async fn() {
        await using server = serveTcp(echo);
        await using pair = await spawnPair();
        const services = await exposeBoth(pair.local, pair.remote.address, server.port);
        const visitors = await Promise.all(services.map(({ port }) => Deno.connect({ port })));
        for (const visitor of visitors) await echoes(visitor);
        const { pid, signal } = pair[stopped];
        signal("SIGSTOP");
        await until(async () => await stateOf(pid) === "T", "it is stopped");
        await delay(stopMs);
        signal("SIGCONT");
        for (const visitor of visitors) {
          const alive = await soon(echoes(visitor).then(() => true, () => false), "it is known");
          strictEqual(alive, true, pair.remote.logs());
          visitor.close();
        }
        for (const { id, port } of services) {
          await until(async () => await pair.remote.rest.statusOf(id) !== undefined, "it is back");
          await untilComplete(pair.local, id);
          await roundTrip(port);
        }
        ok(!/ERROR/.test(pair[stopped].logs()), pair[stopped].logs());
      },
    });
  }
}

async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, new Uint8Array([1]));
  if (await visitor.read(new Uint8Array(1)) !== 1) throw new Error("It has ended");
}

/** The letter that stands for what a process does. proc_pid_stat(5). */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2)[0];
}
