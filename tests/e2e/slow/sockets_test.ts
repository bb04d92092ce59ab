// The two kinds of sockets that services may have: what a reset becomes over each, and what a connector does whose runtime
// has no handles that work.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { SOCKET_KINDS } from "../../../src/net/socket_kinds.ts";
import { exposeService, ROOT, runCommand, spawnPair } from "../../support/processes.ts";
import { SOCKETS_FLAG } from "../../support/sockets.ts";
import { soon } from "../../support/soon.ts";
import { serveWatched, visit } from "../../support/tunnel_path.ts";
import { echo, randomBytes, roundTrip, serveTcp } from "../../support/world.ts";

/** What a reset becomes. */
const RESET = { handles: "reset", deno: "in order" } as const;

for (const kind of SOCKET_KINDS) {
  Deno.test(`--sockets=${kind}: a reset of either end is ${RESET[kind]} at the other`, async () => {
    await using server = await serveWatched();
    const args = [`--sockets=${kind}`];
    await using pair = await spawnPair({ local: { args }, remote: { args } });
    for (const type of ["local", "remote"] as const) {
      const { port } = await exposeService(pair.local, {
        to: pair.remote.address,
        type,
        destination: server.port,
      });
      for (const from of ["visitor", "upstream"] as const) {
        await using visitor = await visit(port);
        await visitor.write(randomBytes(10));
        const upstream = await server.accept();
        await upstream.received(10);
        await upstream.write(randomBytes(10));
        await visitor.received(10);
        const [one, other] = from === "visitor"
          ? [visitor, upstream] as const
          : [upstream, visitor] as const;
        one.reset();
        strictEqual(await soon(other.ended, `the other of ${type} has ended`), RESET[kind]);
      }
    }
  });
}

/** Runtimes whose handles do not do what they should, and what the self-test says of them. */
const BROKEN: [preload: string, reason: string][] = [
  ["no_handles.ts", "load: No such module: tcp_wrap"],
  ["handles_without_reset.ts", "reset: it arrived as an end"],
];

// An executable has its runtime inside, with nothing before it.
const runtimes = Deno.env.get("CONNECTOR_EXECUTABLE") === undefined ? BROKEN : [];

for (const [file, reason] of runtimes) {
  const preload = path.join(ROOT, "tests/support", file);

  Deno.test(`a runtime whose handles fail (${file}): --sockets=handles does not start`, async () => {
    const { code, stderr } = await runCommand(["run", "--sockets=handles"], { preload });
    strictEqual(code, 1);
    strictEqual(
      stderr.split("\n")[0],
      `error: Cannot use the runtime's handles for sockets: they fail the self-test (${reason})`,
    );
  });

  // Which sockets serve is not chosen where that was said.
  if (SOCKETS_FLAG.length > 0) continue;
  Deno.test(`a runtime whose handles fail (${file}): one warning, and services work`, async () => {
    await using server = serveTcp(echo);
    await using pair = await spawnPair({ local: { preload }, remote: { preload } });
    for (const type of ["local", "remote"] as const) {
      const { port } = await exposeService(pair.local, {
        to: pair.remote.address,
        type,
        destination: server.port,
      });
      await roundTrip(port);
    }
    for (const { logs } of [pair.local, pair.remote]) {
      const [warning = "", ...more] = logs().split("\n").filter((line) => / WARN {2}/.test(line));
      match(warning, /WARN {2}the runtime's handles fail the self-test, so Deno's sockets serve/);
      ok(warning.endsWith(`reason="${reason}"`), warning);
      deepStrictEqual(more, []);
    }
  });
}
