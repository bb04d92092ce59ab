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
import {
  echo,
  freePort,
  randomBytes,
  roundTrip,
  serveTcp,
  until,
  writeAll,
} from "../../support/world.ts";

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

Deno.test({
  name: "certificates and the root are replaced as docs/security.md says, while connectors run",
  // There is no SIGHUP; what connectors notice by themselves is in tests/endurance/rotation_test.ts.
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const at = (...names: string[]) => path.join(folder.path, ...names);
    const run = (command: string) => runCommandIn(folder.path, command);
    await run("connector generate-certs --ca ./certs");
    const leaf =
      "connector generate-certs --leaf --root-ca ./certs/root.cert --root-key ./certs/root.key --dns-name localhost";
    for (const name of ["server1", "server2"]) {
      await run(`${leaf} --ip-address 127.0.0.1 ./certs/${name}`);
    }
    await run(`${leaf} ./certs/stranger`);
    const [renew = "", ...noMore] = await readCommands(
      "docs/security.md",
      "Replacing a certificate",
    );
    deepStrictEqual(noMore, []);
    const replace = await readCommands("docs/security.md", "Replacing the root");
    const [makeRoot = "", join = "", renewFirst = "", renewSecond = "", ...rest] = replace;
    deepStrictEqual(rest, []);

    const connectors: RunningConnector[] = [];
    for (const name of ["server1", "server2"]) {
      await Deno.copyFile(at("certs", "root.cert"), at("certs", name, "root.cert"));
      connectors.push(await startIn(folder.path, { name, stack }));
    }
    const [first, second] = connectors;
    ok(first && second);
    await using server = serveTcp(echo);
    const { port } = await expose(first, {
      to: `localhost:${second.grpc}`,
      destination: server.port,
    });
    using visitor = await Deno.connect({ port });

    const round = async (commands: string[], root?: string) => {
      for (const command of commands) await run(command);
      for (const each of connectors) {
        if (root !== undefined) await Deno.copyFile(at(root), at("certs", each.name, "root.cert"));
        await reload(each);
      }
      // The connection that was there before all this, and links that are opened now.
      await exchange(visitor);
      for (const [from, to] of [[first, second], [second, first]] as const) {
        const address = `127.0.0.1:${to.grpc}`;
        const { id, port } = await expose(from, { to: address, destination: server.port });
        await roundTrip(port);
        // Its link goes with it.
        await httpsRequest(`${from.url}/expose/${id}`, { method: "DELETE" });
      }
    };
    const before = await Deno.readTextFile(at("certs/server1/leaf.cert"));
    await round([renew]);
    ok(await Deno.readTextFile(at("certs/server1/leaf.cert")) !== before);
    await round([makeRoot, join], "certs/both.cert");
    const stranger = async () => {
      const [certificate = "", key = "", old = "", next = ""] = await Promise.all(
        ["certs/stranger/leaf.cert", "certs/stranger/leaf.key", "certs/root.cert", "next/root.cert"]
          .map((name) => Deno.readTextFile(at(name))),
      );
      return await callServer(second.grpc, { trusted: old + next, own: { certificate, key } });
    };
    strictEqual(await stranger(), "answered");
    await round([renewFirst, renewSecond]);
    await round([], "next/root.cert");
    match(await stranger(), /^failed: /);
  },
});

/** A connector of the walk-through. */
interface RunningConnector {
  name: string;
  child: Child;
  grpc: number;
  url: string;
}

/** Starts a connector whose files are in `certs/NAME`. */
async function startIn(
  folder: string,
  { name, stack }: { name: string; stack: AsyncDisposableStack },
): Promise<RunningConnector> {
  const [grpc, http] = [freePort(), freePort()];
  const child = stack.use(startConnectorIn(folder, [
    "run",
    `--grpc-bind=127.0.0.1:${grpc}`,
    `--http-bind=127.0.0.1:${http}`,
    `--root-cert-path=./certs/${name}/root.cert`,
    `--server-cert-path=./certs/${name}/leaf.cert`,
    `--server-key-path=./certs/${name}/leaf.key`,
  ]));
  await child.waitFor(/connector started/);
  return { name, child, grpc, url: `https://localhost:${http}` };
}

/** Has a connector read its files again, and waits until it has taken them, none refused. */
async function reload({ child, url }: RunningConnector): Promise<void> {
  const reloaded = () => child.stderr.split("files reloaded files=certificates").length;
  const before = reloaded();
  child.kill("SIGHUP");
  await until(() => reloaded() > before, "the files are reloaded");
  match((await httpsRequest(`${url}/ready`)).body, /^OK\nServer certificate \S+ expires in .*\n$/);
}

/** Exposes a service of type `local`, and waits until it is complete. */
async function expose(
  { url }: RunningConnector,
  { to, destination }: { to: string; destination: number },
): Promise<{ id: string; port: number }> {
  const port = freePort();
  const { status, body } = await httpsRequest(`${url}/expose?wait=15`, {
    body: {
      name: "echo",
      source_port: port,
      remote_connector_addr: to,
      destination_addr: `127.0.0.1:${destination}`,
      type: "local",
    },
  });
  strictEqual(status, 200, body);
  return { id: body, port };
}

/** Sends something to an echo over a connection, and reads it back. */
async function exchange(conn: Deno.TcpConn): Promise<void> {
  const sent = randomBytes(1000);
  await writeAll(conn, sent);
  const received = new Uint8Array(sent.length);
  for (let length = 0; length < received.length;) {
    const read = await conn.read(received.subarray(length));
    ok(read !== null, "the connection was ended");
    length += read;
  }
  deepStrictEqual(received, sent);
}

async function untilAllComplete(url: string): Promise<void> {
  const list = async (): Promise<{ status: string }[]> =>
    JSON.parse((await httpsRequest(`${url}/list`)).body);
  await until(
    async () => (await list()).every(({ status }) => status === "COMPLETE"),
    `the services of ${url} are complete`,
  );
}
