// The Unix socket of the REST API: who may open it, what it takes the place of, and what is left of it.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { createServer } from "node:net";
import { getLogger, type Logger } from "@logtape/logtape";
import { createApp } from "../../src/api/app.ts";
import { type HttpServer, serveHttp } from "../../src/api/serve_http.ts";
import { UnixSocket } from "../../src/api/unix_socket.ts";
import { runCli } from "../../src/cli/program.ts";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { tempFolder } from "../support/mtls.ts";
import { IDLE, request, statusOf } from "../support/rest_server.ts";
import { settle, startConnector, until } from "../support/world.ts";

const logger = getLogger(["test"]);
/** Others have no Unix sockets that node:net serves. */
const ignore = Deno.build.os === "windows";

function serve(socket: string, access = new ApiAccess({ socketOnly: true })): Promise<HttpServer> {
  const { fetch } = createApp({ control: IDLE, logger, access });
  return serveHttp({ socket }, { fetch, tls: undefined, logger, refusalMs: 0 });
}

/** Sends a text over the socket; resolves with all that comes. */
async function send(path: string, text: string): Promise<string> {
  using conn = await Deno.connect({ transport: "unix", path });
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
  return await new Response(conn.readable).text().catch(() => "");
}

function test(name: string, fn: (path: string, folder: string) => Promise<void>): void {
  Deno.test({
    name,
    ignore,
    async fn() {
      await using folder = await tempFolder();
      await fn(`${folder.path}/api.sock`, folder.path);
    },
  });
}

test(
  "only its owner may open it, and it is gone in the end, whichever end that is",
  async (path, folder) => {
    for (const end of ["close", "abort"] as const) {
      const server = await serve(path);
      const { mode, isSocket } = await Deno.lstat(path);
      deepStrictEqual([isSocket, (mode ?? 0) & 0o777], [true, 0o600]);
      // Nothing else is left in the folder.
      deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["api.sock"]);
      match(await send(path, request("GET /list")), /^HTTP\/1\.1 200 [^]*\r\n\r\n\[\]$/);
      strictEqual(server.address, undefined);
      await server[end]();
      deepStrictEqual([...Deno.readDirSync(folder)], []);
      await settle();
    }
  },
);

test("many clients are told apart, and none shuts the next one out", async (path) => {
  const server = await serve(path);
  const idle = await Promise.all(
    Array.from({ length: 300 }, () => Deno.connect({ transport: "unix", path })),
  );
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => send(path, request("GET /list"))),
  );
  deepStrictEqual(new Set(answers.map(statusOf)), new Set([200]));
  for (const conn of idle) conn.close();
  await server.close();
  await settle();
});

test("the guard against web pages holds, and tokens are wanted where there are any", async (path) => {
  const tokens = ApiTokens.parse("good", "tokens");
  const server = await serve(path, new ApiAccess({ tokens: () => tokens }));
  const status = async (...headers: string[]) =>
    statusOf(await send(path, request("GET /list", ...headers)));
  strictEqual(await status(), 401);
  strictEqual(await status("Authorization: Bearer bad"), 401);
  strictEqual(await status("Authorization: Bearer good"), 200);
  strictEqual(await status("Authorization: Bearer good", "Host: evil.example"), 403);
  strictEqual(await status("Authorization: Bearer good", "Origin: http://evil.example"), 403);
  await server.close();
  await settle();
});

