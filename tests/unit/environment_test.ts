// Variables that the runtime would obey by itself. What comes of them in a running connector is in tests/e2e.

import { deepStrictEqual, throws } from "node:assert/strict";
import { cleanEnvironment, refuseKeyLog } from "../../src/cli/environment.ts";

Deno.test("variables that the runtime would obey are taken from the process, others are left", () => {
  const names = [
    "DENO_SERVE_ADDRESS",
    "DENO_TRUST_PROXY_HEADERS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "GRPC_NODE_DEBUG_SEND_ERROR_DETAILS",
  ];
  for (const name of [...names, "CONNECTOR_TEST_KEPT"]) Deno.env.set(name, "1");
  try {
    cleanEnvironment();
    deepStrictEqual(names.filter((name) => Deno.env.has(name)), []);
    deepStrictEqual(Deno.env.get("CONNECTOR_TEST_KEPT"), "1");
  } finally {
    for (const name of [...names, "CONNECTOR_TEST_KEPT"]) Deno.env.delete(name);
  }
});

Deno.test("TLS is refused while keys would be written to a file", () => {
  throws(() => refuseKeyLog({ SSLKEYLOGFILE: "/tmp/keys" }), { code: "failed_precondition" });
  refuseKeyLog({ SSLKEYLOGFILE: "" });
  refuseKeyLog({});
});
