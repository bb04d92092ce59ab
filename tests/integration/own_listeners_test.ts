// What no tunnel leads to: where the connector listens itself, by every address and spelling that arrives there, and
// addresses of the network link.

import { match, ok, strictEqual } from "node:assert/strict";
import { OwnListeners } from "../../src/net/own_listeners.ts";

const PORT = 9091;

/** An address of this machine that is neither loopback nor link-local, by family, where there is one. */
function ownAddress(family: "IPv4" | "IPv6"): string | undefined {
  return Deno.networkInterfaces().find((each) =>
    each.family === family && !/^(127\.|169\.254\.|::1$|fe80:)/i.test(each.address)
  )?.address;
}

const [own4, own6] = [ownAddress("IPv4"), ownAddress("IPv6")];

/** Every spelling of loopback as IPv4, and of nothing, which the system takes for it. */
const LOOPBACK4 = [
  "127.0.0.1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "0:0:0:0:0:ffff:127.0.0.1",
  "::127.0.0.1",
  "64:ff9b::127.0.0.1",
  "64:ff9b:1::7f00:1",
  "2002:7f00:1::1",
];
const UNSPECIFIED = ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"];
const LOOPBACK6 = ["::1", "0:0:0:0:0:0:0:1", "::1%lo"];

const CASES: [listened: string, refused: string[], dialled: string[]][] = [
  [
    "",
    [...LOOPBACK4, ...LOOPBACK6, ...UNSPECIFIED, "127.5.6.7", own4, own6].flatMap((each) =>
      each ?? []
    ),
    ["192.0.2.77", "2001:db8::77", "64:ff9b::c000:24d"],
  ],
  ["::", [...LOOPBACK4, ...LOOPBACK6, ...UNSPECIFIED, "127.5.6.7"], ["192.0.2.77"]],
  ["0.0.0.0", [...LOOPBACK4, ...UNSPECIFIED, "127.5.6.7"], ["::1", "192.0.2.77"]],
  ["::ffff:0.0.0.0", [...LOOPBACK4, ...UNSPECIFIED, "127.5.6.7"], ["::1", "192.0.2.77"]],
  ["127.0.0.1", [...LOOPBACK4, ...UNSPECIFIED], ["127.0.0.2", "::1", "192.0.2.77"]],
  ["::ffff:127.0.0.1", [...LOOPBACK4, ...UNSPECIFIED], ["127.0.0.2", "::1"]],
  ["::1", [...LOOPBACK6, ...UNSPECIFIED], ["127.0.0.1", "2001:db8::77"]],
  // Which of its addresses were bound is not known.
  ["localhost", [...LOOPBACK4, ...LOOPBACK6, ...UNSPECIFIED, "127.5.6.7"], ["192.0.2.77"]],
];

for (const [listened, refused, dialled] of CASES) {
  Deno.test(`a port that is listened on at "${listened}" is refused by every address that arrives there`, () => {
    const listeners = new OwnListeners();
    listeners.add({ host: listened, port: PORT });
    for (const host of refused) {
      match(listeners.refusalOf(host, PORT) ?? "", /listens there itself/, `${host} is refused`);
      strictEqual(listeners.refusalOf(host, PORT + 1), undefined, "another port is not");
    }
    for (const host of dialled) {
      strictEqual(listeners.refusalOf(host, PORT), undefined, `${host} is dialled`);
    }
  });
}

Deno.test("a listener that has ended is refused no more, and others on its port are", () => {
  const listeners = new OwnListeners();
  const added = listeners.add({ host: "", port: PORT });
  const other = listeners.add({ host: "", port: PORT });
  added[Symbol.dispose]();
  added[Symbol.dispose]();
  ok(listeners.refusalOf("127.0.0.1", PORT));
  other[Symbol.dispose]();
  strictEqual(listeners.refusalOf("127.0.0.1", PORT), undefined);
  const again = listeners.add({ host: "", port: PORT });
  other[Symbol.dispose]();
  ok(listeners.refusalOf("127.0.0.1", PORT));
  again[Symbol.dispose]();
});

Deno.test("only IP addresses can be judged", () => {
  const listeners = new OwnListeners();
  listeners.add({ host: "", port: PORT });
  match(listeners.refusalOf("localhost", PORT) ?? "", /not an IP address/);
});

const RANGES: [kind: string, hosts: string[]][] = [
  [
    "link-local",
    [
      "169.254.169.254",
      "169.254.0.1",
      "::ffff:169.254.169.254",
      "::169.254.169.254",
      "64:ff9b::a9fe:a9fe",
      "2002:a9fe:a9fe::",
      "fe80::1",
      "fe80::1%eth0",
      "FE80:0:0:0:0:0:0:1",
      "febf::1",
    ],
  ],
  ["multicast", ["224.0.0.1", "239.255.255.255", "::ffff:224.0.0.1", "ff02::1", "ff02::1%eth0"]],
  ["reserved", ["0.0.0.1", "0.255.255.255", "::ffff:0.0.0.1", "2002:1::"]],
  ["broadcast", ["255.255.255.255", "::ffff:255.255.255.255"]],
];

for (const [kind, hosts] of RANGES) {
  Deno.test(`no tunnel leads to a ${kind} address, whatever the port`, () => {
    const listeners = new OwnListeners();
    for (const host of hosts) {
      match(listeners.refusalOf(host, 1) ?? "", new RegExp(`is a ${kind} address`), host);
    }
  });
}

Deno.test("addresses beside those ranges are dialled", () => {
  const listeners = new OwnListeners();
  for (
    const host of [
      "169.253.1.1",
      "169.255.1.1",
      "fec0::1",
      "fd00::1",
      "10.0.0.1",
      "240.0.0.1",
      "0.0.0.0",
    ]
  ) {
    strictEqual(listeners.refusalOf(host, 1), undefined, host);
  }
});
