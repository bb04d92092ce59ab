// What users read when a link cannot be opened: our words, not the platform's.

import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { ConnectorError } from "../../src/errors.ts";
import { fromStatus, toStatus } from "../../src/grpc/status.ts";

function reasonOf(details: string): string | undefined {
  return fromStatus({ code: status.UNAVAILABLE, details })?.message;
}

/** As grpc-js wraps the platform's words. */
function wrapped(text: string): string {
  return `No connection established. Last error: ${text}. Resolution note: `;
}

Deno.test("why a link could not be opened is said in words", () => {
  for (
    const [platform, words] of [
      ["Error: connect ECONNREFUSED 127.0.0.1:1", "connection refused"],
      ["Error: connect EHOSTUNREACH 10.0.0.1:1", "the host is unreachable"],
      ["Error: connect ETIMEDOUT 10.0.0.1:1", "the host did not answer"],
      ["Error: self-signed certificate", "its certificate does not chain to our root"],
      [
        "Error: unable to get local issuer certificate",
        "its certificate does not chain to our root",
      ],
      [
        "Error: unable to verify the first certificate",
        "its certificate is not valid now, is not for servers, or was not signed by our root",
      ],
      [
        "Error: received corrupt message of type InvalidContentType (SSL routines:ssl3_get_record:wrong version number)",
        "it does not speak TLS",
      ],
      [
        "Error [ERR_SSL]: received fatal alert: CertificateRequired",
        "it wants a certificate, and there is none here",
      ],
      ["Error: received fatal alert: UnknownCA", "it does not accept our certificate"],
      ["Error: received fatal alert: BadCertificate", "it does not accept our certificate"],
      [
        "Failed to connect (2026-01-01T00:00:00.000Z)",
        "it closed the connection before anything was said: its log may tell why",
      ],
      ["Error: its certificate is for a and not for b", "its certificate is for a and not for b"],
    ] as const
  ) assert.equal(reasonOf(wrapped(platform)), words);
  assert.equal(
    reasonOf("Name resolution failed for target dns:no.such.invalid:1"),
    "the host name could not be resolved",
  );
});

Deno.test("what a peer says itself is left as it is, within bounds", () => {
  assert.equal(reasonOf("the connector is\n shutting down"), "the connector is shutting down");
  assert.equal(reasonOf("read ECONNRESET"), "read ECONNRESET");
  assert.equal(reasonOf("x".repeat(10_000))?.length, 500);
  assert.equal(fromStatus({ code: status.OK, details: "" }), undefined);
});

Deno.test("an error survives the way over the wire; a defect keeps its text to itself", () => {
  const error = new ConnectorError("resource_exhausted", "Too many services");
  const back = fromStatus(toStatus(error));
  assert.deepEqual([back?.code, back?.message], [error.code, error.message]);
  assert.deepEqual(toStatus(new TypeError("secret")), {
    code: status.INTERNAL,
    details: "internal error",
  });
});
