// The deadlines of the REST API as they are: clients that hold a connection open without a request are gone in seconds.

import { ok, strictEqual } from "node:assert/strict";
import { spawnConnector } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { readAll, writeAll } from "../support/world.ts";

/** The deadline of headers and of bodies, and how late it may be noticed, in milliseconds. */
const DEADLINE_MS = 10_000;
const LATE_MS = 3000;

for (
  const [name, text, answered] of [
    ["says nothing", "", ""],
    ["sends half of its headers", "GET /list HTTP/1.1\r\nHost: localhost\r\nA", ""],
    [
      "sends half of its body",
      "POST /expose HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
      "HTTP/1.1 408 Request Timeout",
    ],
  ] as const
) {
  Deno.test(`a client that ${name} is gone after ten seconds`, async () => {
    await using connector = await spawnConnector();
    using conn = await Deno.connect({ port: connector.httpPort });
    await writeAll(conn, new TextEncoder().encode(text));
    const started = performance.now();
    const end = readAll(conn).catch(() => new Uint8Array());
    const answer = await soon(end, "it is cut", { timeoutMs: DEADLINE_MS + LATE_MS });
    ok(performance.now() - started > DEADLINE_MS - 500);
    strictEqual(new TextDecoder().decode(answer).split("\r\n")[0], answered);
    strictEqual((await connector.rest.request("GET", "/health")).status, 200);
  });
}
