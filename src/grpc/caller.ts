// Who makes a call, as far as the call proves it: by the verified certificate of its connection, the address that it comes
// from, and the proof in its metadata. Every call of the server is judged here before anything is done for it.

import { Metadata, type ServerDuplexStream, type ServerUnaryCall } from "@grpc/grpc-js";
import { ConnectorError } from "../model/errors.ts";
import { decodeProof, encodeProof } from "../instance_secret.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { addressOfCall } from "../platform/grpc_call_address.ts";
import { type CertificateId, type IdentifyPeer, Principal } from "../model/principal.ts";

/** The metadata in which a dialler proves which instance it is. docs/PROTOCOL.md, "Instance". */
const INSTANCE_KEY = "connector-instance";

/** What a server with certificates knows of them. */
export interface Certificates {
  /** Our own. */
  own: CertificateId;
  identify: IdentifyPeer;
}

/** A call as the server sees it. */
type Call =
  | Pick<ServerUnaryCall<unknown, unknown>, "getPeer" | "getAuthContext" | "metadata">
  | Pick<ServerDuplexStream<unknown, unknown>, "getPeer" | "getAuthContext" | "metadata">;

/** Adds the proof of our instance to what is sent as a call begins. */
export function addProof(metadata: Metadata, proof: Uint8Array): void {
  metadata.set(INSTANCE_KEY, encodeProof(proof));
}

/** The certificate of a call's connection in DER; undefined where there is none. */
export function certificateOfCall(
  call: { getAuthContext(): ReturnType<Call["getAuthContext"]> | null },
): Uint8Array | undefined {
  // An empty object stands for none.
  return call.getAuthContext()?.sslPeerCertificate?.raw;
}

/**
 * Who makes a call. Where there are certificates, nobody is anonymous.
 *
 * @throws {ConnectorError} `permission_denied` without a certificate, `invalid_argument` when it or the proof is damaged.
 */
export function principalOfCall(call: Call, certificates: Certificates | undefined): Principal {
  const certificate = certificateOfCall(call);
  if ((certificate === undefined) !== (certificates === undefined)) {
    throw new ConnectorError("permission_denied", "The connection shows no certificate");
  }
  const address = addressOfCall(call);
  return new Principal({
    host: address.slice(0, Math.max(0, address.lastIndexOf(":"))),
    certificate: certificate && certificates?.identify(certificate),
    proof: proofIn(call.metadata),
  });
}

/** A call, and who makes it, for the log and for decisions. */
export function describeCaller(
  call: Call,
  { certificates, describePeer }: {
    certificates: Certificates | undefined;
    describePeer: (certificate: Uint8Array) => NonNullable<PeerInfo["identity"]>;
  },
): PeerInfo {
  const principal = principalOfCall(call, certificates);
  const certificate = certificateOfCall(call);
  return {
    address: addressOfCall(call),
    ...(certificate && { identity: describePeer(certificate) }),
    principal,
  };
}

/** What a call shows for the API, as HTTP joins several: no token then. */
export function authorizationOf(metadata: Metadata): string | undefined {
  const values = metadata.get("authorization");
  return values.length === 0 ? undefined : values.map(String).join(", ");
}

/** @throws {ConnectorError} `invalid_argument` when there are several, or it is none. */
function proofIn(metadata: Metadata): Uint8Array | undefined {
  const [proof, ...more] = metadata.get(INSTANCE_KEY);
  if (proof === undefined) return undefined;
  if (more.length > 0) {
    throw new ConnectorError("invalid_argument", "There is more than one proof of an instance");
  }
  return decodeProof(String(proof));
}
