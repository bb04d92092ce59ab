// A pair of links over one real gRPC call, and the certificates for one that is secured. No connector is at either end: the
// tests are, of links.

import { parseAddress } from "../../src/model/address.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels, type TlsIdentity } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer, type GrpcServerOptions } from "../../src/grpc/server.ts";
import type { Hello, Link } from "../../src/mux/link.ts";
import { makeCertificate } from "./certificates.ts";
import type { LinkPair } from "./memory_link.ts";
import { pemOf } from "./mtls.ts";
import { settle, until } from "./world.ts";

/** What a pair is opened with. */
export interface GrpcLinksOptions {
  offer: Hello;
  answer: Hello;
  /** Certificates for both ends; plaintext without. */
  tls?: TlsIdentity;
}

const NO_CONTROL: GrpcServerOptions["control"] = {
  expose: () => Promise.reject(new ConnectorError("not_found", "there are no services here")),
  destroy: () => Promise.reject(new ConnectorError("not_found", "there are no services here")),
  list: () => [],
};

/** A server that takes links and does nothing with them. */
export interface LinkListener extends AsyncDisposable {
  /** host:port. */
  address: string;
  port: number;
  /** Links that peers have opened so far. */
  links: readonly Link[];
  /** The next link that a peer opens. */
  next: () => Promise<Link>;
}

/** What is listened with. */
export interface ListenOptions extends Omit<GrpcLinksOptions, "offer"> {
  gates?: GrpcServerOptions["gates"];
  onRefused?: GrpcServerOptions["onRefused"];
}

/** Listens on a free port of 127.0.0.1. */
export async function listenForLinks(
  { answer, tls, gates, onRefused = () => {} }: ListenOptions,
): Promise<LinkListener> {
  const links: Link[] = [];
  let taken = 0;
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port: 0 },
    tls,
    hello: answer,
    describePeer,
    onRefused,
    control: NO_CONTROL,
    onLink: (link) => links.push(link),
    ...gates && { gates },
  });
  return {
    address: `127.0.0.1:${server.address.port}`,
    port: server.address.port,
    links,
    async next() {
      const index = taken++;
      await until(() => links.length > index, `link ${index} was opened`);
      const link = links[index];
      if (link === undefined) throw new TypeError("it was there a moment ago");
      return link;
    },
    async [Symbol.asyncDispose]() {
      for (const link of links) link.abort(new ConnectorError("cancelled", "the test is over"));
      server.abort();
      await Promise.all(links.map((link) => link.closed));
      await settle();
    },
  };
}

/** Joins two links over loopback. */
export async function openGrpcLinks(
  { offer, answer, tls }: GrpcLinksOptions,
): Promise<LinkPair & AsyncDisposable> {
  const listener = await listenForLinks({ answer, ...tls && { tls } });
  const secure = secureChannels(tls);
  const dialler = dialLink(parseAddress(listener.address), { secure, hello: offer, describePeer });
  const acceptor = await listener.next();
  return {
    dialler,
    acceptor,
    async [Symbol.asyncDispose]() {
      dialler.abort(new ConnectorError("cancelled", "the test is over"));
      await listener[Symbol.asyncDispose]();
      await dialler.closed;
    },
  };
}

/** A root, and one certificate under it for both ends on 127.0.0.1. */
export async function makeTls(): Promise<TlsIdentity> {
  const root = await makeCertificate({ ca: true });
  const leaf = await makeCertificate({ names: [{ type: "ip", value: "127.0.0.1" }] }, root);
  return pemOf(root, leaf);
}
