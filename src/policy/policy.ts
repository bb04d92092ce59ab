// A policy as values: which peers may listen here, what may be dialled for them, and which calls of
// gRPC's control API they may make. parse.ts makes it of a file, decide.ts decides by it.

import type { Glob } from "./glob.ts";
import type { IpRange } from "./ip_range.ts";

/** What a policy file says. What no rule allows is refused. */
export interface Policy {
  rules: readonly PolicyRule[];
  /** Addresses that are never dialled, whatever a rule allows: those of the file and `LINK_LOCAL`. */
  neverReach: readonly IpRange[];
}

/** What some peers may do. */
export interface PolicyRule {
  /** Its place in the file, from 1. */
  number: number;
  /** The line in the file where it begins, from 1. */
  line: number;
  peer: PeerMatcher;
  /** Where services may be listened for on behalf of these peers. Absent: nowhere. */
  listen?: ListenRule;
  /** What may be dialled for these peers. Empty: nothing. */
  reach: readonly ReachRule[];
  control: ControlRight;
  limits: RuleLimits;
}

/** What a rule is called, where it can be found. */
export function nameOfRule({ number, line }: Pick<PolicyRule, "number" | "line">): string {
  return `rule ${number} (line ${line})`;
}

/** Which peers a rule is for: those that fit every member that is given. Of a list, one entry has to fit. */
export type PeerMatcher =
  /** Peers without a certificate. */
  | { anonymous: true }
  | {
    anonymous: false;
    spiffe?: readonly Glob[];
    dns?: readonly Glob[];
    subject?: readonly Glob[];
    /** SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits in lower case. */
    fingerprint?: readonly string[];
  };

/** Ports from `first` to `last`, both included. */
export interface PortRange {
  first: number;
  last: number;
}

/** Where services may be listened for. */
export interface ListenRule {
  ports: readonly PortRange[];
  /** IP addresses, each in its one spelling. Absent: any. `0.0.0.0` allows every IPv4 address, `::` every address. */
  addresses?: readonly string[];
}

/** What may be dialled: a destination by its name, or an address by its range. */
export type ReachRule =
  & {
    ports: readonly PortRange[];
    /** Addresses that this entry does not allow. */
    except: readonly IpRange[];
  }
  & (
    /** Destinations that were exposed by such a name. */
    | { kind: "host"; host: Glob }
    /** Addresses in a range, however the destination was written. */
    | { kind: "cidr"; cidr: IpRange }
  );

/**
 * What of gRPC's control API peers may call. Each right includes those before it.
 * - `none`: nothing
 * - `list`: ListServices
 * - `expose`: ExposeService and DestroyService, as the local user may
 */
export const CONTROL_RIGHTS = ["none", "list", "expose"] as const;
/** One of them. */
export type ControlRight = typeof CONTROL_RIGHTS[number];

/** What each peer of a rule may have. Absent: no bound but those of the connector. */
export interface RuleLimits {
  /** Services that the peer has exposed here. */
  services?: number;
  /** Its open connections, on both sides together. */
  connections?: number;
}
