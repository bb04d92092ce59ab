// A connector whose certificate was renewed by `generate-certs` is the same peer: it has its services back at once, after
// a restart, after a crash, and with a certificate of the next root.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { tempFolder } from "../../support/mtls.ts";
import {
  type ConnectorProcess,
  exposeService,
  runCommand,
  spawnConnector,
  type TlsFiles,
  untilComplete,
} from "../../support/processes.ts";
import { echo, freePort, roundTrip, serveTcp } from "../../support/world.ts";

/** Far below the time for which a port is kept, after which anybody may have it. */
const AT_ONCE_MS = 3000;

Deno.test("after a renewal a connector has its services back at once", async () => {
  await using folder = await tempFolder();
  const root = path.join(folder.path, "root");
  await generate("--ca", root);
  const issue = async (name: string, dnsNames: string): Promise<TlsFiles> => {
    const files = path.join(folder.path, name);
    await generate(
      "--leaf",
      "--force",
      `--dns-name=${dnsNames}`,
      "--ip-address=127.0.0.1",
      `--root-ca=${root}/root.cert`,
      `--root-key=${root}/root.key`,
      files,
    );
    return {
      flags: [
        `--root-cert-path=${root}/root.cert`,
        `--server-cert-path=${files}/leaf.cert`,
        `--server-key-path=${files}/leaf.key`,
      ],
      root: await Deno.readTextFile(`${root}/root.cert`),
    };
  };
  await using server = serveTcp(echo);
  await using remote = await spawnConnector({
    tls: await issue("remote", "localhost"),
    args: ["--takeover-grace=60s"],
  });
  const state = `--state-file=${path.join(folder.path, "services.json")}`;
  const to = `localhost:${remote.grpcPort}`;
  const port = freePort();
  const expose = { to, type: "local", destination: server.port, sourcePort: port } as const;

  // It crashed, and knows nothing of its services any more.
  await using first = await spawnConnector({ tls: await issue("local", "localhost,a.example") });
  await exposeService(first, expose);
  await first.stop("SIGKILL");
  await using second = await spawnConnector({
    tls: await issue("local", "a.example,localhost"),
    args: [state],
  });
  const begun = performance.now();
  const { id } = await exposeService(second, expose);
  await roundTrip(port);
  const took = performance.now() - begun;
  strictEqual(took < AT_ONCE_MS, true, `${took} ms`);

  // It was restarted, and remembers.
  strictEqual((await second.stop("SIGTERM")).code, 0);
  await using third = await spawnConnector({
    tls: await issue("local", "localhost,a.example"),
    args: [state],
  });
  await untilComplete(third, id);
  await roundTrip(port);
  deepStrictEqual((await remote.rest.list()).map((service) => service.id), [id]);

  // Who has other names gets nothing.
  await using stranger = await spawnConnector({
    tls: await issue("stranger", "localhost,b.example"),
  });
  const { status, body } = await stranger.rest.request("POST", "/expose?wait=5", {
    body: {
      name: "x",
      type: "local",
      source_port: port,
      remote_connector_addr: to,
      destination_addr: `127.0.0.1:${server.port}`,
    },
  });
  strictEqual(status, 409, body);
});

Deno.test("a certificate from the next root is the same peer, and so is one with other names and its SPIFFE id", async () => {
  await using folder = await tempFolder();
  const at = (...parts: string[]) => path.join(folder.path, ...parts);
  await generate("--ca", at("root"));
  await generate("--ca", at("next"));
  const [old, next] = await Promise.all(
    ["root", "next"].map((root) => Deno.readTextFile(at(root, "root.cert"))),
  );
  await Deno.writeTextFile(at("both.cert"), `${old}${next}`);
  const issue = async (name: string, root: string, ...names: string[]): Promise<TlsFiles> => {
    const signer = [`--root-ca=${at(root, "root.cert")}`, `--root-key=${at(root, "root.key")}`];
    await generate("--leaf", "--force", ...signer, ...names, at(name));
    return {
      flags: [
        `--root-cert-path=${at("both.cert")}`,
        `--server-cert-path=${at(name, "leaf.cert")}`,
        `--server-key-path=${at(name, "leaf.key")}`,
      ],
      root: await Deno.readTextFile(at("both.cert")),
    };
  };
  await using server = serveTcp(echo);
  await using remote = await spawnConnector({
    tls: await issue("remote", "root", "--dns-name=localhost", "--ip-address=127.0.0.1"),
    args: ["--takeover-grace=60s"],
  });
  const to = `localhost:${remote.grpcPort}`;
  const port = freePort();
  const expose = { to, type: "local", destination: server.port, sourcePort: port } as const;
  const hosts = ["--ip-address=127.0.0.1", "--dns-name=a.example"];

  await using first = await spawnConnector({ tls: await issue("local", "root", ...hosts) });
  await exposeService(first, expose);
  const [exposed] = await remote.rest.list();
  const id = String(exposed?.peer?.principal);
  match(id, /^spiffe:\/\/jumppad\.dev\/connector\/[0-9a-f]{64}$/);
  await first.stop("SIGKILL");

  await using second = await spawnConnector({ tls: await issue("local", "next", ...hosts) });
  await takesBackAtOnce(second);
  await second.stop("SIGKILL");

  const renamed = ["--ip-address=127.0.0.1", "--dns-name=b.example", `--spiffe-id=${id}`];
  await using third = await spawnConnector({ tls: await issue("local", "next", ...renamed) });
  await takesBackAtOnce(third);

  async function takesBackAtOnce(connector: ConnectorProcess): Promise<void> {
    const begun = performance.now();
    await exposeService(connector, expose);
    await roundTrip(port);
    const took = performance.now() - begun;
    strictEqual(took < AT_ONCE_MS, true, `${took} ms`);
    const services = await remote.rest.list();
    deepStrictEqual(services.map(({ peer }) => peer?.principal), [id]);
  }
});

async function generate(...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand(["generate-certs", ...args]);
  strictEqual(code, 0, stderr);
}
