// Certificates that are exchanged while a connector runs: who is shown the new ones, what lives on, and what is refused.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { DAY_MS, makeCertificate } from "../support/certificates.ts";
import { callServer, httpsRequest, LOOPBACK } from "../support/mtls.ts";
import { leafPem, recordLog, shownBy, startRenewable } from "../support/renewable.ts";
import {
  apiPort,
  echo,
  exposeThrough,
  reportOf,
  roundTrip,
  serveTcp,
  until,
  writeAll,
} from "../support/world.ts";

Deno.test("a renewed certificate is shown by both servers at once, and an open connection lives on", async () => {
  const root = await makeCertificate({ ca: true });
  await using server = serveTcp(echo);
  await using remote = await startRenewable(await leafPem(root, { name: "old" }));
  await using local = await startRenewable(await leafPem(root, { name: "local" }));
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  using visitor = await Deno.connect({ port });
  await echoes(visitor);
  const since = reportOf(local, id)?.since;
  const [grpc, http] = [remote.server.address.port, apiPort(remote.running)];
  deepStrictEqual([await shownBy(grpc, "h2"), await shownBy(http, "http/1.1")], ["old", "old"]);

  await remote.write(await leafPem(root, { name: "new" }));
  deepStrictEqual([await shownBy(grpc, "h2"), await shownBy(http, "http/1.1")], ["new", "new"]);
  await echoes(visitor);
  deepStrictEqual(reportOf(local, id)?.since, since);
});

Deno.test("a new root counts for peers that dial, for peers that are dialled, and for issued leaves", async () => {
  const [old, next] = [
    await makeCertificate({ ca: true, name: "old CA" }),
    await makeCertificate({ ca: true, name: "next CA" }),
  ];
  await using server = serveTcp(echo);
  const own = await leafPem(old, { name: "local" });
  await using keys = await withRootKey(old.key);
  await using local = await startRenewable(own, { rootCertKeyPath: keys.path });
  const nextPem = await leafPem(next, { name: "remote" });
  const stranger = await makeCertificate({ names: LOOPBACK }, next);
  const call = () =>
    callServer(local.server.address.port, {
      trusted: old.certificate + next.certificate,
      own: stranger,
    });
  match(await call(), /^failed/);
  deepStrictEqual(await issuedBy(apiPort(local.running)), "CN=old CA");

  // Dialled by a connector that trusts only the old root.
  await using remote = await startRenewable({
    ...nextPem,
    root: old.certificate + next.certificate,
  });
  const exposed = exposeThrough({ local, remote }, { type: "local", destination: server.port });
  await until(
    () => /does not chain to the root/.test(local.connector.list()[0]?.message ?? ""),
    "it is refused",
  );
  await local.write({ root: old.certificate + next.certificate });
  const { port } = await exposed;
  await roundTrip(port);
  strictEqual(await call(), "answered");

  await Deno.writeTextFile(keys.path, next.key);
  await local.running.reload();
  deepStrictEqual(await issuedBy(apiPort(local.running)), "CN=next CA");

  // The old root is gone: what it has signed gets in no more, and what is open lives on.
  using visitor = await Deno.connect({ port });
  await echoes(visitor);
  await local.write(await leafPem(next, { name: "local" }));
  const former = await makeCertificate({ names: LOOPBACK }, old);
  match(
    await callServer(local.server.address.port, { trusted: next.certificate, own: former }),
    /^failed/,
  );
  await echoes(visitor);
});

Deno.test("a bad set is refused whole: the old one serves, and the log and readiness say why", async () => {
  const root = await makeCertificate({ ca: true });
  const first = await leafPem(root, { name: "first" });
  const other = await leafPem(root, { name: "other" });
  const ended = await leafPem(root, {
    name: "ended",
    notBefore: new Date(Date.now() - 2 * DAY_MS),
    notAfter: new Date(Date.now() - DAY_MS),
  });
  const stranger = await makeCertificate({ ca: true, name: "stranger" });
  await using log = await recordLog();
  await using connector = await startRenewable(first);
  const port = connector.server.address.port;
  const [, ready] = await connector.ask("/ready");
  match(ready, /^OK\nServer certificate "\S+leaf\.cert" expires in 299 days, at \S+Z\n$/);
  const bad: Record<string, [Parameters<typeof connector.write>[0], RegExp]> = {
    "a key of another": [{ key: other.key }, /leaf\.key": it does not belong to/],
    "expired": [ended, /leaf\.cert": it expired at/],
    "half-written": [{ certificate: other.certificate.slice(0, 300) }, /has no end/],
    "half-written in the key": [{ key: first.key.slice(0, 80) }, /damaged or cut off/],
    "empty": [{ root: "" }, /root\.cert": it holds no certificate/],
    "of a root that is not there": [{ root: stranger.certificate }, /which is not in root/],
  };
  for (const [what, [pem, reason]] of Object.entries(bad)) {
    await connector.write({ ...first, ...pem });
    strictEqual(await shownBy(port, "h2"), "first", what);
    const [status, body] = await connector.ask("/ready");
    strictEqual(status, 200, what);
    match(body, /\nthe certificates on disk are not used, those before them are: Cannot use/, what);
    match(body, reason, what);
    const lines = log.lines.filter((line) => line.startsWith("error changed files refused"));
    match(lines.at(-1) ?? "", reason, what);
  }
  if (Deno.build.os !== "windows") {
    await Deno.remove(path.join(connector.folder, "leaf.key"));
    await connector.running.reload();
    match((await connector.ask("/ready"))[1], /leaf\.key": no such file/);
  }
  await connector.write(other);
  strictEqual(await shownBy(port, "h2"), "other");
  strictEqual((await connector.ask("/ready"))[1].split("\n").length, 3);
  ok(log.lines.includes("info files reloaded certificates reload"), log.lines.join("\n"));
});

Deno.test("a change is noticed without being told", async () => {
  const root = await makeCertificate({ ca: true });
  await using connector = await startRenewable(await leafPem(root, { name: "old" }), {
    watchTimes: { lookMs: 20, settleMs: 20 },
  });
  await connector.write(await leafPem(root, { name: "new" }), { reload: false });
  const port = connector.server.address.port;
  await until(async () => await shownBy(port, "h2") === "new", "the new one is shown");
});

async function withRootKey(pem: string): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, pem);
  await Deno.chmod(path, 0o600);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}

async function issuedBy(port: number): Promise<string> {
  const { status, body } = await httpsRequest(`https://localhost:${port}/certificate`, {
    body: { name: "x", ip_addresses: [], dns_names: ["x"] },
  });
  strictEqual(status, 200, body);
  const { X509Certificate } = await import("node:crypto");
  return new X509Certificate(JSON.parse(body).certificate).issuer;
}

async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, new Uint8Array([1]));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
}
