// Services that lead into each other: a visitor ends soon, both connectors keep their descriptors, and the log names the
// services. If a loop cannot be detected, because something in between changes the address, the bounds limit it.

import { ok } from "node:assert/strict";
import { type ConnectorProcess, exposeService, spawnConnector } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { echo, freePort, serveTcp, until, writeAll } from "../support/world.ts";

/** What many systems give to a program. */
const OPEN_FILES = 1024;
/** Descriptors are counted in /proc. */
const onLinux = { ignore: Deno.build.os !== "linux" };
/** Far more than a loop may take, which is two for each time that a connection is there, and what an idle process has. */
const FEW_FILES = 120;

const LINE = /connection ended that leads back to itself.*/;

type Name = "a" | "b" | "c";

/** A service: who listens, who dials the destination, and who of the two asked for it. */
interface LoopService {
  listens: Name;
  dials: Name;
  asks: Name;
}

const LOOPS: Readonly<Record<string, readonly LoopService[]>> = {
  "a service that leads to itself": [{ listens: "b", dials: "a", asks: "a" }],
  "two services of type local": [
    { listens: "b", dials: "a", asks: "a" },
    { listens: "b", dials: "a", asks: "a" },
  ],
  "two services of type remote": [
    { listens: "a", dials: "b", asks: "a" },
    { listens: "a", dials: "b", asks: "a" },
  ],
  "local into remote into local": [
    { listens: "a", dials: "b", asks: "b" },
    { listens: "a", dials: "b", asks: "a" },
    { listens: "a", dials: "b", asks: "b" },
  ],
  "three connectors, one of which dials": [
    { listens: "a", dials: "b", asks: "b" },
    { listens: "c", dials: "b", asks: "c" },
  ],
  "three connectors, each of which dials": [
    { listens: "a", dials: "b", asks: "b" },
    { listens: "c", dials: "a", asks: "c" },
    { listens: "b", dials: "c", asks: "c" },
  ],
};

for (const [name, services] of Object.entries(LOOPS)) {
  Deno.test(
    `${name}: the loop ends, and the log says through which services`,
    onLinux,
    async () => {
      await using all = await startAll();
      const ports = services.map(() => freePort());
      for (const [index, service] of services.entries()) {
        await all.expose(service, {
          name: `loop ${index}`,
          sourcePort: ports[index] ?? 0,
          destination: ports[(index + 1) % ports.length] ?? 0,
        });
      }
      using visitor = await Deno.connect({ port: ports[0] ?? 0 });
      await writeAll(visitor, new Uint8Array(1));
      const end = visitor.read(new Uint8Array(1)).catch((error) => error);
      ok(await soon(end, "the visitor is reset") instanceof Deno.errors.ConnectionReset);
      await all.areWell();
      const line = () =>
        LINE.exec(Object.values(all.connectors).map(({ logs }) => logs()).join(""));
      await until(() => line() !== null, "it is logged");
      // Each connector knows the services that it listens or dials for.
      const known = name.endsWith("each of which dials") ? 2 : services.length;
      const named = [...services.keys()].filter((index) => line()?.[0].includes(`loop ${index}`));
      ok(named.length >= known, `${line()}`);
      await until(() => all.mostFiles() < FEW_FILES, "everything is released");
    },
  );
}

Deno.test(
  "a loop through a relay of its own keeps nobody else from being served",
  onLinux,
  async () => {
    await using all = await startAll();
    const sourcePort = freePort();
    await using relay = serveTcp(async (conn) => {
      using next = await Deno.connect({ port: sourcePort });
      // As soon as one end is gone, so is the other.
      const copies = [copy(conn, next), copy(next, conn)].map((each) => each.catch(() => {}));
      await Promise.race(copies);
    });
    await all.expose({ listens: "a", dials: "b", asks: "b" }, {
      name: "loop",
      sourcePort,
      destination: relay.port,
    });
    const visitor = await Deno.connect({ port: sourcePort });
    try {
      await writeAll(visitor, new Uint8Array(1)).catch(() => {});
      // Either it has ended, or as many are open as may be.
      const bound = /too many connections are open/;
      await until(
        () => Object.values(all.connectors).some(({ logs }) => bound.test(logs())),
        "a bound is reached",
        { timeoutMs: 30_000 },
      );
      for (let count = 0; count < 3; count += 1) await all.areWell();
    } finally {
      visitor.close();
    }
    await until(() => all.mostFiles() < FEW_FILES, "everything is released", { timeoutMs: 30_000 });
  },
);

async function copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(1024);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return;
    await writeAll(to, buffer.slice(0, count));
  }
}

/** Three connectors, with a service from one to the next that echoes. */
async function startAll() {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const start = async () => stack.use(await spawnConnector({ openFiles: OPEN_FILES }));
  const [a, b, c] = [await start(), await start(), await start()];
  const connectors: Record<Name, ConnectorProcess> = { a, b, c };
  const { port } = await exposeService(b, {
    to: a.address,
    type: "local",
    destination: server.port,
    name: "good",
  });
  const kept = stack.move();
  return {
    connectors,
    async expose(
      { listens, dials, asks }: LoopService,
      service: { name: string; sourcePort: number; destination: number },
    ): Promise<void> {
      const to = connectors[asks === listens ? dials : listens].address;
      const type = asks === listens ? "remote" as const : "local" as const;
      await exposeService(connectors[asks], { to, type, ...service });
    },
    /** The other service echoes, and REST answers. */
    async areWell(): Promise<void> {
      using conn = await Deno.connect({ port });
      await writeAll(conn, new Uint8Array(1));
      ok(await soon(conn.read(new Uint8Array(1)), "the other service answers") === 1);
      for (const { rest } of Object.values(connectors)) {
        ok((await rest.request("GET", "/health")).status === 200);
      }
    },
    mostFiles: () =>
      Math.max(
        ...Object.values(connectors).map(({ pid }) =>
          [...Deno.readDirSync(`/proc/${pid}/fd`)].length
        ),
      ),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
