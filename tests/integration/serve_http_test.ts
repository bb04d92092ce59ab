// Why the REST API cannot be served: the reason, and a hint only where it helps.

import { rejects, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { ConnectorError } from "../../src/errors.ts";
import { serveHttp } from "../../src/cli/serve_http.ts";

const CONTENT = {
  fetch: () => Promise.resolve(new Response()),
  tls: undefined,
  logger: getLogger(["test"]),
};

Deno.test("an address that is taken, and one that is not ours, are told apart", async () => {
  const hintOf = async (action: () => Promise<unknown>) => {
    let hint: string | undefined = "it did not fail";
    await rejects(action, (error) => {
      hint = error instanceof ConnectorError ? error.hint : "another error";
      return true;
    });
    return hint;
  };
  const server = await serveHttp({ host: "127.0.0.1", port: 0 }, CONTENT);
  strictEqual(
    await hintOf(() => serveHttp({ host: "127.0.0.1", port: server.port }, CONTENT)),
    "Stop the other program, or choose another address with --http-bind",
  );
  await server.close();
  // An address that no machine has (RFC 5737).
  strictEqual(
    await hintOf(() => serveHttp({ host: "192.0.2.1", port: 0 }, CONTENT)),
    "Choose another address with --http-bind",
  );
});
