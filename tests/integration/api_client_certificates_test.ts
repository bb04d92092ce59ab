// Client certificates at the REST API: which of them do, and that those that do not only cost their owner the request.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { runCli } from "../../src/cli/program.ts";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { JudgePeer } from "../../src/model/peer_judge.ts";
import { BareTls } from "../support/bare_tls.ts";
import { DAY_MS, type Made, makeCertificate, SERVER_AUTH } from "../support/certificates.ts";
import { httpsRequest, LOOPBACK, pemOf, tempFolder } from "../support/mtls.ts";
import { serveDashboard } from "../support/live_events.ts";
import { request, type RestServer, startRest, statusOf } from "../support/rest_server.ts";
import { startConnector } from "../support/world.ts";

const root = await makeCertificate({ ca: true });
const stranger = await makeCertificate({ ca: true, name: "Stranger" });
const leafOf = (issuer: Made, shape: Parameters<typeof makeCertificate>[0] = {}) =>
  makeCertificate({ names: [...LOOPBACK], ...shape }, issuer);
const [own, good, other] = [await leafOf(root), await leafOf(root), await leafOf(root)];
const TOKENS = ApiTokens.parse("good", "tokens");

/** The API of a server that asks for certificates. */
function start(
  { tokens = false, judge: given }: { tokens?: boolean; judge?: JudgePeer } = {},
): Promise<RestServer> {
  const tls = pemOf(root, own);
  const judge = given ?? tls.judge;
  return startRest({
    tls,
    clients: () => ({ ...tls, judge }),
    access: new ApiAccess({ clientCerts: true, ...(tokens && { tokens: () => TOKENS }) }),
  });
}

function derOf({ certificate }: Made): Uint8Array {
  return new Uint8Array(new X509Certificate(certificate).raw);
}

Deno.test("a certificate of the root does, without one only /health and /ready are answered", async () => {
  await using rest = await start();
  const url = `https://localhost:${rest.port}`;
  const trusted = root.certificate;
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const list = await httpsRequest(`${url}/list`, { trusted, own: good, maxVersion });
    deepStrictEqual([list.status, list.body, list.protocol], [200, "[]", maxVersion]);
    const none = await httpsRequest(`${url}/list`, { trusted, maxVersion });
    deepStrictEqual([none.status, none.body], [
      403,
      "The API needs a client certificate of the root\n",
    ]);
    for (const path of ["/health", "/ready"]) {
      strictEqual((await httpsRequest(`${url}${path}`, { trusted, maxVersion })).status, 200);
    }
  }
});

Deno.test("with tokens besides, a token does without a certificate", async () => {
  await using rest = await start({ tokens: true });
  const url = `https://localhost:${rest.port}/list`;
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  strictEqual((await httpsRequest(url, bearer("good"))).status, 200);
  strictEqual((await httpsRequest(url, bearer("bad"))).status, 401);
  strictEqual((await httpsRequest(url)).status, 401);
  strictEqual((await httpsRequest(url, { own: good })).status, 200);
});

Deno.test("web pages are refused whatever certificate the browser shows", async () => {
  await using rest = await start();
  const url = `https://localhost:${rest.port}/list`;
  for (const headers of [{ origin: "https://evil.example" }, { host: "evil.example" }]) {
    const { status, body } = await httpsRequest(url, { own: good, headers });
    strictEqual(status, 403);
    match(body, /^Cannot answer/);
  }
});

const WRONG: [string, () => Promise<Made>][] = [
  ["of another root", () => leafOf(stranger)],
  ["that has expired", () => leafOf(root, { notAfter: new Date(Date.now() - DAY_MS) })],
  ["for servers only", () => leafOf(root, { extendedUsages: [SERVER_AUTH] })],
  ["that is the root", () => Promise.resolve(root)],
];
for (const [what, make] of WRONG) {
  Deno.test(`a certificate ${what} is none, and a token does beside it`, async () => {
    await using rest = await start({ tokens: true });
    const url = `https://localhost:${rest.port}`;
    const own = await make();
    strictEqual((await httpsRequest(`${url}/health`, { own })).status, 200);
    strictEqual((await httpsRequest(`${url}/list`, { own })).status, 401);
    const headers = { authorization: "Bearer good" };
    strictEqual((await httpsRequest(`${url}/list`, { own, headers })).status, 200);
  });
}

Deno.test("a certificate is judged anew for each request of a connection", async () => {
  let revoked = false;
  const { judge } = pemOf(root, own);
  await using rest = await start({
    judge: (chain, role) => {
      if (revoked) throw new ConnectorError("permission_denied", "its certificate is revoked");
      return judge(chain, role);
    },
  });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: rest.port });
  const tls = await BareTls.connect(conn, { chain: [derOf(good)], key: good.key }, {
    protocol: "http/1.1",
  });
  const ask = async () => {
    await tls.write(new TextEncoder().encode("GET /list HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    for (;;) {
      const text = new TextDecoder().decode(await tls.read());
      // What else comes is the rest of the answer before.
      if (text === "" || text.startsWith("HTTP/")) return statusOf(text);
    }
  };
  strictEqual(await ask(), 200);
  revoked = true;
  strictEqual(await ask(), 403);
});

