// Programs that people wait in front of, through a path that is cut for half a minute: an ssh session and a transaction of
// psql go on where they were.

import { strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { runProgram } from "../support/child.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { exposeService, spawnPair } from "../support/processes.ts";
import { startPostgres, startSshd } from "./servers.ts";
import { tempFolder } from "./tunnels.ts";

/** How long the path is cut, in milliseconds. */
const CUT_MS = 30_000;
/** How long each program goes on, in seconds: from before the cut until after it. */
const LASTS_S = 40;

Deno.test("an ssh session and a psql transaction outlive a path that is cut for 30 s", async () => {
  await using folder = await tempFolder();
  await using databaseFolder = await tempFolder();
  await using sshd = await startSshd(folder);
  await using postgres = await startPostgres(databaseFolder);
  await using pair = await spawnPair();
  await using relay = new FaultRelay(pair.remote.grpcPort);
  const to = relay.address;
  const ssh = await exposeService(pair.local, { to, type: "local", destination: sshd.port });
  const sql = await exposeService(pair.local, { to, type: "remote", destination: postgres.port });

  const shell = (script: string, variables: Record<string, string> = {}) =>
    runProgram("sh", { args: ["-c", script], env: variables, timeoutMs: 120_000 });
  // Lines go there and back, one every tenth of a second.
  const count = LASTS_S * 10;
  const session = shell(
    `seq ${count} | while read n; do echo $n; sleep 0.1; done | ssh ${
      [...sshd.options(ssh.port), sshd.target].join(" ")
    } 'while read n; do echo line $n; done; exit 7'`,
  );
  const transaction = shell(
    `(echo "create table t (n int); begin; insert into t values (1);"; sleep ${LASTS_S}; ` +
      `echo "insert into t values (2); commit; select 'sum', sum(n) from t;") | ` +
      `psql -h 127.0.0.1 -p ${sql.port} -U test -XAtq -v ON_ERROR_STOP=1 postgres`,
  );
  await delay(4000);
  relay.refuse();
  relay.cut();
  await delay(CUT_MS);
  relay.admit();

  const [shown, committed] = await Promise.all([session, transaction]);
  strictEqual(shown.code, 7, shown.stderr);
  strictEqual(
    shown.stdout,
    Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join(""),
  );
  strictEqual(committed.code, 0, committed.stderr);
  strictEqual(committed.stdout, "sum|3\n");
  for (const { connections } of await pair.local.rest.list()) {
    strictEqual(connections.resumed, 1);
  }
});
