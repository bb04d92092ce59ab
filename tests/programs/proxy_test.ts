// Links through the proxies that companies run, squid and tinyproxy: in plaintext and with certificates, with and
// without a user, and the reasons when they deny a connection.

import { doesNotMatch, match, strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { makePki, pemOf, writeTls } from "../support/mtls.ts";
import { type ConnectorProcess, spawnConnector } from "../support/processes.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "../support/world.ts";
import { IS_ROOT, tempFolder, untilListening } from "./tunnels.ts";

/** Whom a proxy lets through, and where to. */
interface ProxyRules {
  /** The ports that CONNECT may lead to. */
  ports: number[];
  user?: { name: string; password: string };
}

/** A running proxy. */
interface RunningProxy extends AsyncDisposable {
  /** Its `host:port`. */
  address: string;
  /** Where its log is. */
  log: string;
}

/** Tinyproxy takes letters and digits only. */
const PASSWORDS = { squid: "p@ss/w0rd", tinyproxy: "passw0rd" };

async function startSquid({ ports, user }: ProxyRules): Promise<RunningProxy> {
  const folder = await tempFolder();
  const port = freePort();
  // As root it gives itself another user.
  if (IS_ROOT) await Deno.chmod(folder.file("."), 0o777);
  const log = folder.file("access.log");
  const hash = await runProgram("openssl", { args: ["passwd", "-apr1", user?.password ?? ""] });
  await Deno.writeTextFile(folder.file("users"), `${user?.name}:${hash.stdout}`);
  await Deno.writeTextFile(
    folder.file("squid.conf"),
    `
http_port 127.0.0.1:${port}
pid_filename ${folder.file("pid")}
cache_log ${folder.file("cache.log")}
access_log stdio:${log}
coredump_dir ${folder.file(".")}
cache deny all
shutdown_lifetime 0 seconds
acl there port ${ports.join(" ")}
http_access deny !there
${
      user === undefined ? "http_access allow all" : `
auth_param basic program /usr/lib/squid/basic_ncsa_auth ${folder.file("users")}
acl known proxy_auth REQUIRED
http_access allow known`
    }
http_access deny all
`,
  );
  return await started("squid", ["-N", "-f", folder.file("squid.conf")], { folder, port, log });
}

async function startTinyproxy({ ports, user }: ProxyRules): Promise<RunningProxy> {
  const folder = await tempFolder();
  const port = freePort();
  const log = folder.file("tinyproxy.log");
  await Deno.writeTextFile(
    folder.file("tinyproxy.conf"),
    `
Port ${port}
Listen 127.0.0.1
Timeout 600
LogFile "${log}"
LogLevel Connect
MaxClients 100
${ports.map((each) => `ConnectPort ${each}`).join("\n")}
${user === undefined ? "" : `BasicAuth ${user.name} ${user.password}`}
`,
  );
  const args = ["-d", "-c", folder.file("tinyproxy.conf")];
  return await started("tinyproxy", args, { folder, port, log });
}

async function started(
  program: string,
  args: string[],
  { folder, port, log }: { folder: AsyncDisposable; port: number; log: string },
): Promise<RunningProxy> {
  await using stack = new AsyncDisposableStack();
  stack.use(folder);
  stack.use(new Child(program, { args }));
  await untilListening(port);
  const kept = stack.move();
  return {
    address: `127.0.0.1:${port}`,
    log,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Exposes a destination to a peer; resolves with its port there once it is complete, or with why it is not. */
async function tryLink(
  { rest }: ConnectorProcess,
  to: string,
  { type = "local", destination = 1 }: { type?: "local" | "remote"; destination?: number } = {},
): Promise<number | string> {
  const port = freePort();
  const body = {
    name: "test",
    source_port: port,
    remote_connector_addr: to,
    destination_addr: `localhost:${destination}`,
    type,
  };
  const { body: id } = await rest.request("POST", "/expose", { body });
  const verdict = async () => {
    const service = (await rest.list()).find((each) => each.id === id);
    return service?.status === "COMPLETE" ? port : service?.message;
  };
  await until(async () => await verdict() !== undefined, "there is a verdict on the link");
  return (await verdict()) ?? "";
}

for (
  const [name, start, denied] of [
    ["squid", startSquid, "403 Forbidden"],
    ["tinyproxy", startTinyproxy, "403 Access violation"],
  ] as const
) {
  const user = { name: "me", password: PASSWORDS[name] };
  for (const known of [undefined, user]) {
    Deno.test(`${name}: links of both kinds through it${known ? ", with a user" : ""}`, async () => {
      await using folder = await tempFolder();
      const { root, leaf } = await makePki();
      const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
      await using server = serveTcp(echo);
      for (const tls of [undefined, { flags, root: root.certificate }]) {
        const secure = tls === undefined ? {} : { tls, httpBind: "127.0.0.1:0" };
        await using remote = await spawnConnector(secure);
        await using proxy = await start({
          ports: [remote.grpcPort],
          ...(known && { user: known }),
        });
        await using local = await spawnConnector({
          ...secure,
          env: {
            HTTPS_PROXY: `http://${
              known ? `me:${encodeURIComponent(known.password)}@` : ""
            }${proxy.address}`,
            NO_PROXY: "<-loopback>",
          },
        });
        for (const type of ["local", "remote"] as const) {
          const port = await tryLink(local, `localhost:${remote.grpcPort}`, {
            type,
            destination: server.port,
          });
          if (typeof port === "string") throw new Error(port);
          await roundTrip(port, { length: 4 * 1024 * 1024 });
        }
        if (name === "tinyproxy") {
          match(
            await Deno.readTextFile(proxy.log),
            new RegExp(`CONNECT localhost:${remote.grpcPort}`),
          );
        }
        doesNotMatch(local.logs(), /p@ss|p%40ss|passw0rd/);
      }
    });
  }

  Deno.test(`${name}: what it does not permit, and what it cannot reach`, async () => {
    await using remote = await spawnConnector();
    const dead = freePort();
    await using proxy = await start({ ports: [dead] });
    await using local = await spawnConnector({
      env: { http_proxy: `http://${proxy.address}`, no_proxy: "<-loopback>" },
    });
    strictEqual(
      await tryLink(local, remote.address),
      `no link to the peer: the proxy http://${proxy.address} answered ${denied}: many proxies permit CONNECT to port 443 only`,
    );
    match(
      String(await tryLink(local, `localhost:${dead}`)),
      new RegExp(
        `^no link to the peer: the proxy http://${proxy.address} answered 50\\d [\\w ]+: perhaps it could not reach localhost:${dead}$`,
      ),
    );
    // Loopback unless it is asked for, and whatever NO_PROXY has, are dialled directly.
    for (const env of [{}, { NO_PROXY: "<-loopback>, 127.0.0.1" }]) {
      await using direct = await spawnConnector({
        env: { http_proxy: `http://${proxy.address}`, ...env },
      });
      strictEqual(typeof await tryLink(direct, remote.address), "number");
    }
  });

  Deno.test(`${name}: a user that it does not know, and none`, async () => {
    await using remote = await spawnConnector();
    await using proxy = await start({ ports: [remote.grpcPort], user });
    for (
      const [credentials, hint] of [
        ["", "it wants a user and a password, as in http_proxy=http://user:password@host:port"],
        ["me:wr0ng@", "it does not accept the user and the password of http_proxy"],
      ] as const
    ) {
      await using local = await spawnConnector({
        env: { http_proxy: `http://${credentials}${proxy.address}`, no_proxy: "<-loopback>" },
      });
      const reason = String(await tryLink(local, remote.address));
      match(reason, /answered 40[17] /);
      match(reason, new RegExp(`: ${hint.replaceAll("?", "\\?")}$`));
      doesNotMatch(local.logs(), /wr0ng/);
    }
  });
}
