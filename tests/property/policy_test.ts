// The decision of a policy, held to a naive one that is written from the documentation alone: patterns by trying every place,
// ranges by their bits as text, and every rule by going through all that it says.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { CertificateId } from "../../src/model/principal.ts";
import { decide, type PolicyPeer, type PolicyQuestion } from "../../src/policy/decide.ts";
import { fits, makeGlob } from "../../src/policy/glob.ts";
import { contains, ipRange } from "../../src/policy/ip_range.ts";
import { certified, parsed, policyOf } from "../support/policies.ts";

/** A star stands for one character or more that are no separators. */
function naiveFits(pattern: string, text: string, separators: string): boolean {
  if (pattern === "") return text === "";
  if (pattern.startsWith("*")) {
    for (let length = 1; length <= text.length; length += 1) {
      if (separators.includes(text.charAt(length - 1))) return false;
      if (naiveFits(pattern.slice(1), text.slice(length), separators)) return true;
    }
    return false;
  }
  return pattern.charAt(0) === text.charAt(0) &&
    naiveFits(pattern.slice(1), text.slice(1), separators);
}

const letters = (alphabet: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), maxLength });

Deno.test("policy property: a pattern fits what the naive one fits", () => {
  fc.assert(
    fc.property(
      letters("ab/*", 8).filter((pattern) => !pattern.includes("**")),
      letters("ab/,", 12),
      fc.constantFrom("", "/", "/,"),
      (pattern, text, separators) => {
        const glob = makeGlob(pattern, { separators });
        strictEqual(fits(glob, text), naiveFits(pattern, text, separators));
      },
    ),
    { numRuns: 20_000 },
  );
});

Deno.test("policy property: no pattern takes long for any name", () => {
  const glob = makeGlob("*" + "a*".repeat(1000) + "b");
  const began = performance.now();
  for (let round = 0; round < 100; round += 1) strictEqual(fits(glob, "a".repeat(2048)), false);
  // Going back would take longer than anybody lives.
  strictEqual(performance.now() - began < 20_000, true);
});

const octet = fc.nat({ max: 255 });
const ipv4 = fc.oneof(
  fc.tuple(octet, octet, octet, octet).map((bytes) => bytes.join(".")),
  fc.tuple(fc.constantFrom(10, 127, 169), fc.constantFrom(0, 254), octet, fc.constantFrom(0, 1))
    .map((bytes) => bytes.join(".")),
);

function bitsOf(ip: string): string {
  return ip.split(".").map((byte) => Number(byte).toString(2).padStart(8, "0")).join("");
}

