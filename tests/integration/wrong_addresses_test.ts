// Ports that users mistake for the gRPC port of a connector, and the sentence that tells them so.

import { deepStrictEqual, match } from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { serveHttp } from "../../src/api/serve_http.ts";
import { getLogger } from "@logtape/logtape";
import type { Made } from "../support/certificates.ts";
import { LOOPBACK, makePki, pemOf, startServer } from "../support/mtls.ts";
import { makeCertificate } from "../support/certificates.ts";
import { freePort, settle, startConnector, type TestConnector, until } from "../support/world.ts";

/** Something that listens where it is dialled. */
type Listening = { to: string } & AsyncDisposable;

async function listening(server: net.Server): Promise<Listening> {
  const open = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => {}).on("close", () => open.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server's address is no path.
  const { port } = server.address() as net.AddressInfo;
  return {
    to: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
      await settle();
    },
  };
}

/** Sends something at once. */
const greets = (greeting: string | Uint8Array) => () =>
  listening(net.createServer((socket) => void socket.write(greeting)));

/** Sends something once it has heard something, and ends. */
const answers = (answer: string | Uint8Array) => () =>
  listening(net.createServer((socket) => socket.once("data", () => socket.end(answer))));

/** Answers every call over HTTP/2. */
const http2Answers = (
  headers: http2.OutgoingHttpHeaders,
  { body = "", trailers }: { body?: string; trailers?: http2.OutgoingHttpHeaders } = {},
) =>
() => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond(headers, { waitForTrailers: trailers !== undefined });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
    stream.end(body);
  });
  return listening(server);
};

async function grpcServer(): Promise<Listening> {
  const server = new Server();
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error);
      else resolve(port);
    })
  );
  return {
    to: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await settle();
    },
  };
}

async function restApi(own?: Made & { root: Made }): Promise<Listening> {
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch: () => Promise.resolve(new Response("OK")),
    tls: own && pemOf(own.root, own),
    logger: getLogger(["test"]),
  });
  return {
    to: `127.0.0.1:${server.address?.port}`,
    async [Symbol.asyncDispose]() {
      await server.close();
      await settle();
    },
  };
}

