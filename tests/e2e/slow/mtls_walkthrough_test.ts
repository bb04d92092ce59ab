// The walk-throughs of the documentation with certificates, run command by command as they stand there: README.md's,
// and those of docs/security.md for replacing certificates. tests/programs has the first one with a real shell.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import type { Child } from "../../support/child.ts";
import { callServer, httpsRequest, tempFolder } from "../../support/mtls.ts";
import {
  exchangePorts,
  freePorts,
  readCommands,
  runCommandIn,
  startConnectorIn,
  wordsOf,
} from "../../support/readme_commands.ts";
import { freePort, until } from "../../support/world.ts";

Deno.test("the README's commands secure two connectors and reach one through the other", async () => {
  await using folder = await tempFolder();
  await using stack = new AsyncDisposableStack();
  const ports = freePorts(9090, 9091, 9092, 9093, 9099);
  const commands = (await readCommands("README.md", "Securing connectors with certificates"))
    .map((command) => exchangePorts(command, ports));
  const connectors: Child[] = [];
  const answers: string[] = [];
  for (const command of commands) {
    if (/^connector run\b/.test(command)) {
      const [, ...args] = wordsOf(command);
      const child = stack.use(startConnectorIn(folder.path, args));
      connectors.push(child);
      await child.waitFor(/connector started/);
    } else if (/^curl /.test(command)) {
      answers.push(await runCommandIn(folder.path, command));
      // Whoever types the next command is slower than this.
      await untilAllComplete(`https://localhost:${ports.get(9091)}`);
    } else await runCommandIn(folder.path, command);
  }
  deepStrictEqual(commands.map((command) => wordsOf(command).slice(0, 2).join(" ")), [
    "mkdir ./certs",
    "connector generate-certs",
    "mkdir ./certs/server1",
    "connector generate-certs",
    "mkdir ./certs/server2",
    "connector generate-certs",
    "connector run",
    "connector run",
    "curl -k",
    "curl -k",
  ]);
  const [id, health, ...more] = answers;
  match(id ?? "", /^[0-9a-f-]{36}$/);
  strictEqual(health, "OK");
  deepStrictEqual(more, []);

  // The tunnel is mutual TLS, not plaintext: either end knows the other, and strangers get nothing.
  const [first, second] = connectors;
  match(first?.stderr ?? "", /link opened .*CN=Connector Leaf/);
  match(second?.stderr ?? "", /peer connected .*CN=Connector Leaf/);
  const root = await Deno.readTextFile(path.join(folder.path, "certs", "root.cert"));
  for (const port of [ports.get(9090), ports.get(9092)]) {
    for (const trusted of [root, undefined]) {
      const outcome = await callServer(port ?? 0, trusted === undefined ? {} : { trusted });
      ok(outcome.startsWith("failed: "), outcome);
    }
  }
  // As the README says of --cacert.
  const verified = await httpsRequest(`https://localhost:${ports.get(9099)}/health`, {
    trusted: root,
  });
  strictEqual(verified.body, "OK");
});

Deno.test("certificates and the root are replaced as docs/security.md says, without a gap", async () => {
  await using folder = await tempFolder();
  const run = (command: string) => runCommandIn(folder.path, command);
  const leaf =
    "connector generate-certs --leaf --root-ca ./certs/root.cert --root-key ./certs/root.key";
  await run("connector generate-certs --ca ./certs");
  for (const name of ["server1", "server2"]) {
    await run(`${leaf} --dns-name localhost --ip-address 127.0.0.1 ./certs/${name}`);
  }
  const [renew = "", ...noMore] = await readCommands("docs/security.md", "Replacing a certificate");
  deepStrictEqual(noMore, []);
  const replace = await readCommands("docs/security.md", "Replacing the root");
  const [makeRoot = "", join = "", renewFirst = "", renewSecond = "", ...rest] = replace;
  deepStrictEqual(rest, []);

  const before = await Deno.readTextFile(path.join(folder.path, "certs/server1/leaf.cert"));
  await run(renew);
  const renewed = await Deno.readTextFile(path.join(folder.path, "certs/server1/leaf.cert"));
  ok(renewed !== before);

  // Each connector is restarted with these, in this order; after every step the two must link.
  const [OLD, BOTH, NEW] = ["./certs/root.cert", "./certs/both.cert", "./next/root.cert"];
  const steps: { commands?: string[]; roots: [first: string, second: string] }[] = [
    { commands: [makeRoot, join], roots: [BOTH, OLD] },
    { commands: [renewFirst], roots: [BOTH, BOTH] },
    { commands: [renewSecond], roots: [NEW, BOTH] },
    { roots: [NEW, NEW] },
  ];
  for (const { commands = [], roots } of steps) {
    for (const command of commands) await run(command);
    await linkOnce(folder.path, roots);
  }
});

/** Starts two connectors with these roots and waits until each has a service at the other. */
async function linkOnce(folder: string, roots: [string, string]): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const started = await Promise.all(roots.map(async (root, index) => {
    const [grpc, http] = [freePort(), freePort()];
    const child = stack.use(startConnectorIn(folder, [
      "run",
      `--grpc-bind=127.0.0.1:${grpc}`,
      `--http-bind=127.0.0.1:${http}`,
      `--root-cert-path=${root}`,
      `--server-cert-path=./certs/server${index + 1}/leaf.cert`,
      `--server-key-path=./certs/server${index + 1}/leaf.key`,
    ]));
    await child.waitFor(/connector started/);
    return { grpc, url: `https://localhost:${http}` };
  }));
  for (const [from, to] of [[started[0], started[1]], [started[1], started[0]]]) {
    const { status, body } = await httpsRequest(`${from?.url}/expose`, {
      body: {
        name: "x",
        source_port: freePort(),
        remote_connector_addr: `localhost:${to?.grpc}`,
        destination_addr: "localhost:1",
        type: "local",
      },
    });
    strictEqual(status, 200, body);
  }
  for (const each of started) await untilAllComplete(each.url);
}

async function untilAllComplete(url: string): Promise<void> {
  const list = async (): Promise<{ status: string }[]> =>
    JSON.parse((await httpsRequest(`${url}/list`)).body);
  await until(
    async () => (await list()).every(({ status }) => status === "COMPLETE"),
    `the services of ${url} are complete`,
  );
}
