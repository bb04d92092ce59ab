// What secures links: nothing, or mTLS. Certificates were checked before they come here.

import { ChannelCredentials, type ChannelOptions, ServerCredentials } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { keepAlive } from "../keep_alive.ts";

/** PEM texts of one connector. */
export interface TlsPem {
  /** The root that peers must chain to. */
  root: string;
  /** Our certificate, and what it needs to chain to the root. */
  certificate: string;
  /** Its key. */
  key: string;
}

/** How a channel to one host is secured. */
export interface ChannelSecurity {
  credentials: ChannelCredentials;
  options: ChannelOptions;
}

/** Makes the security of a channel to a host: an IP address, or a name. */
export type SecureChannel = (host: string) => ChannelSecurity;

/**
 * The server name that is asked for when the host is an IP address. TLS knows no addresses as server names
 * (RFC 6066 section 3), and grpc-js always asks for one; no server has this one (RFC 2606 section 2).
 */
const NO_SERVER_NAME = "connector.invalid";

/** Security for links that we open; plaintext without PEM texts. */
export function secureChannels(tls?: TlsPem): SecureChannel {
  if (tls === undefined) {
    return () => ({ credentials: forOneTry(ChannelCredentials.createInsecure()), options: {} });
  }
  const root = Buffer.from(tls.root);
  const key = Buffer.from(tls.key);
  const certificate = Buffer.from(tls.certificate);
  return (host) => {
    return {
      credentials: forOneTry(ChannelCredentials.createSsl(root, key, certificate, {
        // The peer must be who was dialled, whatever name was asked for.
        checkServerIdentity: (_name: string, peer: PeerCertificate) => checkHost(host, peer),
      })),
      options: isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": NO_SERVER_NAME },
    };
  };
}

/**
 * Lets each address be tried once. As a connection fails, grpc-js opens the next before it says so, and nobody
 * can stop it: the peer would meet, and log, every try twice. The second is closed without a word.
 */
function forOneTry(credentials: ChannelCredentials): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args);
    const connect = connector.connect.bind(connector);
    let tried = false;
    connector.connect = (socket) => {
      if (tried) return Promise.reject(new Error("the address was tried already"));
      tried = true;
      keepAlive(socket);
      return connect(socket);
    };
    return connector;
  };
  return credentials;
}

/** The longest list of names that is quoted, in characters. */
const MAX_NAMES_LENGTH = 200;

/** Why a certificate is not the host's; undefined when it is. Only alternative names count, no common name. */
function checkHost(host: string, peer: PeerCertificate): Error | undefined {
  const problem = checkServerIdentity(host, { ...peer, subject: { ...peer.subject, CN: "" } });
  if (problem === undefined) return undefined;
  const names = (peer.subjectaltname ?? "").split(", ").flatMap((name) => {
    const [, value] = /^(?:DNS|IP Address):(.*)$/.exec(name) ?? [];
    return value === undefined ? [] : [value];
  }).join(", ").slice(0, MAX_NAMES_LENGTH);
  return new Error(`its certificate is for ${names || "no host"} and not for ${host}`);
}

/** Credentials for links that peers open: with PEM texts, only peers that chain to the root. */
export function serverCredentials(tls?: TlsPem): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    Buffer.from(tls.root),
    [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.certificate) }],
    true,
  );
}
