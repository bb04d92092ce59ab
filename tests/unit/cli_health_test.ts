// `connector health` in process, against small HTTP servers.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { runCli } from "../../src/cli/program.ts";
import { freePort } from "../support/world.ts";

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
function serve(statuses: Record<string, number>) {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const status = statuses[pathname] ?? 404;
    return new Response(status === 204 ? null : "x".repeat(1_000_000), {
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
        `error: The connector is not well: ${server.url}/ready answered ${status}, want 200\n`,
    });
  });
}

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
