// The text of a state file: what is written is read again, and nothing else is.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { InstanceSecret } from "../../src/instance_secret.ts";
import { isServiceName, type Service } from "../../src/model/service.ts";
import { formatState, parseState } from "../../src/state/services_document.ts";

const SERVICE: Service = {
  id: "545521c8-e672-40e6-8247-60b5960bf7cd",
  name: "web",
  type: "local",
  sourcePort: 12_000,
  remoteConnectorAddr: "server1:9090",
  destinationAddr: "[::1]:8080",
};
const WRITTEN = JSON.parse(formatState({ services: [SERVICE] }));

Deno.test("services are written as people can read them", () => {
  deepStrictEqual(WRITTEN, {
    version: 1,
    services: [{
      id: "545521c8-e672-40e6-8247-60b5960bf7cd",
      name: "web",
      type: "local",
      source_port: 12_000,
      remote_connector_addr: "server1:9090",
      destination_addr: "[::1]:8080",
    }],
  });
});

Deno.test("any services come back as they were written", () => {
  const service: fc.Arbitrary<Service> = fc.record({
    id: fc.uuid(),
    name: fc.string({ minLength: 1, maxLength: 255, unit: "grapheme" }).filter(isServiceName),
    type: fc.constantFrom("local", "remote"),
    sourcePort: fc.integer({ min: 1, max: 65_535 }),
    remoteConnectorAddr: fc.integer({ min: 1, max: 65_535 }).map((port) => `peer:${port}`),
    destinationAddr: fc.ipV6().chain((host) => fc.constant(`[${host}]:1`)),
    sourceAddr: fc.constantFrom("127.0.0.1", "::1", "::"),
  }, {
    noNullPrototype: true,
    requiredKeys: ["id", "name", "type", "sourcePort", "remoteConnectorAddr", "destinationAddr"],
  });
  fc.assert(
    fc.property(fc.uniqueArray(service, { selector: ({ id }) => id }), (services) => {
      deepStrictEqual(parseState(formatState({ services })), { instance: undefined, services });
    }),
  );
});

Deno.test("the secret of the instance comes back as it was written", () => {
  const instance = InstanceSecret.random();
  const read = parseState(formatState({ instance, services: [] })).instance;
  strictEqual(read?.export(), instance.export());
});

const [entry] = WRITTEN.services;
const FOREIGN: [what: string, text: string, expected: RegExp][] = [
  ["nothing", "", /^it is not JSON$/],
  ["what is cut off", formatState({ services: [SERVICE] }).slice(0, -3), /^it is not JSON$/],
  ["no object", "[]", /^it is not what a connector writes \(version 1\)$/],
  ["another version", JSON.stringify({ ...WRITTEN, version: 2 }), /^version is not what/],
  ["no version", JSON.stringify({ services: [] }), /^version is not what/],
  ["an unknown key", JSON.stringify({ ...WRITTEN, color: "blue" }), /^it is not what/],
  ["a secret that is none", JSON.stringify({ ...WRITTEN, instance: "x" }), /^instance is not what/],
  ["no services", JSON.stringify({ version: 1 }), /^services is not what/],
  ...Object.entries({
    id: "me",
    name: "a\nb",
    type: "both",
    source_port: 0,
    remote_connector_addr: "nowhere",
    destination_addr: 7,
  }).map(([key, value]): [string, string, RegExp] => [
    `a bad ${key}`,
    JSON.stringify({ version: 1, services: [{ ...entry, [key]: value }] }),
    new RegExp(`^services\\.0\\.${key} is not what`),
  ]),
  [
    "an unknown key of a service",
    JSON.stringify({ version: 1, services: [{ ...entry, color: "blue" }] }),
    /^services\.0 is not what/,
  ],
  [
    "an id twice",
    JSON.stringify({ version: 1, services: [entry, entry] }),
    /^an id is there twice$/,
  ],
];

for (const [what, text, expected] of FOREIGN) {
  Deno.test(`a state file with ${what} is refused`, () => {
    throws(() => parseState(text), { code: "invalid_argument", message: expected });
  });
}
