// What a peer or a tool may ask to be exposed: each field is checked, and the refusal names it.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import type { Service as ServiceMessage } from "../../proto/gen/connector.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Service, ServiceStatus } from "../../src/model/service.ts";
import { MAX_NAME_LENGTH } from "../../src/model/service.ts";
import {
  checkAddress,
  checkServiceId,
  serviceFromMessage,
  serviceToMessage,
  statusFromMessage,
  statusToMessage,
} from "../../src/wire/service_message.ts";

const GOOD: ServiceMessage = {
  id: "11111111-0000-4000-8000-000000000001",
  name: "web",
  remoteConnectorAddr: "connector.example:9090",
  destinationAddr: "127.0.0.1:8080",
  sourcePort: 13500,
  type: 1,
  status: 0,
};

Deno.test("a service is read without its id and status, which are the sender's own", () => {
  deepStrictEqual(serviceFromMessage(GOOD), {
    name: "web",
    remoteConnectorAddr: "connector.example:9090",
    destinationAddr: "127.0.0.1:8080",
    sourcePort: 13500,
    type: "remote",
  });
});

Deno.test("type 0 is local", () => {
  strictEqual(serviceFromMessage({ ...GOOD, type: 0 }).type, "local");
});

Deno.test("a service that was written is read back", () => {
  const service: Service = { ...serviceFromMessage(GOOD), id: "some id" };
  const message = serviceToMessage(service, "complete");
  deepStrictEqual(message, { ...GOOD, id: "some id", status: 1 });
  deepStrictEqual(serviceFromMessage(message), serviceFromMessage(GOOD));
});

Deno.test("an address to listen on is read in its one spelling, and written only if there is one", () => {
  const { sourceAddr } = serviceFromMessage({ ...GOOD, sourceAddr: "FD00:0::1" });
  strictEqual(sourceAddr, "fd00::1");
  const service: Service = { ...serviceFromMessage(GOOD), id: "some id", sourceAddr };
  strictEqual(serviceToMessage(service, "pending").sourceAddr, "fd00::1");
  strictEqual("sourceAddr" in serviceFromMessage({ ...GOOD, sourceAddr: "" }), false);
});

Deno.test("any remote address is taken: at the peer it means nothing", () => {
  strictEqual(serviceFromMessage({ ...GOOD, remoteConnectorAddr: "" }).remoteConnectorAddr, "");
});

const ACCEPTED: [string, Partial<ServiceMessage>][] = [
  ["the lowest port", { sourcePort: 1 }],
  ["the highest port", { sourcePort: 65535 }],
  ["the longest name", { name: "x".repeat(MAX_NAME_LENGTH) }],
  ["a destination by IPv6 address", { destinationAddr: "[::1]:80" }],
  ["a destination by host name", { destinationAddr: "db.internal:5432" }],
];

for (const [what, change] of ACCEPTED) {
  Deno.test(`${what} is accepted`, () => {
    strictEqual(typeof serviceFromMessage({ ...GOOD, ...change }).name, "string");
  });
}

const REFUSED: [string, Partial<ServiceMessage>, RegExp][] = [
  ["an empty name", { name: "" }, /^name: want 1 to 255 characters/],
  ["a name of 256 characters", { name: "x".repeat(256) }, /^name: want 1 to 255 characters/],
  ["a name with a line end", { name: "a\nb" }, /^name: want 1 to 255 characters/],
  ["an endless peer address", { remoteConnectorAddr: "x".repeat(261) }, /^remote_connector_addr: /],
  ...["a\u001b[2J:1", "a\u009b2J:1", "a\u007f:1", "a\n:1", "a\u202e:1", "a\u2028:1"].map((
    remoteConnectorAddr,
  ): [string, Partial<ServiceMessage>, RegExp] => [
    `the peer address ${JSON.stringify(remoteConnectorAddr)}`,
    { remoteConnectorAddr },
    /^remote_connector_addr: want printable characters only$/,
  ]),
  ["port 0", { sourcePort: 0 }, /^source_port: 0 is not a port from 1 to 65535$/],
  ["port 65536", { sourcePort: 65536 }, /^source_port: 65536 is not a port/],
  ["a negative port", { sourcePort: -1 }, /^source_port: -1 is not a port/],
  [
    "a name to listen on",
    { sourceAddr: "localhost" },
    /^source_addr: want an IP address to listen/,
  ],
  ["an address with a zone to listen on", { sourceAddr: "fe80::1%lo" }, /^source_addr: want an IP/],
  // A peer may send any number; the generated type allows only those that the proto names.
  ["an unknown type", { type: 7 as 0 }, /^type: 7 is neither local \(0\) nor remote \(1\)$/],
  [
    "no destination",
    { destinationAddr: "" },
    /^destination_addr: "" is not an address: it has no port/,
  ],
  ["a destination without a port", { destinationAddr: "host" }, /^destination_addr: "host" is not/],
  [
    "a destination without a host",
    { destinationAddr: ":80" },
    /^destination_addr: .*it has no host/,
  ],
  ["a destination with port 0", { destinationAddr: "host:0" }, /"0" is not a port from 1 to 65535/],
  ["a destination that is a URL", { destinationAddr: "http://host:80" }, /^destination_addr: /],
];

for (const [what, change, expected] of REFUSED) {
  Deno.test(`${what} is refused by name`, () => {
    throws(() => serviceFromMessage({ ...GOOD, ...change }), refusal(expected));
  });
}

Deno.test("a missing service is refused", () => {
  throws(() => serviceFromMessage(undefined), refusal(/^service: it is missing$/));
});

Deno.test("an id of a service has 1 to 128 characters", () => {
  strictEqual(checkServiceId("x".repeat(128)).length, 128);
  throws(() => checkServiceId(""), refusal(/^id: want 1 to 128 characters$/));
  throws(() => checkServiceId("x".repeat(129)), refusal(/^id: want 1 to 128 characters$/));
});

Deno.test("an id of a service can be shown, and stand in a path", () => {
  for (const id of ["11111111-0000-4000-8000-000000000001", "service 1", "a.b", "..."]) {
    strictEqual(checkServiceId(id), id);
  }
  for (const id of ["a\u001bb", "a\u0085b", "a\u200bb", "a/b", "a\\b", ".", ".."]) {
    throws(() => checkServiceId(id), refusal(/^id: want printable characters/));
  }
});

Deno.test("an address is checked under the name of its field", () => {
  checkAddress("some_addr", "host:1");
  throws(() => checkAddress("some_addr", "host"), refusal(/^some_addr: "host" is not an address/));
});

Deno.test("each status has its number, and comes back", () => {
  const numbers: [ServiceStatus, number][] = [["pending", 0], ["complete", 1], ["error", 2]];
  for (const [status, number] of numbers) {
    strictEqual(statusToMessage(status), number);
    strictEqual(statusFromMessage(number), status);
  }
});

function refusal(expected: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof ConnectorError && error.code === "invalid_argument" &&
    expected.test(error.message);
}
