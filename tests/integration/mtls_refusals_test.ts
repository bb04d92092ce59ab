// Who is turned away from a gRPC server with certificates, and what is said of it: each stranger is tried for
// real, and after each one a peer with a right certificate is served. Nothing of those who were refused is left.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { guardHandshakes } from "../../src/grpc/handshake_gate.ts";
import {
  CLIENT_AUTH,
  DAY_MS,
  makeCertificate,
  SERVER_AUTH,
  type Shape,
} from "../support/certificates.ts";
import { callServer, LOOPBACK, makePki, pemOf, startServer } from "../support/mtls.ts";
import { settle, until } from "../support/world.ts";

const EXPIRED: Shape = {
  notBefore: new Date(Date.now() - 10 * DAY_MS),
  notAfter: new Date(Date.now() - DAY_MS),
};
const EARLY: Shape = { notBefore: new Date(Date.now() + DAY_MS) };

Deno.test("clients whose certificate is wrong in one way are refused, and others are served", async () => {
  const { root, leaf } = await makePki();
  await using server = await startServer(pemOf(root, leaf));
  const other = await makeCertificate({ ca: true, name: "Other CA" });
  // Same name as the root, another key.
  const double = await makeCertificate({ ca: true });
  const ended = await makeCertificate({ ca: true, name: "Ended CA", ...EXPIRED }, root);
  const under = async (issuer: typeof root) => {
    const made = await makeCertificate({ name: "under" }, issuer);
    return { ...made, certificate: made.certificate + issuer.certificate };
  };
  const strangers = {
    "no certificate": [
      undefined,
      /^it has no certificate, or none with a key that our TLS library accepts$/,
    ],
    "self-signed": [
      await makeCertificate({}),
      /^its certificate is self-signed, want one that the root has signed$/,
    ],
    "another root": [
      await makeCertificate({}, other),
      /^its certificate does not chain to the root: it was issued by "CN=Other CA"$/,
    ],
    "another root, sent along": [await under(other), /issued by "CN=Other CA"$/],
    "another root of the same name": [
      await makeCertificate({}, double),
      /^its certificate does not chain to the root: it was not signed with the key of "CN=Test CA"$/,
    ],
    "expired": [await makeCertificate(EXPIRED, root), /^its certificate expired at \d{4}-.*Z$/],
    "not yet valid": [
      await makeCertificate(EARLY, root),
      /^its certificate is not valid before \d{4}-.*Z$/,
    ],
    "for servers only": [
      await makeCertificate({ extendedUsages: [SERVER_AUTH] }, root),
      /^its certificate is not for clients: the extended key usage lacks clientAuth$/,
    ],
    "a CA": [
      await makeCertificate({ ca: true, name: "Sub CA" }, root),
      /^its certificate is a CA, want a leaf$/,
    ],
    "signed by a leaf": [
      await under(leaf),
      /^its certificate was issued under "CN=Test Leaf", which may not sign certificates$/,
    ],
    "under a CA that has expired": [
      await under(ended),
      /^its certificate was issued under "CN=Ended CA", which expired at \d{4}-.*Z$/,
    ],
  } as const;
  const good = await makeCertificate({ name: "good" }, root);
  for (const [label, [own, reason]] of Object.entries(strangers)) {
    const before = server.refused.length;
    const outcome = await callServer(server.port, { trusted: root.certificate, own });
    ok(outcome.startsWith("failed: "), `${label}: ${outcome}`);
    await until(() => server.refused.length > before, `"${label}" was told of`);
    const [refusal, ...more] = server.refused.slice(before);
    deepStrictEqual(more, [], label);
    match(refusal?.reason ?? "", reason, label);
    match(refusal?.peer ?? "", /^127\.0\.0\.1:\d+$/);
    const next = await callServer(server.port, { trusted: root.certificate, own: good });
    strictEqual(next, "answered", `after "${label}"`);
  }
  strictEqual(server.refused.length, Object.keys(strangers).length);
});

