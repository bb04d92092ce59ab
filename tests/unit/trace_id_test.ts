// Trace ids of requests: what counts as one, and that they are in the lines of the log.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { createApp } from "../../src/api/app.ts";
import { traceIdOf } from "../../src/api/trace_id.ts";
import { configureLogging } from "../../src/log.ts";
import { IDLE } from "../support/rest_server.ts";

const ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const NONE = "0".repeat(32);

const HEADERS: [header: string, id: string | undefined][] = [
  [`00-${ID}-${PARENT}-01`, ID],
  [` 00-${ID}-${PARENT}-00 `, ID],
  // A later version, which may say more.
  [`cc-${ID}-${PARENT}-01-what-the-future-will-be-like`, ID],
  [`cc-${ID}-${PARENT}-01`, ID],
  [`cc-${ID}-${PARENT}-01.what`, undefined],
  [`00-${ID}-${PARENT}-01-more`, undefined],
  [`ff-${ID}-${PARENT}-01`, undefined],
  [`00-${NONE}-${PARENT}-01`, undefined],
  [`00-${ID}-${"0".repeat(16)}-01`, undefined],
  [`00-${ID.toUpperCase()}-${PARENT}-01`, undefined],
  [`00-${ID}-${PARENT}`, undefined],
  [`00-${ID}x-${PARENT}-01`, undefined],
  ["", undefined],
];

for (const [header, id] of HEADERS) {
  Deno.test(`traceparent "${header}" has ${id ? "a trace id" : "none"}`, () => {
    strictEqual(traceIdOf({ headers: new Headers({ traceparent: header }) }), id);
  });
}

Deno.test("a request without the header has no trace id", () => {
  strictEqual(traceIdOf({ headers: new Headers() }), undefined);
});

Deno.test("the lines of a request have its trace id, and others have none", async () => {
  const lines: { message: string; fields: Record<string, unknown> }[] = [];
  await using logging = await configureLogging({
    level: "debug",
    format: "json",
    output: {
      write(bytes) {
        for (const line of new TextDecoder().decode(bytes).trim().split("\n")) {
          lines.push(JSON.parse(line));
        }
        return Promise.resolve(bytes.length);
      },
    },
  });
  const logger = getLogger(["connector", "api"]);
  const audit = { done: logger, refused: logger };
  const failing = () => {
    throw new TypeError("a defect");
  };
  const app = createApp({ control: { ...IDLE, get: failing }, logger, audit });
  const ask = (method: string, path: string, headers: HeadersInit) =>
    app.fetch(new Request(`http://localhost${path}`, { method, headers }));
  const traceparent = `00-${ID}-${PARENT}-01`;
  await ask("DELETE", "/expose/one", { traceparent });
  await ask("GET", "/expose/one", { traceparent });
  await ask("GET", "/health", {});
  await logging.flush();
  deepStrictEqual(lines.map(({ message, fields }) => [message, fields.traceId]), [
    ["request answered", ID],
    ["api request", ID],
    ["request failed", ID],
    ["request answered", ID],
    ["request answered", undefined],
  ]);
});
