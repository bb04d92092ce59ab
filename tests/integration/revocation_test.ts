// Certificates that are revoked while a connector runs: the links of their holders end at once and say why, nobody gets in
// with one, and who is not on the list notices nothing.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import tls from "node:tls";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { makeCertificate } from "../support/certificates.ts";
import { callServer } from "../support/mtls.ts";
import { leafPem, recordLog, startRenewable } from "../support/renewable.ts";
import {
  echo,
  exposeThrough,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  until,
  writeAll,
} from "../support/world.ts";

const NOBODY = "# nobody yet\n";

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber;
}

Deno.test("the links of a revoked peer that dialled us end at once, with its port, and it stays out until it is taken off the list", async () => {
  const root = await makeCertificate({ ca: true });
  await using log = await recordLog();
  await using server = serveTcp(echo);
  await using remote = await startRenewable({ ...await leafPem(root), revoked: NOBODY }, {
    graceMs: 600_000,
  });
  const stolen = await leafPem(root, { name: "stolen" });
  await using local = await startRenewable(stolen);
  await using other = await startRenewable(await leafPem(root, { name: "other" }));
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  const others = await exposeThrough({ local: other, remote }, {
    type: "local",
    destination: server.port,
  });
  using visitor = await Deno.connect({ port });
  await echoes(visitor);
  using untouched = await Deno.connect({ port: others.port });
  await echoes(untouched);

  const serial = serialOf(stolen.certificate);
  await remote.write({ revoked: `# stolen\n${serial}\n` });
  const reason =
    `the certificate "CN=stolen" with the serial number ${serial.toLowerCase()} is revoked`;
  await rejects(visitor.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  // However long ports are kept for others.
  await until(() => refuses(port), "its port is closed");
  await until(() => reportOf(local, id)?.lastError !== undefined, "it is told");
  await until(
    () => log.lines.some((line) => line.includes("connection refused") && line.endsWith(REVOKED)),
    "it has come back and was refused",
  );
  const ended = log.lines.filter((line) => line.includes(reason));
  const who = `127\\.0\\.0\\.1:\\d+ 127\\.0\\.0\\.1,::1,localhost [0-9a-f]{16}`;
  match(log.lines.join("\n"), new RegExp(`^info connection refused ${who} revoked the cert`, "m"));
  match(log.lines.join("\n"), new RegExp(`^info peer disconnected ${who} the cert`, "m"));
  ok(ended.length > 0, log.lines.join("\n"));
  strictEqual(reportOf(local, id)?.status === "complete", false);
  await echoes(untouched);

  await remote.write({ revoked: NOBODY });
  await until(() => reportOf(local, id)?.status === "complete", "it is back");
  await roundTrip(port);
});

const REVOKED = "its certificate is revoked";

Deno.test("the link to a revoked peer that we dialled ends at once, and is not opened again", async () => {
  const root = await makeCertificate({ ca: true });
  await using server = serveTcp(echo);
  const stolen = await leafPem(root, { name: "stolen" });
  await using remote = await startRenewable(stolen);
  await using local = await startRenewable({ ...await leafPem(root), revoked: NOBODY });
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "remote",
    destination: server.port,
  });
  using visitor = await Deno.connect({ port });
  await echoes(visitor);
  await local.write({ revoked: new X509Certificate(stolen.certificate).fingerprint256 });
  await rejects(visitor.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  await until(
    () => reportOf(local, id)?.message?.includes(REVOKED) === true,
    "the next link is refused",
  );
  deepStrictEqual(remote.connector.list(), []);
});

Deno.test("a connection of a revoked peer takes no more calls and is cut, whatever its peer does", async () => {
  const root = await makeCertificate({ ca: true });
  await using remote = await startRenewable({ ...await leafPem(root), revoked: NOBODY });
  const stolen = await leafPem(root, { name: "stolen" });
  const { port } = remote.server.address;
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    servername: "localhost",
    ca: root.certificate,
    cert: stolen.certificate,
    key: stolen.key,
    ALPNProtocols: ["h2"],
  });
  const client = http2.connect("http://localhost", { createConnection: () => socket });
  client.on("error", () => {});
  const closed = new Promise((resolve) => client.once("close", resolve));
  strictEqual(await listOver(client), "0 OK");
  const trusted = { trusted: root.certificate, own: stolen };
  strictEqual(await callServer(port, trusted), "answered");
  await remote.write({ revoked: serialOf(stolen.certificate) });
  match(
    await listOver(client),
    /^7 the certificate "CN=stolen" with the serial number \w+ is revoked$/,
  );
  await closed;
  match(await callServer(port, trusted), /^failed/);
});

Deno.test("a bad list is refused, the one before counts, and readiness says so; a bad certificate does not hold a list up", async () => {
  const root = await makeCertificate({ ca: true });
  const stolen = await leafPem(root, { name: "stolen" });
  await using remote = await startRenewable({
    ...await leafPem(root),
    revoked: serialOf(stolen.certificate),
  });
  const call = () =>
    callServer(remote.server.address.port, { trusted: root.certificate, own: stolen });
  match(await call(), /^failed/);
  await remote.write({ revoked: "no number\n" });
  match(await call(), /^failed/);
  match(
    (await remote.ask("/ready"))[1],
    /\nthe revoked certificates on disk are not used, those before them are: Cannot use revoked certificates ".*revoked\.txt": line 1 "no number" is neither/,
  );
  await remote.write({ certificate: "", revoked: NOBODY });
  strictEqual(await call(), "answered");
});

Deno.test("a connector on its own list says so", async () => {
  const root = await makeCertificate({ ca: true });
  const own = await leafPem(root);
  await using connector = await startRenewable({ ...own, revoked: serialOf(own.certificate) });
  match(
    (await connector.ask("/ready"))[1],
    /\nThe certificate of this connector is on its own list of revoked certificates\n$/,
  );
});

/** Asks for the services; resolves with gRPC's status and its words. */
function listOver(client: http2.ClientHttp2Session): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = client.request({
      ":method": "POST",
      ":path": RemoteConnectionService.listServices.path,
      "content-type": "application/grpc",
      "te": "trailers",
    });
    const read = (headers: http2.IncomingHttpHeaders) => {
      const { "grpc-status": status, "grpc-message": message } = headers;
      if (status !== undefined) resolve([status, message].filter(Boolean).join(" "));
    };
    call.on("response", read);
    call.on("trailers", read);
    call.on("error", reject);
    call.resume().end(new Uint8Array(5));
  });
}

async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, new Uint8Array([1]));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
}
