// Decides by a policy: pure, and held to a naive function by tests/property/policy_test.ts. Asked by
// tunnel/policy_guard.ts and by `connector policy explain`.

import { type Address, isIpv4, isIpv6 } from "../model/address.ts";
import type { CertificateId } from "../model/principal.ts";
import { fits, type Glob } from "./glob.ts";
import {
  contains,
  type DialledIp,
  type IpRange,
  listenedIp,
  LOOPBACK,
  readDialledIp,
  touches,
} from "./ip_range.ts";
import {
  CONTROL_RIGHTS,
  type ControlRight,
  nameOfRule,
  type PeerMatcher,
  type Policy,
  type PolicyRule,
  type PortRange,
  type ReachRule,
} from "./policy.ts";

/**
 * Who asks.
 * - what a verified certificate proves
 * - `anonymous`: a peer without a certificate
 * - `any`: it is not known yet who it will be. Something is allowed then if a peer could be allowed it
 */
export type PolicyPeer = CertificateId | "anonymous" | "any";

/** What is asked. */
export type PolicyQuestion =
  /** To listen for a service. `host` is an IP address, or empty for every interface. */
  | { kind: "listen"; at: Address }
  /**
   * To dial. `to` is the destination as it was exposed, `ip` the address that is about to be dialled. Without an
   * `ip`, something is allowed if one of the addresses that the name may have could be.
   */
  | { kind: "reach"; to: Address; ip?: string | undefined }
  /** To call gRPC's control API. */
  | { kind: "control"; right: Exclude<ControlRight, "none"> };

/** An answer. */
export interface PolicyDecision {
  allowed: boolean;
  /** The first rule that allows it; undefined when none does, or the file forbids it for all. */
  rule: PolicyRule | undefined;
}

const REFUSED: PolicyDecision = { allowed: false, rule: undefined };

/** Decides: what no rule allows is refused, and so is an address of `never_reach`. */
export function decide(
  policy: Policy,
  { peer, question }: { peer: PolicyPeer; question: PolicyQuestion },
): PolicyDecision {
  return decideAmong(rulesFor(policy, peer), { policy, question });
}

/** The rules that are for a peer, in order. It takes some time for many rules and long names; a peer keeps its names. */
export function rulesFor({ rules }: Policy, peer: PolicyPeer): readonly PolicyRule[] {
  return peer === "any" ? rules : rules.filter((rule) => isFor(rule.peer, peer));
}

/** `decide`, among the rules that are for a peer. */
export function decideAmong(
  rules: readonly PolicyRule[],
  { policy, question }: { policy: Policy; question: PolicyQuestion },
): PolicyDecision {
  const rule = firstAllowing(rules, policy, question);
  return rule === undefined ? REFUSED : { allowed: true, rule };
}

function firstAllowing(
  rules: readonly PolicyRule[],
  { neverReach }: Policy,
  question: PolicyQuestion,
): PolicyRule | undefined {
  switch (question.kind) {
    case "listen": {
      const { host, port } = question.at;
      const place = { port, ip: host === "" ? undefined : listenedIp(host) ?? host };
      return rules.find((rule) => allowsListening(rule, place));
    }
    case "reach": {
      const target = targetOf(question.to, question.ip);
      if (target === undefined) return undefined;
      if (target.ip !== undefined && touches(neverReach, target.ip)) return undefined;
      return rules.find(({ reach }) => reach.some((each) => allowsReaching(each, target)));
    }
    case "control": {
      const wanted = CONTROL_RIGHTS.indexOf(question.right);
      return rules.find(({ control }) => CONTROL_RIGHTS.indexOf(control) >= wanted);
    }
  }
}

function isFor(matcher: PeerMatcher, peer: Exclude<PolicyPeer, "any">): boolean {
  if (matcher.anonymous) return peer === "anonymous";
  if (peer === "anonymous") return false;
  const { spiffe, dns, subject, fingerprint } = matcher;
  return (spiffe === undefined || anyFits(spiffe, peer.spiffeIds.filter(isPlain))) &&
    (dns === undefined || anyFits(dns, peer.dnsNames.filter(isHostName).map(lowerCase))) &&
    (subject === undefined || anyFits(subject, [peer.subject].filter(isShort))) &&
    (fingerprint === undefined || fingerprint.includes(peer.key));
}