test(
  "a stale socket is replaced; a live one, a file, a folder and a link are left as they are",
  async (path, folder) => {
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen({ path: `${folder}/first` }, resolve));
    // Its program has ended: the file stays, and nobody listens.
    await Deno.rename(`${folder}/first`, path);
    stale.close();
    const server = await serve(path);
    match(await send(path, request("GET /health")), /OK$/);

    const refused = async (problem: RegExp, at = path) => {
      const before = (await Deno.lstat(at)).ino;
      await rejects(serve(at), ({ message }: Error) => {
        match(message, /^Cannot serve the REST API on the Unix socket ".*": /);
        match(message, problem);
        return true;
      });
      strictEqual((await Deno.lstat(at)).ino, before);
    };
    await refused(/another program, perhaps another connector, serves it$/);
    match(await send(path, request("GET /health")), /OK$/);
    await Deno.writeTextFile(`${folder}/file`, "kept");
    await refused(/something else is there, and is left as it is$/, `${folder}/file`);
    await Deno.mkdir(`${folder}/folder`);
    await refused(/something else is there/, `${folder}/folder`);
    await Deno.symlink(`${folder}/gone`, `${folder}/link`);
    await refused(/something else is there/, `${folder}/link`);
    await rejects(serve(`${folder}/none/api.sock`), /: its folder does not exist$/);
    await rejects(
      serve(`${folder}/${"x".repeat(120)}`),
      /too long for a socket, want at most \d+ /,
    );
    deepStrictEqual(
      [...Deno.readDirSync(folder)].map(({ name }) => name).sort(),
      ["api.sock", "file", "folder", "link"],
    );
    await server.close();
    await settle();
  },
);

test("what has taken its place meanwhile is not removed", async (path) => {
  const server = await serve(path);
  await Deno.remove(path);
  await Deno.writeTextFile(path, "another's");
  await server.close();
  strictEqual(await Deno.readTextFile(path), "another's");
  await settle();
});

test("connector health asks it, by flag and by variable; a URL that is given goes first", async (path) => {
  const server = await serve(path);
  const health = async (args: string[], env: Record<string, string> = {}) => {
    let stderr = "";
    const io = { stdout: () => {}, stderr: (text: string) => stderr += text, env };
    return [await runCli(["health", ...args], io), stderr] as const;
  };
  deepStrictEqual(await health([`--api-socket=${path}`]), [0, ""]);
  deepStrictEqual(await health([`--api-socket=${path}`, "--url=https://x:1/ready"]), [0, ""]);
  const env = { CONNECTOR_API_SOCKET: path, CONNECTOR_HEALTH_URL: "http://localhost:1/ready" };
  deepStrictEqual(await health([], env), [0, ""]);
  strictEqual((await health(["--url=http://localhost:1"], env))[0], 1);
  const [code, nothing] = await health([`--api-socket=${path}x`]);
  strictEqual(code, 1);
  match(nothing, /^error: Cannot reach \/health on .*x: no such file\nhint: .* --api-socket\?\n$/);
  strictEqual((await health(["--api-socket="]))[0], 2);
  await server.close();
  await settle();
});

test(
  "one that somebody removes is there again soon, and another's in its place is left alone",
  async (path, folder) => {
    const told: string[] = [];
    const warn = (message: string, { reason }: { reason: string }) =>
      told.push(`${message}: ${reason}`);
    const server = createServer((conn) => conn.end("ours"));
    const socket = await UnixSocket.open(server, path, {
      // It warns, and nothing else.
      logger: { warn } as unknown as Logger,
      lookMs: 20,
    });
    const says = (text: string) => send(path, "").then((said) => said === text, () => false);
    strictEqual(await says("ours"), true);
    await Deno.remove(path);
    await until(() => says("ours"), "it is there again");
    strictEqual(((await Deno.lstat(path)).mode ?? 0) & 0o777, 0o600);
    await until(() => told.length === 1, "it is told of");
    deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["api.sock"]);
    await Deno.remove(path);
    await Deno.writeTextFile(path, "another's");
    await until(() => told.length === 2, "that is told of");
    deepStrictEqual(told, [
      "API socket was opened anew: it was removed",
      "API socket cannot be reached: something else has taken its place",
    ]);
    socket[Symbol.dispose]();
    server.close();
    strictEqual(await Deno.readTextFile(path), "another's");
    await settle();
  },
);

Deno.test({
  name: "a connector with the socket alone has no port for REST",
  ignore,
  async fn() {
    await using folder = await tempFolder();
    const apiSocket = `${folder.path}/api.sock`;
    {
      await using connector = await startConnector({ api: { apiSocket, httpBind: undefined } });
      strictEqual(connector.running.httpAddress, undefined);
      strictEqual(statusOf(await send(apiSocket, request("GET /list"))), 200);
    }
    await until(() => [...Deno.readDirSync(folder.path)].length === 0, "the socket is gone");
  },
});
