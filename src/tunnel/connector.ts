// The connector: what REST, gRPC and the command line drive. It owns the peers that it dials, the guests that
// dialled it, and every tunnelled connection.

import type { Logger } from "@logtape/logtape";
import { type Address, formatAddress, parseAddress } from "../address.ts";
import { ConnectorError } from "../errors.ts";
import type { SessionLimits } from "../limits.ts";
import type { Link } from "../mux/link.ts";
import type { Control, Service, ServiceReport, ServiceRequest } from "../service.ts";
import { Guest } from "./guest.ts";
import { Peer } from "./peer.ts";
import { Visitors } from "./visitors.ts";

/** What a connector may do, and what it does it with. */
export interface ConnectorOptions {
  /** Starts to open a link to a peer. */
  dial: (address: Address) => Link;
  logger: Logger;
  limits: SessionLimits;
  /** Once one direction of a connection has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
  /** Never dial a destination: nothing reachable from here is exposed. */
  disableLocalExpose: boolean;
  /** Never listen for a service: nothing of other connectors is reachable here. */
  disableRemoteExpose: boolean;
}

/** The most links that peers may have open to us. */
const MAX_GUESTS = 1000;
/** The most services of our own. */
const MAX_SERVICES = 10_000;

/** A connector, without its servers. */
export class Connector implements Control {
  readonly #options: ConnectorOptions;
  readonly #visitors: Visitors;
  /** By the address as the user wrote it: the contract opens one link for each distinct text. */
  readonly #peers = new Map<string, Peer>();
  readonly #guests = new Set<Guest>();
  #closing = false;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#visitors = new Visitors(options);
  }

  async expose(request: ServiceRequest): Promise<string> {
    if (this.#closing) {
      throw new ConnectorError("unavailable", "The connector is shutting down");
    }
    this.#admit(request.type === "local" ? "egress" : "ingress", `service "${request.name}"`);
    const address = parseAddress(request.remoteConnectorAddr);
    this.#refuseConflict(request);
    const service: Service = { ...request, id: crypto.randomUUID() };
    const known = this.#peers.get(request.remoteConnectorAddr);
    const peer = known ?? this.#createPeer(request.remoteConnectorAddr, address);
    try {
      await peer.add(service);
    } catch (error) {
      if (peer.idle) this.#drop(request.remoteConnectorAddr, peer);
      throw ConnectorError.from(error, `Cannot expose service "${request.name}"`);
    }
    return service.id;
  }

  // deno-lint-ignore require-await -- the contract of Control is asynchronous: an error is a rejection
  async destroy(id: string): Promise<void> {
    for (const [text, peer] of this.#peers) {
      if (!peer.remove(id)) continue;
      if (peer.idle) this.#drop(text, peer);
      return;
    }
    for (const guest of this.#guests) {
      if (guest.destroy(id)) return;
    }
    throw new ConnectorError("not_found", `There is no service with the id "${id.slice(0, 100)}"`);
  }

  list(): ServiceReport[] {
    return [...this.#peers.values(), ...this.#guests].flatMap((owner) => owner.list());
  }

  /** Takes over a link that a peer opened to us. */
  accept(link: Link): void {
    if (this.#closing) {
      return link.abort(new ConnectorError("unavailable", "the connector is shutting down"));
    }
    if (this.#guests.size >= MAX_GUESTS) {
      const reason = `This connector has ${MAX_GUESTS} links of peers already`;
      return link.abort(new ConnectorError("resource_exhausted", reason));
    }
    const guest = new Guest(link, {
      visitors: this.#visitors,
      logger: this.#options.logger,
      limits: this.#options.limits,
      admit: (service) =>
        this.#admit(service.type === "local" ? "ingress" : "egress", `service "${service.name}"`),
      takeOver: (serviceId, taker) => {
        for (const other of this.#guests) if (other !== taker) other.release(serviceId);
      },
    });
    this.#guests.add(guest);
    guest.closed.then(() => this.#guests.delete(guest));
  }

  /** Stops listening, ends every link and connection. Resolves when all have ended. */
  async close(): Promise<void> {
    this.#closing = true;
    const owners = [...this.#peers.values(), ...this.#guests];
    this.#visitors.closeAll();
    for (const owner of owners) owner.close();
    await Promise.all(owners.map((owner) => owner.closed));
  }

  #createPeer(text: string, address: Address): Peer {
    const { dial, logger, limits } = this.#options;
    const peer = new Peer({
      address,
      dial,
      visitors: this.#visitors,
      logger: logger.with({ peer: formatAddress(address) }),
      limits,
    });
    this.#peers.set(text, peer);
    return peer;
  }

  #drop(text: string, peer: Peer): void {
    this.#peers.delete(text);
    peer.close();
  }

  #admit(side: "ingress" | "egress", what: string): void {
    const { disableLocalExpose, disableRemoteExpose } = this.#options;
    if (side === "egress" ? disableLocalExpose : disableRemoteExpose) {
      const flag = side === "egress" ? "--disable-local-expose" : "--disable-remote-expose";
      throw new ConnectorError(
        "permission_denied",
        `Cannot expose ${what}: this connector runs with ${flag}`,
      );
    }
  }

  /** Two services cannot listen on one port: at one peer, or here. */
  #refuseConflict({ name, type, sourcePort, remoteConnectorAddr }: ServiceRequest): void {
    const own = [...this.#peers.values()].flatMap((peer) => peer.list());
    if (own.length >= MAX_SERVICES) {
      const reason = `Cannot expose service "${name}": there are ${MAX_SERVICES} services already`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    for (const other of own) {
      if (other.sourcePort !== sourcePort || other.type !== type) continue;
      if (type === "local" && other.remoteConnectorAddr !== remoteConnectorAddr) continue;
      throw new ConnectorError(
        "already_exists",
        `Cannot expose service "${name}" on port ${sourcePort}: ` +
          `the port is in use by service "${other.name}"`,
      );
    }
  }
}
