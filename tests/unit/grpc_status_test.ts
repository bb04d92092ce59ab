// What users read when a link cannot be opened: our words, not the platform's.

import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import type { Security } from "../../src/connect_reasons.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { fromStatus, toStatus } from "../../src/grpc/status.ts";

function reasonOf(details: string, security: Security = "TLS"): string | undefined {
  return fromStatus({ code: status.UNAVAILABLE, details }, security)?.message;
}

const ENDED =
  "it ended the connection before the link was open: it may not accept our certificate, or not be a connector; its log may tell why";
const NOT_OURS =
  "its certificate is not valid now, is not for servers, or was not signed by our root";

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
        NOT_OURS,
      ],
      [
        "Error: received corrupt message of type InvalidContentType (SSL routines:ssl3_get_record:wrong version number)",
        "it does not speak TLS: it may run without certificates, or not be a connector",
      ],
      [
        "Error [ERR_SSL]: received fatal alert: CertificateRequired",
        "it wants a certificate, and got none that it can use",
      ],
      ["Error: received fatal alert: UnknownCA", "it does not accept our certificate"],
      ["Error: received fatal alert: BadCertificate", "it does not accept our certificate"],
      [
        "Failed to connect (2026-01-01T00:00:00.000Z)",
        ENDED,
      ],
      ["Error: write EPIPE (2026-01-01T00:00:00.000Z)", ENDED],
      ["Error: Client network socket disconnected before secure TLS connection", ENDED],
      [
        "Error: received fatal alert: NoApplicationProtocol",
        "it does not speak HTTP/2: is this the port of its REST API?",
      ],
      ["Error: received fatal alert: ProtocolVersion", "it does not speak TLS 1.2 or 1.3"],
      [
        "Error: received fatal alert: HandshakeFailure",
        "it has no cipher in common with us, or its certificate has a key that our TLS library does not accept",
      ],
      [
        "Error: received fatal alert: CertificateExpired",
        "it says that our certificate has expired or is not valid yet: is its clock right?",
      ],
      [
        "Error: received fatal alert: DecodeError",
        "it ended the TLS handshake: its log may tell why",
      ],
      ["Error: UNABLE_TO_VERIFY_LEAF_SIGNATURE", NOT_OURS],
      ["Error: Protocol error", "it breaks the rules of HTTP/2: it may not be a connector"],
      [
        "Error: write EPROTO 140:error",
        "it ended the TLS handshake: its log may tell why",
      ],
      [
        "Error: connect EINVAL fe80::1:9090 - Local (:::0)",
        "link-local addresses of IPv6 cannot be dialled: give another address of that machine",
      ],
      ["Error: connect EINVAL 10.0.0.1:1", "the address cannot be used here"],
      ["Error: connect EADDRNOTAVAIL ::1", "the address is not available on this machine"],
      ["Error: connect EMFILE 127.0.0.1:1 - Local", "no file descriptor is left"],
      ["Error: connect EPERM 127.0.0.1:1", "the system does not permit it"],
      ["Error: something new (2026-01-01T00:00:00.000Z)", "something new"],
      [
        'Error: its certificate does not chain to the root: it was issued by "CN=ECONNREFUSED"',
        'its certificate does not chain to the root: it was issued by "CN=ECONNREFUSED"',
      ],
      ["Error: its certificate is for a and not for b", "its certificate is for a and not for b"],
    ] as const
  ) assert.equal(reasonOf(wrapped(platform)), words);
});

Deno.test("who ends a plaintext connection without a word may want TLS", () => {
  assert.equal(
    reasonOf(wrapped("Error: read ECONNRESET"), "plaintext"),
    "it ended the connection without an answer: it may want TLS, or not be a connector; its log may tell why",
  );
});

Deno.test("what a peer says itself is left as it is, within bounds", () => {
  assert.equal(reasonOf("the connector is\n shutting down"), "the connector is shutting down");
  assert.equal(reasonOf("read ECONNRESET"), "read ECONNRESET");
  assert.equal(reasonOf("x".repeat(10_000)), `${"x".repeat(500)}…`);
  assert.equal(reasonOf("\u001b[31mred \u202e \0"), "\\u{1b}[31mred \\u{202e} \\u{0}");
  assert.equal(fromStatus({ code: status.OK, details: "" }, "TLS"), undefined);
});

Deno.test("why we have cut a connection is said without how", () => {
  for (const why of ["its headers are too large", "read EIO"]) {
    const details = `Received RST_STREAM with code 2 triggered by internal client error: ${why}`;
    assert.equal(reasonOf(details), why);
  }
});

Deno.test("a call that ended without a status says what may have ended it", () => {
  const limit = "its limit on the size of a request (nginx: client_max_body_size)";
  for (
    const details of [
      "Received RST_STREAM with code 0 (Call ended without gRPC status)",
      "Received RST_STREAM with code 2 (Internal server error)",
      "Write error: write ECANCELED",
    ]
  ) {
    assert.strictEqual(
      reasonOf(details),
      "it ended the call without saying why: it is not a connector, or a proxy in front of one " +
        `has reached ${limit} or a time limit`,
    );
  }
  assert.strictEqual(
    reasonOf("Received HTTP status code 413"),
    `a proxy on the way answered with HTTP status 413: the link has reached ${limit}`,
  );
});

Deno.test("an answer of something that is not a connector is said to be one", () => {
  for (
    const [details, words] of [
      [
        "Received HTTP status code 502",
        "it answered with HTTP status 502: it is not a connector, or a proxy in front of one",
      ],
      [
        "Received message larger than max (1752460652 vs 4194304)",
        "it sent a message that is too large, or is not a connector",
      ],
      ["", "the call ended with gRPC status UNAVAILABLE"],
      ["Connection dropped", "it ended the call, or the connection was lost"],
      [
        "Stream refused by server",
        "the call was refused, by the peer or a proxy on the way",
      ],
      ["Received RST_STREAM with code 1", "it reset the call (HTTP/2 error 1)"],
      [
        "Failed to start HTTP/2 stream with error The session has been destroyed",
        "it ended the connection before the call, or breaks the rules of HTTP/2: it may be no connector",
      ],
      [
        "Write error: The stream has been destroyed",
        "it ended the call, or the connection was lost",
      ],
    ] as const
  ) assert.equal(reasonOf(details), words);
  assert.equal(
    fromStatus({ code: 12, details: "" }, "TLS")?.message,
    "it speaks gRPC, but is not a connector: UNIMPLEMENTED",
  );
});

Deno.test("an error survives the way over the wire; a defect keeps its text to itself", () => {
  const error = new ConnectorError("resource_exhausted", "Too many services");
  const back = fromStatus(toStatus(error), "TLS");
  assert.deepEqual([back?.code, back?.message], [error.code, error.message]);
  assert.deepEqual(toStatus(new TypeError("secret")), {
    code: status.INTERNAL,
    details: "internal error",
  });
});
