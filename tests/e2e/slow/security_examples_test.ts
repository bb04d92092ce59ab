// The set-ups of docs/security.md, run command by command as they stand there: each allows what the page says, and
// refuses the rest. tests/unit/security_examples_test.ts has what `connector policy` says of their policies.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import type { Child } from "../../support/child.ts";
import { leafIdOf, tempFolder } from "../../support/mtls.ts";
import {
  exchangePorts,
  freePorts,
  readCommands,
  runCommandIn,
  startConnectorIn,
  wordsOf,
} from "../../support/readme_commands.ts";
import { type ExampleName, readExample } from "../../support/security_examples.ts";
import { echo, freePort, roundTrip, serveTcp } from "../../support/world.ts";

const NOBODY_REVOKED = "# Nobody so far\n";

/** Names and ports of the page, and what stands for them here. */
interface Exchange {
  names?: Record<string, string>;
  ports: Map<number, number>;
}

function exchanger({ names = {}, ports }: Exchange): (text: string) => string {
  return (text) =>
    Object.entries(names).reduce(
      (changed, [name, here]) => changed.replaceAll(name, here),
      exchangePorts(text, ports),
    );
}

/** An example that runs. */
interface Played extends AsyncDisposable {
  /** By the name of their socket. */
  connectors: Map<string, Child>;
  folder: string;
}

/**
 * Does everything that an example says, but for `connector policy` and what the tests do not run. Every answer of an
 * API is what the page has. `before` is done once there are certificates, and may change the policies.
 */
