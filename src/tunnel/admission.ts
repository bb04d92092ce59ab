// Decides who may do what here. It is asked about every service that is exposed or taken over,
// every tunnelled connection, at its ingress and at its egress, and every IP address that is about
// to be dialled. The rules are functions, in order.

import { type Address, formatAddress, parseAddress } from "../model/address.ts";
import type { ResetCode } from "../byte_channel.ts";
import { ConnectorError, type ErrorCode } from "../model/errors.ts";
import type { RefusalCode } from "../model/events.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { Principal } from "../model/principal.ts";
import type { ServiceRequest, Side } from "../model/service.ts";
import { covers } from "../model/ip.ts";
import { type OwnListeners, refusalOfRange } from "../net/own_listeners.ts";

/** What may be done, or not. */
export type Action = "expose" | "connect" | "dial";

/** What a decision is about. */
export interface Subject {
  /**
   * - `expose`: a service is exposed by the user, or taken up for a peer
   * - `connect`: a connection of it begins here; at the ingress it is asked again if it has waited for a link
   * - `dial`: the egress is about to dial `ip` for a connection
   */
  action: Action;
  /** The side of the service that is here. */
  side: Side;
  service: Pick<ServiceRequest, "name" | "sourcePort">;
  /** Who is at the other end of the link, undefined while there is none. For `expose` it is who asks, undefined for the user. */
  principal: Principal | undefined;
  /** host:port of the visitor; empty where there is none, or the peer does not tell. */
  from: string;
  /** At the ingress: the IP addresses that are listened on; none stands for every interface. */
  listensOn: readonly string[];
  /** As it was exposed: its host may be a name. */
  destination: Address;
  /** For `dial`: one of the destination's addresses. */
  ip: string | undefined;
  /** For `connect`: its place among those that are open. */
  place: Place | undefined;
}

/** What a connection takes, and gives back when it ends. */
export interface Place {
  /** Takes a place among those that are open, or says why not. */
  take(): Refusal | undefined;
  /** Whether it is carried already, and is asked about again. */
  readonly carried: boolean;
  /** The peer that it counts for. */
  readonly counted: PeerCount | undefined;
  /** Counts for a peer, and no longer for the one before. `onLeave` is told when that is over. */
  count(peer: PeerCount, onLeave: (peer: PeerCount) => void): void;
}

/** How many connections of one peer are open. */
export interface PeerCount {
  /** By which it is known. */
  readonly key: string;
  connections: number;
}

/** A refusal: why a subject is not allowed. */
export interface Refusal {
  code: RefusalCode;
  /** In words, to follow a colon. The peer is told it, too, unless there is `told`. */
  reason: string;
  /** What the peer is told instead. */
  told?: string;
  /** What refuses it, for the log. Default: its code. */
  rule?: string;
}

/** Returns a refusal, or undefined to allow the subject. Called for each connection: it must not wait, and should not allocate. */
export type Rule = (subject: Subject) => Refusal | undefined;

/** The rules of a connector. */
export class Admission {
  /** How often the policy has refused something since the connector began. */
  readonly policyRefusals: Record<Action, number> = { expose: 0, connect: 0, dial: 0 };
  readonly #rules: readonly Rule[];

  /** The first rule that refuses decides. `withinLimits` takes a place, so it stands last. */
  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /** Why a subject is refused; undefined when it is not. */
  decide(subject: Subject): Refusal | undefined {
    for (const rule of this.#rules) {
      const refusal = rule(subject);
      if (refusal === undefined) continue;
      if (refusal.code === "policy") this.policyRefusals[subject.action] += 1;
      return refusal;
    }
    return undefined;
  }

  /** Decides about a service. `peer` is who exposes it here; undefined is the user. @throws {ConnectorError} when it is refused. */
  expose(
    { name, sourcePort, destinationAddr }: ServiceRequest,
    { side, peer, listensOn = [] }: {
      side: Side;
      peer: PeerInfo | undefined;
      /** At the ingress. Default: every interface. */
      listensOn?: readonly string[];
    },
  ): void {
    const refusal = this.decide({
      action: "expose",
      side,
      service: { name, sourcePort },
      principal: peer?.principal,
      from: "",
      listensOn,
      destination: parseAddress(destinationAddr, { labels: true }),
      ip: undefined,
      place: undefined,
    });
    if (refusal === undefined) return;
    const { code, reason, told = reason, rule = code } = refusal;
    const message = `Cannot expose service "${name}": ${peer === undefined ? reason : told}`;
    throw new ConnectorError(ERROR_CODES[code] ?? "permission_denied", message, { rule });
  }
}

