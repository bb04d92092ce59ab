// Links through an HTTP proxy: what the proxy is asked, that the link works over it, and the reasons when no link comes
// up.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import net from "node:net";
import { ConnectorError } from "../../src/model/errors.ts";
import { ProxiedWay } from "../../src/grpc/proxy_tunnel.ts";
import { makePki, pemOf } from "../support/mtls.ts";
import { makeCertificate } from "../support/certificates.ts";
import { type ConnectProxyOptions, startConnectProxy } from "../support/connect_proxy.ts";
import {
  echo,
  exposeThrough,
  freePort,
  roundTrip,
  serveTcp,
  settle,
  startConnector,
  type TestConnector,
  until,
} from "../support/world.ts";

/** Loopback is dialled through a proxy only if that is asked for. */
const LOOPBACK_TOO = { no_proxy: "<-loopback>" };

/** Why a peer gets no link. */
async function reasonFor({ connector }: TestConnector, to: string): Promise<string> {
  const id = await connector.expose({
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await until(() => connector.get(id).message !== undefined, "there is a verdict on the link");
  const { message = "" } = connector.get(id);
  return message.replace(/^no link to the peer: /, "");
}

for (const withFirstBytes of [false, true]) {
  const when = withFirstBytes ? "with the peer's first bytes" : "at once";
  for (const secure of [false, true]) {
    // Over TLS the peer waits for us.
    if (secure && withFirstBytes) continue;
    Deno.test(`a link through a proxy that answers ${when}${secure ? ", mTLS" : ""}`, async () => {
      const { root, leaf } = await makePki();
      const tls = secure ? { tls: pemOf(root, leaf) } : {};
      await using proxy = await startConnectProxy({ withFirstBytes });
      await using server = serveTcp(echo);
      await using remote = await startConnector(tls);
      await using local = await startConnector({
        ...tls,
        environment: { ...LOOPBACK_TOO, http_proxy: `http://a:b%40c@127.0.0.1:${proxy.port}` },
      });
      for (const type of ["local", "remote"] as const) {
        const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
        await roundTrip(port);
      }
      strictEqual(proxy.asked.length, 1);
      strictEqual(
        proxy.asked[0],
        `CONNECT ${remote.address} HTTP/1.1\r\nHost: ${remote.address}\r\n` +
          `Proxy-Authorization: Basic ${btoa("a:b@c")}\r\n\r\n`,
      );
    });
  }
}

const LONG = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(17_000)}\r\n\r\n`;
const SECRET = "s3cret";

for (
  const [what, { credentials = "", ...options }, wanted] of [
    [
      "denies",
      { answer: "HTTP/1.1 403 Forbidden\r\n\r\n" },
      "answered 403 Forbidden: many proxies permit CONNECT to port 443 only",
    ],
    [
      "wants a user",
      { answer: 'HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n' },
      "answered 407 Who?: it wants a user and a password, as in http_proxy=http://user:password@host:port",
    ],
    [
      "does not know the user",
      {
        credentials: `me:${SECRET}@`,
        answer:
          "HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: basic\r\n\r\n",
      },
      "answered 407 No: it does not accept the user and the password of http_proxy",
    ],
    [
      "wants what is not supported",
      {
        answer:
          "HTTP/1.0 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
      },
      "answered 407 No: it wants authentication by Negotiate, NTLM, and only Basic is supported",
    ],
    [
      "cannot reach the peer",
      { answer: "HTTP/1.1 503 Service Unavailable\r\n\r\n" },
      "answered 503 Service Unavailable: perhaps it could not reach 127.0.0.1:9",
    ],
    ["answers without a phrase", { answer: "HTTP/1.1 405\r\n\r\n" }, "answered 405"],
    [
      "steers the terminal",
      { answer: "HTTP/1.1 418 \x1b[31mred\r\n\r\n" },
      "answered 418 \\u{1b}[31mred",
    ],
    ["answers nonsense", { answer: "HTTP/1.1 OK\r\n\r\n" }, 'answered "HTTP/1.1 OK"'],
    ["has no end", { answer: LONG }, "sent headers of more than 16384 bytes"],
    [
      "never comes to its answer",
      { answer: "HTTP/1.1 100 Continue\r\n\r\n".repeat(60_000) },
      "sent headers of more than 16384 bytes",
    ],
    ["closes", { answer: "", closes: true }, "closed the connection without an answer"],
    [
      "closes midway",
      { answer: "HTTP/1.1 20", closes: true },
      "closed the connection without an answer",
    ],
    [
      "is an SSH server",
      { greeting: "SSH-2.0-OpenSSH_9.2\r\n" },
      'is not an HTTP proxy: it speaks SSH ("SSH-2.0-OpenSSH_9.2")',
    ],
    [
      "speaks TLS",
      { answer: new Uint8Array([0x15, 3, 3, 0, 2, 2, 40]) },
      "is not an HTTP proxy: it speaks TLS",
    ],
  ] as [string, ConnectProxyOptions & { credentials?: string }, string][]
) {
  Deno.test(`a proxy that ${what} is named, with its answer`, async () => {
    await using proxy = await startConnectProxy(options);
    await using local = await startConnector({
      environment: {
        ...LOOPBACK_TOO,
        http_proxy: proxy.url.replace("//", `//${credentials}`),
      },
    });
    strictEqual(await reasonFor(local, "127.0.0.1:9"), `the proxy ${proxy.url} ${wanted}`);
  });
}

