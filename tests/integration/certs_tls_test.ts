// Issued certificates in real mutual TLS: with each other, and with those of the Go connector.

import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { issueLeaf, issueRoot } from "../../src/certs/issue/issue.ts";
import { labelled, referenceFile } from "../support/certificates.ts";

interface Credentials {
  ca: string;
  cert: string;
  key: string;
}

const HOSTS = { dnsNames: ["localhost:9090", ":30001", "localhost"], ipAddresses: ["127.0.0.1"] };

async function leafUnder(
  root: { certificate: string; privateKey: string },
  options: { commonName: string; keyType?: "rsa-4096" },
): Promise<Credentials> {
  const authority = await openAuthority({
    certificate: labelled("root", root.certificate),
    key: labelled("key", root.privateKey),
  });
  const leaf = await issueLeaf(authority, { ...HOSTS, ...options });
  return { ca: root.certificate, cert: leaf.certificate, key: leaf.privateKey };
}

/** One handshake; resolves with the subjects that the server and the client saw. */
async function handshake(server: Credentials, client: Credentials): Promise<string[]> {
  const listener = tls.createServer({ ...server, requestCert: true, rejectUnauthorized: true });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "secureConnection");
  const address = listener.address();
  assert.ok(typeof address === "object" && address !== null);
  const socket = tls.connect({
    ...client,
    host: "127.0.0.1",
    port: address.port,
    servername: "localhost",
  });
  try {
    await once(socket, "secureConnect");
    // What `secureConnection` hands over is a TLSSocket.
    const [atServer] = await accepted as [tls.TLSSocket];
    const subjects = [atServer, socket].map((end) =>
      describePeer(end.getPeerCertificate()).subject
    );
    atServer.destroy();
    return subjects;
  } finally {
    socket.destroy();
    listener.close();
    await once(listener, "close");
  }
}

Deno.test("two leaves of one root trust each other, names with ports notwithstanding", async () => {
  const root = await issueRoot();
  const [one, two] = [
    await leafUnder(root, { commonName: "one" }),
    await leafUnder(root, { commonName: "two" }),
  ];
  assert.deepEqual(await handshake(one, two), ["O=Jumppad, CN=two", "O=Jumppad, CN=one"]);
});

Deno.test("a leaf of the Go connector and one that its root signed here trust each other", async () => {
  const root = { certificate: referenceFile("root.cert"), privateKey: referenceFile("root.key") };
  const ours = await leafUnder(root, { commonName: "ours" });
  const theirs = {
    ca: root.certificate,
    cert: referenceFile("leaf.cert"),
    key: referenceFile("leaf.key"),
  };
  const subjects = ["O=Jumppad, CN=ours", "O=Jumppad, CN=Connector Leaf"];
  assert.deepEqual(await handshake(theirs, ours), subjects);
  assert.deepEqual(await handshake(ours, theirs), subjects.toReversed());
});
