// Policy files: what they say, and what each mistake in one is told as, with its place.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { MAX_POLICY_LENGTH } from "../../src/policy/parse.ts";
import { parsed, policyOf, problemsOf } from "../support/policies.ts";

const WHOLE = `version: 1
rules:
  - peer: { spiffe: "spiffe://example/laptop/*" }
    listen: { ports: [8000-8100], addresses: [127.0.0.1] }
    reach:
      - { host: "*.svc.cluster.local", ports: [5432, 6379] }
      - { cidr: 10.0.0.0/8, ports: [80, 443], except: [10.0.0.1/32] }
    control: expose
    limits: { services: 20, connections: 500 }
  - peer:
      dns: [a.example, "*.B.example."]
      fingerprint: 5F:${"5f".repeat(31)}
    control: list
never_reach: [192.168.0.0/16]
`;

Deno.test("policy: a file is read whole", () => {
  const { rules, neverReach } = policyOf(WHOLE);
  deepStrictEqual(neverReach.map(({ text }) => text), [
    "169.254.0.0/16",
    "fe80::/10",
    "192.168.0.0/16",
  ]);
  const [laptop, second] = rules;
  deepStrictEqual([laptop?.number, laptop?.line, second?.number, second?.line], [1, 3, 2, 10]);
  deepStrictEqual(laptop?.listen, {
    ports: [{ first: 8000, last: 8100 }],
    addresses: ["127.0.0.1"],
  });
  deepStrictEqual(
    laptop?.reach.map((each) => [
      each.kind === "host" ? each.host.text : each.cidr.text,
      each.ports.map(({ first, last }) => `${first}-${last}`).join(),
      each.except.map(({ text }) => text).join(),
    ]),
    [
      ["*.svc.cluster.local", "5432-5432,6379-6379", ""],
      ["10.0.0.0/8", "80-80,443-443", "10.0.0.1/32"],
    ],
  );
  strictEqual(laptop?.control, "expose");
  deepStrictEqual(laptop?.limits, { services: 20, connections: 500 });
  ok(second && !second.peer.anonymous);
  deepStrictEqual(second.peer.dns?.map(({ text }) => text), ["a.example", "*.b.example"]);
  deepStrictEqual(second.peer.fingerprint, ["5f".repeat(32)]);
  deepStrictEqual([second.listen, second.reach, second.limits], [undefined, [], {}]);
});

Deno.test("policy: a file without rules allows nothing, and JSON is YAML", () => {
  deepStrictEqual(policyOf("version: 1\nrules: []\n").rules, []);
  strictEqual(policyOf('{"version": 1, "rules": [], "never_reach": []}').neverReach.length, 2);
});

/** A rule in line 3, whose members begin in column 5. */
function rule(...lines: string[]): string {
  return ["version: 1", "rules:", `  - ${lines.join("\n    ")}`, ""].join("\n");
}

const PEER = "peer: { anonymous: true }";
const PORTS = "ports: [80]";

