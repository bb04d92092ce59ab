// host:port addresses: what is read, what is refused with which words, and that writing and reading agree.

import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, isIpv4, isIpv6, parseAddress } from "../../src/model/address.ts";
import { ConnectorError } from "../../src/model/errors.ts";

const NO_ZONES = "addresses with a zone cannot be used: give another address of that machine";
const WANTED_IPV4 = "an IPv4 address is four numbers from 0 to 255 without leading zeros";

function refusal(text: string, rules: { bind?: boolean } = {}): string {
  try {
    parseAddress(text, rules);
  } catch (error) {
    assert.ok(error instanceof ConnectorError);
    assert.equal(error.code, "invalid_argument");
    return error.message;
  }
  assert.fail(`"${text}" was read as an address`);
}

Deno.test("addresses are read", () => {
  for (
    const [text, host, port] of [
      ["localhost:80", "localhost", 80],
      ["a-b.example.:1", "a-b.example.", 1],
      ["my_service.ns:65535", "my_service.ns", 65535],
      ["127.0.0.1:9090", "127.0.0.1", 9090],
      ["[::1]:9090", "::1", 9090],
      ["1host:5", "1host", 5],
      [`${"a".repeat(63)}:1`, "a".repeat(63), 1],
    ] as const
  ) {
    assert.deepEqual(parseAddress(text), { host, port });
    assert.deepEqual(parseAddress(text, { bind: true }), { host, port });
  }
});

Deno.test("an address to bind may leave the host out and have port 0", () => {
  assert.deepEqual(parseAddress(":9090", { bind: true }), { host: "", port: 9090 });
  assert.deepEqual(parseAddress("localhost:0", { bind: true }), { host: "localhost", port: 0 });
});

Deno.test("what is no address is refused, quoted, with what was wanted", () => {
  for (
    const [text, problem] of [
      ["", "it has no port"],
      ["localhost", "it has no port"],
      ["[::1]", "it has no port"],
      ["[::1]80", "it has no port"],
      [":9090", "it has no host"],
      ["localhost:", '"" is not a port from 1 to 65535'],
      ["localhost:0", '"0" is not a port from 1 to 65535'],
      ["localhost:65536", '"65536" is not a port from 1 to 65535'],
      ["localhost:-1", '"-1" is not a port from 1 to 65535'],
      ["localhost:http", '"http" is not a port from 1 to 65535'],
      ["localhost: 80", '" 80" is not a port from 1 to 65535'],
      ["localhost:8e1", '"8e1" is not a port from 1 to 65535'],
      ["localhost:0x50", '"0x50" is not a port from 1 to 65535'],
      ["localhost:000080", '"000080" is not a port from 1 to 65535'],
      ["::1:80", "an IPv6 address needs brackets"],
      ["[localhost]:80", '"localhost" is not an IPv6 address'],
      ["[]:80", '"" is not an IPv6 address'],
      ["[::1::2]:80", '"::1::2" is not an IPv6 address'],
      ["256.0.0.1:80", `"256.0.0.1" is not a host: ${WANTED_IPV4}`],
      ["1.2.3:80", `"1.2.3" is not a host: ${WANTED_IPV4}`],
      ["10.0.0.1.:80", `"10.0.0.1." is not a host: ${WANTED_IPV4}`],
      ["010.0.0.1:80", `"010.0.0.1" is not a host: ${WANTED_IPV4}`],
      ["127.0.0.01:80", `"127.0.0.01" is not a host: ${WANTED_IPV4}`],
      ["0x7f.1:80", `"0x7f.1" is not a host: ${WANTED_IPV4}`],
      ["0x7f000001:80", `"0x7f000001" is not a host: ${WANTED_IPV4}`],
      ["2130706433:80", `"2130706433" is not a host: ${WANTED_IPV4}`],
      ["[::ffff:010.0.0.1]:80", '"::ffff:010.0.0.1" is not an IPv6 address'],
      ["[fe80::1%]:80", '"fe80::1%" is not an IPv6 address'],
      ["[fe80::1%a%b]:80", '"fe80::1%a%b" is not an IPv6 address'],
      ["[fe80::1%eth0]:80", NO_ZONES],
      ["[fe80::1%25eth0]:80", NO_ZONES],
      ["[2001:db8::1%2]:80", NO_ZONES],
      ["fe80::1%eth0:80", "an IPv6 address needs brackets"],
      ["fe80::1%eth0", "an IPv6 address needs brackets"],
      ["host:80/path", '"80/path" is not a port from 1 to 65535'],
      [" host:80", '" host" is not a host'],
      ["host:80\n", '"80\n" is not a port from 1 to 65535'],
      ["http://host:9090", "it is a URL"],
      ["grpc://host", "it is a URL"],
      ["-a:80", '"-a" is not a host'],
      ["a-:80", '"a-" is not a host'],
      ["a..b:80", '"a..b" is not a host'],
      ["a b:80", '"a b" is not a host'],
      ["a/b:80", '"a/b" is not a host'],
      ["user@host:80", '"user@host" is not a host'],
      ["a\nb:80", '"a\nb" is not a host'],
      ["häuser:80", '"häuser" is not a host'],
      [`${"a".repeat(64)}:80`, `"${"a".repeat(64)}" is not a host`],
    ] as const
  ) {
    assert.equal(refusal(text), `"${text}" is not an address: ${problem}, want host:port`);
  }
  assert.equal(
    refusal("localhost:65536", { bind: true }),
    '"localhost:65536" is not an address: "65536" is not a port from 0 to 65535, want host:port or :port',
  );
});

