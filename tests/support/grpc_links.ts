// A pair of links over one real gRPC call, and the certificates for one that is secured.

import { describePeer } from "../../src/certs/identity.ts";
import { ConnectorError } from "../../src/errors.ts";
import { secureChannels, serverCredentials, type TlsPem } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer } from "../../src/grpc/server.ts";
import type { Hello, Link } from "../../src/mux/link.ts";
import type { Control } from "../../src/service.ts";
import { makeCertificate } from "./certificates.ts";
import type { LinkPair } from "./memory_link.ts";
import { soon } from "./soon.ts";
import { settle } from "./world.ts";

/** What a pair is opened with. */
export interface GrpcLinksOptions {
  offer: Hello;
  answer: Hello;
  /** Certificates for both ends; plaintext without. */
  tls?: TlsPem;
}

const NO_CONTROL: Control = {
  expose: () => Promise.reject(new ConnectorError("not_found", "there are no services here")),
  destroy: () => Promise.reject(new ConnectorError("not_found", "there are no services here")),
  list: () => [],
};

/** Joins two links over loopback. */
export async function openGrpcLinks(
  { offer, answer, tls }: GrpcLinksOptions,
): Promise<LinkPair & AsyncDisposable> {
  const accepted = Promise.withResolvers<Link>();
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port: 0 },
    credentials: serverCredentials(tls),
    hello: answer,
    describePeer,
    onRefused: () => {},
    control: NO_CONTROL,
    onLink: accepted.resolve,
  });
  const dialler = dialLink(server.address, {
    secure: secureChannels(tls),
    hello: offer,
    describePeer,
  });
  const acceptor = await soon(accepted.promise, "the call has been accepted");
  return {
    dialler,
    acceptor,
    async [Symbol.asyncDispose]() {
      const reason = new ConnectorError("cancelled", "the test is over");
      for (const link of [dialler, acceptor]) link.abort(reason);
      server.close();
      await Promise.all([dialler.closed, acceptor.closed]);
      await settle();
    },
  };
}

/** A root, and one certificate under it for both ends on 127.0.0.1. */
export async function makeTls(): Promise<TlsPem> {
  const root = await makeCertificate({ ca: true });
  const leaf = await makeCertificate({ names: [{ type: "ip", value: "127.0.0.1" }] }, root);
  return { root: root.certificate, certificate: leaf.certificate, key: leaf.key };
}
