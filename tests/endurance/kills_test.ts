// What was acknowledged survives a hundred kills at random moments.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import type { Child } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { startCommand } from "../support/processes.ts";
import { freePort } from "../support/world.ts";

/** How often a connector is killed. */
const KILLS = 100;
/** Services beyond which the oldest is removed: fewer than there are lives that get so far as to expose one. */
const MOST = 20;

Deno.test(`an acknowledged exposure survives ${KILLS} kills at random moments, and so does a removal`, async () => {
  await using folder = await tempFolder();
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
    // Every second one gets so far as to answer at least once, however busy the machine is.
    const once = kill % 2 === 0;
    await changeUntilKilled(connector, { url, peer, exposed, removed, once });
  }
  ok(exposed.size >= MOST / 2, `${exposed.size} services`);
  ok(removed.size > 0, `${removed.size} removed`);
});

/**
 * Exposes and removes services, two at a time, until a kill at a random moment; notes what was acknowledged. `once`: not before
 * something was.
 */
async function changeUntilKilled(
  connector: Child,
  { url, peer, exposed, removed, once }: {
    url: string;
    peer: string;
    exposed: Set<string>;
    removed: Set<string>;
    once: boolean;
  },
): Promise<void> {
  let killed = false;
  const answered = Promise.withResolvers<void>();
  const change = async () => {
    while (!killed) {
      const [oldest] = exposed;
      if (oldest !== undefined && exposed.size > MOST) {
        // Neither here nor there until it is answered.
        exposed.delete(oldest);
        const response = await fetch(`${url}/expose/${oldest}`, { method: "DELETE" });
        await response.body?.cancel();
        strictEqual(response.status, 200);
        removed.add(oldest);
        answered.resolve();
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
      answered.resolve();
    }
  };
  const changes = [change(), change()];
  if (once) await Promise.race([answered.promise, Promise.allSettled(changes)]);
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
