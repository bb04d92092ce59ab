// A chain whose second certificate the runtime cannot read: its view of it throws in the middle of an event, which
// would end the process. Neither a stranger who connects nor a server that is dialled can end a connector so.

import { match, strictEqual } from "node:assert/strict";
import { BarePeer } from "../support/bare_peer.ts";
import { type ChainCase, chainTable } from "../support/chains.ts";
import { pem } from "../support/der_writer.ts";
import {
  type SecureProcess,
  spawnSecure,
  tempFolder,
  untilLogged,
  writeTls,
} from "../support/mtls.ts";

/** Chains that need no key of anybody's. */
const FORGED = [
  "forged intermediate: version -1",
  "forged intermediate: version 2^32 + 2",
  "forged intermediate: version of no byte",
];

const UNREADABLE = /reason="a certificate of its chain cannot be read: /;

async function startVictim(): Promise<
  { victim: SecureProcess; rows: ChainCase[] } & AsyncDisposable
> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const table = chainTable();
  const leaf = table.leaf();
  const { flags } = await writeTls(folder.path, {
    root: pem("CERTIFICATE", table.root.der),
    certificate: pem("CERTIFICATE", leaf.der),
    key: leaf.key.pem,
  });
  const victim = stack.use(await spawnSecure(flags));
  const rows = table.cases.filter(({ name }) => FORGED.includes(name));
  strictEqual(rows.length, FORGED.length);
  const owned = stack.move();
  return { victim, rows, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

Deno.test("a stranger who shows a chain that the runtime cannot read is refused, and that is all", async () => {
  await using started = await startVictim();
  const { victim, rows } = started;
  await using peer = new BarePeer();
  for (const { chain, key } of rows) {
    const { verdict } = await peer.connect({ chain, key, version: "TLSv1.3" }, {
      port: victim.grpcPort,
    });
    strictEqual(verdict, "out");
  }
  match(await untilLogged(victim, /connection refused/), UNREADABLE);
  strictEqual((await victim.list()).length, 0);
});

Deno.test("a server that shows a chain that the runtime cannot read is left, and that is all", async () => {
  await using started = await startVictim();
  const { victim, rows } = started;
  await using peer = new BarePeer();
  for (const [index, { chain, key }] of rows.entries()) {
    const server = await peer.serve({ chain, key, version: "TLSv1.3" }, { host: "127.0.0.1" });
    if (!("port" in server)) throw new TypeError("the peer can show anything");
    await victim.expose(`localhost:${server.port}`, { type: "local", destination: "127.0.0.1:1" });
    strictEqual((await server.outcome).verdict, "out");
    await untilLogged(victim, new RegExp(`peer=localhost:${server.port} ${UNREADABLE.source}`));
    strictEqual((await victim.list()).length, index + 1);
  }
});
