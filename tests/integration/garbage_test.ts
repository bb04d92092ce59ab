// What a connection leaves behind is garbage at once, and not only after a full collection, which comes seldom: copying
// what nobody needs was a tenth of all processor time. It depends on what this runtime holds on to.

import { strictEqual } from "node:assert/strict";
import { Child } from "../support/child.ts";

const source = (path: string) => new URL(`../../src/${path}`, import.meta.url).href;

/**
 * Visitors come and go, each spliced to a destination. The first ones make everything old that lives as long as the
 * process; of the later ones it counts what is left after collections of the young generation.
 */
const program = (network: string, from: string) => `
  import { ${network} as network } from "${source(from)}";
  import { splice } from "${source("net/splice.ts")}";
  const turn = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));
  const dial = (port) => network.dial({ host: "127.0.0.1", port }, 5000);
  const bytes = new Uint8Array(10);
  const server = network.listen(0, async (conn) => {
    await conn.read();
    await conn.write(bytes);
    await conn.finish();
    await conn.read();
    conn.close();
  });
  const seen = { accepted: [], dials: [], dialled: [], results: [] };
  const note = (kind, object) => {
    seen[kind].push(new WeakRef(object));
    return object;
  };
  const relay = network.listen(0, async (conn) => {
    note("accepted", conn);
    const attempt = note("dials", dial(server.port));
    const upstream = note("dialled", await attempt.conn);
    note("results", await splice(conn, upstream, { halfOpenMs: 3_600_000 }));
  });
  const visit = async () => {
    const conn = await dial(relay.port).conn;
    await conn.write(bytes);
    await conn.read();
    await conn.finish();
    await conn.read();
    conn.close();
    await turn(1);
  };
  for (let count = 0; count < 40; count++) await visit();
  await turn();
  gc();
  await turn();
  for (const kind of Object.keys(seen)) seen[kind] = [];
  for (let count = 0; count < 100; count++) await visit();
  await turn(50);
  relay.close();
  server.close();
  for (let count = 0; count < 4; count++) {
    gc({ type: "minor" });
    await turn();
  }
  for (const [kind, references] of Object.entries(seen)) {
    const left = references.filter((reference) => reference.deref() !== undefined).length;
    console.log(kind, references.length, left > 5 ? left : "few");
  }
`;

for (
  const [network, from] of [
    ["handlesNetwork", "net/handles/sockets.ts"],
    ["denoNetwork", "net/deno/sockets.ts"],
  ] as const
) {
  Deno.test(`${network}: connections that have ended are gone with the next collection of the young generation`, async () => {
    const args = ["eval", "--v8-flags=--expose-gc", program(network, from)];
    await using child = new Child(Deno.execPath(), { args });
    const { code } = await child.exited;
    strictEqual(code, 0, child.stderr);
    const wanted = ["accepted", "dials", "dialled", "results"].map((kind) => `${kind} 100 few\n`);
    strictEqual(child.stdout, wanted.join(""));
  });
}
