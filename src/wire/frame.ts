// What travels over a link, as plain values. Control frames are the same for every peer; the data frames
// here are those of the reference dialect. The codecs turn frames into messages and back.

import type { Service as ServiceMessage } from "../../proto/gen/connector.ts";
import type { ErrorCode } from "../model/errors.ts";
import type { ServiceStatus } from "../model/service.ts";

/** A frame about services, understood by every kind of peer. */
export type ControlFrame =
  /** The dialler opened the link. Not answered. */
  | { kind: "ping" }
  /** Dialler to acceptor: take up this service, whatever its own id says. Answered with `status`. */
  | { kind: "expose"; serviceId: string; service: ServiceMessage | undefined }
  /** Either way: forget this service. Not answered. */
  | { kind: "destroy"; serviceId: string }
  /** Acceptor to dialler: what became of a service; why it is in error in words (else empty), and as a code if known. */
  | {
    kind: "status";
    serviceId: string;
    status: ServiceStatus;
    message: string;
    code?: ErrorCode;
  };

/** A frame of one tunnelled connection in the reference dialect. */
export type ReferenceFrame =
  /** Bytes, in order; the first frame of a connection, even an empty one, makes the egress dial. */
  | { kind: "data"; serviceId: string; connectionId: string; bytes: Uint8Array }
  /** The sender has read the end of its TCP connection. */
  | { kind: "closed"; serviceId: string; connectionId: string };

/** A message that is no frame of these: a reserved member or one of a later version, or a batch of the native dialect. */
export interface OtherFrame {
  kind: "ignored" | "batch";
}

/** Anything that one message of the contract can be. */
export type Frame = ControlFrame | ReferenceFrame | OtherFrame;

/** The most bytes we put into one data frame: enough to make the cost of a message small, and fair to others. */
export const MAX_DATA_BYTES = 64 * 1024;

/** The largest message we take from a link, in bytes: gRPC's own default, which the contract counts on. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
