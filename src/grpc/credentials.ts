// What secures links: nothing, or mTLS. Our own certificates were checked before they come here; those of peers that we
// dial are judged here, whatever TLS has made of them. Peers that dial us are judged in
// handshake_gate.ts.

import { ChannelCredentials, type ChannelOptions, ServerCredentials } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { isIP, type Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Security } from "../connect_reasons.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import { keepAlive } from "../keep_alive.ts";
import type { JudgedPeer, JudgePeer } from "../model/peer_judge.ts";
import { type Connect, connectOnce } from "../platform/grpc_connect_once.ts";
import { tellWhenReady } from "../platform/grpc_connecting.ts";
import { hidePeerCertificate, shownCertificates } from "../platform/peer_certificates.ts";
import type { IdentifyPeer } from "../model/principal.ts";
import { tellOfArrivals } from "./arrivals.ts";
import type { Certificates } from "./caller.ts";
import { type GoAway, tellOfGoAway } from "./go_away.ts";

/** PEM texts of one connector. */
export interface TlsPem {
  /** The root that peers must chain to. */
  root: string;
  /** Our certificate, and what it needs to chain to the root. */
  certificate: string;
  /** Its key. */
  key: string;
}

/** The same, who judges what peers show, and by what they are told apart from each other and from us. */
export interface TlsIdentity extends TlsPem, Certificates {
  judge: JudgePeer;
  /** Why peers refuse us now, in a clause about a certificate of ours; undefined while they do not. */
  problem: () => string | undefined;
}

/** How a channel to one host is secured. */
export interface ChannelSecurity {
  credentials: ChannelCredentials;
  security: Security;
  /** Reads who has answered from the certificate of a channel; over plaintext there is none. */
  identify?: IdentifyPeer;
  options: ChannelOptions;
}

/** What is told of the connections of a channel. */
export interface ChannelHooks {
  /** A socket has connected; nothing is said over it before this has resolved. */
  onConnected?: (socket: Socket) => Promise<void> | void;
  /** HTTP/2 runs over one: it ends with its channel from now on. */
  onReady?: (socket: Socket) => void;
  /** The other end of one was judged, over TLS. */
  onJudged?: (judged: JudgedPeer) => void;
  /** The other end of one takes no more calls. */
  onGoAway?: (goAway: GoAway) => void;
  /** A piece of a message has arrived over one. */
  onArrival?: () => void;
}

/** Makes the security of a channel to a host: an IP address, or a name. */
export type SecureChannel = (host: string, hooks?: ChannelHooks) => ChannelSecurity;

/**
 * The server name that is asked for when the host is an IP address. TLS knows no addresses as server names
 * (RFC 6066 section 3), and grpc-js always asks for one; no server has this one (RFC 2606 section 2).
 */
const NO_SERVER_NAME = "connector.invalid";

/**
 * Security for links that we open; plaintext without certificates.
 *
 * @throws {ConnectorError} `failed_precondition` when TLS cannot use the certificates.
 */
export function secureChannels(tls?: TlsIdentity): SecureChannel {
  if (tls === undefined) {
    return (_host, hooks = {}) => ({
      credentials: connecting(
        ChannelCredentials.createInsecure(),
        (socket, connect) => connect(socket),
        hooks,
      ),
      security: "plaintext",
      options: {},
    });
  }
  const { judge } = tls;
  const { ca: root, cert: certificate, key } = contextOptions(tls);
  const secureContext = createContext(contextOptions(tls));
  return (host, hooks = {}) => {
    const servername = isIP(host) === 0 ? host : NO_SERVER_NAME;
    return {
      credentials: connecting(
        ChannelCredentials.createSsl(root, key, certificate),
        async (socket) => ({
          socket: await connectTls(socket, {
            secureContext,
            servername,
            host,
            judge: (chain, role) => {
              const judged = judge(chain, role);
              hooks.onJudged?.(judged);
              return judged;
            },
          }),
          secure: true,
        }),
        hooks,
      ),
      security: "TLS",
      identify: tls.identify,
      options: servername === host ? {} : { "grpc.ssl_target_name_override": servername },
    };
  };
}

/** What TLS is given, on either side. */
export function contextOptions({ root, certificate, key }: TlsPem): Record<
  "ca" | "cert" | "key",
  Buffer
> {
  return { ca: Buffer.from(root), cert: Buffer.from(certificate), key: Buffer.from(key) };
}

function createContext(options: Parameters<typeof createSecureContext>[0]): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    // `error:0A00018A:SSL routines::key too small`
    const reason = reasonOf(error).replace(/^error:\w*:[^:]*:[^:]*:/, "");
    const message = `Cannot use the certificates of this connector for TLS: ${reason}`;
    throw new ConnectorError("failed_precondition", message, { cause: error });
  }
}

/** Prepares each socket that has connected, secures it, and tells the hooks of it. */
function connecting(
  credentials: ChannelCredentials,
  secure: (socket: Socket, connect: Connect) => ReturnType<Connect>,
  { onConnected, onReady, onGoAway, onArrival }: ChannelHooks,
): ChannelCredentials {
  return connectOnce(credentials, async (socket, connect) => {
    keepAlive(socket);
    await onConnected?.(socket);
    const secured = await secure(socket, connect);
    if (onReady) tellWhenReady(secured.socket, () => onReady(socket));
    if (onGoAway) tellOfGoAway(secured.socket, onGoAway);
    if (onArrival) tellOfArrivals(secured.socket, onArrival);
    return secured;
  });
}

/**
 * Speaks TLS, and goes no further unless TLS and the judge both say yes. TLS does not end the handshake itself, so that
 * the judge, who can say why, is always asked: about sessions that are resumed, too.
 */
function connectTls(
  socket: Socket,
  { host, judge, ...options }: {
    secureContext: SecureContext;
    servername: string;
    host: string;
    judge: JudgePeer;
  },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      ...options,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
      // Names are the judge's business: the runtime compares them in a text that can be forged (CVE-2021-44532 of node).
      checkServerIdentity: () => undefined,
    });
    const showPeerCertificate = hidePeerCertificate(tls);
    tls.on("error", (error) => reject(isUnusable(error) ? new Error(UNUSABLE) : error));
    tls.once("secureConnect", () => {
      showPeerCertificate();
      try {
        judge(shownCertificates(tls), { purpose: "server", host });
        if (!tls.authorized) throw new Error("its certificate was refused by TLS");
        resolve(tls);
      } catch (error) {
        tls.destroy();
        // grpc-js writes the name of other errors into its message.
        reject(new Error(reasonOf(error), { cause: error }));
      }
    });
  });
}

/** Whether TLS ended the handshake because of the certificate, which nobody gets to see then. */
function isUnusable(error: Error & { code?: unknown }): boolean {
  return error.code === "UNABLE_TO_VERIFY_LEAF_SIGNATURE" ||
    error.message.startsWith("unable to verify the first certificate");
}

const UNUSABLE = "our TLS library cannot use its certificate (a critical extension or a kind of " +
  "signature that is not known), or it does not hold the key of it";

/** Credentials for links that peers open: with PEM texts, only peers that chain to the root. */
export function serverCredentials(tls?: TlsIdentity): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { ca, cert, key } = contextOptions(tls);
  return ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true);
}
