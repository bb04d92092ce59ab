// Links between whole connectors with certificates: by which hosts a peer may be dialled, whose certificates fit
// together, and what is said when the peer that was dialled is not who it should be.

import { deepStrictEqual, match, rejects, strictEqual, throws } from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { issueLeaf } from "../../src/certs/issue/issue.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { secureChannels, type TlsIdentity } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import type { ServiceReport } from "../../src/model/service.ts";
import {
  CLIENT_AUTH,
  DAY_MS,
  makeCertificate,
  referenceFile,
  type Shape,
} from "../support/certificates.ts";
import { LOOPBACK, makePki, pemOf, startServer, withJudge } from "../support/mtls.ts";
import {
  echo,
  exposeThrough,
  freePort,
  randomBytes,
  readAll,
  serveTcp,
  settle,
  sha256,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "../support/world.ts";

/** As leaves of the Go connector are: names with a port, and one for this machine. */
const REFERENCE: TlsIdentity = withJudge({
  root: referenceFile("root.cert"),
  certificate: referenceFile("leaf.cert"),
  key: referenceFile("leaf.key"),
});

/** Exposes something at this address and resolves with the first verdict on the link. */
async function tryLink(
  { connector }: TestConnector,
  remoteConnectorAddr: string,
): Promise<ServiceReport> {
  const id = await connector.expose({
    name: "try",
    sourcePort: freePort(),
    remoteConnectorAddr,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const report = () => connector.list().find((each) => each.id === id);
  await until(
    () => report()?.status === "complete" || report()?.message !== undefined,
    `there is a verdict on ${remoteConnectorAddr}`,
  );
  const verdict = report();
  await connector.destroy(id);
  if (verdict === undefined) throw new TypeError("the service was listed a moment ago");
  return verdict;
}

const dns = (value: string) => ({ type: "dns", value } as const);
const ip = (value: string) => ({ type: "ip", value } as const);

for (
  const { title, names, fits, refused } of [
    {
      title: "a name",
      names: [dns("localhost")],
      fits: ["localhost"],
      refused: { "127.0.0.1": "its certificate is for localhost and not for 127.0.0.1" },
    },
    {
      title: "an IPv4 address",
      names: [ip("127.0.0.1")],
      fits: ["127.0.0.1"],
      refused: { localhost: "its certificate is for 127.0.0.1 and not for localhost" },
    },
    {
      title: "an IPv6 address",
      names: [ip("::1")],
      fits: ["[::1]", "[0:0:0:0:0:0:0:1]"],
      refused: { localhost: /^its certificate is for \S+ and not for localhost$/ },
    },
    {
      title: "another name and another address",
      names: [dns("elsewhere.example"), ip("10.9.9.9")],
      fits: [],
      refused: {
        "127.0.0.1": "its certificate is for elsewhere.example, 10.9.9.9 and not for 127.0.0.1",
        localhost: "its certificate is for elsewhere.example, 10.9.9.9 and not for localhost",
        "[::1]": "its certificate is for elsewhere.example, 10.9.9.9 and not for ::1",
      },
    },
    {
      title: "names with a port beside one without",
      names: [dns("localhost:9090"), dns(":30001"), dns("localhost")],
      fits: ["localhost"],
      refused: {
        "127.0.0.1":
          "its certificate is for localhost:9090, :30001, localhost and not for 127.0.0.1",
      },
    },
    {
      title: "names with a port only",
      names: [dns("localhost:9090"), dns(":30001")],
      fits: [],
      refused: {
        localhost: "its certificate is for localhost:9090, :30001 and not for localhost",
      },
    },
    {
      title: "a name in its subject only",
      subject: "localhost",
      names: [],
      fits: [],
      refused: { localhost: "its certificate is for no host and not for localhost" },
    },
  ] as {
    title: string;
    subject?: string;
    names: NonNullable<Shape["names"]>;
    fits: string[];
    refused: Record<string, string | RegExp>;
  }[]
) {
  Deno.test(`a peer whose certificate is for ${title} is dialled by that and nothing else`, async () => {
    const { root, leaf } = await makePki();
    const server = await makeCertificate({ names, name: "localhost" }, root);
    // One port on both families: localhost may be either.
    await using peer = await startConnector({ tls: pemOf(root, server), bind: ":0" });
    await using ours = await startConnector({ tls: pemOf(root, leaf) });
    for (const host of fits) {
      const verdict = await tryLink(ours, `${host}:${peer.server.address.port}`);
      deepStrictEqual([host, verdict.status], [host, "complete"]);
    }
    for (const [host, reason] of Object.entries(refused)) {
      const { status, message = "" } = await tryLink(ours, `${host}:${peer.server.address.port}`);
      strictEqual(status, "pending");
      const text = message.replace(/^no link to the peer: /, "");
      if (typeof reason === "string") strictEqual(text, reason);
      else match(text, reason);
    }
    deepStrictEqual(peer.connector.list(), []);
  });
}

Deno.test("a peer that shows a wrong certificate gets no link, and the reason is in words", async () => {
  const { root, leaf } = await makePki();
  const other = await makeCertificate({ ca: true, name: "Other CA" });
  const peers: Record<string, { tls: TlsIdentity | undefined; reason: string | RegExp }> = {
    "self-signed": {
      tls: pemOf(root, await makeCertificate({ names: LOOPBACK })),
      reason: "its certificate is self-signed, want one that the root has signed",
    },
    "another root": {
      tls: pemOf(root, await makeCertificate({ names: LOOPBACK }, other)),
      reason: 'its certificate does not chain to the root: it was issued by "CN=Other CA"',
    },
    "expired": {
      tls: pemOf(
        root,
        await makeCertificate({
          names: LOOPBACK,
          notBefore: new Date(Date.now() - 10 * DAY_MS),
          notAfter: new Date(Date.now() - DAY_MS),
        }, root),
      ),
      reason: /^its certificate expired at \d{4}-/,
    },
    "not yet valid": {
      tls: pemOf(
        root,
        await makeCertificate(
          { names: LOOPBACK, notBefore: new Date(Date.now() + DAY_MS) },
          root,
        ),
      ),
      reason: /^its certificate is not valid before \d{4}-/,
    },
    "for clients only": {
      tls: pemOf(
        root,
        await makeCertificate({ names: LOOPBACK, extendedUsages: [CLIENT_AUTH] }, root),
      ),
      reason: "its certificate is not for servers: the extended key usage lacks serverAuth",
    },
    "plaintext": { tls: undefined, reason: /^it does not speak TLS: / },
  };
  await using ours = await startConnector({ tls: pemOf(root, leaf) });
  for (const [label, { tls, reason }] of Object.entries(peers)) {
    await using peer = await startConnector(tls === undefined ? {} : { tls });
    const { status, message = "" } = await tryLink(ours, peer.address);
    strictEqual(status, "pending", label);
    const why = message.replace(/^no link to the peer: /, "");
    if (typeof reason === "string") strictEqual(why, reason, label);
    else match(why, reason, label);
    deepStrictEqual(peer.connector.list(), []);
  }
});

Deno.test("a connector that is turned away says that the peer closed, and goes on", async () => {
  const { root, leaf } = await makePki();
  const stranger = await makeCertificate({ ca: true, name: "Other CA" });
  const theirs = pemOf(root, await makeCertificate({ names: LOOPBACK }, stranger));
  await using peer = await startConnector({ tls: pemOf(root, leaf) });
  // It trusts the peer; the peer does not trust it.
  await using turnedAway = await startConnector({ tls: theirs });
  await using plain = await startConnector();
  for (
    const [ours, reason] of [
      [
        turnedAway,
        "it ended the connection before the link was open: it may not accept our certificate, or not be a connector; its log may tell why",
      ],
      [plain, "it speaks TLS, and this connector runs without certificates"],
    ] as const
  ) {
    const { status, message } = await tryLink(ours, peer.address);
    strictEqual(status, "pending");
    strictEqual(message, `no link to the peer: ${reason}`);
  }
  deepStrictEqual(peer.connector.list(), []);
});

Deno.test("one try to open a link is one connection, whatever becomes of it", async () => {
  const { root, leaf } = await makePki();
  const stranger = await makeCertificate({});
  await using secure = await startServer(pemOf(root, leaf));
  await using plain = await startServer();
  for (
    const [server, tls] of [
      [secure, pemOf(root, stranger)],
      [secure, undefined],
      [plain, pemOf(root, leaf)],
    ] as const
  ) {
    const before = server.refused.length;
    const link = dialLink({ host: "127.0.0.1", port: server.port }, {
      secure: secureChannels(tls),
      hello: hello(DEFAULT_LIMITS),
      describePeer,
    });
    strictEqual((await link.closed)?.code, "unavailable");
    await until(() => server.refused.length > before, "the try is told of");
    await settle();
    strictEqual(server.refused.length, before + 1);
  }
});

for (const role of ["dialler", "acceptor", "both"] as const) {
  Deno.test(`a root and leaves in the Go connector's form work as ${role}`, async () => {
    // Ours for the other end: signed by the same root, as a connector that joins would have it.
    const ours = await leafOfReferenceRoot();
    await using local = await startConnector({ tls: role === "acceptor" ? ours : REFERENCE });
    await using remote = await startConnector({ tls: role === "dialler" ? ours : REFERENCE });
    await using server = serveTcp(echo);
    for (const type of ["local", "remote"] as const) {
      const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
      using conn = await Deno.connect({ port });
      const sent = randomBytes(1024 * 1024);
      const [received] = await Promise.all([
        readAll(conn),
        writeAll(conn, sent).then(() => conn.closeWrite()),
      ]);
      strictEqual(await sha256(new Uint8Array(received)), await sha256(sent));
    }
  });
}

/** A leaf that our own code signed with the committed root: an RSA key in PKCS#1. */
async function leafOfReferenceRoot(): Promise<TlsIdentity> {
  const authority = await openAuthority({
    certificate: { label: "root", pem: REFERENCE.root },
    key: { label: "key", pem: referenceFile("root.key") },
  });
  const { certificate, privateKey } = await issueLeaf(authority, {
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
  });
  return withJudge({ root: REFERENCE.root, certificate, key: privateKey });
}

Deno.test("both ends know who the other is, and list it with each service", async () => {
  const root = await makeCertificate({ ca: true });
  const spiffe = (name: string) => ({ type: "url", value: `spiffe://example/${name}` } as const);
  const leaf = async (name: string) =>
    pemOf(root, await makeCertificate({ name, names: [...LOOPBACK, spiffe(name)] }, root));
  await using local = await startConnector({ tls: await leaf("local") });
  await using remote = await startConnector({ tls: await leaf("remote") });
  await exposeThrough({ local, remote }, { type: "local", destination: 1 });
  const identityOf = (connector: TestConnector) => connector.connector.list()[0]?.peer?.identity;
  for (const [connector, name] of [[local, "remote"], [remote, "local"]] as const) {
    const identity = identityOf(connector);
    strictEqual(identity?.subject, `CN=${name}`);
    strictEqual(identity?.spiffe, `spiffe://example/${name}`);
    deepStrictEqual(identity?.dnsNames, ["localhost"]);
    deepStrictEqual(identity?.ipAddresses, ["127.0.0.1", "::1"]);
  }
});

Deno.test("whatever a peer says, the reason of a link names our own certificate while it is not valid", async () => {
  const { root, leaf } = await makePki();
  const identity = pemOf(root, leaf);
  const problem = 'server certificate "leaf.cert" expired at 2026-01-01T00:00:00.000Z';
  await using refusing = await startServer(pemOf(await makeCertificate({ ca: true }), leaf));
  for (
    const [port, said] of [[freePort(), "connection refused"], [refusing.port, "it "]] as const
  ) {
    const link = dialLink({ host: "127.0.0.1", port }, {
      secure: secureChannels(identity),
      hello: hello(DEFAULT_LIMITS),
      describePeer,
      ownProblem: () => problem,
    });
    const end = await link.closed;
    const { message = "" } = end ?? {};
    strictEqual(message.startsWith(`our ${problem}: ${said}`), true, message);
  }
  await settle();
});

Deno.test("a certificate that TLS cannot use is the reason, and not the port", async () => {
  const { root, leaf } = await makePki();
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  const key = weak.export({ type: "pkcs8", format: "pem" }).toString();
  const identity = { ...pemOf(root, leaf), key };
  throws(() => secureChannels(identity), {
    code: "failed_precondition",
    message: "Cannot use the certificates of this connector for TLS: key too small",
  });
  await rejects(startServer(identity), {
    code: "failed_precondition",
    message: /^Cannot listen for gRPC on 127\.0\.0\.1:0: TLS cannot use the certificates$/,
  });
});