/** What refusals of services are as errors, where that is not `permission_denied`. */
const ERROR_CODES: Partial<Record<RefusalCode, ErrorCode>> = {
  draining: "unavailable",
  limit: "resource_exhausted",
};

/** What refusals of connections are on the wire, where that is not `refused`. */
const RESET_CODES: Partial<Record<RefusalCode, ResetCode>> = {
  draining: "closing",
  limit: "limit",
  loop: "limit",
};

/** The longest text that a peer is told, in characters. */
const MAX_TOLD_LENGTH = 1000;

/** How a refused stream is reset. */
export function resetOf(
  { code, reason, told = reason }: Refusal,
): [code: ResetCode, reason: string] {
  return [RESET_CODES[code] ?? "refused", told.slice(0, MAX_TOLD_LENGTH)];
}

/** Each side of every service can be turned off with a flag. */
export function notDisabled(
  { disableLocalExpose, disableRemoteExpose }: {
    disableLocalExpose: boolean;
    disableRemoteExpose: boolean;
  },
): Rule {
  const refusalOf = (flag: string): Refusal => ({
    code: "disabled",
    reason: `this connector runs with ${flag}`,
    rule: flag,
  });
  const refusals = {
    egress: disableLocalExpose ? refusalOf("--disable-local-expose") : undefined,
    ingress: disableRemoteExpose ? refusalOf("--disable-remote-expose") : undefined,
  };
  return ({ side }) => refusals[side];
}

const DRAINING: Refusal = { code: "draining", reason: "the connector is shutting down" };

/** Nothing new begins once the connector closes. A connection that is let in already may dial, and goes on. */
export function notDraining(closing: AbortSignal): Rule {
  return ({ action, place }) =>
    closing.aborted && action !== "dial" && place?.carried !== true ? DRAINING : undefined;
}

/** No tunnel leads to this connector's own ports, nor to addresses of the network link. */
export function notOwnAddress(listeners: OwnListeners): Rule {
  return ({ action, side, destination, ip }) => {
    let reason: string | undefined;
    if (ip !== undefined) reason = listeners.refusalOf(ip, destination.port);
    // Names, and ports of our own, are judged as each connection is dialled: they may be others then.
    else if (action === "expose" && side === "egress") reason = refusalOfRange(destination.host);
    return reason === undefined ? undefined : { code: "address", reason };
  };
}

/** A destination whose port has a name needs a scheduler that knows it. */
export function resolvable(canResolve: (destination: Address) => boolean): Rule {
  return ({ action, side, destination }) => {
    if (action !== "expose" || side !== "egress" || destination.portLabel === undefined) {
      return undefined;
    }
    if (canResolve(destination)) return undefined;
    const reason = `${formatAddress(destination)} has no port number, and only a connector with ` +
      `--integration=nomad finds the port of that name`;
    return { code: "address", reason };
  };
}

/**
 * Where there is no policy, peers choose among the addresses that the user has given for services, or among all where
 * none were given. The user may choose any.
 */
export function withinServiceBind(serviceBind: readonly string[]): Rule {
  return ({ action, side, principal, listensOn }) => {
    if (action !== "expose" || side === "egress" || principal === undefined) return undefined;
    if (serviceBind.length === 0) return undefined;
    // Every interface is "::", too.
    const wanted = listensOn.length === 0 ? ["::"] : listensOn;
    const beyond = wanted.find((host) => !serviceBind.some((bind) => covers(bind, host)));
    if (beyond === undefined) return undefined;
    const reason = `peers cannot have services listen on ${beyond} here, see --service-bind`;
    return { code: "address", reason };
  };
}

/** A connection takes a place among those that are open, and its service, its peer and all have bounds. */
export function withinLimits({ place }: Subject): Refusal | undefined {
  return place?.take();
}
