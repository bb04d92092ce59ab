// Why the REST API cannot be served: the reason, and a hint only where it helps; and how it ends.

import { rejects, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { ConnectorError } from "../../src/model/errors.ts";
import { serveHttp } from "../../src/api/serve_http.ts";

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
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, CONTENT);
  strictEqual(
    await hintOf(() =>
      serveHttp({ bind: { host: "127.0.0.1", port: server.address?.port ?? 0 } }, CONTENT)
    ),
    "Stop the other program, or choose another address with --http-bind",
  );
  await server.close();
  // An address that no machine has (RFC 5737).
  strictEqual(
    await hintOf(() => serveHttp({ bind: { host: "192.0.2.1", port: 0 } }, CONTENT)),
    "Choose another address with --http-bind",
  );
});

Deno.test({
  name: "a name is served on every address that it has, or not at all",
  // Others have only one loopback address.
  ignore: Deno.build.os !== "linux",
  async fn() {
    const resolveBind = () => Promise.resolve(["127.0.0.1", "127.0.0.2"]);
    const server = await serveHttp({ bind: { host: "two.example", port: 0 } }, {
      ...CONTENT,
      resolveBind,
    });
    for (const hostname of await resolveBind()) {
      (await Deno.connect({ hostname, port: server.address?.port ?? 0 })).close();
    }
    await server.close();
    // Elsewhere than where it is bound first.
    using taken = Deno.listen({ hostname: "127.0.0.2", port: 0 });
    const { port } = taken.addr;
    await rejects(serveHttp({ bind: { host: "two.example", port } }, { ...CONTENT, resolveBind }), {
      message: `Cannot serve the REST API on two.example:${port}: the port is already in use`,
    });
    await rejects(Deno.connect({ hostname: "127.0.0.1", port }), Deno.errors.ConnectionRefused);
  },
});

Deno.test("a request that is never answered ends with the server, whose close is hastened by an abort", async () => {
  const asked = Promise.withResolvers<void>();
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    ...CONTENT,
    fetch: () => {
      asked.resolve();
      return new Promise(() => {});
    },
  });
  using client = await Deno.connect({ hostname: "127.0.0.1", port: server.address?.port ?? 0 });
  await client.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  await asked.promise;
  const closed = [server.close(), server.close()];
  server.abort();
  strictEqual(await client.read(new Uint8Array(1)).catch(() => null), null);
  await Promise.all(closed);
  await server.close();
});
