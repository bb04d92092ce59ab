// What dialling keeps, whichever sockets it is done with: of a name every address gets its chance, and one that does not
// answer holds nobody up.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { Names, type Resolve } from "../../src/names.ts";
import type { Dial } from "../../src/net/dial.ts";
import type { Network } from "../../src/net/network.ts";
import { silentAddress } from "../support/silent_address.ts";
import { soon } from "../support/soon.ts";
import { freePort } from "../support/world.ts";

const TIMEOUT_MS = 5000;

/** A name that has these addresses. */
function named(...addresses: string[]): Resolve {
  const found = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  return (_name, answer) => queueMicrotask(() => answer(null, found));
}

/** Registers the tests for one kind of sockets. */
export function dialContract(network: Network): void {
  const test = (name: string, run: () => void | Promise<void>) =>
    Deno.test(`${network.kind}: dial: ${name}`, run);
  const dial = (port: number, resolve: Resolve): Dial =>
    network.dial({ host: "service.test", port }, TIMEOUT_MS, { names: new Names({ resolve }) });

  /** A listening port, and how many have connected to it. */
  const listen = (): Disposable & { port: number; count: () => number } => {
    let count = 0;
    const listener = network.listen(0, (conn) => {
      count += 1;
      conn.close();
    });
    return { port: listener.port, count: () => count, [Symbol.dispose]: () => listener.close() };
  };

  test("a name whose first addresses refuse is reached at the next, at once", async () => {
    using loopback = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const before = performance.now();
    const conn = await dial(loopback.addr.port, named("127.0.0.2", "::1", "127.0.0.1")).conn;
    ok(performance.now() - before < 200, "without waiting");
    strictEqual(conn.remote, `127.0.0.1:${loopback.addr.port}`);
    conn.close();
  });

  test("an address that does not answer holds up the next for a quarter of a second", async () => {
    await using silent = await silentAddress("127.0.0.2");
    using server = Deno.listen({ hostname: "127.0.0.1", port: silent.port });
    const before = performance.now();
    const attempt = dial(server.addr.port, named(silent.host, "127.0.0.1"));
    const conn = await soon(attempt.conn, "it is connected");
    const tookMs = performance.now() - before;
    ok(tookMs > 200 && tookMs < 2000, `${tookMs} ms`);
    conn.close();
  });

  test("families take turns, as the system sorted them", async () => {
    using server = listen();
    const tried: string[] = [];
    const attempt = network.dial({ host: "service.test", port: server.port }, TIMEOUT_MS, {
      names: new Names({ resolve: named("127.0.0.2", "127.0.0.3", "::1") }),
      refuse: (ip) => {
        tried.push(ip);
        return `${ip} is refused`;
      },
    });
    await rejects(attempt.conn);
    strictEqual(tried.join(" "), "127.0.0.2 ::1 127.0.0.3");
  });

  test("when every address refuses, the first reason is told, and the name", async () => {
    const port = freePort();
    await rejects(dial(port, named("127.0.0.1", "::1")).conn, (error) => {
      ok(error instanceof ConnectorError);
      strictEqual(error.message, `Cannot connect to service.test:${port}: connection refused`);
      return true;
    });
  });

  test("a name without addresses, or that cannot be resolved, is an error", async () => {
    await rejects(dial(1, named()).conn, /service\.test:1: "service\.test" has no address$/);
    const unknown: Resolve = (_name, answer) =>
      answer(Object.assign(new Error("getaddrinfo"), { code: "ENOTFOUND" }), []);
    await rejects(dial(1, unknown).conn, /service\.test:1: no such name: "service\.test"$/);
  });

  test("one that is given up while its name is resolved connects nowhere", async () => {
    using server = listen();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const slow: Resolve = (_name, found) =>
      void answered.then(() => found(null, [{ address: "127.0.0.1", family: 4 }]));
    const attempt = dial(server.port, slow);
    const failed = rejects(attempt.conn, /: cancelled$/);
    attempt.abort();
    await failed;
    strictEqual(attempt.aborted, true);
    answer();
    await delay(100);
    strictEqual(server.count(), 0);
  });

  test("what is dialled is the address that was judged: a name is not asked for again", async () => {
    using server = listen();
    let asked = 0;
    // The second answer would be another one, as DNS rebinding has it.
    const rebinding: Resolve = (name, answer) => {
      asked += 1;
      named(asked === 1 ? "127.0.0.1" : "127.0.0.9")(name, answer);
    };
    const judged: string[] = [];
    const attempt = network.dial({ host: "service.test", port: server.port }, TIMEOUT_MS, {
      names: new Names({ resolve: rebinding }),
      refuse: (ip) => void judged.push(ip),
    });
    const conn = await attempt.conn;
    strictEqual(conn.remote, `127.0.0.1:${server.port}`);
    conn.close();
    deepStrictEqual(judged, ["127.0.0.1"]);
    strictEqual(asked, 1);
    strictEqual(attempt.refused, false);
  });

  test("addresses that are refused are passed over, and the next is tried", async () => {
    using server = listen();
    const attempt = network.dial({ host: "service.test", port: server.port }, TIMEOUT_MS, {
      names: new Names({ resolve: named("169.254.169.254", "::1", "127.0.0.1") }),
      refuse: (ip) => ip === "127.0.0.1" ? undefined : `${ip} is refused`,
    });
    const conn = await attempt.conn;
    strictEqual(conn.remote, `127.0.0.1:${server.port}`);
    conn.close();
  });

  test("where every address is refused nothing is dialled, and the reason says so", async () => {
    using server = listen();
    const many = Array.from({ length: 20_000 }, () => "127.0.0.1");
    const attempt = network.dial({ host: "service.test", port: server.port }, TIMEOUT_MS, {
      names: new Names({ resolve: named(...many) }),
      refuse: (ip) => `${ip} is refused`,
    });
    await rejects(attempt.conn, (error) => {
      ok(error instanceof ConnectorError);
      strictEqual(error.code, "permission_denied");
      strictEqual(
        error.message,
        `Cannot connect to service.test:${server.port}: 127.0.0.1 is refused`,
      );
      return true;
    });
    strictEqual(attempt.refused, true);
    await delay(50);
    strictEqual(server.count(), 0);
  });

  for (const host of ["0:0:0:0:0:ffff:7f00:1", "::ffff:127.0.0.1"]) {
    test(`${host} is judged and dialled in the one spelling that all read alike`, async () => {
      using server = listen();
      const judged: string[] = [];
      const attempt = network.dial({ host, port: server.port }, TIMEOUT_MS, {
        refuse: (ip) => void judged.push(ip),
      });
      (await attempt.conn).close();
      deepStrictEqual(judged, ["::ffff:7f00:1"]);
    });
  }

  for (const host of ["localhost", "LOCALHOST.", "web.localhost"]) {
    test(`${host} is this machine, whatever a name server says`, async () => {
      using server = listen();
      let asked = false;
      const names = new Names({ resolve: () => asked = true });
      const conn = await network.dial({ host, port: server.port }, TIMEOUT_MS, { names }).conn;
      conn.close();
      strictEqual(asked, false);
    });
  }

  test("on a machine without IPv6 the reason is that of the other address", async () => {
    const port = freePort();
    // The system has no way to the first either.
    await rejects(dial(port, named("ff0e::1", "127.0.0.1")).conn, /: connection refused$/);
  });

  test("on a machine without IPv6 an address that is refused is the reason as well", async () => {
    const attempt = network.dial({ host: "service.test", port: 1 }, TIMEOUT_MS, {
      names: new Names({ resolve: named("ff0e::1", "127.0.0.1") }),
      refuse: (ip) => ip === "127.0.0.1" ? `${ip} is refused` : undefined,
    });
    await rejects(attempt.conn, /: 127\.0\.0\.1 is refused$/);
    strictEqual(attempt.refused, true);
  });

  test("of a name with many addresses no more are tried than there is time for", async () => {
    const port = freePort();
    const many = Array.from({ length: 500 }, (_, at) => `127.1.${at >> 8}.${at & 255}`);
    const tried: string[] = [];
    const attempt = network.dial({ host: "service.test", port }, TIMEOUT_MS, {
      names: new Names({ resolve: named(...many) }),
      refuse: (ip) => void tried.push(ip),
    });
    await rejects(attempt.conn, /: connection refused$/);
    deepStrictEqual(tried, many.slice(0, 16));
  });

  test("a visitor that leaves while the name is looked up frees its place at once", async () => {
    const names = new Names({ resolve: () => {} });
    const hosts = Array.from({ length: 40 }, (_, at) => `${at}.test`);
    const dials = hosts.map((host) => network.dial({ host, port: 1 }, TIMEOUT_MS, { names }));
    deepStrictEqual(names.load, { running: 13, queued: 27 });
    const failed = dials.map(({ conn }) => rejects(conn, /: cancelled$/));
    for (const each of dials) each.abort();
    await Promise.all(failed);
    // Those that the system was asked for keep their places until it has answered.
    deepStrictEqual(names.load, { running: 13, queued: 0 });
  });
}
