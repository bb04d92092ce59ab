// What node:tls of the bare runtime does wrong.

import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import tls, { type TLSSocket } from "node:tls";
import { BarePeer } from "../support/bare_peer.ts";
import {
  DIGITAL_SIGNATURE,
  type Made,
  makeCertificate,
  type Shape,
} from "../support/certificates.ts";
import { Child } from "../support/child.ts";
import { listenOnLoopback, runBare, stillNeeded } from "../support/platform.ts";
import type { Presented } from "../support/tls_peer.ts";

const NAMES = [{ type: "dns", value: "localhost" }] as const;

async function makePki(): Promise<{ root: Made; leaf: Made }> {
  const root = await makeCertificate({ ca: true });
  return { root, leaf: await makeCertificate({ names: [...NAMES] }, root) };
}

/** What a TLS server receives while its socket is paused, of 8 MB; and whether a write of nothing is called back. */
const PAUSED = `
  import tls from "node:tls";
  import { once } from "node:events";
  const [cert, key, ca] = Deno.args;
  const server = tls.createServer({ cert, key });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "secureConnection");
  const client = tls.connect({ port: server.address().port, host: "127.0.0.1", servername: "localhost", ca });
  const [socket] = await accepted;
  socket.pause();
  let called = false;
  socket.write(new Uint8Array(), () => called = true);
  let taken = 0;
  const send = () => taken < 8 ? client.write(new Uint8Array(1e6), () => { taken += 1; send(); }) : end();
  const end = () => { console.log(JSON.stringify({ taken, called })); Deno.exit(); };
  setTimeout(end, 5000);
  send();
`;

stillNeeded("TLS sockets that are paused", async () => {
  const { root, leaf } = await makePki();
  const { stdout, stderr } = await runBare(PAUSED, {
    args: [leaf.certificate, leaf.key, root.certificate],
  });
  const { taken, called } = JSON.parse(stdout || `{ "failed": ${JSON.stringify(stderr)} }`);
  return {
    wrong: taken === 8 || called === false,
    seen: `${taken} MB received while paused, a write of nothing called back: ${called}${stderr}`,
  };
});

stillNeeded("TLS sockets of refused peers", async () => {
  const { root, leaf } = await makePki();
  const stranger = await makeCertificate({ names: [...NAMES] });
  const server = tls.createServer({
    ca: root.certificate,
    cert: leaf.certificate,
    key: leaf.key,
    requestCert: true,
  });
  const refused = once(server, "tlsClientError");
  await using listening = await listenOnLoopback(server);
  const client = tls.connect({
    port: listening.port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: root.certificate,
    cert: stranger.certificate,
    key: stranger.key,
  });
  client.on("error", () => {});
  const [, socket] = await refused as [Error, TLSSocket];
  const shown = socket.getPeerCertificate()?.raw;
  client.destroy();
  return { wrong: shown === undefined, seen: "the certificate of a peer that was refused" };
});

/** Handshakes fail; how many of their sockets the runtime has let go of half a second later. */
const FAILED_HANDSHAKES = `
  import tls from "node:tls";
  import net from "node:net";
  import { once } from "node:events";
  const [cert, key] = Deno.args;
  let freed = 0;
  const registry = new FinalizationRegistry(() => freed += 1);
  const server = tls.createServer({ cert, key });
  server.on("tlsClientError", (_error, socket) => {
    registry.register(socket, 0);
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  for (let count = 0; count < 20; count += 1) {
    const client = net.connect(server.address().port, "127.0.0.1");
    client.on("error", () => {}).resume();
    client.write("this is no TLS at all");
    await once(client, "close");
  }
  for (let count = 0; count < 5; count += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    gc();
  }
  console.log(freed);
  Deno.exit();
`;

stillNeeded("TLS handshakes that have failed", async () => {
  const { leaf } = await makePki();
  const { stdout, stderr } = await runBare(FAILED_HANDSHAKES, {
    flags: ["--v8-flags=--expose-gc"],
    args: [leaf.certificate, leaf.key],
  });
  return { wrong: stdout.trim() === "0", seen: `${stdout.trim()} of 20 sockets freed${stderr}` };
});

/** A server that asks for certificates says so, and serves whoever comes. */
const ASKING = `
  import tls from "node:tls";
  const [cert, key, ca] = Deno.args;
  const server = tls.createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: false });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    console.log("authorized", socket.authorized);
    try {
      socket.getPeerCertificate(true);
      console.log("was shown");
    } catch (error) {
      console.log("threw", error.message);
    }
    socket.destroy();
  });
  server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
`;

/** What such a server, which trusts this root, says of a chain. */
async function sayOf(
  root: Made,
  { chain, key }: Pick<Presented, "chain" | "key">,
): Promise<string> {
  const own = await makeCertificate({ names: [...NAMES] }, root);
  await using server = new Child(Deno.execPath(), {
    args: ["eval", ASKING, own.certificate, own.key, root.certificate],
  });
  const [, port] = await server.waitFor(/^port (\d+)$/m);
  await using peer = new BarePeer();
  await peer.connect({ chain, key, version: "TLSv1.3" }, { port: Number(port) });
  // It ends of an error that it does not catch.
  await server.waitFor(/was shown|threw/).catch(() => {});
  return server.stdout + server.stderr;
}

stillNeeded("TLS certificates that cannot be read", async () => {
  const { root, leaf } = await makePki();
  // A certificate of version -1, which nobody has signed, behind a good one.
  const damaged = Uint8Array.fromHex(derOf(root).toHex().replace("a003020102", "a0030201ff"));
  const said = await sayOf(root, { chain: [derOf(leaf), damaged], key: leaf.key });
  return { wrong: /threw|Uncaught/.test(said), seen: said };
});

stillNeeded("TLS certificates that are let through", async () => {
  const root = await makeCertificate({ ca: true });
  // A CA whose key may not sign certificates (RFC 5280 section 4.2.1.3).
  const issuer = await makeCertificate({ ca: true, keyUsage: DIGITAL_SIGNATURE }, root);
  const leaf = await makeCertificate({ names: [...NAMES] }, issuer);
  const said = await sayOf(root, { chain: [derOf(leaf), derOf(issuer)], key: leaf.key });
  return { wrong: /authorized true/.test(said), seen: said };
});

stillNeeded("TLS names in a text that can be forged", async () => {
  const root = await makeCertificate({ ca: true });
  // One name, with a comma in it. Only a CA can be made to sign it, and constraints of names do not see the second.
  const names: Shape["names"] = [{ type: "dns", value: "forged.example, DNS:localhost" }];
  const leaf = await makeCertificate({ names }, root);
  const server = tls.createServer({ cert: leaf.certificate, key: leaf.key });
  await using listening = await listenOnLoopback(server);
  const client = tls.connect({
    port: listening.port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: root.certificate,
  });
  const seen = await once(client, "secureConnect").then(() => "trusted", (error) => error.message);
  client.destroy();
  return { wrong: seen === "trusted", seen };
});

function derOf({ certificate }: Made): Uint8Array {
  return new Uint8Array(new X509Certificate(certificate).raw);
}
