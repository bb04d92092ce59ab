// Which sockets serve, and what is said of it: the handles pass their self-test, or fail it in each of the ways that a newer
// runtime could have it fail.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import type { ByteChannel } from "../../src/byte_channel.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { chooseNetwork } from "../../src/net/choose_network.ts";
import type { Conn } from "../../src/net/conn.ts";
import { denoNetwork } from "../../src/net/deno/sockets.ts";
import { handlesNetwork, handleSockets } from "../../src/net/handles/sockets.ts";
import { Network } from "../../src/net/network.ts";
import { selfTest } from "../../src/net/self_test.ts";
import type { SocketKind } from "../../src/net/socket_kinds.ts";
import type { Attempt, Sockets } from "../../src/net/sockets.ts";

/** Handles of which something is broken. */
function broken(parts: Partial<Sockets>): Network {
  return new Network({ ...handleSockets, ...parts });
}

/** Handles whose accepted connections behave otherwise. */
function accepting(change: (conn: Conn) => Partial<ByteChannel>): Network {
  return broken({
    listen: (address, onConn) =>
      handleSockets.listen(address, (conn) => {
        const own = change(conn);
        onConn({
          remote: conn.remote,
          local: conn.local,
          read: () => conn.read(),
          write: (bytes) => conn.write(bytes),
          finish: () => conn.finish(),
          onLost: (listener) => conn.onLost(listener),
          reset: (code, reason) => conn.reset(code, reason),
          close: () => conn.close(),
          ...own,
        });
      }),
  });
}

/** What every kind of sockets says on a machine without a loopback. */
const withoutLoopback: Pick<Sockets, "listen"> = {
  listen() {
    throw Object.assign(new Error("no loopback"), { code: "EADDRNOTAVAIL" });
  },
};

async function choose(
  handles: Network | Error,
  { asked, deno = denoNetwork, timeoutMs }: {
    asked?: SocketKind;
    deno?: Network;
    timeoutMs?: number;
  } = {},
) {
  const lines: string[] = [];
  const warn = (message: string, fields: Record<string, unknown>) =>
    lines.push(`${message}: ${fields.reason}`);
  // Of a logger, the choice uses this only.
  const logger = { warn } as unknown as Parameters<typeof chooseNetwork>[1]["logger"];
  const loadHandles = () =>
    handles instanceof Error ? Promise.reject(handles) : Promise.resolve(handles);
  const network = await chooseNetwork(asked, {
    logger,
    loadHandles,
    deno,
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
  return { network, lines };
}

for (const network of [handlesNetwork, denoNetwork]) {
  Deno.test(`self-test: ${network.kind} pass it`, async () => {
    strictEqual(await selfTest(network), undefined);
  });
}

Deno.test("sockets: the handles serve where they work, without a word", async () => {
  for (const asked of [undefined, "handles"] as const) {
    const { network, lines } = await choose(handlesNetwork, asked && { asked });
    strictEqual(network, handlesNetwork);
    deepStrictEqual(lines, []);
  }
});

Deno.test("sockets: Deno's serve when they are asked for, and nothing is tested or loaded", async () => {
  const { network, lines } = await choose(new Error("loaded"), { asked: "deno" });
  strictEqual(network, denoNetwork);
  deepStrictEqual(lines, []);
});

const FAILURES: [what: string, handles: Network | Error, reason: RegExp][] = [
  ["cannot be loaded", new Error("No such module: tcp_wrap"), /load: No such module: tcp_wrap$/],
  [
    "cannot listen",
    broken({
      listen() {
        throw new TypeError("listener.bind is not a function");
      },
    }),
    /listen: Cannot listen on port 0: listener.bind is not a function$/,
  ],
  [
    "cannot connect",
    broken({
      connect() {
        throw new TypeError("handle.connect is not a function");
      },
    }),
    /connect: Cannot connect to 127.0.0.1:\d+: handle.connect is not a function$/,
  ],
  [
    "never tell that they have connected",
    broken({ connect: (): Attempt => ({ abort() {} }) }),
    /connect: nothing in 0.2 s$/,
  ],
  [
    "never accept",
    broken({ listen: (address) => handleSockets.listen(address, (conn) => conn.close()) }),
    /accept: nothing in 0.2 s$/,
  ],
  [
    "do not read",
    accepting(() => ({ read: () => new Promise(() => {}) })),
    /write and read: nothing in 0.2 s$/,
  ],
  [
    "read what was never sent",
    accepting(() => ({ read: () => Promise.resolve(Uint8Array.of(7)) })),
    /write and read: what arrived is not what was sent$/,
  ],
  [
    "close where they should half-close",
    accepting((conn) => ({
      async read() {
        const bytes = await conn.read();
        if (bytes === null) conn.close();
        return bytes;
      },
    })),
    /half-close: Cannot write to /,
  ],
  [
    "close where they should reset",
    accepting((conn) => ({ reset: () => conn.close() })),
    /reset: it arrived as an end$/,
  ],
];

for (const [what, handles, reason] of FAILURES) {
  Deno.test(`sockets: handles that ${what}: Deno's serve, with one warning`, async () => {
    // Those that do nothing are not waited for.
    const bound = reason.source.includes("nothing in") ? { timeoutMs: 200 } : {};
    const { network, lines } = await choose(handles, bound);
    strictEqual(network, denoNetwork);
    strictEqual(lines.length, 1);
    match(lines[0] ?? "", /^the runtime's handles fail the self-test, so Deno's sockets serve/);
    match(lines[0] ?? "", reason);
    await rejects(choose(handles, { ...bound, asked: "handles" }), (error) => {
      match(error instanceof ConnectorError ? error.code : "", /^failed_precondition$/);
      match(
        String(error),
        /: Cannot use the runtime's handles for sockets: they fail the self-test/,
      );
      return true;
    });
  });
}

Deno.test("sockets: a machine on which Deno's fail as well says nothing of the handles", async () => {
  const handles = broken(withoutLoopback);
  for (const asked of [undefined, "handles"] as const) {
    const { network, lines } = await choose(handles, {
      ...(asked && { asked }),
      deno: broken({ ...withoutLoopback, kind: "deno" }),
    });
    strictEqual(network, handles);
    strictEqual(lines.length, 1);
    match(lines[0] ?? "", /^sockets cannot be tested on this machine: listen: Cannot listen /);
  }
});