Deno.test("who reads events with a certificate that is revoked meanwhile is told no more", async () => {
  let revoked = false;
  const tls = pemOf(root, own);
  const judge: JudgePeer = (chain, role) => {
    if (revoked) throw new ConnectorError("permission_denied", "its certificate is revoked");
    return tls.judge(chain, role);
  };
  await using near = await startConnector();
  await using served = await serveDashboard(near, {
    certificates: { tls, clients: () => ({ ...tls, judge }) },
  });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: served.rest.port });
  const client = await BareTls.connect(conn, { chain: [derOf(good)], key: good.key }, {
    protocol: "http/1.1",
  });
  await client.write(new TextEncoder().encode("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  let text = "";
  const readUntil = async (wanted: string) => {
    while (!text.includes(wanted)) {
      const bytes = await client.read();
      ok(bytes, `it has ended with ${text}`);
      text += new TextDecoder().decode(bytes);
      // One a second.
      ok(text.split("event: sample").length < 8, "it is told more and more");
    }
  };
  await readUntil("event: snapshot");
  revoked = true;
  await readUntil('event: end\ndata: "What allowed this is not valid any more"');
});

/** What a client gets that shows any bytes as its certificate; empty when the handshake fails. */
async function ask(
  { port }: RestServer,
  identity: { chain: Uint8Array[]; key: string },
): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    const tls = await BareTls.connect(conn, identity, { protocol: "http/1.1" });
    await tls.write(new TextEncoder().encode(request("GET /list")));
    return new TextDecoder().decode(await tls.read());
  } catch {
    return "";
  }
}

Deno.test("whoever does not hold the key of a certificate, or shows what cannot be read, is not let in, and ends nothing", async () => {
  await using rest = await start();
  const { key } = good;
  match(await ask(rest, { chain: [derOf(good)], key }), /^HTTP\/1\.1 200 /);
  strictEqual(await ask(rest, { chain: [derOf(good)], key: other.key }), "");
  // A certificate of version -1, which nobody has signed, behind a good one.
  const damaged = Uint8Array.fromHex(derOf(root).toHex().replace("a003020102", "a0030201ff"));
  match(await ask(rest, { chain: [derOf(good), damaged], key }), /^(HTTP\/1\.1 403 |$)/);
  ok((await httpsRequest(`https://localhost:${rest.port}/health`)).status === 200);
});

Deno.test("the commands that ask the API show a certificate, and say what is missing without one", async () => {
  await using rest = await start();
  await using folder = await tempFolder();
  const pathOf = async (name: string, pem: string) => {
    const path = join(folder.path, name);
    await Deno.writeTextFile(path, pem, { mode: 0o600 });
    return path;
  };
  const [cacert, cert, key, otherKey] = [
    await pathOf("root.cert", root.certificate),
    await pathOf("good.cert", good.certificate),
    await pathOf("good.key", good.key),
    await pathOf("other.key", other.key),
  ];
  const list = async (args: string[], env: Record<string, string> = {}) => {
    const printed = { stdout: "", stderr: "" };
    const api = ["--api", `https://localhost:${rest.port}`, "--cacert", cacert];
    const code = await runCli(["list", ...api, ...args], {
      stdout: (text) => printed.stdout += text,
      stderr: (text) => printed.stderr += text,
      columns: () => undefined,
      env,
    });
    return { code, ...printed };
  };
  const done = { code: 0, stdout: "No services\n", stderr: "" };
  deepStrictEqual(await list(["--cert", cert, "--key", key]), done);
  const env = { CONNECTOR_CLIENT_CERT_PATH: cert, CONNECTOR_CLIENT_KEY_PATH: key };
  deepStrictEqual(await list([], env), done);
  deepStrictEqual(await list([]), {
    code: 1,
    stdout: "",
    stderr: "error: The API needs a client certificate of the root\n" +
      "hint: If it wants a certificate, show one with --cert and --key\n",
  });
  const alone = await list(["--cert", cert]);
  deepStrictEqual([alone.code, alone.stderr.split("\n")[0]], [
    2,
    "error: --key is missing: a certificate is shown with its key",
  ]);
  const mixed = await list(["--cert", cert, "--key", otherKey]);
  strictEqual(mixed.code, 1);
  match(
    mixed.stderr,
    /^error: Cannot use client key ".*": it is not the key of client certificate /,
  );
  const plain = await list(["--cert", cert, "--key", key, "--api", "http://localhost:1"]);
  strictEqual(plain.code, 2);
  match(plain.stderr, /^error: --cert and --key need an API that speaks TLS: /);
  // Variables are for whichever API wants them.
  const unused = await list(["--api", "http://localhost:1"], env);
  match(unused.stderr, /^error: Cannot reach the API/);
});
