// The commands that ask a running connector, as programs of their own: over a Unix socket, over TLS with a token, and with
// tunnels that carry.

import { match, ok, strictEqual } from "node:assert/strict";
import { seriesOf } from "../../support/metrics.ts";
import { httpsRequest, makePki, pemOf, spawnSecure, writeTls } from "../../support/mtls.ts";
import { runCommand, spawnConnector } from "../../support/processes.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until } from "../../support/world.ts";

async function connector(args: string[], env: Record<string, string>) {
  const { code, stdout, stderr } = await runCommand(args, { env });
  return { code, stdout, stderr };
}

Deno.test("a service is exposed, carried, shown and removed by commands, over a Unix socket", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const socket = `${folder}/api.sock`;
    await using server = serveTcp(echo);
    await using far = await spawnConnector();
    await using _near = await spawnConnector({ args: [`--api-socket=${socket}`] });
    const env = { CONNECTOR_API: `unix:${socket}` };
    const port = freePort();
    const exposed = await connector([
      ...["expose", "local", `${port}:127.0.0.1:${server.port}`, "--to", far.address],
      ...["--name", "web", "--wait", "10s"],
    ], env);
    strictEqual(exposed.code, 0, exposed.stderr);
    await roundTrip(port, { length: 2048 });
    match((await connector(["list"], env)).stdout, /^web .* complete .* 2\.0 KiB +2\.0 KiB$/m);
    const status = await connector(["status", "web"], { CONNECTOR_API_SOCKET: socket });
    strictEqual(status.code, 0, status.stderr);
    strictEqual((await connector(["wait", "web"], env)).code, 0);
    strictEqual((await connector(["remove", "web"], env)).code, 0);
    strictEqual(await refuses(port), true);
    strictEqual((await connector(["list", "--json"], env)).stdout, "[]\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("over TLS the API's certificate is checked, and a token is shown", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { root, leaf } = await makePki();
    const { flags } = await writeTls(folder, pemOf(root, leaf));
    await Deno.writeTextFile(`${folder}/token`, "a-token-of-the-tests-123\n", { mode: 0o600 });
    await using secure = await spawnSecure([...flags, `--api-token-file=${folder}/token`]);
    const [cacert = ""] = flags.filter((flag) => flag.startsWith("--root-cert-path="));
    const trusted = `--cacert=${cacert.replace("--root-cert-path=", "")}`;
    const api = `--api=${secure.url}`;
    const list = (...args: string[]) => connector(["list", api, ...args], {});
    match((await list()).stderr, /certificate.*\nhint: Give the root .*--cacert\n/);
    match((await list(trusted)).stderr, /needs a token.*\nhint: .*--api-token-file\n/);
    const { code, stdout, stderr } = await list(trusted, `--api-token-file=${folder}/token`);
    strictEqual(code, 0, stderr);
    strictEqual(stdout, "No services\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("metrics with certificates: over TLS on their port, with when each ends and whether files are in use", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { root, leaf } = await makePki();
    const { flags } = await writeTls(folder, pemOf(root, leaf));
    const port = freePort();
    await using secure = await spawnSecure([...flags, `--metrics-bind=127.0.0.1:${port}`]);
    const read = async () => {
      const { status, body } = await httpsRequest(`https://localhost:${port}/metrics`);
      strictEqual(status, 200, body);
      return seriesOf(body);
    };
    const found = await read();
    for (const certificate of ["leaf", "root"]) {
      const name = `connector_certificate_expiry_timestamp_seconds{certificate="${certificate}"}`;
      ok((found.get(name) ?? 0) > Date.now() / 1000, name);
    }
    const inUse = `connector_config_last_reload_successful{files="certificates"}`;
    strictEqual(found.get(inUse), 1);
    await Deno.writeTextFile(`${folder}/leaf.cert`, "no certificate");
    if (Deno.build.os === "windows") return;
    secure.child.kill("SIGHUP");
    await until(async () => (await read()).get(inUse) === 0, "the file is refused");
    const refused = `connector_config_reloads_total{files="certificates",result="refused"}`;
    strictEqual((await read()).get(refused), 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
