// A gRPC call as a link, whichever side opened it. Messages are raw bytes: what they mean is the codec's
// business. grpc-js holds the peer back when nobody reads, and says when to stop writing.

import "./session_guard.ts";
import { type ClientDuplexStream, Metadata, type ServerDuplexStream } from "@grpc/grpc-js";
import { ConnectorError } from "../model/errors.ts";
import type { Hello, Link, LinkEnd } from "../mux/link.ts";
import type { PeerIdentity, PeerInfo } from "../model/peer_identity.ts";

/** The call of either side, with messages as raw bytes. */
export type RawCall =
  | ClientDuplexStream<Uint8Array, Uint8Array>
  | ServerDuplexStream<Uint8Array, Uint8Array>;

/** Reads who a peer is from its certificate in DER. @throws {ConnectorError} when it cannot be read. */
export type DescribePeer = (certificate: Uint8Array) => PeerIdentity;

/**
 * The most pieces in which a message may come: the largest, of 4 MB, has 3,000 in packets of an Ethernet. Each piece takes
 * half a kilobyte until the message is whole, however short it is.
 */
const MAX_PIECES = 16_384;

/** How the side that made the call ends it. */
export interface CallEnds {
  /** Ends at once. */
  abort: (reason: ConnectorError) => void;
  /** Releases what the call stood on, once it has ended. */
  release?: () => void;
}

/** The metadata in which either side says what it speaks. docs/PROTOCOL.md, "Negotiation". */
const VERSION_KEY = "connector-protocol";
const LIMITS_KEY = "connector-limits";
const FEATURES_KEY = "connector-features";
/** The metadata in which a session is claimed, and the claim answered. docs/PROTOCOL.md, "Resumption". */
const RESUME_KEY = "connector-resume";

/** What a side says of itself, as metadata. */
export function helloToMetadata({ version, limits, features = "", resume }: Hello): Metadata {
  const metadata = new Metadata();
  metadata.set(VERSION_KEY, version);
  metadata.set(LIMITS_KEY, limits);
  if (features !== "") metadata.set(FEATURES_KEY, features);
  if (resume !== undefined) metadata.set(RESUME_KEY, resume);
  return metadata;
}

/** What the peer said of itself; undefined when it said nothing. */
export function helloFromMetadata(metadata: Metadata): Hello | undefined {
  const [version] = metadata.get(VERSION_KEY);
  const [limits = ""] = metadata.get(LIMITS_KEY);
  const [features = ""] = metadata.get(FEATURES_KEY);
  const [resume] = metadata.get(RESUME_KEY);
  if (version === undefined) return undefined;
  return {
    version: String(version),
    limits: String(limits),
    features: String(features),
    ...(resume !== undefined && { resume: String(resume) }),
  };
}

/** What a link is made of, besides its call. */
export interface CallLinkOptions {
  peer: PeerInfo;
  ends: CallEnds;
  /** The TCP connections that it may run over: of a link that we open, as they come about. */
  connections?: readonly string[];
  /** As `Link.revoked`. */
  revoked?: () => string | undefined;
}

/** A link over one gRPC call. */
export class CallLink implements Link {
  readonly connections: readonly string[];
  readonly peer: PeerInfo;
  readonly hello: Promise<Hello | undefined>;
  readonly goingAway: Promise<void>;
  readonly closed: Promise<LinkEnd>;
  readonly revoked: () => string | undefined;
  readonly #call: RawCall;
  readonly #ends: CallEnds;
  #settle: (end: LinkEnd) => void = () => {};
  #settleGoingAway: () => void = () => {};
  #settleHello: (hello: Hello | undefined) => void = () => {};
  #arrivals = 0;
  /** Pieces that have arrived since a message was read. */
  #pieces = 0;
  #ended = false;
  #closing = false;
  #wakeReader: (() => void) | undefined;
  /** For all who wait until there is room. */
  #room: PromiseWithResolvers<void> | undefined;

  private constructor(
    call: RawCall,
    { peer, ends, connections = [], revoked = () => undefined }: CallLinkOptions,
  ) {
    this.connections = connections;
    this.peer = peer;
    this.#call = call;
    this.#ends = ends;
    this.revoked = revoked;
    this.closed = new Promise((resolve) => this.#settle = resolve);
    this.goingAway = new Promise((resolve) => this.#settleGoingAway = resolve);
    this.hello = new Promise((resolve) => this.#settleHello = resolve);
  }

  get arrivals(): number {
    return this.#arrivals;
  }

  /** Takes over a call, and begins to read it. */
  static over(call: RawCall, options: CallLinkOptions): CallLink {
    const link = new CallLink(call, options);
    call.on("readable", () => link.#wakeReaders());
    call.on("drain", () => link.#wakeWriters());
    return link;
  }

  /** Whether we have ended our half in order: whatever ends the call then is no failure. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Whether it has ended, for whatever reason. */
  get ended(): boolean {
    return this.#ended;
  }

  send(message: Uint8Array): boolean {
    // A write after the end would destroy the call, and what was sent before would be lost.
    if (this.#ended || this.#closing) return true;
    return this.#call.write(message);
  }

  writable(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      // The stream is in object mode: it holds what the deserializer returned.
      const message = this.#call.read() as Uint8Array | null;
      if (message !== null) {
        this.#arrivals += 1;
        this.#pieces = 0;
        return message;
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  close(): void {
    if (this.#ended || this.#closing) return;
    this.#closing = true;
    this.#call.end();
  }

  abort(reason: ConnectorError): void {
    if (this.#ended) return;
    this.onEnd(reason);
    this.#ends.abort(reason);
  }

  /** The peer's metadata has arrived: told by whoever watches for it. */
  greet(metadata: Metadata, describePeer: DescribePeer): void {
    try {
      const certificate = this.#call.getAuthContext()?.sslPeerCertificate;
      // An empty object stands for none.
      if (certificate?.raw) this.peer.identity = describePeer(certificate.raw);
    } catch (error) {
      return this.abort(ConnectorError.from(error, "Cannot tell who the peer is"));
    }
    this.#settleHello(helloFromMetadata(metadata));
  }

  /** A piece of a message has arrived: told by whoever watches for it. */
  arrived(): void {
    this.#arrivals += 1;
    this.#pieces += 1;
    if (this.#ended || this.#pieces <= MAX_PIECES) return;
    const reason = `the peer sent a message in more than ${MAX_PIECES} pieces`;
    this.abort(new ConnectorError("resource_exhausted", reason));
  }

  /** The connection takes no more calls, and this one may go on for now: told by whoever watches for it. */
  goAway(): void {
    this.#settleGoingAway();
  }

  /** The call has ended: told by whoever watches its events. Idempotent. */
  onEnd(reason: LinkEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settleHello(undefined);
    this.#wakeReaders();
    this.#wakeWriters();
    this.#settle(reason);
    this.#ends.release?.();
  }

  #wakeReaders(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }

  #wakeWriters(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