const MISTAKES: [what: string, text: string, ...problems: string[]][] = [
  ["nothing", "", '1:1: the file is empty, want "version: 1" and a list "rules"'],
  ["a comment only", "# later\n", '1:1: the file is empty, want "version: 1" and a list "rules"'],
  ["a text", "allow all", '1:1: a policy has no keys here, want "version", "rules", "never_reach"'],
  [
    "another version",
    "version: 2\nrules: []",
    '1:10: version is "2", want 1',
  ],
  ["no version", "rules: []", '1:1: "version" is missing, want version: 1'],
  ["no rules", "version: 1", '1:1: "rules" is missing, want a list; [] allows nothing'],
  [
    "rules that are none",
    "version: 1\nrules: { }",
    '2:8: "rules" has no list, want one in brackets or with dashes',
  ],
  [
    "an unknown key",
    "version: 1\nrules: []\nallow: all",
    '3:1: a policy has no key "allow", want "version", "rules", "never_reach"',
  ],
  [
    "a key twice",
    "version: 1\nrules: []\nrules: []",
    '3:1: "rules" stands here twice, want it once',
  ],
  [
    "no peer",
    rule("control: list"),
    '3:5: "peer" is missing, want which peers the rule is for',
  ],
  [
    "a rule that allows nothing",
    rule(PEER),
    '3:5: the rule allows nothing, want "listen", "reach" or "control"',
  ],
  [
    "an unknown key in a rule",
    rule(PEER, "control: list", "listens: { }"),
    '5:5: a rule has no key "listens", want "peer", "listen", "reach", "control", "limits"',
  ],
  [
    "a peer that says nothing",
    rule("peer: { }", "control: list"),
    '3:11: peer says nothing, want "spiffe", "dns", "subject", "fingerprint" or "anonymous"',
  ],
  [
    "an empty peer",
    rule("peer:", "control: list"),
    '3:10: peer has no keys here, want "spiffe", "dns", "subject", "fingerprint", "anonymous"',
  ],
  [
    "anonymous with a name",
    rule("peer: { anonymous: true, dns: a }", "control: list"),
    '3:30: an anonymous peer has no names, want "anonymous" alone',
  ],
  [
    "anonymous: false",
    rule("peer: { anonymous: false }", "control: list"),
    "3:24: anonymous can only be true; a rule without it is for peers with a certificate",
  ],
  [
    "a SPIFFE id without its scheme",
    rule("peer: { spiffe: example/laptop }", "control: list"),
    '3:21: "example/laptop" in "spiffe": want a SPIFFE id, which begins with "spiffe://"',
  ],
  [
    "a SPIFFE id with a line break",
    rule('peer: { spiffe: "spiffe://a/b\\n" }', "control: list"),
    '3:21: "spiffe://a/b\\n" in "spiffe": no SPIFFE id has blanks, line breaks or characters beyond ASCII, want none',
  ],
  [
    "a merge key of YAML 1.1",
    "%YAML 1.1\n---\nversion: 1\nrules: []\n<<: { never_reach: [] }\n",
    '5:1: a policy has no key "<<", want "version", "rules", "never_reach"',
  ],
  [
    "two stars",
    rule('peer: { spiffe: "spiffe://a/**" }', "control: list"),
    '3:21: "spiffe://a/**" in "spiffe": two stars mean no more than one, want one',
  ],
  [
    "a fingerprint of a certificate by SHA-1",
    rule(`peer: { fingerprint: ${"5f".repeat(20)} }`, "control: list"),
    `3:26: "${"5f".repeat(20)}" in "fingerprint": want the SHA-256 of a public key, ` +
    "64 hexadecimal digits",
  ],
  [
    "a subject without attributes",
    rule("peer: { subject: laptop }", "control: list"),
    '3:22: "laptop" in "subject": want a subject such as "O=Example, CN=*"',
  ],
  [
    "an empty list of names",
    rule("peer: { dns: [] }", "control: list"),
    '3:18: "dns" is empty, want at least one entry',
  ],
  [
    "an address as a DNS name",
    rule("peer: { dns: 10.0.0.1 }", "control: list"),
    '3:18: "10.0.0.1" in "dns": it looks like an address, want a name',
  ],
  [
    "no ports",
    rule(PEER, "listen: { addresses: [127.0.0.1] }"),
    '4:13: "ports" is missing, want a list such as [80, 8000-8100]',
  ],
  [
    "one port, no list",
    rule(PEER, "listen: { ports: 80 }"),
    '4:22: "ports" has no list, want one in brackets or with dashes',
  ],
  [
    "ports that are none",
    rule(PEER, "listen: { ports: [0, 65536, 080, 0x50, http, 8100-8000, 1-2-3, 1e3] }"),
    ...[[23, "0"], [26, "65536"], [33, "080"], [38, "0x50"], [44, "http"]].map(([column, text]) =>
      `4:${column}: "${text}" in "ports": want a port from 1 to 65535, or a range such as 8000-8100`
    ),
    '4:50: "8100-8000" in "ports": the range is empty, want 8000-8100',
    '4:61: "1-2-3" in "ports": want a port from 1 to 65535, or a range such as 8000-8100',
    '4:68: "1e3" in "ports": want a port from 1 to 65535, or a range such as 8000-8100',
  ],
  [
    "a name to listen on",
    rule(PEER, `listen: { ${PORTS}, addresses: [localhost] }`),
    '4:40: "localhost" in "addresses": want an IP address such as 127.0.0.1',
  ],
  [
    "IPv4 as IPv6 to listen on",
    rule(PEER, `listen: { ${PORTS}, addresses: ["::ffff:127.0.0.1"] }`),
    '4:40: "::ffff:127.0.0.1" in "addresses": want IPv4 addresses written as such',
  ],
  [
    "neither host nor cidr",
    rule(PEER, `reach: [{ ${PORTS} }]`),
    '4:13: "host" or "cidr" is missing, want what may be dialled',
  ],
  [
    "host and cidr",
    rule(PEER, `reach: [{ host: a, cidr: 10.0.0.0/8, ${PORTS} }]`),
    '4:24: the entry has "host" and "cidr", want an entry for each',
  ],
  [
    "an address as a host",
    rule(PEER, `reach: [{ host: 10.0.0.1, ${PORTS} }]`),
    '4:21: "10.0.0.1" in "host": it looks like an address, want a name; addresses are allowed by "cidr"',
  ],
  [
    "a pattern of addresses as a host",
    rule(PEER, `reach: [{ host: "10.*", ${PORTS} }]`),
    '4:21: "10.*" in "host": it looks like an address, want a name; addresses are allowed by "cidr"',
  ],
  [
    "a range as a host",
    rule(PEER, `reach: [{ host: "fd00::/8", ${PORTS} }]`),
    '4:21: "fd00::/8" in "host": it looks like an address, want a name; addresses are allowed by "cidr"',
  ],
  [
    "a name beyond ASCII",
    rule(PEER, `reach: [{ host: bücher.example, ${PORTS} }]`),
    '4:21: "bücher.example" in "host": it is not as it stands in DNS, want its ASCII form, ' +
    "which begins with xn--",
  ],
  [
    "a regular expression as a host",
    rule(PEER, `reach: [{ host: ".*[.]example", ${PORTS} }]`),
    '4:21: ".*[.]example" in "host": it is no host name, want one such as db.example or *.example',
  ],
  [
    "a name as a cidr",
    rule(PEER, `reach: [{ cidr: db.example, ${PORTS} }]`),
    '4:21: "db.example" in "cidr": it is not a range of addresses, want one such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    "an address as a cidr",
    rule(PEER, `reach: [{ cidr: 10.0.0.1, ${PORTS} }]`),
    '4:21: "10.0.0.1" in "cidr": it is one address, want a range: for this address alone 10.0.0.1/32',
  ],
  [
    "a cidr with bits of a host",
    rule(PEER, `reach: [{ cidr: 10.0.0.1/8, ${PORTS} }]`),
    '4:21: "10.0.0.1/8" in "cidr": it has bits beyond its first 8, want 10.0.0.0/8',
  ],
  [
    "a cidr that is too long",
    rule(PEER, `reach: [{ cidr: 10.0.0.0/33, ${PORTS} }]`),
    '4:21: "10.0.0.0/33" in "cidr": it has the length "33", want 0 to 32 bits',
  ],
  [
    "a cidr of IPv4 as IPv6",
    rule(PEER, `reach: [{ cidr: "::ffff:10.0.0.0/104", ${PORTS} }]`),
    '4:21: "::ffff:10.0.0.0/104" in "cidr": it is a range of IPv4 addresses written as IPv6, want 10.0.0.0/8',
  ],
  [
    "a name as an exception",
    rule(PEER, `reach: [{ host: "*", ${PORTS}, except: [db.example] }]`),
    '4:48: "db.example" in "except": it is not a range of addresses, want one such as 10.0.0.0/8 or fd00::/8',
  ],
  [
    "an unknown right",
    rule(PEER, "control: all"),
    '4:14: "all" in "control": want none, list, expose',
  ],
  ["an empty right", rule(PEER, "control:"), '4:13: "control" is empty, want a text'],
  [
    "limits that are none",
    rule(PEER, "control: list", "limits: { services: many, connections: -1 }"),
    '5:25: "many" in "services": want a whole number from 0 to 1000000',
    '5:44: "-1" in "connections": want a whole number from 0 to 1000000',
  ],
  [
    "an alias and its anchor",
    rule("peer: &one { dns: a }", "control: list") + "  - { peer: *one, control: list }\n",
    "3:16: anchors are not read, want none",
    "5:13: aliases are not read, want the value itself",
  ],
  [
    "a tag",
    rule("peer: { dns: !!str a }", "control: list"),
    "3:24: tags are not read, want none",
  ],
  [
    "a second document",
    "version: 1\nrules: []\n---\nversion: 1\n",
    "3:1: the file has a second document, want one",
  ],
  [
    "no YAML",
    "version: 1\nrules: [\n",
    "3:1: the YAML cannot be read: flow sequence in block collection must be sufficiently indented " +
    "and end with a ]",
  ],
];

