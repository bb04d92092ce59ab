// Opens a link to a peer: one HTTP/2 connection with one OpenStream call. Trying again is not its business.

import "./name_resolver.ts";
import { Client, type ClientDuplexStream } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { type Address, connectionText, formatAddress, isIpv4, isIpv6 } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import type { Hello, Link } from "../mux/link.ts";
import type { JudgedPeer } from "../model/peer_judge.ts";
import { Principal } from "../model/principal.ts";
import type { HttpProxy } from "../proxies.ts";
import { addProof, certificateOfCall } from "./caller.ts";
import { CallLink, type DescribePeer, helloToMetadata } from "./call_link.ts";
import type { SecureChannel } from "./credentials.ts";
import type { GoAway } from "./go_away.ts";
import { ProxiedWay } from "./proxy_tunnel.ts";
import { pingOptions, type PingTimes, watchSilence } from "../platform/grpc_keepalive.ts";
import { fromStatus } from "./status.ts";
import { CLIENT_WINDOW_OPTIONS } from "./windows.ts";

/**
 * A server of the Go implementation ends the connection of a client that asks by HTTP/2 more often than every 5 minutes;
 * the native dialect asks far more often by itself.
 */
export const CLIENT_PINGS: Readonly<PingTimes> = { intervalMs: 310_000, timeoutMs: 20_000 };

/** How to dial a peer. */
export interface DialLinkOptions {
  /** Plaintext, or certificates. */
  secure: SecureChannel;
  /** Default: none. */
  proxy?: HttpProxy | undefined;
  /** What we say of ourselves. */
  hello: Hello;
  describePeer: DescribePeer;
  /** Why peers refuse us now, whatever they say: the reason of a link that ends begins with it. */
  ownProblem?: () => string | undefined;
  /** Proves our instance to this peer alone. Default: nothing is proven. */
  proof?: Uint8Array;
  /** Default: as rarely as any peer allows. */
  pings?: PingTimes;
}

/**
 * Starts to open a link. It is returned at once: messages sent are delivered once it is up, and when it
 * cannot be opened it ends with the reason.
 */
export function dialLink(
  address: Address,
  { secure, proxy, hello, describePeer, ownProblem, proof, pings = CLIENT_PINGS }: DialLinkOptions,
): Link {
  // A name has several addresses, of which two may be tried at a time. Through a proxy the peer sees another connection.
  const connections: string[] = [];
  const judged: JudgedPeer[] = [];
  /** Sockets over which grpc-js speaks no HTTP/2 yet, and which it would leave open. */
  const unready = new Set<Socket>();
  let goAway: GoAway | undefined;
  const { credentials, security, identify, options } = secure(address.host, {
    onConnected: (socket) => {
      if (link.ended) throw new Error("nobody waits for the link any more");
      unready.add(socket);
      watchSilence(socket, pings, () => link.abort(silent()));
      if (way) return way.open(socket);
      const { localAddress, localPort, remoteAddress, remotePort } = socket;
      const text = connectionText(
        { host: localAddress, port: localPort },
        { host: remoteAddress, port: remotePort },
      );
      if (text !== undefined) connections.push(text);
      return undefined;
    },
    onReady: (socket) => unready.delete(socket),
    onGoAway: (said) => {
      goAway = said;
      // The runtime ends the connection, and the call with it, when something was wrong.
      if (said.error === undefined) link.goAway();
    },
    onArrival: () => link.arrived(),
    onJudged: (peer) => judged.push(peer),
  });
  const client = new Client(target(proxy?.address ?? address), credentials, {
    ...options,
    ...CLIENT_WINDOW_OPTIONS,
    "grpc.default_authority": formatAddress(address),
    // It loses what a proxy answers.
    "grpc.enable_http_proxy": 0,
    // Without it a second client to the same address would share this one's connection and its back-off.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    ...pingOptions(pings),
    // It never tries again by itself: a failed client must not wait, in milliseconds, before it is released.
    "grpc.initial_reconnect_backoff_ms": 1,
    "grpc.service_config_disable_resolution": 1,
  });
  const metadata = helloToMetadata(hello);
  if (proof !== undefined) addProof(metadata, proof);
  const call: ClientDuplexStream<Uint8Array, Uint8Array> = client.makeBidiStreamRequest(
    RemoteConnectionService.openStream.path,
    toBuffer,
    (bytes: Uint8Array) => bytes,
    metadata,
  );
  const link = CallLink.over(call, {
    peer: { address: formatAddress(address) },
    connections,
    revoked: () => judged.map((peer) => peer.revoked()).find((reason) => reason !== undefined),
    ends: {
      abort: () => call.cancel(),
      release: () => {
        client.close();
        for (const socket of unready) socket.destroy();
      },
    },
  });
  const way = proxy && ProxiedWay.start(proxy, address, (error) => link.abort(error));
  link.closed.then(() => way?.[Symbol.dispose]());
  call.on("metadata", (metadata) => {
    way?.heard();
    try {
      const certificate = certificateOfCall(call);
      link.peer.principal = new Principal({
        host: address.host,
        certificate: certificate && identify?.(certificate),
      });
    } catch (error) {
      return link.abort(ConnectorError.from(error, "Cannot tell who the peer is"));
    }
    link.greet(metadata, describePeer);
  });
  // The reason of an error comes with the status, right after it.
  call.on("error", () => {});
  call.on("status", (status) => {
    const error = withOwnProblem(fromStatus(status, security, goAway), ownProblem?.());
    link.onEnd(way ? way.explain(error) : error);
  });
  return link;
}

function withOwnProblem(
  error: ConnectorError | undefined,
  problem: string | undefined,
): ConnectorError | undefined {
  if (error === undefined || problem === undefined) return error;
  return new ConnectorError(error.code, `our ${problem}: ${error.message}`, { cause: error });
}

function silent(): ConnectorError {
  return new ConnectorError("unavailable", "the peer no longer answers");
}

/** A view, not a copy: grpc-js wants Buffers. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function target(address: Address): string {
  if (isIpv4(address.host)) return `ipv4:${formatAddress(address)}`;
  if (isIpv6(address.host)) return `ipv6:${formatAddress(address)}`;
  if (address.host === "") {
    throw new ConnectorError("invalid_argument", "The peer's address has no host");
  }
  return `dns:${formatAddress(address)}`;
}
