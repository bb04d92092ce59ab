// A reset arrives as a reset where sockets can send one, and an orderly end as an orderly end, in both directions.

import { ok, strictEqual } from "node:assert/strict";
import { CUT } from "../support/sockets.ts";
import { soon } from "../support/soon.ts";
import {
  connected,
  nameOf,
  PATH_KINDS,
  serveWatched,
  startPath,
  visit,
} from "../support/tunnel_path.ts";
import { freePort, randomBytes, until } from "../support/world.ts";

/** The longest that a refusal may take to reach the visitor, in milliseconds. */
const REFUSAL_MS = 100;

/** Both ways round. */
const DIRECTIONS = [
  { from: "visitor", to: "upstream" },
  { from: "upstream", to: "visitor" },
] as const;

for (const kind of PATH_KINDS) {
  const name = nameOf(kind);

  for (const { from, to } of DIRECTIONS) {
    Deno.test(`${name}: a reset by the ${from} resets the ${to}`, async () => {
      await using ends = await connected(kind);
      ends[from].reset();
      strictEqual(await soon(ends[to].ended, `the ${to} has ended`), CUT);
    });

    Deno.test(`${name}: a reset by the ${from} in the middle of its bytes resets the ${to}`, async () => {
      await using ends = await connected(kind);
      await ends[from].write(randomBytes(1024 * 1024));
      await ends[to].received(500_000);
      ends[from].reset();
      strictEqual(await soon(ends[to].ended, `the ${to} has ended`), CUT);
    });

    Deno.test(`${name}: a reset by the ${from} after the ${to} has finished resets the ${to}`, async () => {
      await using ends = await connected(kind);
      ends[to].finish();
      strictEqual(await soon(ends[from].ended, `the ${from} has read the end`), "in order");
      ends[from].reset();
      strictEqual(await soon(ends[to].ended, `the ${to} has ended`), CUT);
    });

    Deno.test(`${name}: a reset by the ${from} after it has finished resets the ${to}, if that still sends`, async () => {
      await using ends = await connected(kind);
      ends[from].finish();
      strictEqual(await soon(ends[to].ended, `the ${to} has read the end`), "in order");
      ends[from].reset();
      const failed = Promise.withResolvers<string>();
      ends[to].socket.on(
        "error",
        (error) => failed.resolve("code" in error ? `${error.code}` : ""),
      );
      // The first bytes after a reset tell the system, the next ones tell the writer.
      await soon(
        (async () => {
          while (!ends[to].socket.destroyed) {
            await ends[to].write(randomBytes(1000)).catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        })(),
        `the ${to} is told`,
      );
      ok(["ECONNRESET", "EPIPE"].includes(await failed.promise));
    });

    Deno.test(`${name}: an orderly end of the ${from} is one at the ${to}, and of both sides at both`, async () => {
      await using ends = await connected(kind);
      const bytes = randomBytes(300_000);
      await ends[from].write(bytes);
      ends[from].finish();
      strictEqual(await soon(ends[to].ended, `the ${to} has ended`), "in order");
      strictEqual(ends[to].bytes, 10 + bytes.length);
      ends[to].finish();
      strictEqual(await soon(ends[from].ended, `the ${from} has ended`), "in order");
    });
  }

  Deno.test(`${name}: removing the service resets both ends`, async () => {
    await using ends = await connected(kind);
    await ends.path.local.connector.destroy(ends.path.id);
    strictEqual(await soon(ends.visitor.ended, "the visitor has ended"), CUT);
    strictEqual(await soon(ends.upstream.ended, "the upstream has ended"), CUT);
  });

  Deno.test(`${name}: losing the link resets both ends where nothing is resumed`, async () => {
    await using ends = await connected(kind, { resumeMs: 0 });
    ends.path.remote.server.abort();
    strictEqual(await soon(ends.visitor.ended, "the visitor has ended"), CUT);
    strictEqual(await soon(ends.upstream.ended, "the upstream has ended"), CUT);
  });

  Deno.test(`${name}: a destination that refuses resets the visitor within ${REFUSAL_MS} ms`, async () => {
    await using path = await startPath(kind, { destination: freePort() });
    let best = Infinity;
    for (let run = 0; run < 3; run += 1) {
      const started = performance.now();
      await using visitor = await visit(path.port);
      strictEqual(await soon(visitor.ended, "the visitor has ended"), CUT);
      best = Math.min(best, performance.now() - started);
    }
    ok(best < REFUSAL_MS, `it took ${best} ms`);
  });

  Deno.test(`${name}: a visitor of a link that is gone is turned away, not left waiting`, async () => {
    await using server = await serveWatched();
    await using path = await startPath(kind, {
      destination: server.port,
      graceMs: 100,
      resumeMs: 0,
    });
    path.remote.server.abort();
    await until(() => path.local.connector.list()[0]?.status === "pending", "the link is gone");
    const turnedAway = () =>
      visit(path.port).then(async (visitor) => {
        await using it = visitor;
        return await it.ended;
      }, () => "refused");
    // Type remote listens where it dials from, and keeps its port; type local listens at the peer.
    if (kind.type === "remote") strictEqual(await soon(turnedAway(), "it is told"), CUT);
    else await until(async () => await turnedAway() === "refused", "the port refuses");
  });
}
