// What a policy allows, and the ways round it that others have left open.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { parseAddress } from "../../src/model/address.ts";
import type { CertificateId } from "../../src/model/principal.ts";
import {
  decide,
  decideAmong,
  type PolicyPeer,
  type PolicyQuestion,
  rulesFor,
} from "../../src/policy/decide.ts";
import { anonymousPolicy, certified, policyOf } from "../support/policies.ts";

/** The number of the rule that allows it, 0 if none does. */
function rule(
  policy: ReturnType<typeof policyOf>,
  question: PolicyQuestion,
  peer: PolicyPeer = "anonymous",
): number {
  const { allowed, rule } = decide(policy, { peer, question });
  strictEqual(allowed, rule !== undefined);
  return rule?.number ?? 0;
}

const LIST: PolicyQuestion = { kind: "control", right: "list" };

/** Whether a rule with this matcher is for a certificate with these names. */
function isFor(matcher: string, names: Partial<CertificateId> | "anonymous"): boolean {
  const policy = policyOf(
    `version: 1\nrules:\n  - { peer: { ${matcher} }, control: list }\n`,
  );
  return rule(policy, LIST, names === "anonymous" ? names : certified(names)) === 1;
}

const PEERS: [matcher: string, names: Partial<CertificateId> | "anonymous", fits: boolean][] = [
  ["anonymous: true", "anonymous", true],
  ["anonymous: true", {}, false],
  // A certificate cannot claim to be none.
  ["anonymous: true", { displayName: "anonymous", dnsNames: ["anonymous"] }, false],
  ['dns: "*"', "anonymous", false],

  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/laptop/one"] }, true],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/laptop/"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/laptop"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/laptop/a/b"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/Laptop/a"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example.evil/laptop/a"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["xspiffe://example/laptop/a"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', { spiffeIds: ["spiffe://example/laptop/a\n"] }, false],
  ['spiffe: "spiffe://example/laptop/*"', {
    spiffeIds: ["spiffe://evil/a", "spiffe://example/laptop/a"],
  }, true],
  // A star in the trust domain stays in it.
  ['spiffe: "spiffe://*/laptop/a"', { spiffeIds: ["spiffe://evil/x/laptop/a"] }, false],
  ['spiffe: "spiffe://example/*-*"', { spiffeIds: ["spiffe://example/a-b"] }, true],
  ['spiffe: "spiffe://example/*-*"', { spiffeIds: ["spiffe://example/-b"] }, false],
  ['spiffe: "spiffe://example/*"', { spiffeIds: [`spiffe://example/${"x".repeat(2048)}`] }, false],
  // A name of another kind is no SPIFFE id.
  ['spiffe: "spiffe://example/*"', { dnsNames: ["spiffe://example/a"] }, false],
  ['spiffe: "spiffe://example/*"', { displayName: "spiffe://example/a" }, false],

  ["dns: a.example", { dnsNames: ["a.example"] }, true],
  ["dns: A.Example.", { dnsNames: ["a.EXAMPLE"] }, true],
  ["dns: a.example", { dnsNames: ["b.a.example"] }, false],
  ["dns: a.example", { dnsNames: ["a.example.evil"] }, false],
  ["dns: a.example", { dnsNames: ["a.example:9090"] }, false],
  ["dns: a.example", { dnsNames: ["a.example."] }, false],
  ["dns: a.example", { dnsNames: ["aXexample"] }, false],
  ['dns: "*.example"', { dnsNames: ["a.b.example"] }, true],
  ['dns: "*.example"', { dnsNames: ["example"] }, false],
  ['dns: "*.example"', { dnsNames: [".example"] }, false],
  ['dns: "*.example"', { dnsNames: ["evilexample"] }, false],
  // A wildcard is nobody's name, neither for the names below it nor as it stands.
  ["dns: a.example", { dnsNames: ["*.example"] }, false],
  ['dns: "*.example"', { dnsNames: ["*.example"] }, false],
  ['dns: "*"', { dnsNames: ["*"] }, false],
  // U+212A lower-cases to k.
  ["dns: k.example", { dnsNames: ["\u212a.example"] }, false],
  ["dns: a.example", { dnsNames: ["a.example\u0000.evil"] }, false],
  ["dns: a.example", { subject: "CN=a.example" }, false],
  ["dns: [a.example, b.example]", { dnsNames: ["b.example"] }, true],

  ['subject: "O=Example, CN=*"', { subject: "O=Example, CN=a" }, true],
  ['subject: "O=Example, CN=*"', { subject: "O=Example, CN=a, OU=evil" }, false],
  ['subject: "O=Example, CN=*"', { subject: "O=Example, CN=a+OU=evil" }, false],
  ['subject: "CN=*, O=Example"', { subject: "CN=a\\, O=Evil, O=Example" }, false],
  // One value that says what two should.
  ['subject: "CN=*, O=Example"', { subject: "CN=a\\, O=Example" }, false],
  ['subject: "CN=*+O=Example"', { subject: "CN=a\\+O=Example" }, false],
  ['subject: "CN=*, O=*"', { subject: "CN=a\\\\\\, O=Example" }, false],
  ['subject: "O=Example, CN=*"', { subject: "o=example, cn=a" }, false],
  ['subject: "O=Example, CN=*"', { subject: "CN=a, O=Example" }, false],

  [`fingerprint: ${"5F".repeat(32)}`, {}, true],
  [`fingerprint: ${"5e".repeat(32)}`, {}, false],
  // All that is given has to fit.
  [`dns: a.example, fingerprint: ${"5f".repeat(32)}`, { dnsNames: ["b.example"] }, false],
  [`dns: a.example, fingerprint: ${"5f".repeat(32)}`, { dnsNames: ["a.example"] }, true],
];

for (const [matcher, names, fits] of PEERS) {
  const whom = names === "anonymous" ? names : JSON.stringify(names).slice(0, 90);
  Deno.test(`policy: { ${matcher.slice(0, 60)} } is ${fits ? "" : "not "}for ${whom}`, () => {
    strictEqual(isFor(matcher, names), fits);
  });
}

/** What a single entry of `reach` says about a destination, and the address that is about to be dialled. */
const REACH: [entry: string, to: string, ip: string | undefined, allowed: boolean][] = [
  ["cidr: 10.0.0.0/8", "10.1.2.3:80", undefined, true],
  ["cidr: 10.0.0.0/8", "10.1.2.3:80", "10.1.2.3", true],
  ["cidr: 10.0.0.0/8", "11.0.0.1:80", undefined, false],
  ["cidr: 10.0.0.0/8", "10.1.2.3:81", undefined, false],
  ["cidr: 0.0.0.0/0", "203.0.113.9:80", undefined, true],
  ["cidr: 10.1.2.3/32", "10.1.2.3:80", undefined, true],
  ["cidr: 10.1.2.3/32", "10.1.2.4:80", undefined, false],
  ["cidr: 10.128.0.0/9", "10.127.255.255:80", undefined, false],
  ["cidr: 10.128.0.0/9", "10.128.0.0:80", undefined, true],
  ["cidr: fd00::/8", "[fdff::1]:80", undefined, true],
  ["cidr: fd00::/8", "[fe00::1]:80", undefined, false],

  // IPv4 written as IPv6 is IPv4.
  ["cidr: 10.0.0.0/8", "[::ffff:10.1.2.3]:80", undefined, true],
  ["cidr: 10.0.0.0/8", "[::ffff:a01:203]:80", undefined, true],
  ["cidr: 10.0.0.0/8", "[0:0:0:0:0:FFFF:10.1.2.3]:80", undefined, true],
  ['cidr: "::/0"', "[::ffff:10.1.2.3]:80", undefined, false],
  ["cidr: 10.0.0.0/8, except: [10.0.0.1/32]", "10.0.0.1:80", undefined, false],
  ["cidr: 10.0.0.0/8, except: [10.0.0.1/32]", "[::ffff:10.0.0.1]:80", undefined, false],
  ["cidr: 10.0.0.0/8, except: [10.0.0.1/32]", "10.0.0.2:80", undefined, true],
  // What a gateway on the way makes IPv4 of is no IPv4 for what is allowed, but for what is not.
  ["cidr: 10.0.0.0/8", "[64:ff9b::10.1.2.3]:80", undefined, false],
  ['cidr: "::/0"', "[64:ff9b::10.1.2.3]:80", undefined, true],
  ['cidr: "::/0", except: [10.0.0.0/8]', "[64:ff9b::10.1.2.3]:80", undefined, false],
  ['cidr: "::/0", except: [10.0.0.0/8]', "[2002:a01:203::1]:80", undefined, false],
  ['cidr: "::/0", except: [10.0.0.0/8]', "[::10.1.2.3]:80", undefined, false],
  // The unspecified address is this machine.
  ["cidr: 127.0.0.0/8", "0.0.0.0:80", undefined, true],
  ["cidr: 0.0.0.0/0, except: [127.0.0.0/8]", "0.0.0.0:80", undefined, false],
  ['cidr: "::/0", except: ["::1/128"]', "[::]:80", undefined, false],
  ["cidr: 0.0.0.0/0, except: [127.0.0.0/8]", "db.example:80", "0.0.0.0", false],
  // Never, whatever is allowed.
  ["cidr: 0.0.0.0/0", "169.254.169.254:80", undefined, false],
  ['cidr: "::/0"', "[fe80::1]:80", undefined, false],
  ['cidr: "::/0"', "[64:ff9b::169.254.169.254]:80", undefined, false],
  ["cidr: 0.0.0.0/0", "metadata.example:80", "169.254.169.254", false],
  ['host: "*"', "metadata.example:80", "169.254.169.254", false],
  ["cidr: 0.0.0.0/0", "192.0.2.1:80", undefined, false],

  // A range is about the address that is dialled, whatever name led to it.
  ["cidr: 10.0.0.0/8", "db.example:80", "10.1.2.3", true],
  ["cidr: 10.0.0.0/8", "db.example:80", "11.1.2.3", false],
  ["cidr: 10.0.0.0/8", "10.example:80", "11.1.2.3", false],
  ["cidr: 10.0.0.0/8, except: [10.0.0.1/32]", "db.example:80", "10.0.0.1", false],
  ["cidr: 10.0.0.0/8, except: [10.0.0.1/32]", "db.example:80", "::ffff:10.0.0.1", false],
  // It is not known yet what it leads to.
  ["cidr: 10.0.0.0/8", "db.example:80", undefined, true],
  ["cidr: 10.0.0.0/8", "db.example:81", undefined, false],

  // A name is about the destination as it was exposed.
  ["host: db.example", "db.example:80", "198.51.100.7", true],
  ["host: db.example", "db.example:80", undefined, true],
  ["host: db.example", "DB.Example:80", "198.51.100.7", true],
  ["host: DB.Example", "db.example.:80", "198.51.100.7", true],
  ["host: db.example.", "db.example:80", "198.51.100.7", true],
  ["host: db.example", "db.example:81", "198.51.100.7", false],
  ["host: db.example", "other.example:80", "198.51.100.7", false],
  ["host: db.example", "db.example.evil:80", "198.51.100.7", false],
  ["host: db.example", "evil-db.example:80", "198.51.100.7", false],
  ['host: "*.example"', "a.b.example:80", "198.51.100.7", true],
  ['host: "*.example"', "example:80", "198.51.100.7", false],
  ['host: "*.example"', "evilexample:80", "198.51.100.7", false],
  // IDN: only the form that stands in DNS is a destination.
  ["host: xn--bcher-kva.example", "xn--bcher-kva.example:80", "198.51.100.7", true],
  ["host: xn--bcher-kva.example", "bucher.example:80", "198.51.100.7", false],
  // No name allows an address, however it is written.
  ['host: "*"', "198.51.100.7:80", undefined, false],
  ['host: "*"', "198.51.100.7:80", "198.51.100.7", false],
  ['host: "*"', "[2001:db8::1]:80", "2001:db8::1", false],
  ['host: "*"', "[::ffff:198.51.100.7]:80", undefined, false],
  // A name of somebody else does not lead to this machine.
  ['host: "*.example"', "rebound.example:80", "127.0.0.1", false],
  ['host: "*.example"', "rebound.example:80", "::1", false],
  ['host: "*.example"', "rebound.example:80", "0.0.0.0", false],
  ['host: "*.example"', "rebound.example:80", "::", false],
  ['host: "*.example"', "rebound.example:80", "::ffff:127.0.0.1", false],
  ['host: "*.example"', "rebound.example:80", "64:ff9b::127.0.0.1", false],
  ['host: "*"', "localhost:80", "127.0.0.1", false],
  ["host: localhost", "localhost:80", "127.0.0.1", true],
  ["host: localhost", "LOCALHOST.:80", "::1", true],
  ['host: "*.localhost"', "a.localhost:80", "127.0.0.1", true],
  ["host: localhost", "127.0.0.1:80", "127.0.0.1", false],
  ["cidr: 127.0.0.0/8", "rebound.example:80", "127.0.0.1", true],
  ["host: db.example, except: [10.0.0.0/8]", "db.example:80", "10.1.2.3", false],
  ["host: db.example, except: [10.0.0.0/8]", "db.example:80", "11.1.2.3", true],
  // What cannot be judged is not dialled.
  ['host: "*"', "db.example:80", "db.example", false],
  ['host: "*"', "db.example:80", "fe80::1%eth0", false],
];

for (const [entry, to, ip, allowed] of REACH) {
  const dialled = ip === undefined ? "" : ` at ${ip}`;
  Deno.test(`policy: { ${entry} } ${allowed ? "allows" : "refuses"} ${to}${dialled}`, () => {
    const policy = policyOf(`version: 1
rules:
  - peer: { anonymous: true }
    reach: [{ ${entry}, ports: [80] }]
never_reach: [192.0.2.0/24]
`);
    strictEqual(rule(policy, { kind: "reach", to: parseAddress(to), ip }), allowed ? 1 : 0);
  });
}

Deno.test("policy: other spellings of an address are no destinations at all", () => {
  for (
    const host of [
      "0",
      "127.1",
      "2130706433",
      "0x7f.1",
      "0177.0.0.1",
      "127.0.0.1.",
      "127.000.000.001",
      "bücher.example",
      "localhost%00",
      "１２７.0.0.1",
      "[::1%lo]",
      "[::ffff:127.0.0.1%1]",
      "127。0。0。1",
    ]
  ) {
    let refused = false;
    try {
      parseAddress(`${host}:80`);
    } catch {
      refused = true;
    }
    strictEqual(refused, true, host);
  }
});

const LISTEN: [allowed: string, at: string, answer: boolean][] = [
  ["ports: [8000-8100]", ":8000", true],
  ["ports: [8000-8100]", ":8100", true],
  ["ports: [8000-8100]", ":7999", false],
  ["ports: [8000-8100]", ":8101", false],
  ["ports: [80, 8000-8100]", "10.0.0.1:80", true],
  ["ports: [80], addresses: [127.0.0.1]", "127.0.0.1:80", true],
  ["ports: [80], addresses: [127.0.0.1]", "[::ffff:127.0.0.1]:80", true],
  ["ports: [80], addresses: [127.0.0.1]", ":80", false],
  ["ports: [80], addresses: [127.0.0.1]", "0.0.0.0:80", false],
  ["ports: [80], addresses: [127.0.0.1]", "[::]:80", false],
  ["ports: [80], addresses: [127.0.0.1]", "127.0.0.2:80", false],
  ["ports: [80], addresses: [127.0.0.1]", "localhost:80", false],
  ["ports: [80], addresses: [0.0.0.0]", "10.0.0.1:80", true],
  ["ports: [80], addresses: [0.0.0.0]", "0.0.0.0:80", true],
  ["ports: [80], addresses: [0.0.0.0]", "[::1]:80", false],
  ["ports: [80], addresses: [0.0.0.0]", ":80", false],
  ['ports: [80], addresses: ["::"]', ":80", true],
  ['ports: [80], addresses: ["::"]', "[::]:80", true],
  ['ports: [80], addresses: ["::"]', "10.0.0.1:80", true],
  ['ports: [80], addresses: ["FD00:0::1"]', "[fd00::1]:80", true],
  ['ports: [80], addresses: ["fd00::1"]', "[FD00:0::1]:80", true],
];

for (const [allowed, at, answer] of LISTEN) {
  Deno.test(`policy: { ${allowed} } ${answer ? "allows" : "refuses"} to listen on ${at}`, () => {
    const policy = anonymousPolicy(`listen: { ${allowed} }`);
    const question = { kind: "listen", at: parseAddress(at, { bind: true }) } as const;
    strictEqual(rule(policy, question), answer ? 1 : 0);
  });
}

Deno.test("policy: a right to control has those below it, and none is the default", () => {
  const rights = (allowed: string) =>
    (["list", "expose"] as const).map((right) =>
      rule(anonymousPolicy(allowed), { kind: "control", right }) === 1
    );
  deepStrictEqual(rights("control: none"), [false, false]);
  deepStrictEqual(rights("control: list"), [true, false]);
  deepStrictEqual(rights("control: expose"), [true, true]);
  deepStrictEqual(rights("listen: { ports: [1-65535] }"), [false, false]);
});

Deno.test("policy: rules add up, the first that allows something decides, and nothing is shared between questions", () => {
  const policy = policyOf(`version: 1
rules:
  - { peer: { dns: a.example }, listen: { ports: [80] } }
  - { peer: { dns: "*.example" }, listen: { ports: [80-90] }, control: list }
  - { peer: { anonymous: true }, reach: [{ cidr: 0.0.0.0/0, ports: [1-65535] }] }
`);
  const [a, b, evil] = ["a.example", "b.example", "evil"].map((name) =>
    certified({ dnsNames: [name] })
  );
  const listen = (port: number) => ({ kind: "listen", at: { host: "", port } }) as const;
  strictEqual(rule(policy, listen(80), a), 1);
  strictEqual(rule(policy, listen(81), a), 2);
  strictEqual(rule(policy, listen(80), b), 2);
  strictEqual(rule(policy, listen(80), evil), 0);
  strictEqual(rule(policy, listen(80), "anonymous"), 0);
  strictEqual(rule(policy, LIST, a), 2);
  const reach = { kind: "reach", to: { host: "10.0.0.1", port: 22 } } as const;
  strictEqual(rule(policy, reach, "anonymous"), 3);
  strictEqual(rule(policy, reach, a), 0);
  // While it is not known who it will be, somebody might be allowed it.
  strictEqual(rule(policy, reach, "any"), 3);
  strictEqual(rule(policy, listen(91), "any"), 0);
});

Deno.test("policy: a decision among a thousand rules takes microseconds", () => {
  const texts = Array.from({ length: 1000 }, (_, index) => {
    const host = `${index >> 8}.${index & 255}`;
    return `  - peer: { dns: "*.example" }
    listen: { ports: [1-65535], addresses: [10.0.${host}, "fd00::${index.toString(16)}"] }
    reach: [{ cidr: 10.${host}.0/24, ports: [1-65535] }, { host: "*.s${index}", ports: [1-65535] }]`;
  });
  const policy = policyOf(`version: 1\nrules:\n${texts.join("\n")}\n`);
  const peer = certified({ dnsNames: ["a.example"] });
  const to = { host: "db.s999", port: 80 };
  const questions: [PolicyQuestion, number][] = [
    [{ kind: "listen", at: { host: "10.0.3.231", port: 80 } }, 1000],
    [{ kind: "listen", at: { host: "::ffff:10.0.3.231", port: 80 } }, 1000],
    [{ kind: "listen", at: { host: "", port: 80 } }, 0],
    [{ kind: "reach", to, ip: "192.0.2.1" }, 1000],
    [{ kind: "reach", to: { host: "10.3.231.1", port: 80 } }, 1000],
    [{ kind: "reach", to: { host: "10.9.9.9", port: 80 } }, 0],
  ];
  const rules = rulesFor(policy, peer);
  for (const [question, number] of questions) {
    // The shortest of many: whatever else the machine does has no part in it.
    let shortest = Infinity;
    for (let times = 0; times < 100; times += 1) {
      const began = performance.now();
      const { rule } = decideAmong(rules, { policy, question });
      shortest = Math.min(shortest, performance.now() - began);
      strictEqual(rule?.number ?? 0, number);
    }
    ok(shortest < 1, `${shortest.toFixed(2)} ms to decide about ${JSON.stringify(question)}`);
  }
});

Deno.test("policy: without a rule nothing is allowed to anybody", () => {
  const policy = policyOf("version: 1\nrules: []\n");
  for (const peer of ["any", "anonymous", certified({ dnsNames: ["a"] })] as const) {
    strictEqual(rule(policy, LIST, peer), 0);
    strictEqual(rule(policy, { kind: "listen", at: { host: "", port: 80 } }, peer), 0);
    const to = { host: "10.0.0.1", port: 80 };
    strictEqual(rule(policy, { kind: "reach", to, ip: "10.0.0.1" }, peer), 0);
  }
});
