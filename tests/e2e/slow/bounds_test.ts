// Above --max-connections and --max-service-connections visitors are turned away at once and counted; room that is
// given back is used again. No peer gets all of it.

import { match, ok, strictEqual } from "node:assert/strict";
import {
  type ConnectorProcess,
  exposeService,
  spawnConnector,
  spawnPair,
} from "../../support/processes.ts";
import { secured, SECURITIES } from "../../support/security.ts";
import { soon } from "../../support/soon.ts";
import { echo, roundTrip, serveTcp, until, writeAll } from "../../support/world.ts";

const CASES = [
  { flag: "--max-service-connections=3", others: "served" },
  { flag: "--max-connections=3", others: "turned away" },
] as const;

for (const type of ["local", "remote"] as const) {
  for (const side of ["ingress", "egress"] as const) {
    for (const { flag, others } of CASES) {
      Deno.test(`${type}: ${flag} at the ${side} holds for a service; another one is ${others}`, async () => {
        await using server = serveTcp(echo);
        const atLocal = (type === "local") === (side === "egress");
        await using pair = await spawnPair({ [atLocal ? "local" : "remote"]: { args: [flag] } });
        const bounded = atLocal ? pair.local : pair.remote;
        const service = { to: pair.remote.address, type, destination: server.port };
        const { id, port } = await exposeService(pair.local, service);
        const { port: otherPort } = await exposeService(pair.local, service);

        const open = await Promise.all([1, 2, 3].map(() => enter(port)));
        ok(open.every((visitor) => visitor !== undefined), "three are served");
        const started = performance.now();
        strictEqual(await enter(port), undefined);
        ok(performance.now() - started < 1000, "it is turned away at once");
        const other = await enter(otherPort);
        strictEqual(other === undefined ? "turned away" : "served", others);
        other?.close();

        const { connections } = await shown(bounded, id);
        strictEqual(connections.refused, 1);
        strictEqual(connections.open, 3);
        match(connections.last_close, /too many connections are open/);
        for (const visitor of open) visitor?.close();
        await until(
          async () => (await shown(bounded, id)).connections.open === 0,
          "their places are free",
        );
        await roundTrip(port);
      });
    }
  }
}

for (const security of SECURITIES) {
  Deno.test(`${security}: visitors of one peer's service leave room for those of another peer's`, async () => {
    await using certificates = await secured(security);
    const { options } = certificates;
    await using server = serveTcp(echo);
    await using remote = await spawnConnector({ ...options, args: ["--max-connections=40"] });
    await using one = await spawnConnector(options);
    await using two = await spawnConnector(options);
    const service = { to: remote.address, type: "local", destination: server.port } as const;
    const hog = await exposeService(one, service);
    const other = await exposeService(two, service);
    const visitors: Deno.TcpConn[] = [];
    for (let visitor = await enter(hog.port); visitor; visitor = await enter(hog.port)) {
      visitors.push(visitor);
    }
    ok(visitors.length >= 20 && visitors.length <= 30, `${visitors.length} are served`);
    await roundTrip(other.port);
    for (const visitor of visitors) visitor.close();
  });
}

/** A visitor that is served; undefined when it was turned away. */
async function enter(port: number): Promise<Deno.TcpConn | undefined> {
  // The reset may come as early as the answer to the connection.
  const visitor = await Deno.connect({ port }).catch(() => undefined);
  if (visitor === undefined) return undefined;
  const answered = (async () => {
    await writeAll(visitor, new Uint8Array([1]));
    return await visitor.read(new Uint8Array(1));
  })().catch(() => null);
  if (await soon(answered, "it is served or turned away") === 1) return visitor;
  visitor.close();
  return undefined;
}

async function shown({ rest }: ConnectorProcess, id: string) {
  return JSON.parse((await rest.request("GET", `/expose/${id}`)).body);
}