for (
  const [what, value, wanted] of [
    [
      "refuses",
      "http://127.0.0.1:1",
      "the proxy http://127.0.0.1:1, which grpc_proxy names, cannot be reached: connection refused",
    ],
    [
      "is of another kind",
      "socks5://me:s3cret@127.0.0.1:1080",
      'the proxy that grpc_proxy names, "socks5://127.0.0.1:1080", cannot be used: want http://host:port of one that takes CONNECT',
    ],
    [
      "is spoken to over TLS",
      "https://127.0.0.1:3128",
      'the proxy that grpc_proxy names, "https://127.0.0.1:3128", cannot be used: want http://host:port of one that takes CONNECT',
    ],
    [
      "is not a URL",
      "http://me:s3cret@host:port",
      'the proxy that grpc_proxy names, "http://host:port", cannot be used: want http://host:port of one that takes CONNECT',
    ],
  ] as const
) {
  Deno.test(`a proxy that ${what} is named, without its credentials`, async () => {
    await using local = await startConnector({
      environment: { ...LOOPBACK_TOO, grpc_proxy: value },
    });
    strictEqual(await reasonFor(local, "127.0.0.1:9"), wanted);
  });
}

Deno.test("a proxy is named when what it leads to is not a connector", async () => {
  await using other = serveTcp(async (conn) =>
    void await conn.write(new TextEncoder().encode("SSH-2.0-x\r\n"))
  );
  await using proxy = await startConnectProxy();
  await using local = await startConnector({
    environment: { ...LOOPBACK_TOO, http_proxy: proxy.url },
  });
  match(
    await reasonFor(local, `127.0.0.1:${other.port}`),
    new RegExp(` \\(through the proxy ${proxy.url}\\)$`),
  );
});

Deno.test("answers before the answer are passed over", async () => {
  await using proxy = await startConnectProxy({
    answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    tunnels: true,
  });
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  await using local = await startConnector({
    environment: { ...LOOPBACK_TOO, http_proxy: proxy.url },
  });
  const { port } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  await roundTrip(port);
});

Deno.test("mTLS through a proxy is for the peer's name, not the proxy's", async () => {
  const root = await makeCertificate({ ca: true });
  const leaf = await makeCertificate({ names: [{ type: "dns", value: "localhost" }] }, root);
  const tls = pemOf(root, leaf);
  await using proxy = await startConnectProxy();
  await using remote = await startConnector({ tls });
  await using local = await startConnector({
    tls,
    environment: { ...LOOPBACK_TOO, http_proxy: proxy.url },
  });
  const { port } = remote.server.address;
  strictEqual(
    await reasonFor(local, `127.0.0.1:${port}`),
    `its certificate is for localhost and not for 127.0.0.1 (through the proxy ${proxy.url})`,
  );
  deepStrictEqual(remote.connector.list(), []);
});

Deno.test("loopback and what is excepted is dialled directly", async () => {
  await using remote = await startConnector();
  const { port } = remote.server.address;
  for (
    const environment of [
      { http_proxy: "http://127.0.0.1:1" },
      { HTTPS_PROXY: "http://127.0.0.1:1", NO_PROXY: `<-loopback>,127.0.0.0/8` },
      { http_proxy: "socks5://127.0.0.1:1" },
    ] as Record<string, string>[]
  ) {
    await using local = await startConnector({ environment });
    await exposeThrough({ local, remote }, { type: "remote", destination: port });
  }
});

Deno.test("exposing to oneself through a proxy is refused: the link is not known for one's own", async () => {
  await using proxy = await startConnectProxy();
  await using own = await startConnector({
    environment: { ...LOOPBACK_TOO, http_proxy: proxy.url },
  });
  strictEqual(await reasonFor(own, own.address), "The id belongs to another service");
  deepStrictEqual(own.connector.list().map(({ status }) => status), ["error"]);
});

Deno.test("of several addresses of a proxy, one that has no answer is forgotten when another opens the way", async () => {
  await using broken = await startConnectProxy({ answer: "", closes: true });
  await using proxy = await startConnectProxy();
  await using server = serveTcp(echo);
  const to = { host: "127.0.0.1", port: server.port };
  const named = { address: to, url: "http://proxy:1", variable: "http_proxy" };
  using way = ProxiedWay.start(named, to, () => {});
  // As with names: the next is tried while the first is silent.
  const sockets = [broken, proxy].map(({ port }) => net.connect(port, "127.0.0.1"));
  const [first, second] = await Promise.allSettled(sockets.map((socket) => way.open(socket)));
  strictEqual(first?.status, "rejected");
  strictEqual(second?.status, "fulfilled");
  strictEqual(
    way.explain(new ConnectorError("unavailable", "it is no connector"))?.message,
    "it is no connector (through the proxy http://proxy:1)",
  );
  for (const socket of sockets) socket.destroy();
  await settle();
});

Deno.test("every address of a proxy that is being asked is left when the link has ended", async () => {
  await using proxy = await startConnectProxy({ answer: "HTTP/1.1 100 Continue\r\n\r\n" });
  const to = { host: "127.0.0.1", port: 9 };
  const named = { address: to, url: "http://proxy:1", variable: "http_proxy" };
  const way = ProxiedWay.start(named, to, () => {});
  const sockets = [1, 2].map(() => net.connect(proxy.port, "127.0.0.1"));
  const opened = Promise.allSettled(sockets.map((socket) => way.open(socket)));
  await until(() => proxy.asked.length === 2, "both are asked");
  way[Symbol.dispose]();
  deepStrictEqual(sockets.map(({ destroyed }) => destroyed), [true, true]);
  for (const socket of sockets) socket.destroy();
  deepStrictEqual((await opened).map(({ status }) => status), ["rejected", "rejected"]);
});
