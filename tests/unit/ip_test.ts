// IP addresses in every spelling, and the IPv4 addresses that IPv6 addresses stand for.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { canonicalIp, covers, listenHosts, meanings, parseIp } from "../../src/model/ip.ts";

const SPELLINGS: [text: string, hex: string | undefined, canonical: string][] = [
  ["127.0.0.1", "7f000001", "127.0.0.1"],
  ["127.000.000.001", undefined, "127.000.000.001"],
  ["010.0.0.1", undefined, "010.0.0.1"],
  ["::1", "00000000000000000000000000000001", "::1"],
  ["0:0:0:0:0:0:0:1", "00000000000000000000000000000001", "::1"],
  ["::", "00000000000000000000000000000000", "::"],
  ["::ffff:127.0.0.1", "00000000000000000000ffff7f000001", "::ffff:7f00:1"],
  ["0:0:0:0:0:FFFF:7F00:1", "00000000000000000000ffff7f000001", "::ffff:7f00:1"],
  ["fe80::1%eth0", "fe800000000000000000000000000001", "fe80::1%eth0"],
  ["2001:db8::", "20010db8000000000000000000000000", "2001:db8::"],
  ["localhost", undefined, "localhost"],
  ["0x7f.1", undefined, "0x7f.1"],
  ["", undefined, ""],
];

for (const [text, hex, canonical] of SPELLINGS) {
  Deno.test(`"${text}" is ${hex ?? "no IP address"}`, () => {
    strictEqual(parseIp(text)?.toHex(), hex);
    strictEqual(canonicalIp(text), canonical);
  });
}

Deno.test("every address has one reading", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
    const ip = parseIp(text);
    strictEqual(ip?.length === 4 || ip?.length === 16, true, text);
    deepStrictEqual(parseIp(canonicalIp(text)), ip);
    if (ip?.length === 4) strictEqual(ip.join("."), text);
  }));
});

const MEANINGS: [text: string, ipv4: string[]][] = [
  ["::ffff:127.0.0.1", ["127.0.0.1"]],
  ["::127.0.0.1", ["127.0.0.1"]],
  ["::ffff:0:127.0.0.1", ["127.0.0.1"]],
  ["64:ff9b::127.0.0.1", ["127.0.0.1"]],
  // Behind prefixes of 48, 56 and 64 bits; where the prefix is longer or shorter, it is read as a part of the address.
  ["64:ff9b:1:a9fe:a9:fe00::", ["169.254.169.254", "254.169.254.0", "169.254.0.0"]],
  ["64:ff9b:1:a9:fe:a9fe::", ["169.254.169.254", "254.169.254.0"]],
  ["64:ff9b:1:0:a9:fea9:fe00::", ["169.254.169.254", "254.0.0.0"]],
  ["64:ff9b:1::127.0.0.1", ["127.0.0.1"]],
  ["2002:7f00:1::", ["127.0.0.1"]],
  ["2001:0:a9fe:a9fe::80ff:fffe", ["169.254.169.254", "127.0.0.1"]],
  ["2001:db8::5efe:127.0.0.1", ["127.0.0.1"]],
  ["2001:db8::200:5efe:127.0.0.1", ["127.0.0.1"]],
  ["::", []],
  ["::1", []],
  ["2001:db8::7f00:1", []],
  ["127.0.0.1", ["127.0.0.1"]],
];

for (const [text, expected] of MEANINGS) {
  Deno.test(`${text} may be taken for ${expected.join(" and ") || "nothing else"}`, () => {
    const ip = parseIp(text) ?? new Uint8Array();
    deepStrictEqual(
      meanings(ip).filter((each) => each.length === 4).map((each) => each.join(".")),
      expected,
    );
  });
}

const COVERED: [listened: string, host: string, covered: boolean][] = [
  ["127.0.0.1", "127.0.0.1", true],
  ["127.0.0.1", "::ffff:127.0.0.1", true],
  ["127.0.0.1", "127.0.0.2", false],
  ["127.0.0.1", "0.0.0.0", false],
  ["127.0.0.1", "::ffff:0.0.0.0", false],
  ["127.0.0.1", "::", false],
  ["127.0.0.1", "::1", false],
  ["0.0.0.0", "10.0.0.1", true],
  ["0.0.0.0", "::ffff:0.0.0.0", true],
  ["0.0.0.0", "::1", false],
  ["0.0.0.0", "::", false],
  ["::", "10.0.0.1", true],
  ["::", "::1", true],
  ["::1", "::1", true],
  ["::1", "127.0.0.1", false],
  ["::", "", false],
];

for (const [listened, host, covered] of COVERED) {
  Deno.test(`who listens on "${listened}" listens on "${host}": ${covered}`, () => {
    strictEqual(covers(listened, host), covered);
  });
}

Deno.test("of addresses to listen on, those go that another one has already", () => {
  deepStrictEqual(listenHosts([]), []);
  deepStrictEqual(listenHosts(["127.0.0.1", "::1", "127.0.0.1"]), ["127.0.0.1", "::1"]);
  deepStrictEqual(listenHosts(["127.0.0.1", "::ffff:127.0.0.1"]), ["127.0.0.1"]);
  deepStrictEqual(listenHosts(["127.0.0.1", "::1", "0.0.0.0"]), ["::1", "0.0.0.0"]);
  deepStrictEqual(listenHosts(["0.0.0.0", "::ffff:0.0.0.0"]), ["0.0.0.0"]);
  deepStrictEqual(listenHosts(["127.0.0.1", "::"]), []);
});
