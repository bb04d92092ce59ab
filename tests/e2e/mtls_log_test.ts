// What two processes with certificates log: who the peer is, once a link; who was refused, and why, on the side
// that refused.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { makeCertificate } from "../support/certificates.ts";
import {
  callServer,
  leafIdOf,
  LOOPBACK,
  makePki,
  pemOf,
  spawnSecure,
  startServer,
  tempFolder,
  untilComplete,
  untilLogged,
  writeTls,
} from "../support/mtls.ts";
import { spawnConnector } from "../support/processes.ts";
import { until } from "../support/world.ts";

Deno.test("the peer's identity is logged once a link on both sides, and listed with each service", async () => {
  await using folder = await tempFolder();
  const root = await makeCertificate({ ca: true });
  const fingerprints: Record<string, string> = {};
  const start = async (name: string) => {
    const names = [
      ...LOOPBACK,
      { type: "dns", value: `${name}.example:9090` } as const,
      { type: "url", value: `spiffe://example/${name}` } as const,
    ];
    const leaf = await makeCertificate({ name, names }, root);
    const { flags } = await writeTls(path.join(folder.path, name), pemOf(root, leaf));
    fingerprints[name] = leafIdOf(leaf.certificate).key;
    return await spawnSecure(flags);
  };
  await using local = await start("local");
  await using remote = await start("remote");
  const to = `localhost:${remote.grpcPort}`;
  for (const type of ["local", "remote"] as const) {
    const { id } = await local.expose(to, { type, destination: "127.0.0.1:1", name: type });
    await untilComplete(local, id);
  }
  const expected = (name: string) =>
    new RegExp(
      `principal="?spiffe://example/${name}"?( key=[0-9a-f]{16})? subject="?CN=${name}"? spiffe="?spiffe://example/${name}"? ` +
        String.raw`dnsNames=.*localhost.*${name}\.example:9090.* ipAddresses=.*127\.0\.0\.1.*::1`,
    );
  const atLocal = local.lines(/CN=remote/);
  const atRemote = remote.lines(/CN=local/);
  deepStrictEqual([atLocal.length, atRemote.length], [1, 1]);
  match(atLocal[0] ?? "", /INFO +link opened/);
  match(atLocal[0] ?? "", expected("remote"));
  match(atRemote[0] ?? "", /INFO +peer connected peer=127\.0\.0\.1:\d+ /);
  match(atRemote[0] ?? "", expected("local"));

  for (const [connector, name] of [[local, "remote"], [remote, "local"]] as const) {
    const services = await connector.list();
    strictEqual(services.length, 2);
    for (const { peer } of services) {
      const { address, ...identity } = peer ?? {};
      match(String(address), name === "remote" ? /^localhost:\d+$/ : /^127\.0\.0\.1:\d+$/);
      deepStrictEqual(identity, {
        principal: `spiffe://example/${name}`,
        fingerprint: fingerprints[name],
        subject: `CN=${name}`,
        spiffe: `spiffe://example/${name}`,
        dns_names: ["localhost", `${name}.example:9090`],
        ip_addresses: ["127.0.0.1", "::1"],
      });
    }
  }
});

Deno.test("who was refused, and why, is one line on the side that refused", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.path, pemOf(root, leaf));
  await using secure = await spawnSecure(flags);
  await using plain = await spawnConnector();

  const stranger = await makeCertificate({ name: "stranger" });
  await callServer(secure.grpcPort, { trusted: root.certificate });
  await callServer(secure.grpcPort, { trusted: root.certificate, own: stranger });
  await callServer(secure.grpcPort, {});
  await until(() => secure.lines(/connection refused/).length === 3, "each has its line");
  for (
    const [index, reason] of [
      "it has no certificate, or none with a key that our TLS library accepts",
      "its certificate is self-signed, want one that the root has signed",
      "it does not speak TLS",
    ].entries()
  ) {
    match(
      secure.lines(/connection refused/)[index] ?? "",
      new RegExp(
        `INFO +connection refused peer=127\\.0\\.0\\.1:\\d+ principal=anonymous rule=handshake reason="${reason}"$`,
      ),
    );
  }
  await callServer(plain.grpcPort, { trusted: root.certificate, own: leaf });
  await until(() => /connection refused/.test(plain.logs()), "the plaintext side has its line");
  match(
    plain.logs(),
    /INFO +connection refused peer=127\.0\.0\.1:\d+ principal=anonymous rule=handshake reason="it does not speak HTTP\/2 in plaintext: it may speak TLS or HTTP\/1\.1"\n/,
  );

  // Outbound, it is we who refuse.
  const elsewhere = await makeCertificate(
    { names: [{ type: "dns", value: "other.example" }] },
    root,
  );
  await using wrongHost = await startServer(pemOf(root, elsewhere));
  const { id } = await secure.expose(`localhost:${wrongHost.port}`, {
    type: "local",
    destination: "127.0.0.1:1",
  });
  const line = await untilLogged(secure, /no link to the peer/);
  match(
    line,
    /WARN +no link to the peer peer=localhost:\d+ reason="its certificate is for other\.example and not for localhost" retryMs=\d+$/,
  );
  const service = (await secure.list()).find((each) => each.id === id);
  deepStrictEqual([service?.status, service?.message], [
    "PENDING",
    "no link to the peer: its certificate is for other.example and not for localhost",
  ]);
  deepStrictEqual(wrongHost.links, []);

  // And all the while it serves who may come.
  strictEqual(
    await callServer(secure.grpcPort, { trusted: root.certificate, own: leaf }),
    "answered",
  );
  strictEqual(await callServer(plain.grpcPort, {}), "answered");
});