async function play(
  heading: ExampleName,
  exchange: Exchange,
  before: (folder: string, start: (args: string[]) => Promise<Child>) => Promise<Exchange | void> =
    () => Promise.resolve(),
): Promise<Played> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const { policies, dialogues, commands } = await readExample(heading);
  const certificates = commands.filter((each) => each.startsWith("connector generate-certs"));
  let here = exchanger(exchange);
  for (const command of certificates) await runCommandIn(folder, here(command));

  const connectors = new Map<string, Child>();
  const start = async (args: string[]) => {
    const child = stack.use(startConnectorIn(folder, args));
    await child.waitFor(/connector started/);
    const socket = args.find((each) => each.startsWith("--api-socket="));
    connectors.set(path.basename(socket ?? ""), child);
    return child;
  };
  await Deno.writeTextFile(path.join(folder, "revoked.txt"), NOBODY_REVOKED);
  const write = async () => {
    for (const { name, text } of policies) {
      await Deno.writeTextFile(path.join(folder, name), here(text));
    }
  };
  await write();
  const more = await before(folder, start);
  if (more) {
    here = exchanger(more);
    await write();
  }
  for (const command of commands.filter((each) => !certificates.includes(each))) {
    const [program, ...args] = wordsOf(here(command));
    if (program === "connector") await start(args);
    else match(await runCommandIn(folder, here(command)), /^[0-9a-f-]{36}$/, command);
  }
  for (const { command, output } of dialogues) {
    if (!command.startsWith("curl ")) continue;
    strictEqual(await runCommandIn(folder, here(command)), here(output), command);
  }
  const kept = stack.move();
  return { connectors, folder, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

if (Deno.build.os !== "windows") {
  Deno.test("docs/security.md, the safe set-up: no port for the API, and nothing for peers", async () => {
    await using folder = await tempFolder();
    const run = (command: string) => runCommandIn(folder.path, command);
    await run("connector generate-certs --ca .");
    const leaf = "connector generate-certs --leaf --root-ca root.cert --root-key root.key";
    await run(`${leaf} --dns-name localhost .`);
    await run(`${leaf} --spiffe-id spiffe://example/laptop ./laptop`);
    const heading = "A safe set-up";
    const commands = await readCommands("docs/security.md", heading, { language: "sh" });
    const [policy = "", revoked = "", start = "", ...more] = commands;
    deepStrictEqual(more, []);
    await run(policy);
    await run(revoked);
    strictEqual(await Deno.readTextFile(path.join(folder.path, "revoked.txt")), NOBODY_REVOKED);

    const port = freePort();
    const [, ...args] = wordsOf(start);
    await using server = startConnectorIn(folder.path, [...args, `--grpc-bind=127.0.0.1:${port}`]);
    await server.waitFor(/connector started/);
    ok(!/ http=|WARN/.test(server.stderr), server.stderr);
    const { mode } = await Deno.stat(path.join(folder.path, "api.sock"));
    strictEqual((mode ?? 0) & 0o777, 0o600);
    const ready = await run("curl -sS --unix-socket api.sock http://localhost/ready");
    match(ready, /^OK\nServer certificate "leaf\.cert" expires in 364 days, at \S+\n$/);

    await using laptop = startConnectorIn(folder.path, [
      "run",
      `--grpc-bind=127.0.0.1:${freePort()}`,
      "--root-cert-path=root.cert",
      "--server-cert-path=laptop/leaf.cert",
      "--server-key-path=laptop/leaf.key",
      "--api-socket=laptop.sock",
    ]);
    await laptop.waitFor(/connector started/);
    for (const type of ["local", "remote"]) {
      const body = JSON.stringify({
        name: "web",
        type,
        source_port: freePort(),
        remote_connector_addr: `localhost:${port}`,
        destination_addr: "localhost:1",
      });
      const url = "http://localhost/expose?wait=10";
      match(
        await run(`curl -sS --unix-socket laptop.sock '${url}' -d '${body}'`),
        /the policy does not let spiffe:\/\/example\/laptop (listen|reach) /,
      );
    }
  });

  Deno.test("docs/security.md, a laptop team: services on loopback of the server, and its database", async () => {
    await using web = serveTcp(echo);
    await using database = serveTcp(echo);
    const ports = freePorts(9090, 9190, 8000, 9000, 15432).set(3000, web.port)
      .set(5432, database.port);
    // The range of the policy is this one port.
    ports.set(8999, ports.get(8000) ?? 0);
    const names = { "staging.example": "localhost" };
    await using played = await play("A laptop team", { names, ports });
    await roundTrip(ports.get(8000) ?? 0);
    await roundTrip(ports.get(15432) ?? 0);
    // Not on another address of the server, though it is one of this machine.
    await refusesAt("127.0.0.2", ports.get(8000) ?? 0);
    match(
      played.connectors.get("staging.sock")?.stderr ?? "",
      /principal=spiffe:\/\/example\/laptop\/ann/,
    );
  });

  Deno.test("docs/security.md, a cluster's gateway: the services of the peer's own namespace", async () => {
    await using database = serveTcp(echo);
    const ports = freePorts(60000, 9190, 15432, 15433).set(5432, database.port);
    const names = { "gateway.example": "localhost", "svc.cluster.local": "localhost" };
    const { section } = await readExample("A shared cluster gateway");
    const options = [...section.matchAll(/^ {2}- (--\S+)$/gm)].map(([, option = ""]) => option);
    await using _played = await play(
      "A shared cluster gateway",
      { names, ports },
      async (_folder, start) => {
        await start([
          "run",
          `--grpc-bind=127.0.0.1:${ports.get(60000)}`,
          "--root-cert-path=certs/root.cert",
          "--server-cert-path=certs/gateway/leaf.cert",
          "--server-key-path=certs/gateway/leaf.key",
          "--api-socket=gateway.sock",
          ...options.map((each) => each.replace("/etc/connector/policy/", "")),
        ]);
      },
    );
    deepStrictEqual(options.length, 2);
    await roundTrip(ports.get(15432) ?? 0);
  });

  Deno.test("docs/security.md, one service only: it, for one key, and nothing else of the machine", async () => {
    await using web = serveTcp(echo);
    const ports = freePorts(9090, 9190, 8443, 5432).set(3000, web.port);
    const names = { "gateway.example": "localhost" };
    const { section } = await readExample("One service only");
    const key = /^ +- peer: \{ fingerprint: (\w{64}) \}$/m.exec(section)?.[1] ?? "";
    await using _played = await play("One service only", { names, ports }, async (folder) => {
      const pem = await Deno.readTextFile(path.join(folder, "certs/gateway/leaf.cert"));
      return { names: { ...names, [key]: leafIdOf(pem).key }, ports };
    });
    await roundTrip(ports.get(8443) ?? 0);
  });
}

/** Fails if something listens there. */
async function refusesAt(hostname: string, port: number): Promise<void> {
  const connected = await Deno.connect({ hostname, port }).then((conn) => conn.close(), () => "no");
  strictEqual(connected, "no");
}