Deno.test("certificates that are right in an unusual way are served", async () => {
  const { root, leaf } = await makePki();
  await using server = await startServer(pemOf(root, leaf));
  const between = await makeCertificate({ ca: true, name: "Between CA", pathLength: 0 }, root);
  const under = await makeCertificate({}, between);
  const fit = {
    "for clients only": await makeCertificate({ extendedUsages: [CLIENT_AUTH] }, root),
    "for anything": await makeCertificate({ extendedUsages: [] }, root),
    "for another host": await makeCertificate(
      { names: [{ type: "dns", value: "x.example" }] },
      root,
    ),
    "with an intermediate": { ...under, certificate: under.certificate + between.certificate },
    "P-384": await makeCertificate({ curve: "P-384" }, root),
  };
  for (const [label, own] of Object.entries(fit)) {
    const outcome = await callServer(server.port, { trusted: root.certificate, own });
    strictEqual(outcome, "answered", label);
  }
  deepStrictEqual(server.refused, []);
});

Deno.test("peers of the wrong kind are refused: plaintext at TLS, TLS at plaintext, and other protocols", async () => {
  const { root, leaf } = await makePki();
  await using secure = await startServer(pemOf(root, leaf));
  await using plain = await startServer();

  ok((await callServer(secure.port, {})).startsWith("failed: "));
  await until(() => secure.refused.length === 1, "plaintext was told of");
  strictEqual(secure.refused[0]?.reason, "it does not speak TLS");

  ok(
    (await callServer(plain.port, { trusted: root.certificate, own: leaf })).startsWith("failed: "),
  );
  await until(() => plain.refused.length === 1, "TLS was told of");
  strictEqual(
    plain.refused[0]?.reason,
    "it does not speak HTTP/2 in plaintext: it may speak TLS or HTTP/1.1",
  );

  const talks = [
    { server: secure, bytes: "GET / HTTP/1.1\r\n\r\n", reason: /does not speak TLS/ },
    { server: secure, bytes: "\x16\x03\x01\x02\x00\x01", reason: /left before the TLS handshake/ },
    { server: plain, bytes: "GET / HTTP/1.1\r\n\r\n", reason: /does not speak HTTP\/2/ },
  ];
  for (const { server, bytes, reason } of talks) {
    const before = server.refused.length;
    await talk(server.port, bytes);
    await until(() => server.refused.length > before, `${JSON.stringify(bytes)} was told of`);
    match(server.refused.at(-1)?.reason ?? "", reason);
  }

  for (const ALPNProtocols of [undefined, ["http/1.1"]]) {
    const before = secure.refused.length;
    const socket = tls.connect({
      port: secure.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: root.certificate,
      cert: leaf.certificate,
      key: leaf.key,
      ...(ALPNProtocols ? { ALPNProtocols } : {}),
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("close", resolve));
    await until(() => secure.refused.length > before, "a client without HTTP/2 was told of");
    strictEqual(secure.refused.at(-1)?.reason, "it does not offer HTTP/2");
  }

  strictEqual(
    await callServer(secure.port, { trusted: root.certificate, own: leaf }),
    "answered",
  );
  strictEqual(await callServer(plain.port, {}), "answered");
});

Deno.test("a port that is only probed is nothing to tell of", async () => {
  const { root, leaf } = await makePki();
  await using secure = await startServer(pemOf(root, leaf));
  await using plain = await startServer();
  for (const { port } of [secure, plain]) await talk(port, "");
  // Later ones are told of: the probes would have been by then.
  await talk(secure.port, "x");
  await talk(plain.port, "x");
  await until(
    () => secure.refused.length + plain.refused.length >= 2,
    "the later ones are told of",
  );
  deepStrictEqual([secure.refused.length, plain.refused.length], [1, 1]);
});

Deno.test("200 bad handshakes leave nothing behind", async () => {
  const { root, leaf } = await makePki();
  const stranger = await makeCertificate({ names: LOOPBACK });
  await using server = await startServer(pemOf(root, leaf));
  strictEqual(await callServer(server.port, { trusted: root.certificate, own: leaf }), "answered");
  const before = openFiles();
  const bad = async (index: number) => {
    if (index % 4 === 0) return await talk(server.port, "not TLS at all");
    const socket = tls.connect({
      port: server.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: root.certificate,
      ALPNProtocols: ["h2"],
      // Some without a certificate, some with a stranger's, some that distrust ours.
      ...(index % 4 === 1 ? {} : { cert: stranger.certificate, key: stranger.key }),
      ...(index % 4 === 2 ? { ca: stranger.certificate } : {}),
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("close", resolve));
  };
  for (let round = 0; round < 10; round += 1) {
    await Promise.all(Array.from({ length: 20 }, (_, index) => bad(index)));
  }
  await until(() => server.refused.length === 200, "each was told of");
  await until(() => openFiles() <= before, "the sockets are closed");
  strictEqual(new Set(server.refused.map(({ peer }) => peer)).size, 200);
  strictEqual(await callServer(server.port, { trusted: root.certificate, own: leaf }), "answered");
  deepStrictEqual(server.links, []);
});

for (const secure of [true, false]) {
  const kind = secure ? "TLS" : "plaintext";
  Deno.test(`${kind}: whoever connects and stalls is cut, once it has taken too long`, async () => {
    const { root, leaf } = await makePki();
    const refused: { address: string; reason: string }[] = [];
    const server = secure
      ? http2.createSecureServer({ ca: root.certificate, cert: leaf.certificate, key: leaf.key })
      : http2.createServer();
    guardHandshakes(server, {
      judge: () => ({ revoked: () => undefined }),
      onJudged: () => {},
      onRefused: (address, { reason }) => refused.push({ address, reason }),
      handshakeTimeoutMs: 200,
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo; // it listens on TCP

    // Silent ones, one in the middle of its first words, and one that is in order and stays idle.
    const stalled = ["", "", secure ? "\x16\x03\x01" : "PRI * HT"].map((bytes) => {
      const socket = net.connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume().write(bytes, "latin1");
      return new Promise((resolve) => socket.once("close", resolve));
    });
    const client = http2.connect(`${secure ? "https" : "http"}://localhost:${port}`, {
      ca: root.certificate,
      createConnection: () =>
        secure
          ? tls.connect({
            port,
            host: "127.0.0.1",
            servername: "localhost",
            ca: root.certificate,
            ALPNProtocols: ["h2"],
          })
          : net.connect(port, "127.0.0.1"),
    });
    await once(client, "remoteSettings");
    await Promise.all(stalled);
    deepStrictEqual(refused.map(({ reason }) => reason), [
      "it did not complete the handshake in 0.2 s",
      "it did not complete the handshake in 0.2 s",
      "it did not complete the handshake in 0.2 s",
    ]);
    strictEqual(client.destroyed, false);
    client.destroy();
    server.close();
    await once(server, "close");
    await settle();
  });
}

Deno.test("two connections from one port of a peer, to two addresses of ours, are told apart", async () => {
  const server = new EventEmitter();
  // What the gate asks of a server are its events.
  const guard = guardHandshakes(server as unknown as http2.Http2Server, {
    judge: undefined,
    onJudged: () => {},
    onRefused: () => {},
    handshakeTimeoutMs: 100,
  });
  const ends = { remoteAddress: "192.0.2.1", remotePort: 5, localPort: 9090 };
  const sockets = ["192.0.2.2", "192.0.2.3"].map((localAddress) => {
    const socket = Object.assign(new EventEmitter(), { ...ends, localAddress, destroyed: false });
    return Object.assign(socket, {
      destroy() {
        socket.destroyed = true;
        socket.emit("close");
      },
    });
  });
  for (const socket of sockets) server.emit("connection", socket);
  // One of them has gone; the other still has its deadline.
  sockets[0]?.destroy();
  await until(() => sockets.every(({ destroyed }) => destroyed), "each is cut");
  guard[Symbol.dispose]();
});

Deno.test("a server that closes waits for no handshake", async () => {
  const { root, leaf } = await makePki();
  const socket = new net.Socket();
  {
    await using server = await startServer(pemOf(root, leaf));
    socket.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    // A call that is answered shows that the connection before it was accepted.
    await callServer(server.port, { trusted: root.certificate, own: leaf });
  }
  socket.resume();
  await until(() => socket.closed, "it is cut", { timeoutMs: 5000 });
});

/** Connects, says this, closes, and waits until the server has closed too. */
async function talk(port: number, bytes: string): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume().end(bytes, "latin1");
  await new Promise((resolve) => socket.once("close", resolve));
}

/** How many files and sockets this process has open; a constant where the system does not tell. */
function openFiles(): number {
  return Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;
}