function ipOf(bits: string): string {
  return [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join(".");
}

const cidr = fc.tuple(ipv4, fc.nat({ max: 32 })).map(([ip, length]) =>
  `${ipOf(bitsOf(ip).slice(0, length).padEnd(32, "0"))}/${length}`
);

function naiveContains(range: string, ip: string): boolean {
  const [first = "", length = ""] = range.split("/");
  return bitsOf(ip).startsWith(bitsOf(first).slice(0, Number(length)));
}

Deno.test("policy property: a range has what has its first bits", () => {
  fc.assert(
    fc.property(cidr, ipv4, (range, ip) => {
      const bytes = Uint8Array.from(ip.split("."), Number);
      strictEqual(contains(ipRange(range), bytes), naiveContains(range, ip));
    }),
    { numRuns: 5000 },
  );
});

/** A policy file, as what stands in it. */
interface WrittenRule {
  peer: { anonymous: true } | { dns?: string[]; spiffe?: string; subject?: string };
  listen?: { ports: string[]; addresses?: string[] };
  reach: ({ host: string } | { cidr: string })[];
  ports: string[];
  except: string[];
  control: "none" | "list" | "expose";
}

interface Asked {
  peer: "anonymous" | { dns?: string; spiffe?: string; subject?: string };
  what:
    | { kind: "listen"; host: string; port: number }
    | { kind: "reach"; host: string; ip: string; port: number; mapped: boolean }
    | { kind: "control"; right: "list" | "expose" };
}

const name = fc.constantFrom("a.x", "b.x", "a.b.x", "x", "localhost");
const hostGlob = fc.constantFrom("a.x", "*.x", "*", "a.*", "localhost", "A.X.");
const port = fc.integer({ min: 1, max: 6 });
const ports = fc.array(
  fc.tuple(port, port).map(([a, b]) => a < b ? `${a}-${b}` : String(a)),
  { minLength: 1, maxLength: 2 },
);

const writtenRule: fc.Arbitrary<WrittenRule> = fc.record({
  peer: fc.oneof(
    fc.constant({ anonymous: true as const }),
    fc.record({
      dns: fc.array(hostGlob, { minLength: 1, maxLength: 2 }),
      spiffe: fc.constantFrom("spiffe://x/*", "spiffe://x/a/*", "spiffe://*/a"),
      subject: fc.constantFrom("CN=*", "CN=*, O=x", "CN=*+O=x", "*, O=x"),
    }, { requiredKeys: [] }).filter((matcher) => Object.keys(matcher).length > 0),
  ),
  listen: fc.record({
    ports,
    addresses: fc.array(fc.oneof(fc.constant("0.0.0.0"), ipv4), { minLength: 1, maxLength: 2 }),
  }, { requiredKeys: ["ports"] }),
  reach: fc.array(
    fc.oneof(fc.record({ host: hostGlob }), fc.record({ cidr })),
    { minLength: 1, maxLength: 3 },
  ),
  ports,
  except: fc.array(cidr, { maxLength: 1 }),
  control: fc.constantFrom("none", "list", "expose"),
});

const asked: fc.Arbitrary<Asked> = fc.record({
  peer: fc.oneof(
    fc.constant("anonymous" as const),
    fc.record({
      dns: fc.oneof(name, fc.constantFrom("A.X", "*.x", "*")),
      spiffe: fc.constantFrom("spiffe://x/a", "spiffe://x/a/b", "spiffe://y/a", "spiffe://x/y/a"),
      subject: fc.constantFrom("CN=a", "CN=a, O=x", "CN=a\\, O=x", "CN=a+O=x", "CN=a\\+O=x"),
    }, { requiredKeys: [] }),
  ),
  what: fc.oneof(
    fc.record({
      kind: fc.constant("listen" as const),
      host: fc.oneof(fc.constantFrom("", "0.0.0.0", "::1"), ipv4),
      port,
    }),
    fc.record({
      kind: fc.constant("reach" as const),
      host: fc.oneof(name, fc.constantFrom("A.X", "a.x.", "10.0.0.1")),
      ip: ipv4,
      port,
      mapped: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant("control" as const),
      right: fc.constantFrom("list" as const, "expose" as const),
    }),
  ),
});

function write(rules: WrittenRule[], never: string[]): string {
  const lines = rules.map(({ peer, listen, reach, ports, except, control }) => ({
    peer,
    ...(listen && { listen }),
    reach: reach.map((each) => ({ ...each, ports, except })),
    control,
  }));
  // JSON is YAML.
  return JSON.stringify({ version: 1, rules: lines, never_reach: never });
}

function naivePorts(ports: string[], port: number): boolean {
  return ports.some((each) => {
    const [first, last = first] = each.split("-").map(Number);
    return first !== undefined && last !== undefined && port >= first && port <= last;
  });
}

function isIpv4(host: string): boolean {
  return /^[\d.]+$/.test(host);
}

/** A destination that is an address is dialled at it. */
function dialled({ host, ip }: { host: string; ip: string }): string {
  return isIpv4(host) ? host : ip;
}

/** The number of the first rule that allows it, 0 if none does: by the documentation, word by word. */
function naiveDecide(rules: WrittenRule[], never: string[], { peer, what }: Asked): number {
  const host = (text: string) => text.toLowerCase().replace(/\.$/, "");
  const isPeer = (matcher: WrittenRule["peer"]) => {
    if ("anonymous" in matcher) return peer === "anonymous";
    if (peer === "anonymous") return false;
    const { spiffe = "", dns = "*", subject = "" } = peer;
    const fitting: Record<string, () => boolean> = {
      spiffe: () => naiveFits(matcher.spiffe ?? "", spiffe, "/"),
      dns: () =>
        !dns.includes("*") &&
        (matcher.dns ?? []).some((glob) => naiveFits(host(glob), dns.toLowerCase(), "")),
      // A comma that is escaped ends no value, and a star knows nothing of escapes.
      subject: () => naiveFits(matcher.subject ?? "", subject, ",+\\"),
    };
    return Object.keys(matcher).every((kind) => fitting[kind]?.());
  };
  const allows = (rule: WrittenRule): boolean => {
    switch (what.kind) {
      case "control":
        return rule.control === "expose" || rule.control === what.right;
      case "listen": {
        const { ports = [], addresses } = rule.listen ?? {};
        if (!naivePorts(ports, what.port)) return false;
        if (addresses === undefined) return true;
        return addresses.includes(what.host) ||
          addresses.includes("0.0.0.0") && /^\d/.test(what.host);
      }
      case "reach": {
        const ip = dialled(what) === "0.0.0.0" ? "127.0.0.1" : dialled(what);
        const forbidden = [...never, "169.254.0.0/16", ...rule.except];
        if (forbidden.some((range) => naiveContains(range, ip))) return false;
        if (!naivePorts(rule.ports, what.port)) return false;
        return rule.reach.some((entry) => {
          if ("cidr" in entry) return naiveContains(entry.cidr, ip);
          if (isIpv4(what.host)) return false;
          if (!naiveFits(host(entry.host), host(what.host), "")) return false;
          return !ip.startsWith("127.") || entry.host === "localhost";
        });
      }
    }
  };
  return rules.findIndex((rule) => isPeer(rule.peer) && allows(rule)) + 1;
}

function peerOf(peer: Asked["peer"]): PolicyPeer {
  if (peer === "anonymous") return peer;
  const names: Partial<CertificateId> = {
    dnsNames: peer.dns === undefined ? [] : [peer.dns],
    spiffeIds: peer.spiffe === undefined ? [] : [peer.spiffe],
    subject: peer.subject ?? "",
  };
  return certified(names);
}

function questionOf(what: Asked["what"]): PolicyQuestion {
  switch (what.kind) {
    case "control":
      return what;
    case "listen":
      return { kind: "listen", at: { host: what.host, port: what.port } };
    case "reach": {
      const ip = what.mapped ? `::ffff:${dialled(what)}` : dialled(what);
      return { kind: "reach", to: { host: what.host, port: what.port }, ip };
    }
  }
}

Deno.test("policy property: what is decided is what the naive function decides, also about who is not known yet", () => {
  const count = [0, 0];
  fc.assert(
    fc.property(
      fc.array(writtenRule, { maxLength: 4 }),
      fc.array(cidr, { maxLength: 1 }),
      fc.array(asked, { minLength: 1, maxLength: 8 }),
      (rules, never, questions) => {
        const policy = policyOf(write(rules, never));
        for (const each of questions) {
          const question = questionOf(each.what);
          const { allowed, rule } = decide(policy, { peer: peerOf(each.peer), question });
          deepStrictEqual(rule?.number ?? 0, naiveDecide(rules, never, each));
          strictEqual(allowed, rule !== undefined);
          count[allowed ? 1 : 0] = (count[allowed ? 1 : 0] ?? 0) + 1;
          // Nobody is allowed what nobody could be allowed.
          if (!allowed) continue;
          strictEqual(decide(policy, { peer: "any", question }).allowed, true);
          if (question.kind !== "reach") continue;
          const { ip: _ip, ...unresolved } = question;
          strictEqual(decide(policy, { peer: "any", question: unresolved }).allowed, true);
        }
      },
    ),
    { numRuns: 1000 },
  );
  // Both answers are met often.
  strictEqual(Math.min(...count) > 200, true, String(count));
});

/** What means something in YAML, or looks as if it did. */
const PIECES = (
  "&a |*a|!!str |!<x> |? |: |- |\t|\r|\r\n|\n|---\n|...\n|{|}|[|]|,|>|'|\"|#|%YAML 1.1\n|" +
  "\ufeff|\0|null|~|<<: |1e9|0x1|.inf|true|\u2028|\\|`|@"
).split("|");
const FILE = `version: 1
rules:
  - peer: { spiffe: "spiffe://x/*" }
    listen: { ports: [8000-8100], addresses: [127.0.0.1] }
    reach:
      - { cidr: 10.0.0.0/8, ports: [80, 443], except: [10.0.0.1/32] }
    control: expose
    limits: { services: 20, connections: 500 }
never_reach: [169.254.0.0/16]
`;
const damage = fc.record({
  at: fc.nat({ max: FILE.length }),
  cut: fc.nat({ max: 5 }),
  piece: fc.constantFrom("", ...PIECES),
});

Deno.test("policy property: a damaged file is a policy or has mistakes, each at a place in it", () => {
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
      let text = FILE;
      for (const { at, cut, piece } of damages) {
        text = text.slice(0, at) + piece + text.slice(at + cut);
      }
      const lines = text.split("\n").length;
      for (const { line, column } of parsed(text).problems ?? []) {
        strictEqual(line >= 1 && line <= lines && column >= 1, true, `${line}:${column}`);
      }
    }),
    { numRuns: 300 },
  );
});

const ipv6 = fc.tuple(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.nat({ max: 128 }));

Deno.test("policy property: a range of IPv6 has what has its first bits", () => {
  const bytesOf = (value: bigint) => Uint8Array.fromHex(value.toString(16).padStart(32, "0"));
  fc.assert(
    fc.property(ipv6, ipv6, ([first, bits], [other, same]) => {
      const rest = BigInt(128 - bits);
      const range = { text: "", ip: bytesOf(first >> rest << rest), bits };
      // It has as many bits in common with the range as was said, at least.
      const ip = first >> BigInt(128 - same) << BigInt(128 - same) | other >> BigInt(same);
      strictEqual(contains(range, bytesOf(ip)), first >> rest === ip >> rest);
      strictEqual(contains(range, new Uint8Array(4)), false);
    }),
    { numRuns: 2000 },
  );
});
