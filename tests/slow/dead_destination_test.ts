// Destinations that drop all packets, and thousands of visitors that wait for them: the other services of the link are
// not affected. Real connectors, with the default bounds.

import { ok, strictEqual } from "node:assert/strict";
import { exposeService, spawnPair } from "../support/processes.ts";
import { silentAddress } from "../support/silent_address.ts";
import { soon } from "../support/soon.ts";
import { echo, serveTcp, until, writeAll } from "../support/world.ts";

/** Each costs a descriptor here, one at an ingress and one at an egress. */
const onLinux = { ignore: Deno.build.os !== "linux" };
/** Far below what a dial may take, and far above what an echo takes on a busy machine. */
const PROMPT_MS = 3000;

for (
  const { type, services, visitors, beside } of [
    { type: "local", services: 1, visitors: 2500, beside: "nothing else" },
    { type: "remote", services: 1, visitors: 2500, beside: "nothing else" },
    { type: "local", services: 5, visitors: 500, beside: "nothing else" },
    { type: "local", services: 30, visitors: 100, beside: "nothing else" },
    { type: "local", services: 1, visitors: 2500, beside: "a reader that is stuck" },
  ] as const
) {
  Deno.test(
    `${type}: ${visitors} visitors of each of ${services} dead services, beside ${beside}: another service echoes at once`,
    onLinux,
    async () => {
      await using dead = await silentAddress();
      await using server = serveTcp(echo);
      await using flood = serveTcp(async (conn) => {
        // Until the visitor is gone.
        await writeAll(conn, new Uint8Array(64 * 1024 * 1024)).catch(() => {});
      });
      await using pair = await spawnPair();
      const expose = (destination: number, name: string) =>
        exposeService(pair.local, { to: pair.remote.address, type, destination, name });
      const good = await expose(server.port, "good");
      await using crowd = new AsyncDisposableStack();
      const visit = async (port: number) => {
        const conn = await Deno.connect({ port });
        crowd.defer(() => conn.close());
      };
      if (beside !== "nothing else") await visit((await expose(flood.port, "stuck")).port);
      for (let index = 0; index < services; index += 1) {
        const { port } = await expose(dead.port, `dead ${index}`);
        for (let count = 0; count < visitors; count += 1) await visit(port);
      }

      for (let count = 0; count < 5; count += 1) await echoes(good.port);
      await crowd.disposeAsync();
      await echoes(good.port);
      if (services > 1 || beside !== "nothing else") return;
      // Whoever left is not dialled for any longer than a dial takes.
      await until(
        async () => await openOf(pair.remote) === 0 && await openOf(pair.local) === 0,
        "all are gone",
        { timeoutMs: 40_000 },
      );
    },
  );
}

Deno.test(
  "one service with all connections that it may have leaves some for another",
  onLinux,
  async () => {
    await using server = serveTcp(echo);
    await using pair = await spawnPair({
      local: { args: ["--max-connections=400", "--max-streams=200"] },
      remote: { args: ["--max-connections=400", "--max-streams=200"] },
    });
    const expose = (name: string) =>
      exposeService(pair.local, {
        to: pair.remote.address,
        type: "local",
        destination: server.port,
        name,
      });
    const [full, other] = [await expose("full"), await expose("other")];
    await using crowd = new AsyncDisposableStack();
    for (let count = 0; count < 300; count += 1) {
      // One that is turned away may be gone before it is known to be connected.
      const conn = await Deno.connect({ port: full.port }).catch(() => undefined);
      if (conn !== undefined) crowd.defer(() => conn.close());
    }
    await until(async () => await openOf(pair.remote) >= 100, "it has taken what it may");
    for (let count = 0; count < 5; count += 1) {
      const conn = await Deno.connect({ port: other.port });
      crowd.defer(() => conn.close());
      await answers(conn);
    }
  },
);

async function echoes(port: number): Promise<void> {
  using conn = await Deno.connect({ port });
  await answers(conn);
}

async function answers(conn: Deno.TcpConn): Promise<void> {
  await writeAll(conn, new Uint8Array([7]));
  const bytes = new Uint8Array(1);
  const count = await soon(conn.read(bytes), "it answers", { timeoutMs: PROMPT_MS });
  strictEqual(count, 1);
  ok(bytes[0] === 7);
}

/** How many connections a connector has open, of all services. */
async function openOf(
  connector: { rest: { request(method: string, path: string): Promise<{ body: string }> } },
): Promise<number> {
  const { body } = await connector.rest.request("GET", "/list");
  const list: { connections: { open: number } }[] = JSON.parse(body);
  return list.reduce((sum, { connections }) => sum + connections.open, 0);
}
