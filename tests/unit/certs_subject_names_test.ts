// Names that may enter a certificate, and how those that may not are refused.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checkCommonName,
  MAX_NAMES,
  normalizeDnsNames,
  normalizeIpAddresses,
} from "../../src/certs/issue/subject_names.ts";
import { ConnectorError } from "../../src/model/errors.ts";

function refused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof ConnectorError);
    assert.equal(error.code, "invalid_argument");
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("DNS names are written as given", () => {
  const names = [
    "localhost",
    "web.example",
    "web.example.",
    "*.container.shipyard.run",
    "under_score.example",
    "localhost:9090",
    "*.example:30001",
    ":30001",
    "10.0.0.1:9090",
    "[::1]:9090",
    "xn--caf-dma.example",
    "UPPER.example",
  ];
  assert.deepEqual(normalizeDnsNames(names), names);
});

Deno.test("DNS names lose their combining marks, composed or not, and are there once", () => {
  assert.deepEqual(
    normalizeDnsNames(["caf\u00e9.example", "cafe\u0301.example", "cafe.example", "na\u00efve"]),
    ["cafe.example", "naive"],
  );
});

for (
  const [name, message] of [
    ["", /"" is not a DNS name: it is empty/],
    ["a b", /spaces, control characters or letters outside ASCII/],
    ["a\u0000b", /"a\\u0000b" is not a DNS name/],
    ["a\nb", /"a\\nb"/],
    ["日本.example", /outside ASCII/],
    ["straße", /outside ASCII/],
    ["-a.example", /"-a.example" is not a host/],
    ["a..b", /"a..b" is not a host/],
    ["*", /"\*" is not a host/],
    ["a.*.b", /is not a host/],
    ["a,b", /is not a host/],
    ["a/b", /is not a host/],
    ["a:0", /"0" is not a port from 1 to 65535/],
    ["a:65536", /"65536" is not a port/],
    ["a:", /"" is not a port/],
    [":", /"" is not a port/],
    ["a:b", /is not a host/],
    ["a:1:2", /is not a host/],
    ["[zz]:1", /is not a host/],
    ["10.0.0.1", /it is an IP address/],
    ["::1", /it is an IP address/],
    ["1.2.3", /is not a host/],
    [`${"a".repeat(64)}.example`, /is not a host/],
    [`${"a.".repeat(128)}`, /is not a host/],
    ["\u0301", /it is empty/],
  ] as const
) {
  Deno.test(`DNS name ${JSON.stringify(name).slice(0, 30)} is refused`, () => {
    refused(() => normalizeDnsNames(["fine.example", name]), message);
  });
}

Deno.test("a refused name is quoted in part when it is long", () => {
  refused(() => normalizeDnsNames([`${"x".repeat(100_000)} `]), /^.{80,300}$/);
});

Deno.test("IP addresses become canonical and are there once", () => {
  assert.deepEqual(
    normalizeIpAddresses(["10.0.0.5", "::1", "0:0::1", "2001:DB8::0:1", "::ffff:1.2.3.4"]),
    ["10.0.0.5", "::1", "2001:db8::1", "::ffff:102:304"],
  );
});

for (
  const address of [
    "",
    "localhost",
    "256.0.0.1",
    "1.2.3",
    "010.0.0.1",
    "10.0.0.1:9090",
    "10.0.0.0/8",
    "[::1]",
    "fe80::1%eth0",
    ":::",
    "1::2::3",
    "0x7f.0.0.1",
    " 10.0.0.1",
  ]
) {
  Deno.test(`IP address ${JSON.stringify(address)} is refused`, () => {
    refused(() => normalizeIpAddresses([address]), /is not an IP address, want one like 10.0.0.1/);
  });
}

Deno.test("too many names of one kind are refused", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `host-${i}.example`);
  assert.equal(normalizeDnsNames(names(MAX_NAMES)).length, MAX_NAMES);
  refused(() => normalizeDnsNames(names(MAX_NAMES + 1)), /101 DNS names are too many/);
  refused(() => normalizeIpAddresses(names(MAX_NAMES + 1)), /101 IP addresses are too many/);
});

Deno.test("common names of 1 to 64 printable characters are taken, counted as characters", () => {
  for (
    const name of ["a", "Connector Leaf", "é ü", "x".repeat(64), "😀".repeat(64), "#41", "a\\0a"]
  ) {
    assert.equal(checkCommonName(name), name);
  }
  for (const name of ["", "x".repeat(65), "a\nb", "a\u0000", "\u202eabc", "\ud800", "a\u2028b"]) {
    refused(() => checkCommonName(name), /want 1 to 64 printable characters/);
  }
});

Deno.test("whatever the input, a DNS name is refused or is printable ASCII that stays as it is", () => {
  const pieces = fc.constantFrom(
    "a",
    "é",
    "*",
    ".",
    ":",
    "9",
    "[",
    "]",
    "-",
    "_",
    " ",
    "\u0301",
    "%",
  );
  const names = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(pieces).map((all) => all.join("")),
  );
  fc.assert(fc.property(names, (name) => {
    try {
      const [written = ""] = normalizeDnsNames([name]);
      assert.match(written, /^[\x21-\x7e]{1,260}$/);
      assert.deepEqual(normalizeDnsNames([written]), [written]);
    } catch (error) {
      if (error instanceof assert.AssertionError || !(error instanceof ConnectorError)) throw error;
    }
  }));
});