Deno.test("nothing is listened on at an address that needs a zone", () => {
  for (
    const [text, problem] of [
      ["[fe80::1%eth0]:80", NO_ZONES],
      ["[fe80::1]:80", "link-local addresses of IPv6 cannot be listened on"],
      ["[FEBF::1]:80", "link-local addresses of IPv6 cannot be listened on"],
    ]
  ) {
    assert.equal(
      refusal(text ?? "", { bind: true }),
      `"${text}" is not an address: ${problem}, want host:port or :port`,
    );
  }
  assert.deepEqual(parseAddress("[fec0::1]:80", { bind: true }), { host: "fec0::1", port: 80 });
});

Deno.test("a host of more than 253 characters is refused", () => {
  const longest = `${"a".repeat(63)}.`.repeat(3) + "a".repeat(61);
  assert.equal(longest.length, 253);
  assert.equal(parseAddress(`${longest}:1`).host, longest);
  assert.match(refusal(`${longest}a:1`), / is not a host, /);
});

const port = fc.integer({ min: 0, max: 65535 });
const label = fc.stringMatching(/^[a-zA-Z_]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9_])?$/);
const host = fc.oneof(
  fc.constant(""),
  fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join(".")),
  fc.ipV4(),
  fc.ipV6(),
);

Deno.test("what is written is read back", () => {
  fc.assert(fc.property(host, port, (host, port) => {
    const address = { host, port };
    assert.deepEqual(parseAddress(formatAddress(address), { bind: true }), address);
  }));
});

Deno.test("what is read is written as it was, but for zeros before the port", () => {
  fc.assert(fc.property(host, port, (host, port) => {
    const text = formatAddress({ host, port });
    assert.equal(formatAddress(parseAddress(text, { bind: true })), text);
  }));
  assert.equal(formatAddress(parseAddress("a:0080")), "a:80");
});

Deno.test("any text is an address that can be written and read again, or a clear refusal", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.stringMatching(/^[[\]:.%a-f0-9-]{0,30}$/),
    fc.tuple(fc.string(), fc.string()).map(([one, other]) => `${one}:${other}`),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (text, bind) => {
      let address;
      try {
        address = parseAddress(text, { bind });
      } catch (error) {
        assert.ok(error instanceof ConnectorError);
        assert.ok(error.message.startsWith(`"${text}" is not an address: `));
        return;
      }
      assert.ok(bind || (address.host !== "" && address.port > 0));
      assert.ok(Number.isInteger(address.port) && address.port >= 0 && address.port <= 65535);
      assert.deepEqual(parseAddress(formatAddress(address), { bind }), address);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("IPv4 and IPv6 addresses are told from names", () => {
  for (const text of ["0.0.0.0", "255.255.255.255", "10.1.2.3"]) assert.ok(isIpv4(text), text);
  for (
    const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "a.b.c.d",
      "1.2.3.4 ",
      "::1",
      "010.0.0.1",
      "1.2.3.00",
    ]
  ) {
    assert.ok(!isIpv4(text), text);
  }
  for (const text of ["::", "::1", "fe80::1%eth0", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"]) {
    assert.ok(isIpv6(text), text);
  }
  for (
    const text of [
      "",
      "1",
      "a:b",
      ":::",
      "1:2:3:4:5:6:7:8:9",
      "[::1]",
      "::1%",
      "::1%a b",
      "1.2.3.4",
    ]
  ) {
    assert.ok(!isIpv6(text), text);
  }
});

Deno.test("an IPv6 address has one zone at most", () => {
  assert.ok(!isIpv6("fe80::1%eth0%eth1"));
});

Deno.test("nothing that a URL would take apart passes for an IPv6 address", () => {
  for (const text of ["::1]/x[", "::1]:80/[", "::1\t", "\n::1", "::1#", "::1]@[::2"]) {
    assert.ok(!isIpv6(text), JSON.stringify(text));
  }
});
