// Every chain of the table over real TLS, as client and as server, and damaged certificates by the hundred, while a
// peer that was let in goes on being served.

import { ok, strictEqual } from "node:assert/strict";
import { OpensslPeer } from "../support/openssl_peer.ts";
import { BarePeer } from "../support/bare_peer.ts";
import { chainTable } from "../support/chains.ts";
import { isForTls, isWrong, tableOf, tryRows, tryWithoutKeys } from "../support/chains_tls.ts";
import { damage, Random } from "../support/damaged_certificates.ts";
import { pem } from "../support/der_writer.ts";
import {
  httpsRequest,
  type SecureProcess,
  spawnSecure,
  tempFolder,
  untilComplete,
  writeTls,
} from "../support/mtls.ts";
import type { TlsPeer } from "../support/tls_peer.ts";
import { echo, roundTrip, serveTcp } from "../support/world.ts";

/** Damaged certificates that are shown over TLS: two thirds to the server, as only it can be reached by anybody. */
const DAMAGED = 300;
/** The longest that an echo of another peer may take meanwhile, in milliseconds. */
const ECHO_LIMIT_MS = 2000;

Deno.test("every chain of the table is let in or refused over TLS 1.2 and 1.3, in both directions", async () => {
  const table = chainTable();
  const results = await tryRows(table, table.cases.filter(isForTls));
  const file = Deno.env.get("CHAINS_TABLE");
  if (file !== undefined) await Deno.writeTextFile(file, `${tableOf(results)}\n`);
  strictEqual(tableOf(results.filter(isWrong)), "");
});

Deno.test("no certificate of the table is of use without its key", async () => {
  const table = chainTable();
  const results = await tryWithoutKeys(table, table.cases.filter(isForTls));
  strictEqual(tableOf(results.filter(({ got }) => got === "in")), "");
  ok(results.filter(({ got }) => got === "out").length > 1000);
});

Deno.test("damaged certificates get nobody in and harm nobody, as clients and as servers", async () => {
  const seed = Number(Deno.env.get("SEED") ?? Date.now() % 2 ** 32);
  console.log(`SEED=${seed}`);
  const random = new Random(seed);
  const table = chainTable();
  const root = pem("CERTIFICATE", table.root.der);
  await using folder = await tempFolder();
  const connectors: SecureProcess[] = [];
  await using stack = new AsyncDisposableStack();
  for (const name of ["victim", "other"]) {
    const leaf = table.leaf();
    const { flags } = await writeTls(`${folder.path}/${name}`, {
      root,
      certificate: pem("CERTIFICATE", leaf.der),
      key: leaf.key.pem,
    });
    connectors.push(stack.use(await spawnSecure(flags)));
  }
  const [victim, other] = connectors;
  if (!victim || !other) throw new TypeError("both were started");
  await using upstream = serveTcp(echo);
  const { id, port } = await other.expose(`localhost:${victim.grpcPort}`, {
    type: "remote",
    destination: `127.0.0.1:${upstream.port}`,
  });
  await untilComplete(other, id);
  let worst = 0;
  const timed = async () => {
    const started = performance.now();
    await roundTrip(port, { length: 1000 });
    worst = Math.max(worst, performance.now() - started);
  };

  await using openssl = new OpensslPeer();
  await using bare = new BarePeer();
  const counts = { shown: 0, unpresentable: 0 };
  for (let index = 0; index < DAMAGED; index++) {
    const chain = table.cases[0]?.chain ?? [];
    const { bytes, how } = damage(chain[0] ?? new Uint8Array(), random);
    const presented = {
      chain: [bytes, table.root.der],
      key: table.leafKey.pem,
      version: index % 4 === 0 ? "TLSv1.2" : "TLSv1.3",
    } as const;
    const peer: TlsPeer = presented.version === "TLSv1.2" ? openssl : bare;
    if (index % 3 < 2) {
      const { verdict, why } = await peer.connect(presented, { port: victim.grpcPort });
      ok(verdict !== "in", `${how}: ${bytes.toHex()} ${why}`);
      counts[verdict === "out" ? "shown" : "unpresentable"] += 1;
    } else {
      const server = await peer.serve(presented, { host: "127.0.0.1" });
      if (!("port" in server)) {
        counts.unpresentable += 1;
      } else {
        const exposed = await victim.expose(`localhost:${server.port}`, {
          type: "local",
          destination: "127.0.0.1:1",
        });
        const { verdict } = await server.outcome;
        await httpsRequest(`${victim.url}/expose/${exposed.id}`, { method: "DELETE" });
        ok(verdict !== "in", `${how}: ${bytes.toHex()}`);
        counts.shown += 1;
      }
    }
    if (index % 5 === 0) await timed();
  }
  console.log(
    `shown ${counts.shown}, not to be shown by OpenSSL ${counts.unpresentable}, worst echo ${worst.toFixed()} ms`,
  );
  ok(counts.shown > DAMAGED / 2);
  ok(worst < ECHO_LIMIT_MS, `an echo took ${worst} ms`);
});