function anyFits(globs: readonly Glob[], names: readonly string[]): boolean {
  return globs.some((glob) => names.some((name) => fits(glob, name)));
}

/** Longer names are nobody's: no rule has one, and each costs time. */
const MAX_NAME_LENGTH = 2048;
const PLAIN = /^[!-~]+$/;
const HOST_NAME = /^[A-Za-z0-9_.-]{1,253}$/;

function isShort(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH;
}

function isPlain(name: string): boolean {
  return isShort(name) && PLAIN.test(name);
}

/** A wildcard, which is the name of no connector, and a name with a port are none. */
function isHostName(name: string): boolean {
  return HOST_NAME.test(name);
}

function lowerCase(name: string): string {
  return name.toLowerCase();
}

function has(ports: readonly PortRange[], port: number): boolean {
  return ports.some(({ first, last }) => port >= first && port <= last);
}

/** Where somebody wants to listen. */
interface Place {
  port: number;
  /** In the spelling of `listenedIp`; undefined for every interface. */
  ip: string | undefined;
}

function allowsListening({ listen }: PolicyRule, { ip, port }: Place): boolean {
  if (listen === undefined || !has(listen.ports, port)) return false;
  const { addresses } = listen;
  if (addresses === undefined || addresses.includes("::")) return true;
  if (ip === undefined) return false;
  return addresses.includes(ip) || addresses.includes("0.0.0.0") && isIpv4(ip);
}

/** What is to be dialled. */
interface Target {
  /** As it was exposed, in lower case and without a final dot. Undefined if that was an address. */
  name: string | undefined;
  /** Undefined if it has a name, and is not known yet. */
  port: number | undefined;
  /** Undefined if it is not known yet. */
  ip: DialledIp | undefined;
}

/** Undefined if it cannot be judged. */
function targetOf(
  { host, port: number, portLabel }: Address,
  given: string | undefined,
): Target | undefined {
  const port = portLabel === undefined ? number : undefined;
  const isName = !isIpv4(host) && !isIpv6(host);
  const text = given ?? (isName ? undefined : host);
  const ip = text === undefined ? undefined : readDialledIp(text);
  if (text !== undefined && ip === undefined) return undefined;
  return { name: isName ? host.toLowerCase().replace(/\.$/, "") : undefined, port, ip };
}

function allowsReaching(rule: ReachRule, { name, port, ip }: Target): boolean {
  if (port !== undefined && !has(rule.ports, port)) return false;
  if (rule.kind === "host") {
    if (name === undefined || !fits(rule.host, name)) return false;
    // Who answers for the name says what its address is: this machine's own servers are not at their disposal.
    if (ip !== undefined && touches(LOOPBACK, ip) && !isForThisMachine(rule.host)) return false;
  } else if (ip !== undefined && !contains(rule.cidr, ip.address)) {
    return false;
  }
  return ip === undefined || !touches(rule.except, ip);
}

/** Whether a pattern was written for this machine. RFC 6761 section 6.3. */
function isForThisMachine({ text }: Glob): boolean {
  return text === "localhost" || text.endsWith(".localhost");
}

/** Rules that are named, of those that are for a peer. */
const MAX_NAMED_RULES = 10;

/** Why something is refused, in words for whoever wrote the policy: which rules are for the peer, of which none allows it. */
export function whyRefused(
  rules: readonly PolicyRule[],
  { policy, question }: { policy: Policy; question: PolicyQuestion },
): string {
  const ip = question.kind === "reach" ? question.ip ?? question.to.host : "";
  const never = forbiddenBy(policy, ip);
  if (never !== undefined) return `never_reach has ${never.text}`;
  const [first, ...more] = rules;
  if (first === undefined) return "no rule is for this peer";
  if (more.length === 0) return `${nameOfRule(first)} is for this peer and does not allow it`;
  const named = rules.slice(0, MAX_NAMED_RULES).map(nameOfRule).join(", ");
  const cut = rules.length > MAX_NAMED_RULES ? ", …" : "";
  return `none of the ${rules.length} rules for this peer allows it: ${named}${cut}`;
}

/** The range that an address is in, of those that are never dialled. */
function forbiddenBy({ neverReach }: Policy, ip: string): IpRange | undefined {
  const dialled = readDialledIp(ip);
  return dialled && neverReach.find((range) => touches([range], dialled));
}
