// A connector as `connector run` puts it together: what is left of a start that fails or is given up, and how one that
// serves is ended, in order and at once.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { getLogger } from "@logtape/logtape";
import { assemble, type AssembleOptions, type Surroundings } from "../../src/assemble.ts";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import { parseState } from "../../src/state/services_document.ts";
import { StateFile } from "../../src/state/state_file.ts";
import { tempFolder } from "../support/mtls.ts";
import { CUT } from "../support/sockets.ts";
import { soon } from "../support/soon.ts";
import {
  apiPort,
  echo,
  exposeThrough,
  freePort,
  refuses,
  serveTcp,
  settle,
  startConnector,
  TEST_OPTIONS,
  type TestConnector,
  until,
} from "../support/world.ts";

function start(options: Partial<AssembleOptions> = {}, surroundings: Partial<Surroundings> = {}) {
  return assemble({ ...TEST_OPTIONS, ...options }, {
    logger: getLogger(["test"]),
    proxyVariables: {},
    ...surroundings,
  });
}

Deno.test("assemble: both APIs answer from one list, which the state file keeps", async () => {
  await using folder = await tempFolder();
  const stateFile = path.join(folder.path, "services.json");
  const ids: string[] = [];
  for (let run = 0; run < 2; run += 1) {
    await using running = await start({ stateFile });
    const port = apiPort(running);
    if (run === 0) {
      ids.push(
        await running.connector.expose({
          name: "web",
          sourcePort: freePort(),
          remoteConnectorAddr: `127.0.0.1:${freePort()}`,
          destinationAddr: "127.0.0.1:1",
          type: "local",
        }),
      );
    }
    const listed = await (await fetch(`http://127.0.0.1:${port}/list`)).json();
    deepStrictEqual(listed.map(({ id }: { id: string }) => id), ids);
    await running.close({ drainMs: 0 });
  }
  await settle();
});

Deno.test("assemble: no tunnel leads to its own ports before anybody listens there", async () => {
  const [grpcPort, httpPort] = [freePort(), freePort()];
  const real = OwnListeners.prototype.add;
  /** Each port, and whether somebody listened when it was added. */
  const added: [port: number, listening: boolean][] = [];
  OwnListeners.prototype.add = function (address) {
    let listening = false;
    try {
      Deno.listen({ hostname: "127.0.0.1", port: address.port }).close();
    } catch {
      listening = true;
    }
    added.push([address.port, listening]);
    return real.call(this, address);
  };
  try {
    await using _running = await start({
      grpcBind: { host: "127.0.0.1", port: grpcPort },
      httpBind: { host: "127.0.0.1", port: httpPort },
    });
    deepStrictEqual(added, [[grpcPort, false], [httpPort, false]]);
  } finally {
    OwnListeners.prototype.add = real;
  }
  await settle();
});

Deno.test("assemble: nothing is left of a start that fails at its last step", async () => {
  await using folder = await tempFolder();
  const stateFile = path.join(folder.path, "services.json");
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const grpcBind = { host: "127.0.0.1", port: freePort() };
  await rejects(
    start({ stateFile, grpcBind, httpBind: { host: "127.0.0.1", port: taken.addr.port } }),
    /Cannot serve the REST API .* in use/,
  );
  await settle();
  ok(await refuses(grpcBind.port), "the gRPC server is gone");
  await using _free = await StateFile.open(stateFile);
});

Deno.test("assemble: a start that is given up is cancelled, and what it still opens is released", async () => {
  await using folder = await tempFolder();
  const stateFile = path.join(folder.path, "services.json");
  const stop = new AbortController();
  const starting = start({ stateFile }, { signal: stop.signal });
  stop.abort();
  await rejects(starting, { code: "cancelled" });
  await rejects(start({}, { signal: stop.signal }), { code: "cancelled" });
  // The file was being opened.
  await until(async () => {
    try {
      await using _free = await StateFile.open(stateFile);
      return true;
    } catch {
      return false;
    }
  }, "the state file is free");
});

/** A connector with a service that is visited, and the visitor's connection, over which a byte came back. */
async function visit(): Promise<
  { local: TestConnector; visitor: Deno.TcpConn } & AsyncDisposable
> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const remote = stack.use(await startConnector());
  const local = stack.use(await startConnector());
  const { port } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  const visitor = stack.use(await Deno.connect({ port }));
  await visitor.write(Uint8Array.of(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  const owned = stack.move();
  return { local, visitor, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** How a connection ends on which nothing comes any more. */
async function endOf(conn: Deno.Conn): Promise<typeof CUT> {
  try {
    strictEqual(await conn.read(new Uint8Array(1)), null);
    return "in order";
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return "reset";
    throw error;
  }
}

Deno.test("assemble: close lets nobody in and waits for who is there; abort ends the wait, and all that is open", async () => {
  await using visited = await visit();
  const { local, visitor } = visited;
  const { running } = local;
  let ended = false;
  const closed = running.close({ drainMs: 60_000 }).then(() => ended = true);
  await until(() => refuses(apiPort(running)), "the REST API is gone");
  await visitor.write(Uint8Array.of(2));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  strictEqual(ended, false);
  await soon(running.abort(), "it has ended");
  await closed;
  // What comes after is no news, and no fault.
  await running.close({ drainMs: 60_000 });
  strictEqual(await endOf(visitor), CUT);
});

Deno.test("assemble: the connector by itself can be aborted while it waits, too", async () => {
  await using visited = await visit();
  const { local, visitor } = visited;
  const closed = local.connector.close({ drainMs: 60_000 });
  await soon(local.connector.abort(), "it has ended");
  await closed;
  strictEqual(await endOf(visitor), CUT);
});

Deno.test("assemble: what is exposed as it is told to end is in the file when it has ended", async () => {
  await using folder = await tempFolder();
  const stateFile = path.join(folder.path, "services.json");
  const running = await start({ stateFile });
  const exposing = running.connector.expose({
    name: "late",
    sourcePort: freePort(),
    remoteConnectorAddr: `127.0.0.1:${freePort()}`,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await running.close({ drainMs: 0 });
  const { services } = parseState(await Deno.readTextFile(stateFile));
  deepStrictEqual(services.map(({ id }) => id), [await exposing]);
  await settle();
});
