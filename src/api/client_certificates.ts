// The certificates that clients of the REST API show. A connection needs none: what a request without
// one may do is decided later. TLS and our judge must both trust a certificate, as at the gRPC port.

import type { TLSSocket } from "node:tls";
import type { BoundedLog } from "../bounded_log.ts";
import { unmapIpv4 } from "../model/address.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import type { JudgePeer } from "../model/peer_judge.ts";
import { ANONYMOUS, type CertificateId, type IdentifyPeer } from "../model/principal.ts";
import { shownCertificates } from "../platform/peer_certificates.ts";

/** Whom a server trusts. */
export interface TrustedClients {
  /** PEM text of the roots. */
  root: string;
  judge: JudgePeer;
  identify: IdentifyPeer;
}

/** What a client has proven, as of now; undefined if it has shown nothing, or nothing that is trusted, which is logged. */
export function clientCertificate(
  socket: TLSSocket,
  { judge, identify }: Omit<TrustedClients, "root">,
  { log, address }: { log: BoundedLog; address: string },
): CertificateId | undefined {
  const shown = shownCertificates(socket);
  const [own] = shown;
  if (own === undefined) return undefined;
  try {
    judge(shown, { purpose: "client" });
    if (!socket.authorized) {
      throw new ConnectorError("permission_denied", "its certificate was refused by TLS");
    }
    return identify(own);
  } catch (error) {
    log.info("client certificate refused", {
      peer: unmapIpv4(address),
      principal: ANONYMOUS,
      rule: "certificate",
      reason: reasonOf(error),
    });
    return undefined;
  }
}
