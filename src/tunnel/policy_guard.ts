// Holds the connector to a policy file: what the policy in force allows each peer, and how much of
// its limits each peer has taken. policy/decide.ts decides; admission.ts asks.

import { type Address, formatAddress } from "../model/address.ts";
import { listenHosts } from "../model/ip.ts";
import type { Principal } from "../model/principal.ts";
import type { ServiceRequest, Side } from "../model/service.ts";
import {
  decideAmong,
  type PolicyDecision,
  type PolicyPeer,
  type PolicyQuestion,
  rulesFor,
  whyRefused,
} from "../policy/decide.ts";
import {
  type ControlRight,
  nameOfRule,
  type Policy,
  type PolicyRule,
  type RuleLimits,
} from "../policy/policy.ts";
import type { PeerCount, Refusal, Rule, Subject } from "./admission.ts";

/** What no policy says is not allowed. */
const NOTHING: Policy = { rules: [], neverReach: [] };

/** The policy in force. */
export class PolicyGuard {
  #policy: Policy;
  /** The rules that are for a peer: to find them takes longer than to decide by them. */
  #rules = new WeakMap<Principal, readonly PolicyRule[]>();
  /** Peers that have connections, whatever the policy says of them. */
  readonly #counts = new Map<string, PeerCount>();
  readonly #onLeave = ({ key, connections }: PeerCount): void => {
    if (connections === 0) this.#counts.delete(key);
  };

  /** Until it has a policy, it allows nothing. */
  constructor(policy: Policy = NOTHING) {
    this.#policy = policy;
  }

  /** Decides by another policy from now on. What the former has allowed is looked at by `Connector.readmit`. */
  replace(policy: Policy): void {
    this.#policy = policy;
    this.#rules = new WeakMap();
  }

  /** For Admission: why something is not allowed. It stands before `withinLimits`. */
  readonly rule: Rule = (subject) => this.#refusalOf(subject);

  /**
   * Where to listen for a service that asks for no address of its own: at `bind`, empty for every interface, if that is
   * allowed; otherwise where the first rule that allows the port says.
   */
  listensOn(
    { sourcePort: port }: Pick<ServiceRequest, "sourcePort">,
    { principal, bind }: { principal: Principal | undefined; bind: readonly string[] },
  ): readonly string[] {
    const rules = this.#rulesFor(principal);
    const allowed = hostsOf(bind).every((host) =>
      this.#allows(rules, { kind: "listen", at: { host, port } })
    );
    if (allowed) return bind;
    const rule = rules.find(({ listen }) =>
      listen?.ports.some(({ first, last }) => port >= first && port <= last)
    );
    return rule?.listen?.addresses ? listenHosts(rule.listen.addresses) : bind;
  }

  /** Which rules allow what Admission was asked about, for the log. */
  rulesOf({ side, principal, sourcePort, destination, listensOn }: {
    side: Side;
    principal: Principal | undefined;
    sourcePort: number;
    destination: Address;
    listensOn: readonly string[];
  }): string {
    const rules = this.#rulesFor(principal);
    const questions: PolicyQuestion[] = side === "ingress"
      ? hostsOf(listensOn).map((host) => ({ kind: "listen", at: { host, port: sourcePort } }))
      : [{ kind: "reach", to: destination }];
    const allowing = questions.map((question) => this.#decide(rules, question).rule);
    return [...new Set(allowing.map((rule) => rule ? nameOfRule(rule) : NO_RULE))].join(", ");
  }

  /** Whether a peer may make calls of gRPC's control API that need this right, and which rule says so. */
  mayControl(
    principal: Principal,
    right: Exclude<ControlRight, "none">,
  ): { allowed: boolean; rule: string } {
    const rules = this.#rulesFor(principal);
    const question: PolicyQuestion = { kind: "control", right };
    const { allowed, rule } = this.#decide(rules, question);
    return { allowed, rule: rule ? nameOfRule(rule) : this.#whyRefused(rules, question) };
  }

  /** The most services that a peer may have exposed here: the least that a rule for it says, and which one. */
  maxServices(principal: Principal): { most: number; rule: string } {
    return leastOf(this.#rulesFor(principal), "services");
  }

  #refusalOf(subject: Subject): Refusal | undefined {
    const { action, side, principal, destination, ip } = subject;
    // Only who exposes, or waits for a link, may be unknown.
    if (
      principal === undefined && (action === "dial" || action === "connect" && side === "egress")
    ) {
      return { code: "policy", reason: "it is not known who the peer is", rule: NO_RULE };
    }
    const rules = this.#rulesFor(principal);
    if (side === "ingress") {
      const { sourcePort: port } = subject.service;
      for (const host of hostsOf(subject.listensOn)) {
        const question = { kind: "listen", at: { host, port } } as const;
        if (this.#decide(rules, question).allowed) continue;
        const rule = this.#whyRefused(rules, question);
        return notAllowed(principal, { what: `listen on ${describe(question.at)}`, rule });
      }
    } else {
      const question = { kind: "reach", to: destination, ip } as const;
      if (!this.#decide(rules, question).allowed) {
        const rule = this.#whyRefused(rules, question);
        const told = notAllowed(principal, { what: `reach ${formatAddress(destination)}`, rule });
        // What a name leads to here is not told.
        return ip === undefined || ip === destination.host
          ? told
          : { ...told, reason: `${told.reason} at ${ip}`, told: told.reason };
      }
    }
    return this.#count(subject, rules);
  }

  /** A connection counts as its peer's, unless that has as many as a rule for it allows. */
  #count({ place, principal }: Subject, rules: readonly PolicyRule[]): Refusal | undefined {
    if (place === undefined || principal === undefined) return undefined;
    const key = principal.peerKey;
    const count = this.#counts.get(key) ?? { key, connections: 0 };
    if (place.counted === count) return undefined;
    let most = Infinity;
    for (const { limits } of rules) most = Math.min(most, limits.connections ?? Infinity);
    if (count.connections >= most) {
      return {
        code: "limit",
        reason: `the policy allows the peer no more connections than ${most}`,
        rule: leastOf(rules, "connections").rule,
      };
    }
    this.#counts.set(key, count);
    place.count(count, this.#onLeave);
    return undefined;
  }

  #rulesFor(principal: Principal | undefined): readonly PolicyRule[] {
    if (principal === undefined) return rulesFor(this.#policy, "any");
    const known = this.#rules.get(principal);
    if (known !== undefined) return known;
    const peer: PolicyPeer = principal.certificate ?? "anonymous";
    const found = rulesFor(this.#policy, peer);
    this.#rules.set(principal, found);
    return found;
  }

  #allows(rules: readonly PolicyRule[], question: PolicyQuestion): boolean {
    return this.#decide(rules, question).allowed;
  }

  #decide(rules: readonly PolicyRule[], question: PolicyQuestion): PolicyDecision {
    return decideAmong(rules, { policy: this.#policy, question });
  }

  #whyRefused(rules: readonly PolicyRule[], question: PolicyQuestion): string {
    return whyRefused(rules, { policy: this.#policy, question });
  }
}

/** What stands in the log where no rule allows or refuses anything. */
const NO_RULE = "no rule";

/** The least that rules allow of something, and the first rule that says so. */
function leastOf(
  rules: readonly PolicyRule[],
  what: keyof RuleLimits,
): { most: number; rule: string } {
  const most = Math.min(...rules.map(({ limits }) => limits[what] ?? Infinity));
  const rule = rules.find(({ limits }) => limits[what] === most);
  return { most, rule: rule ? nameOfRule(rule) : NO_RULE };
}

/** Every interface is one place. */
function hostsOf(listensOn: readonly string[]): readonly string[] {
  return listensOn.length === 0 ? [""] : listensOn;
}

function describe(at: Address): string {
  return at.host === "" ? `port ${at.port} of every interface` : formatAddress(at);
}

function notAllowed(
  principal: Principal | undefined,
  { what, rule }: { what: string; rule: string },
): Refusal {
  const reason = principal === undefined
    ? `the policy lets no peer ${what}`
    : `the policy does not let ${principal.displayName} ${what}`;
  return { code: "policy", reason, rule };
}