for (const [what, text, ...problems] of MISTAKES) {
  Deno.test(`policy: ${what} is refused, with its place`, () => {
    deepStrictEqual(problemsOf(text), problems);
  });
}

Deno.test("policy: what is too long, too much or too deep is refused and costs little", () => {
  const began = performance.now();
  const [long] = problemsOf(" ".repeat(MAX_POLICY_LENGTH + 1));
  strictEqual(long, `1:1: the file has over ${MAX_POLICY_LENGTH} characters, want fewer`);
  const many = rule(PEER, `control: list`) +
    "  - { peer: { dns: a }, control: list }\n".repeat(1000);
  deepStrictEqual(problemsOf(many), ['3:3: "rules" has 1001 entries, want at most 1000']);
  const ports = rule(PEER, `listen: { ports: [${"1, ".repeat(201)}] }`);
  deepStrictEqual(problemsOf(ports), ['4:22: "ports" has 201 entries, want at most 200']);
  const mistakes = rule(...Array.from({ length: 100 }, (_, index) => `key${index}: 1`));
  strictEqual(problemsOf(mistakes).length, 20);
  for (const half of ["[", "{a: ", "- ", "? ", '"', "&a ", "!"]) {
    const deep = half.repeat(Math.floor(2 ** 14 / half.length));
    ok(parsed(deep).problems, half);
  }
  const keys = Array.from({ length: 5_000 }, (_, index) => `k${index}: 1`).join("\n");
  ok(parsed(keys).problems);
  ok(performance.now() - began < 20_000, "the time is of the size");
});

Deno.test("a policy file that is nested as deeply as it can be has a mistake, and nothing else happens", () => {
  for (const [first, piece] of [["", "["], ["", "{"], ["", "- "], ["version: ", "["]] as const) {
    const [problem = ""] = problemsOf(first + piece.repeat(20_000));
    match(problem, /^1:\d+: the YAML is nested too deeply, want a policy$/);
  }
});
