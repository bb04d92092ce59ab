// The seam between a session and how its data travels. The session negotiates a dialect, opens streams through it and
// passes every message of the peer to it; it knows nothing of frames. native/ and reference/ implement it.

import type { ConnectorError } from "../model/errors.ts";
import type { SessionLimits } from "../model/limits.ts";
import type { ControlFrame } from "../wire/frame.ts";
import type { Outbox } from "./outbox.ts";
import type { OnStream, OpenOptions, Stream } from "./stream.ts";
import type { WireIds } from "./wire_ids.ts";

/** The dialects that are spoken here. */
export type DialectName = "reference" | "native";

/** Which side of the link a session is on. */
export type Role = "dialler" | "acceptor";

/** How data travels over one session. */
export interface Dialect {
  readonly name: DialectName;
  /** How many streams are open. */
  readonly streamCount: number;
  /** The round trip to the peer without a queue of ours, in milliseconds; undefined where it is not measured. */
  readonly roundTripMs: number | undefined;
  /** Bytes that wait for slow readers, with what each chunk costs. */
  readonly heldBytes: number;
  /** How many streams of each service are open, by its id; not those that were reset, and that the peer has not answered. */
  readonly streamCounts: Map<string, number>;
  /** Begins to speak: sends what the dialect sends unasked. Called once, before anything else. */
  start(): void;
  /**
   * Opens a stream to the destination of a service at the peer, for the visitor at `visitor` (host:port).
   *
   * @throws {ConnectorError} `resource_exhausted` when a limit is reached.
   */
  open(serviceId: string, visitor: string, options: OpenOptions): Stream;
  /**
   * Takes a message of the peer. A promise holds the peer back: the session reads on once it has resolved.
   *
   * @throws {ConnectorError} when the peer has broken the protocol: the session ends then.
   */
  receive(message: Uint8Array): Promise<void> | undefined;
  /** Tells the peer, if there is a word for it, that no more streams are taken. `returns`: whether our services will come back. */
  drain(returns: boolean): void;
  /** Tells the peer, if there is a word for it, that the session ends in order. Returns who has to end the link first. */
  tellClose(): "ours" | "theirs";
  /** Tells the peer why the session ends now. False if there is no word for it: then only the end of the link can tell. */
  tellAbort(reason: ConnectorError): boolean;
  /** The link is lost, and another one may follow: until then silence means nothing. Only where that was agreed on. */
  suspend(): void;
  /** Another link carries what was lost with the former one, and all that follows. */
  resume(): void;
  /** Ends every stream, and releases everything: nothing more can be sent. Idempotent. */
  abort(reason: ConnectorError): void;
}

/** What is kept of what was sent, to be sent again over another link. */
export interface Kept {
  /** How many messages were sent over all links. */
  readonly sent: number;
  /** The peer has received so many of them. */
  acknowledge(messages: number): void;
}

/** What a dialect is made of, and what it tells its session. None of the functions may throw. */
export interface DialectOptions {
  role: Role;
  /** What we let the peer do. */
  limits: SessionLimits;
  /** Everything that is sent leaves through it. */
  outbox: Outbox;
  /** The ids of services on the wire. */
  ids: WireIds;
  /** Resolves when the link has ended, though messages that have arrived may still be read. */
  linkEnded: Promise<unknown>;
  /** Grows whenever something of the peer arrives. */
  arrivals: () => number;
  /** The peer opened a stream. */
  onStream: OnStream;
  /** The peer sent a control frame. */
  onControl: (frame: ControlFrame) => void;
  /** The peer has answered a ping: all that was sent before has arrived. */
  onPong: () => void;
  /** The peer takes no more streams. `returns`: whether its services may come back. */
  onDrain: (returns: boolean) => void;
  /** The peer ends the session: in order, or for a reason. */
  onClose: (reason: ConnectorError | undefined) => void;
  /** What is kept of what was sent; absent when the session ends with its link. */
  kept?: Kept | undefined;
  /** Nothing is heard of the peer any more. */
  onSilence: (reason: ConnectorError) => void;
  /** Another link is needed: this one can open no more streams. */
  onExhausted: () => void;
  /** The session has to end: the peer has broken the protocol. */
  onFailure: (reason: ConnectorError) => void;
  /** Whether we dial the destination of a service. */
  connects: (serviceId: string) => boolean;
}
