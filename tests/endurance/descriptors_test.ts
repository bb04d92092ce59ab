// A connector that has run out of file descriptors turns nobody away for longer than that lasts: at the port of a
// service, at its gRPC port, and at its REST API.

import { ok } from "node:assert/strict";
import { exposeService, spawnConnector } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { echo, serveTcp, until, writeAll } from "../support/world.ts";

/** The most files of the connector, far more than it needs without visitors. */
const OPEN_FILES = 100;
/** More than that. */
const VISITORS = 150;
/** Windows knows no such limit. */
const notOnWindows = { ignore: Deno.build.os === "windows" };

for (const exhausted of ["a service", "gRPC", "REST"] as const) {
  Deno.test(
    `${exhausted}: visitors that took all descriptors are gone, and others are served again`,
    notOnWindows,
    async () => {
      await using server = serveTcp(echo);
      await using far = await spawnConnector({ openFiles: OPEN_FILES });
      await using near = await spawnConnector();
      const { port } = await exposeService(near, {
        to: far.address,
        type: "local",
        destination: server.port,
      });
      await untilServed(port);

      const target = { "a service": port, gRPC: far.grpcPort, REST: far.httpPort }[exhausted];
      const visitors: Deno.TcpConn[] = [];
      for (let count = 0; count < VISITORS; count += 1) {
        // The REST API refuses while it cannot accept.
        const visitor = await Deno.connect({ port: target }).catch(() => undefined);
        if (visitor === undefined) break;
        visitors.push(visitor);
      }
      // Peers that are no links have a part of them, and no more.
      if (exhausted === "gRPC") await untilServed(port);
      // Sockets are all in the system's hands until this is over: only new ones tell.
      if (exhausted === "a service") {
        await until(async () => !await served(port), "there is no descriptor left");
      }
      for (const visitor of visitors) visitor.close();

      await untilServed(port);
      await using another = await spawnConnector();
      await exposeService(another, { to: far.address, type: "local", destination: server.port });
      await until(
        () => far.rest.request("GET", "/health").then(({ status }) => status === 200, () => false),
        "the REST API answers",
      );
    },
  );
}

/** Waits until somebody who comes to a port gets an answer. */
async function untilServed(port: number): Promise<void> {
  await until(() => served(port), `port ${port} serves`, { timeoutMs: 20_000 });
}

/** Whether somebody who comes to a port gets an answer soon. */
async function served(port: number): Promise<boolean> {
  try {
    using conn = await Deno.connect({ port });
    await writeAll(conn, new Uint8Array(1));
    const count = await soon(conn.read(new Uint8Array(1)), "it answers", { timeoutMs: 500 });
    ok(count !== 0);
    return count === 1;
  } catch {
    // Reset, or not answered.
    return false;
  }
}
