// `connector health` in process, against small HTTP servers.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { runCli } from "../../src/cli/program.ts";
import { freePort, serveTcp, writeAll } from "../support/world.ts";

async function health(args: string[], env: Record<string, string> = {}) {
  const outcome = { code: -1, stdout: "", stderr: "" };
  outcome.code = await runCli(["health", ...args], {
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    env,
  });
  return outcome;
}

/** Serves a status for each path, and notes what was asked for. */
function serve(statuses: Record<string, number>, body: BodyInit = "x".repeat(1_000_000)) {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const status = statuses[pathname] ?? 404;
    return new Response(status === 204 ? null : body, {
      status,
      headers: status === 302 ? { location: "/health" } : {},
    });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { url, asked, [Symbol.asyncDispose]: () => server.shutdown() };
}

const HEALTHY = { code: 0, stdout: "healthy\n", stderr: "" };

Deno.test("health exits with 0 for 200, by flag and by variable, at /health unless told otherwise", async () => {
  await using server = serve({ "/health": 200, "/ready": 200 });
  deepStrictEqual(await health([`--url=${server.url}`]), HEALTHY);
  deepStrictEqual(await health([], { CONNECTOR_HEALTH_URL: `${server.url}/ready` }), HEALTHY);
  const flagWins = await health([`--url=${server.url}/`], {
    CONNECTOR_HEALTH_URL: "http://[::1]:1",
  });
  deepStrictEqual(flagWins, HEALTHY);
  deepStrictEqual(server.asked, ["/health", "/ready", "/health"]);
});

for (const status of [201, 204, 302, 404, 500, 503]) {
  Deno.test(`health exits with 1 for ${status}`, async () => {
    await using server = serve({ "/ready": status, "/health": 200 });
    deepStrictEqual(await health([`--url=${server.url}/ready`]), {
      code: 1,
      stdout: "",
      stderr:
        `error: The connector is not healthy: ${server.url}/ready answered ${status}, want 200` +
        (status === 204 ? "\n" : `:\n  ${"x".repeat(300)}…\n`),
    });
  });
}

for (
  const [what, body, reason] of [
    [
      "each line of a text",
      "1 web: pending, no link\n\n2 db: error, port in use\n",
      ":\n  1 web: pending, no link\n  2 db: error, port in use",
    ],
    ["ten lines of a long one", "service\n".repeat(101), `:${"\n  service".repeat(10)}\n  …`],
    ["what would steer a terminal, escaped", "\x1b[2J\u202e", ":\n  \\u{1b}[2J\\u{202e}"],
    ["nothing of an empty text", "\n", ""],
    ["nothing of what is no text", new Blob(["<html>"], { type: "text/html" }), ""],
  ] as const
) {
  Deno.test(`health repeats the reason: ${what}`, async () => {
    await using server = serve({ "/ready": 503 }, body);
    const { code, stderr } = await health([`--url=${server.url}/ready`]);
    strictEqual(code, 1);
    const fault = `The connector is not healthy: ${server.url}/ready answered 503, want 200`;
    strictEqual(stderr, `error: ${fault}${reason}\n`);
  });
}

Deno.test("health repeats what came of a reason that is cut off", async () => {
  await using server = serveTcp(async (conn) => {
    await conn.read(new Uint8Array(1024));
    const answer = "HTTP/1.1 503 No\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf";
    await writeAll(conn, new TextEncoder().encode(answer));
  });
  const url = `http://127.0.0.1:${server.port}/ready`;
  const { code, stderr } = await health([`--url=${url}`]);
  strictEqual(code, 1);
  strictEqual(
    stderr,
    `error: The connector is not healthy: ${url} answered 503, want 200:\n  half\n`,
  );
});

Deno.test("health exits with 1 and the reason when nobody answers", async () => {
  const { code, stderr } = await health([`--url=http://127.0.0.1:${freePort()}`]);
  strictEqual(code, 1);
  match(
    stderr,
    /^error: Cannot reach http:\/\/127\.0\.0\.1:\d+\/health: .*refused.*\nhint: .*--http-bind\?\n$/,
  );
});

Deno.test("health says which certificate it cannot read", async () => {
  const { code, stderr } = await health(["--url=https://localhost", "--root-cert-path=/no/root"]);
  strictEqual(code, 1);
  match(stderr, /^error: Cannot read root certificate "\/no\/root": no such file\n$/);
});

for (const url of ["localhost:9091", "ftp://localhost", "nonsense", ""]) {
  Deno.test(`health refuses "${url}" with exit code 2`, async () => {
    const { code, stderr } = await health([`--url=${url}`]);
    strictEqual(code, 2);
    match(stderr, new RegExp(`^error: Cannot ask "${url}": want a URL such as http://`));
  });
}

for (
  const [scheme, answer, reason] of [
    // The settings of HTTP/2: the gRPC port.
    [
      "http",
      "\0\0\0\x04\0\0\0\0\0",
      "it does not speak plain HTTP: it may have certificates, which need https, or be a gRPC port",
    ],
    [
      "http",
      "\x15\x03\x03\0\x02\x02\x28",
      "it does not speak plain HTTP: it may have certificates, which need https, or be a gRPC port",
    ],
    [
      "https",
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "it does not speak TLS: it may run without certificates, or not be a connector",
    ],
    // Fatal alerts: no_application_protocol, and what TLS 1.3 says when it wants a certificate.
    [
      "https",
      "\x15\x03\x03\0\x02\x02\x78",
      "it does not serve HTTPS without a client certificate: this may be the gRPC port",
    ],
    [
      "https",
      "\x15\x03\x03\0\x02\x02\x74",
      "it does not serve HTTPS without a client certificate: this may be the gRPC port",
    ],
  ] as const
) {
  Deno.test(`health over ${scheme} at a port that says ${JSON.stringify(answer)}`, async () => {
    await using server = serveTcp(async (conn) => {
      await conn.read(new Uint8Array(1024));
      await writeAll(conn, new TextEncoder().encode(answer));
      await conn.closeWrite();
    });
    const url = `${scheme}://127.0.0.1:${server.port}`;
    const { code, stderr } = await health([`--url=${url}`]);
    strictEqual(code, 1);
    strictEqual(stderr.split("\n")[0], `error: Cannot reach ${url}/health: ${reason}`);
  });
}

Deno.test("health asks the address itself, not a proxy that the environment names", async () => {
  await using server = serve({ "/health": 200 });
  const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"];
  const before = names.map((name) => [name, Deno.env.get(name)] as const);
  try {
    for (const name of names) Deno.env.set(name, `http://127.0.0.1:${freePort()}`);
    deepStrictEqual(await health([`--url=${server.url}`]), HEALTHY);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
});