/** Why a peer gets no link. */
async function reasonFor({ connector }: TestConnector, to: string): Promise<string> {
  const id = await connector.expose({
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const verdict = () => connector.get(id);
  await until(() => verdict().status === "complete" || verdict().message !== undefined, to);
  const { message = "complete" } = verdict();
  await connector.destroy(id);
  return message.replace(/^no link to the peer: /, "");
}

const ENDED =
  "it ended the connection without an answer: it may want TLS, or not be a connector; its log may tell why";
const ENDED_TLS =
  "it ended the connection before the link was open: it may not accept our certificate, or not be a connector; its log may tell why";
const NO_TLS = "it does not speak TLS: it may run without certificates, or not be a connector";
const SPEAKS_TLS = "it speaks TLS, and this connector runs without certificates";
/** What Redis says once it has read the first line of HTTP/2. */
const REDIS = "-ERR unknown command 'PRI', with args beginning with: '*' 'HTTP/2.0' \r\n";
const MYSQL = Uint8Array.from([74, 0, 0, 0, 10, ...new TextEncoder().encode("8.0.36\0xxxxxxx")]);
const POSTGRES = Uint8Array.from([
  ...[0x45, 0, 0, 0, 0x90],
  ...new TextEncoder().encode("SFATAL\0C08P01\0Minvalid\0\0"),
]);

/** What is dialled without certificates, and why there is no link. */
const PLAINTEXT: [what: string, start: () => Promise<Listening>, wanted: string | RegExp][] = [
  [
    "its REST API",
    () => restApi(),
    'it speaks HTTP/1.1 ("HTTP/1.1 400 Bad Request") and not gRPC: is this the port of a REST API?',
  ],
  [
    "an old web server",
    answers("HTTP/1.0 505 HTTP Version Not Supported\r\n\r\n"),
    /^it speaks HTTP\/1\.1 \("HTTP\/1\.0 505 HTTP Version Not Supported"\)/,
  ],
  [
    "an SSH server",
    greets("SSH-2.0-OpenSSH_9.2p1\r\n"),
    'it is not a connector: it speaks SSH ("SSH-2.0-OpenSSH_9.2p1")',
  ],
  [
    "a mail server",
    greets("220 mail.example ESMTP\r\n"),
    'it is not a connector: it speaks SMTP ("220 mail.example ESMTP")',
  ],
  [
    "a mailbox",
    greets("* OK IMAP4rev1\r\n"),
    'it is not a connector: it speaks IMAP ("* OK IMAP4rev1")',
  ],
  [
    "an FTP server",
    greets("220 (vsFTPd 3.0.3)\r\n"),
    'it is not a connector: it speaks FTP ("220 (vsFTPd 3.0.3)")',
  ],
  ["a screen", greets("RFB 003.008\n"), 'it is not a connector: it speaks VNC ("RFB 003.008")'],
  [
    "Redis",
    answers(REDIS),
    /^it is not a connector: it speaks Redis \("-ERR unknown command 'PRI'/,
  ],
  ["PostgreSQL", answers(POSTGRES), "it is not a connector: it speaks PostgreSQL"],
  ["MySQL", greets(MYSQL), "it is not a connector: it speaks MySQL"],
  ["words", greets("hello\r\n"), 'it is not a connector: it speaks another protocol ("hello")'],
  [
    "bytes",
    greets(new Uint8Array(30).fill(0xff)),
    "it is not a connector: it speaks another protocol",
  ],
  [
    "words that steer a terminal",
    greets("\x1b[31mred\r\n"),
    "it is not a connector: it speaks another protocol",
  ],
  ["what closes at once", () => listening(net.createServer((socket) => socket.destroy())), ENDED],
  ["what closes when it hears us", answers(""), ENDED],
  [
    "what resets",
    () => listening(net.createServer((socket) => socket.resetAndDestroy())),
    ENDED,
  ],
  [
    "a web server of HTTP/2",
    http2Answers({ ":status": 404, "content-type": "text/html" }, { body: "<html>no</html>" }),
    "it answered with HTTP status 404: it is not a connector, or a proxy in front of one",
  ],
  [
    "one that does not take the type",
    http2Answers({ ":status": 415 }),
    "it answered with HTTP status 415: it is not a connector, or a proxy in front of one",
  ],
  [
    "a proxy without a connector behind it",
    http2Answers({ ":status": 502, "content-type": "text/html" }, { body: "x".repeat(1000) }),
    "it answered with HTTP status 502: it is not a connector, or a proxy in front of one",
  ],
  [
    "a page for everything",
    http2Answers({ ":status": 200, "content-type": "text/html" }, { body: "<html>hello</html>" }),
    'it answered with "text/html" in place of gRPC: it is not a connector',
  ],
  [
    "an answer without a type",
    http2Answers({ ":status": 200 }, { body: "hello" }),
    'it answered with "" in place of gRPC: it is not a connector',
  ],
  [
    "an answer without a status",
    http2Answers({ ":status": 200, "content-type": "application/grpc" }),
    "it ended the call without saying why: it is not a connector, or a proxy in front of one has reached its limit on the size of a request (nginx: client_max_body_size) or a time limit",
  ],
  [
    "a gRPC server of something else",
    grpcServer,
    /^it speaks gRPC, but is not a connector: The server does not implement the method \/shipyard\.\w+/,
  ],
  [
    "one that says no more than that",
    http2Answers({ ":status": 200, "content-type": "application/grpc" }, {
      trailers: { "grpc-status": "12" },
    }),
    "it speaks gRPC, but is not a connector: UNIMPLEMENTED",
  ],
];

Deno.test("what is dialled without certificates and is not a connector is told from one", async (t) => {
  await using ours = await startConnector();
  for (const [what, start, wanted] of PLAINTEXT) {
    await t.step({
      name: what,
      // The connector outlives the step; the sanitizers watch over the whole test.
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        await using other = await start();
        const reason = await reasonFor(ours, other.to);
        if (typeof wanted === "string") deepStrictEqual(reason, wanted);
        else match(reason, wanted);
      },
    });
  }
});

Deno.test("with certificates and without, each at the other, and what is not a connector with TLS", async (t) => {
  const { root, leaf } = await makePki();
  const other = await makeCertificate({ ca: true, name: "Other CA" });
  const strange = await makeCertificate({ names: LOOPBACK }, other);
  const own = { key: leaf.key, cert: leaf.certificate };
  const secureServer = (options: tls.TlsOptions) => () => {
    const server = tls.createServer({ ...own, ...options }, (socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    server.on("tlsClientError", () => {});
    return listening(server);
  };
  const peer = (tls?: Parameters<typeof startServer>[0]) => async () => {
    const server = await startServer(tls);
    return {
      to: `127.0.0.1:${server.port}`,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  };
  await using plain = await startConnector();
  await using secure = await startConnector({ tls: pemOf(root, leaf) });
  for (
    const [what, ours, start, wanted] of [
      ["plaintext to TLS", plain, peer(pemOf(root, leaf)), SPEAKS_TLS],
      ["TLS to plaintext", secure, peer(), NO_TLS],
      ["plaintext to a REST API with TLS", plain, () => restApi({ ...leaf, root }), SPEAKS_TLS],
      ["TLS to a REST API without", secure, () => restApi(), NO_TLS],
      [
        "TLS to a REST API with TLS",
        secure,
        () => restApi({ ...leaf, root }),
        "it does not speak HTTP/2: is this the port of its REST API?",
      ],
      ["TLS to SSH", secure, greets("SSH-2.0-OpenSSH_9.2p1\r\n"), NO_TLS],
      ["TLS to Redis", secure, answers(REDIS), NO_TLS],
      ["TLS to MySQL", secure, greets(MYSQL), NO_TLS],
      ["TLS to what closes", secure, answers(""), ENDED_TLS],
      [
        "TLS to HTTP/1.1 over TLS",
        secure,
        secureServer({ ALPNProtocols: ["http/1.1"] }),
        "it does not speak HTTP/2: is this the port of its REST API?",
      ],
      [
        "TLS to a server that negotiates nothing",
        secure,
        secureServer({}),
        'it speaks HTTP/1.1 ("HTTP/1.1 400 Bad Request") and not gRPC: is this the port of a REST API?',
      ],
      [
        "TLS to another root",
        secure,
        secureServer({ key: strange.key, cert: strange.certificate, ALPNProtocols: ["h2"] }),
        'its certificate does not chain to the root: it was issued by "CN=Other CA"',
      ],
    ] as [string, TestConnector, () => Promise<Listening>, string][]
  ) {
    await t.step({
      name: what,
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        await using other = await start();
        deepStrictEqual(await reasonFor(ours, other.to), wanted);
      },
    });
  }
});

Deno.test("nothing listens there, or nothing can be there", async () => {
  await using ours = await startConnector();
  for (
    const [to, wanted] of [
      ["127.0.0.1:1", /^connection refused$/],
      ["localhost:1", /^connection refused$/],
      ["[::1]:1", /^connection refused$/],
      [
        "[fe80::1]:9090",
        /^link-local addresses of IPv6 cannot be dialled: give another address of that machine$/,
      ],
      ["255.255.255.255:9090", /^(the network is unreachable|the system does not permit it)$/],
    ] as const
  ) match(await reasonFor(ours, to), wanted);
});
